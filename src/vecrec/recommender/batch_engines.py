"""What hands the parts of a batch to processes: a pool of this machine, Ray or Spark.

An engine is a function that takes the job, the parts and the number of processes, and yields the number of a part and
of its rows when its file is there. It hands out parts, and nothing else: the lists are the same by each.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from vecrec import errors
from vecrec._internal.dependencies import requires
from vecrec.errors import BatchError, InvalidDataError, VecrecError, shown
from vecrec.ids import decode_id, encode_id
from vecrec.recommender.batch_job import Job, Part

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ENGINES"]

Engine: TypeAlias = Callable[[Job, Sequence[Part], "int | None"], Iterator[tuple[int, int]]]


def _local(job: Job, parts: Sequence[Part], processes: int | None) -> Iterator[tuple[int, int]]:
    """Processes of this machine, by default one for each core that this one may use."""
    try:
        pickle.dumps(job)
    except Exception as error:  # whatever the pickling of a caller's object raises
        problem = f"recommender is {shown(job.opener)}, which cannot travel to other processes ({error})"
        raise InvalidDataError(problem, "give a function of a module, or a functools.partial of one") from error
    cores = len(os.sched_getaffinity(0))
    count = min(processes or cores, len(parts))
    # Not by fork, which the clients of some engines do not survive.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_end_with_parent) as pool:
        try:
            with _products_by_threads(max(1, cores // count)):  # which a process reads when it starts
                numbers = {pool.submit(job.write, part): part.number for part in parts}
            for done in as_completed(numbers):
                yield numbers[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _products_by_threads(number: int) -> Iterator[None]:
    """Processes that start meanwhile multiply matrices by so many threads, unless the environment says how many."""
    names = [name for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name not in os.environ]
    os.environ.update(dict.fromkeys(names, str(number)))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


def _end_with_parent() -> None:
    """End this process when its parent is killed, instead of waiting for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, name="vecrec-batch-parent", daemon=True).start()


def _ray(job: Job, parts: Sequence[Part], processes: int | None) -> Iterator[tuple[int, int]]:
    """Actors of the Ray that this process is connected to; otherwise of the one that `ray.init` finds or starts."""
    with requires("ray", extra="ray", purpose='engine="ray"'):
        import ray
        import ray.data

    class Actor:
        """Opens the recommender of its process and keeps it. The job comes with the class: Ray can start it again."""

        def __call__(self, table: pa.Table) -> pa.Table:
            return _answered(job, table)

    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, logging_level="warning")
    try:
        cores = int(ray.cluster_resources().get("CPU", 1))
        actors = ray.data.ActorPoolStrategy(size=min(processes or cores, len(parts)))
        tables = ray.data.from_arrow([_table([part]) for part in parts])
        options = {"batch_size": None, "batch_format": "pyarrow", "compute": actors}
        for row in tables.map_batches(Actor, **options).iter_rows():
            yield _result(row)
    finally:
        if ours:
            ray.shutdown()


def _spark(job: Job, parts: Sequence[Part], processes: int | None) -> Iterator[tuple[int, int]]:
    """Tasks of the active Spark session; otherwise of one that the environment configures, ended with the batch."""
    with requires("pyspark", extra="spark", purpose='engine="spark"'):
        from pyspark.sql import SparkSession

    def answer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for at in range(len(batch)):
                yield from _answered(job, batch.slice(at, 1)).to_batches()

    session = SparkSession.getActiveSession()
    ours = session is None
    if session is None:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # which has vecrec; Spark's own default is `python3`
        session = SparkSession.builder.appName("vecrec batch").getOrCreate()
    try:
        # Spark asks for the tasks of all partitions at once, and works on as many as its executors have cores.
        frame = session.createDataFrame(_table(parts)).repartitionByRange(processes or len(parts), "number")
        for row in frame.mapInArrow(answer, "number int, rows bigint, error string").collect():
            yield _result(row.asDict())
    finally:
        if ours:
            session.stop()


def _table(parts: Sequence[Part]) -> pa.Table:
    """Parts as rows."""
    import pyarrow as pa

    users = [[encode_id(key) for key in part.users] for part in parts]
    schema = pa.schema([("number", pa.int32()), ("users", pa.list_(pa.string()))])
    return pa.table([[part.number for part in parts], users], schema=schema)


def _answered(job: Job, parts: pa.Table | pa.RecordBatch) -> pa.Table:
    """The number of each part and of its rows, or vecrec's error, which Ray and Spark would wrap into theirs."""
    import pyarrow as pa

    found: list[dict[str, Any]] = []
    for row in parts.to_pylist():
        rows, error = 0, None
        try:
            rows = job.write(Part(row["number"], [decode_id(key) for key in row["users"]]))
        except VecrecError as raised:
            error = json.dumps([type(raised).__name__, raised.problem, raised.cure])
        found.append({"number": row["number"], "rows": rows, "error": error})
    schema = pa.schema([("number", pa.int32()), ("rows", pa.int64()), ("error", pa.string())])
    return pa.Table.from_pylist(found, schema)


def _result(row: Mapping[str, Any]) -> tuple[int, int]:
    if row["error"] is None:
        return row["number"], row["rows"]
    name, problem, cure = json.loads(row["error"])
    raise getattr(errors, name, VecrecError)(problem, cure)


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except VecrecError:
        raise
    except Exception as error:
        raise BatchError(
            f"the batch broke off, since {name} reports {type(error).__name__}: {str(error)[:1000]}",
            "call it again: it goes on behind the files that are finished",
        ) from error


def _named(name: str, engine: Engine) -> Engine:
    def run(job: Job, parts: Sequence[Part], processes: int | None) -> Iterator[tuple[int, int]]:
        with _told(name):
            yield from engine(job, parts, processes)

    return run


ENGINES: Mapping[str, Engine] = {
    "local": _named("a process of this machine", _local), "ray": _named("Ray", _ray), "spark": _named("Spark", _spark),
}  # fmt: skip
"""The engines by name."""
