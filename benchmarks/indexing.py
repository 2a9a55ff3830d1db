"""Publishing 100,000 items of 256 dimensions: `MilvusVectorStore` against pymilvus's own `upsert`.

Both write the same batches into collections of one schema, in turns, and read one entry at the end, so that what was
written is there for the next reader. pymilvus gets its rows ready-made, outside the clock; the store checks and packs
them inside it. Then each builds its index, pymilvus by a flush and by asking for the state of the index until no row is
pending; the store also waits until searches use it. At last a process of its own for each side writes everything
once more, and says how much memory that took at most. Run it as ``python -m benchmarks.indexing``.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
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
from vecrec.progress import Step, showing
from vecrec.vector_stores import CollectionSpec, MilvusVectorStore
from vecrec.vector_stores.milvus import HNSW, Flat, Index, IVFFlat
from vecrec.vector_stores.milvus.layout import ID, VECTOR, Column

_FIELDS: dict[str, Any] = {"year": "integer", "lang": "string", "genres": "strings"}
_INDEXES: dict[str, Index] = {"flat": Flat(), "ivf_flat": IVFFlat(1024, 64), "hnsw": HNSW(32, 200, 256)}
_TIMEOUT = 120.0
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
    raw_flush: float = 0.0
    looks: int = 0
    """How often the store has seen the index advance."""


def main() -> None:
    """Measure on Milvus Lite and on a server, and print."""
    options = _options()
    rows, figures = [], {}
    for engine in options.engine:
        with _address(engine) as uri:
            times = _measure(uri, list(_batches(options.items, options.dim, options.batch)), options)
            peaks = [_peak_mb(side, uri, options) for side in ("store", "raw")]
        store, raw = options.items / sum(times.store), options.items / sum(times.raw)
        figures[engine] = {
            "store_rows_per_s": round(store), "raw_rows_per_s": round(raw), "ratio": round(store / raw, 3),
            "flush_s": round(times.flush, 2), "raw_flush_s": round(times.raw_flush, 2), "advances_seen": times.looks,
            "store_mb": round(peaks[0], 1), "raw_mb": round(peaks[1], 1),
        }  # fmt: skip
        flushes = f"{times.flush:.1f} s", f"{times.raw_flush:.1f} s"
        memory = (f"{peak:,.0f} MB" for peak in peaks)
        rows.append((engine, f"{store:,.0f}", f"{raw:,.0f}", f"{store / raw:.2f}", *flushes, *memory))
    title = f"{options.items:,} items, {options.dim} dimensions, batches of {options.batch:,}, {options.index}"
    columns = (
        "engine", "store, rows/s", "pymilvus, rows/s", "ratio", "index of the store", "of pymilvus",
        "memory of the store", "of pymilvus",
    )  # fmt: skip
    what = {name: getattr(options, name) for name in ("items", "dim", "batch", "index")}
    report(title, columns, rows, {"benchmark": "indexing", **what, **figures})


def _measure(uri: str, batches: list[Batch], options: argparse.Namespace) -> Times:
    times = Times()
    with _opened(uri, options, "bench_store", "bench_raw") as (store, client, columns), showing(True) as show:
        with store.bulk("bench_store"):
            for batch in batches:
                rows = batch.rows(columns)
                start = time.perf_counter()
                store.upsert("bench_store", batch.ids, batch.vectors, batch.attributes)
                middle = time.perf_counter()
                client.upsert("bench_raw", rows, timeout=_TIMEOUT)
                times.store.append(middle - start)
                times.raw.append(time.perf_counter() - middle)
            start = time.perf_counter()
        # Leaving the block waits until every reader sees what was written; so does this read.
        times.store.append(time.perf_counter() - start)
        start = time.perf_counter()
        client.query("bench_raw", filter=f'{ID} == "i0"', consistency_level="Strong", timeout=_TIMEOUT)
        times.raw.append(time.perf_counter() - start)
        for name in ("bench_store", "bench_raw"):
            assert store.count(name) == sum(len(batch.ids) for batch in batches)

        def seen(step: Step) -> None:
            times.looks += 1
            show(step)

        start = time.perf_counter()
        store.flush("bench_store", seen)
        times.flush = time.perf_counter() - start
        start = time.perf_counter()
        _build_raw(client, lite="://" not in uri)
        times.raw_flush = time.perf_counter() - start
    return times


def _build_raw(client: Any, *, lite: bool) -> None:
    client.flush("bench_raw", timeout=3600)
    while not lite:
        state = client.describe_index("bench_raw", index_name=VECTOR)
        if state["state"] == "Finished" and not state["pending_index_rows"]:
            return
        time.sleep(0.1)


@contextlib.contextmanager
def _opened(
    uri: str, options: argparse.Namespace, *names: str
) -> Iterator[tuple[MilvusVectorStore, Any, list[Column]]]:
    """A store with some new collections, its own connection, and the columns of pymilvus."""
    with MilvusVectorStore(uri, timeout=_TIMEOUT, index=_INDEXES[options.index]) as store:
        for name in names:
            store.drop(name)
            store.create(name, CollectionSpec(options.dim, "ip", _FIELDS))
        columns = [Column.of(name, kind, arrays="://" in uri) for name, kind in _FIELDS.items()]
        yield store, store._client.engine(), columns  # noqa: SLF001 - the same connection for both
        for name in names:
            store.drop(name)


def _peak_mb(side: str, uri: str, options: argparse.Namespace) -> float:
    """The memory that one side takes at most to write everything, in a process of its own, in MB."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_write, args=(side, uri, options, queue))
    process.start()
    found: float = queue.get(timeout=3600)
    process.join()
    return found


def _write(side: str, uri: str, options: argparse.Namespace, queue: Any) -> None:
    name = f"bench_{side}"
    with _opened(uri, options, name) as (store, client, columns):
        before = _resident_mb("VmRSS")
        with store.bulk(name):
            for batch in _batches(options.items, options.dim, options.batch):
                if side == "store":
                    store.upsert(name, batch.ids, batch.vectors, batch.attributes)
                else:
                    client.upsert(name, batch.rows(columns), timeout=_TIMEOUT)
        queue.put(_resident_mb("VmHWM") - before)


def _resident_mb(name: str) -> float:
    """The memory of this process in MB: ``VmRSS`` for now, ``VmHWM`` for the most that it had."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / 1e3


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
    parser.add_argument("--index", choices=_INDEXES, default="flat", help="what is built (default: flat)")
    parser.add_argument("--engine", choices=("lite", "server"), nargs="+", default=["lite", "server"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
