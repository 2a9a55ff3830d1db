"""Publishing 100,000 items of 256 dimensions: `MilvusVectorStore` against pymilvus's own `upsert`.

Both write the same batches into collections of one schema, in turns, and read one entry at the end, so that what was
written is there for the next reader. pymilvus gets its rows ready-made, outside the clock; the store checks and packs
them inside it. Then each builds its index, pymilvus by a flush and by asking for the state of the index until no row is
pending; the store also waits until searches use it. At last a process of its own for each side writes everything
once more, and says how much memory that took at most. Run it as ``python -m benchmarks.indexing``.

With ``--files`` the same rows are also loaded the way that a server has for much data: as one Parquet file, which the
client writes and the server, on the same machine, imports by itself. The clock stops when a reader finds all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
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
_NAMES = {"store": "MilvusVectorStore", "raw": "pymilvus, upsert", "files": "pymilvus, Parquet file"}
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

    def table(self, columns: list[Column]) -> pa.Table:
        """The rows of a Parquet file."""
        count, dim = self.vectors.shape
        starts = pa.array(np.arange(0, (count + 1) * dim, dim, np.int32))
        held: dict[str, Any] = {
            ID: [encode_id(key) for key in self.ids],
            VECTOR: pa.ListArray.from_arrays(starts, pa.array(self.vectors.ravel())),
        }
        for column in columns:
            held[column.name] = [column.dump(given[column.field]) for given in self.attributes]
            if column.has is not None:
                held[column.has] = [True] * count
        return pa.table(held)


@dataclass
class Spent:
    """What a side took."""

    wall: float = 0.0
    """Seconds by the clock."""
    cpu: float = 0.0
    """Seconds of this process's CPUs, without those of the server."""

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Add what the block takes."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu


@dataclass
class Times:
    """What each of the sides took."""

    store: Spent = field(default_factory=Spent)
    raw: Spent = field(default_factory=Spent)
    files: Spent = field(default_factory=Spent)
    flush: float = 0.0
    raw_flush: float = 0.0
    looks: int = 0
    """How often the store has seen the index advance."""


def main() -> None:
    """Measure on Milvus Lite and on a server, and print."""
    options = _options()
    rows, figures = [], {}
    sides = ["store", "raw", *(["files"] if options.files else [])]
    for engine in options.engine:
        with address(engine) as uri:
            times = _measure(uri, options)
            peaks = {side: _peak_mb(side, uri, options) for side in sides}
        figures[engine] = {
            **{f"{side}_rows_per_s": round(options.items / getattr(times, side).wall) for side in sides},
            **{f"{side}_cpu_s": round(getattr(times, side).cpu, 2) for side in sides},
            **{f"{side}_mb": round(peaks[side], 1) for side in sides},
            "ratio": round(times.raw.wall / times.store.wall, 3),
            "flush_s": round(times.flush, 2), "raw_flush_s": round(times.raw_flush, 2), "advances_seen": times.looks,
        }  # fmt: skip
        for side in sides:
            spent, flush = getattr(times, side), {"store": times.flush, "raw": times.raw_flush}.get(side)
            rate, ratio = f"{options.items / spent.wall:,.0f}", f"{times.raw.wall / spent.wall:.2f}"
            built = "" if flush is None else f"{flush:.1f} s"
            rows.append((engine, _NAMES[side], rate, ratio, f"{spent.cpu:.1f} s", f"{peaks[side]:,.0f} MB", built))
    title = f"{options.items:,} items, {options.dim} dimensions, batches of {options.batch:,}, {options.index}"
    columns = "engine", "written by", "rows/s", "to pymilvus", "CPU of the client", "memory at most", "index"
    what = {name: getattr(options, name) for name in ("items", "dim", "batch", "index")}
    report(title, columns, rows, {"benchmark": "indexing", **what, **figures})


