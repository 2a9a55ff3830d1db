"""Publishing 100,000 items of 256 dimensions: `MilvusVectorStore` against pymilvus's own `upsert`.

Both write the same batches into collections of one schema, in turns, and read one entry at the end, so that what was
written is there for the next reader. pymilvus gets its rows ready-made, outside the clock; the store checks and packs
them inside it. Run it as ``python -m benchmarks.indexing``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import report
from vecrec.ids import encode_id
from vecrec.vector_stores import CollectionSpec, MilvusVectorStore
from vecrec.vector_stores.milvus.layout import ID, VECTOR, Column

_FIELDS: dict[str, Any] = {"year": "integer", "lang": "string", "genres": "strings"}
_GENRES = ("Action", "Comedy", "Crime", "Drama", "Fantasy", "Horror", "Musical", "Romance", "Sci-Fi", "Thriller")


@dataclass
class Batch:
    """Some items, as each of the two takes them."""

    ids: list[int]
    vectors: NDArray[np.float32]
    attributes: list[dict[str, Any]]

    def rows(self, columns: list[Column]) -> list[dict[str, Any]]:
        """The rows of pymilvus."""
        rows = []
        for key, vector, given in zip(self.ids, self.vectors, self.attributes):
            row: dict[str, Any] = {ID: encode_id(key), VECTOR: vector}
            for column in columns:
                row[column.name] = column.dump(given[column.field])
                if column.has is not None:
                    row[column.has] = True
            rows.append(row)
        return rows


@dataclass
class Times:
    """Seconds that each of the two took, and how many of each batch."""

    store: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    flush: float = 0.0


def main() -> None:
    """Measure on Milvus Lite and on a server, and print."""
    options = _options()
    batches = list(_batches(options.items, options.dim, options.batch))
    rows, figures = [], {}
    for engine in options.engine:
        with _address(engine) as uri:
            times = _measure(uri, batches, options.dim)
        store, raw = options.items / sum(times.store), options.items / sum(times.raw)
        figures[engine] = {
            "store_rows_per_s": round(store), "raw_rows_per_s": round(raw), "ratio": round(store / raw, 3),
            "flush_s": round(times.flush, 2),
        }  # fmt: skip
        rows.append((engine, f"{store:,.0f}", f"{raw:,.0f}", f"{store / raw:.2f}", f"{times.flush:.1f} s"))
    title = f"{options.items:,} items, {options.dim} dimensions, batches of {options.batch:,}"
    columns = ("engine", "store, rows/s", "pymilvus, rows/s", "ratio", "flush of the store")
    what = {"benchmark": "indexing", "items": options.items, "dim": options.dim, "batch": options.batch}
    report(title, columns, rows, {**what, **figures})


def _measure(uri: str, batches: list[Batch], dim: int) -> Times:
    times, timeout = Times(), 120.0
    with MilvusVectorStore(uri, timeout=timeout) as store:
        for name in ("bench_store", "bench_raw"):
            store.drop(name)
            store.create(name, CollectionSpec(dim, "ip", _FIELDS))
        columns = [Column.of(name, kind, arrays="://" in uri) for name, kind in _FIELDS.items()]
        client = store._client.engine()  # noqa: SLF001 - the same connection for both
        with store.bulk("bench_store"):
            for batch in batches:
                rows = batch.rows(columns)
                start = time.perf_counter()
                store.upsert("bench_store", batch.ids, batch.vectors, batch.attributes)
                middle = time.perf_counter()
                client.upsert("bench_raw", rows, timeout=timeout)
                times.store.append(middle - start)
                times.raw.append(time.perf_counter() - middle)
            start = time.perf_counter()
        # Leaving the block waits until every reader sees what was written; so does this read.
        times.store.append(time.perf_counter() - start)
        start = time.perf_counter()
        client.query("bench_raw", filter=f'{ID} == "i0"', consistency_level="Strong", timeout=timeout)
        times.raw.append(time.perf_counter() - start)
        for name in ("bench_store", "bench_raw"):
            assert store.count(name) == sum(len(batch.ids) for batch in batches)
        store.drop("bench_raw")
        start = time.perf_counter()
        store.flush("bench_store")
        times.flush = time.perf_counter() - start
        store.drop("bench_store")
    return times


def _batches(items: int, dim: int, size: int) -> Iterator[Batch]:
    rng = np.random.default_rng(7)
    for start in range(0, items, size):
        count = min(size, items - start)
        vectors = rng.standard_normal((count, dim)).astype(np.float32)
        picks = rng.integers(0, len(_GENRES), (count, 3))
        attributes = [
            {"year": 1900 + number % 120, "lang": "en", "genres": sorted({_GENRES[pick] for pick in picks[number]})}
            for number in range(count)
        ]
        yield Batch(list(range(start, start + count)), vectors, attributes)


@contextlib.contextmanager
def _address(engine: str) -> Iterator[str]:
    if engine == "lite":
        with tempfile.TemporaryDirectory() as folder:
            yield str(Path(folder) / "bench.db")
        return
    from tests.servers.milvus import MilvusServer

    if given := os.environ.get(MilvusServer.variable):
        yield given
        return
    with MilvusServer() as server:
        yield server.url


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.indexing", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--batch", type=int, default=5_000, help="items of one call (default: 5000)")
    parser.add_argument("--engine", choices=("lite", "server"), nargs="+", default=["lite", "server"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