def _measure(uri: str, options: argparse.Namespace) -> Times:
    times = Times()
    with opened(uri, options, "bench_store", "bench_raw") as (store, client, columns), showing(True) as show:
        with store.bulk("bench_store"):
            for batch in batches(options.items, options.dim, options.batch):
                rows = batch.rows(columns)
                with times.store.measured():
                    store.upsert("bench_store", batch.ids, batch.vectors, batch.attributes)
                with times.raw.measured():
                    client.upsert("bench_raw", rows, timeout=_TIMEOUT)
            waited = time.perf_counter()
        # Leaving the block waits until every reader sees what was written; so does this read.
        times.store.wall += time.perf_counter() - waited
        with times.raw.measured():
            client.query("bench_raw", filter=f'{ID} == "i0"', consistency_level="Strong", timeout=_TIMEOUT)
        for name in ("bench_store", "bench_raw"):
            assert store.count(name) == options.items

        def seen(step: Step) -> None:
            times.looks += 1
            show(step)

        start = time.perf_counter()
        store.flush("bench_store", seen)
        times.flush = time.perf_counter() - start
        start = time.perf_counter()
        _build_raw(client, lite="://" not in uri)
        times.raw_flush = time.perf_counter() - start
    if options.files:
        with opened(uri, options, "bench_files") as (store, client, columns):
            _load_file(store, client, columns, options, times.files)
    return times


def _load_file(
    store: MilvusVectorStore, client: Any, columns: list[Column], options: argparse.Namespace, spent: Spent
) -> None:
    handler, folder = client._get_connection(), Path(tempfile.mkdtemp())  # noqa: SLF001 - no public method has it
    try:
        _write_file(folder / "rows.parquet", columns, options, spent)
        with spent.measured():
            task = handler.do_bulk_insert("bench_files", "", [str(folder / "rows.parquet")], timeout=_TIMEOUT)
            while (state := handler.get_bulk_insert_state(task, timeout=_TIMEOUT)).state_name != "Completed":
                assert state.state_name != "Failed", state.failed_reason
                time.sleep(0.1)
            # By itself a server takes some seconds until it searches what it has imported.
            client.refresh_load("bench_files", timeout=_TIMEOUT)
            while store.count("bench_files") < options.items:
                time.sleep(0.1)
    finally:
        shutil.rmtree(folder)


def _write_file(file: Path, columns: list[Column], options: argparse.Namespace, spent: Spent) -> None:
    with contextlib.ExitStack() as stack:
        writer = None
        for batch in batches(options.items, options.dim, options.batch):
            with spent.measured():
                table = batch.table(columns)
                if writer is None:
                    opened = pq.ParquetWriter(file, table.schema, compression="none", use_dictionary=False)
                    writer = stack.enter_context(opened)
                writer.write_table(table)


def _build_raw(client: Any, *, lite: bool) -> None:
    client.flush("bench_raw", timeout=3600)
    while not lite:
        state = client.describe_index("bench_raw", index_name=VECTOR)
        if state["state"] == "Finished" and not state["pending_index_rows"]:
            return
        time.sleep(0.1)


@contextlib.contextmanager
def opened(uri: str, options: argparse.Namespace, *names: str) -> Iterator[tuple[MilvusVectorStore, Any, list[Column]]]:
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
    with opened(uri, options, name) as (store, client, columns):
        before = _resident_mb("VmRSS")
        if side == "files":
            _load_file(store, client, columns, options, Spent())
            queue.put(_resident_mb("VmHWM") - before)
            return
        with store.bulk(name):
            for batch in batches(options.items, options.dim, options.batch):
                if side == "store":
                    store.upsert(name, batch.ids, batch.vectors, batch.attributes)
                else:
                    client.upsert(name, batch.rows(columns), timeout=_TIMEOUT)
        queue.put(_resident_mb("VmHWM") - before)


def _resident_mb(name: str) -> float:
    """The memory of this process in MB: ``VmRSS`` for now, ``VmHWM`` for the most that it had."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / 1e3


def batches(items: int, dim: int, size: int) -> Iterator[Batch]:
    """So many items, some at a time, always the same ones."""
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
def address(engine: str) -> Iterator[str]:
    """Where an engine listens: a server of its own, unless the environment names one."""
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
    parser.add_argument("--files", action="store_true", help="load by a file too, which the server reads")
    options = parser.parse_args()
    if options.files and options.engine != ["server"]:
        parser.error("--files needs --engine server")
    return options


if __name__ == "__main__":
    main()
