"""Lists for all users: users a second by each engine of `recommend_to_parquet`, beside raw calls in batches.

    python -m benchmarks.batch                                # a Milvus server and a Redis of its own
    python -m benchmarks.batch --users 2000 --rounds 2        # where "ray", "pyspark" and "implicit" are installed, too

The catalogue is that of `benchmarks.serving`: MovieLens 1M's 3,706 items in 256 dimensions, users with 165 events. The
raw side is that of `benchmarks.concurrency`, 256 users at a time in one process: one read of the users, one forward
pass, the same search, one read of the records. It checks, filters and writes nothing. Implicit reads no store: its
matrices are in memory, and it multiplies them on all cores.

Processes take seconds to start, those of Ray most. So each engine serves few users and then all, and the rate is that
of the difference; the whole call stands beside it. Ray and Spark run on as many cores as there are processes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks._report import report
from benchmarks.concurrency import Raw
from benchmarks.serving import K, dataset
from tests.servers import MilvusServer, RedisServer
from vecrec import Recommender, ReleaseChecks
from vecrec._internal.batching import batched
from vecrec.data import Dataset
from vecrec.encoders import Encoder, TwoTowerEncoder
from vecrec.encoders.two_tower import TwoTowerSettings
from vecrec.metadata_stores import RedisMetadataStore
from vecrec.recommender.batch import recommend_to_parquet
from vecrec.vector_stores.milvus import MilvusVectorStore

Serve = Callable[[Sequence[int]], object]
"""Serves these users."""


def opened(milvus: str, redis: str, home: str, encoder: Encoder | None = None) -> Recommender:
    """A recommender whose stores are patient, since the processes share the cores with the engines."""
    stores = MilvusVectorStore(milvus, timeout=60), RedisMetadataStore(redis, timeout=60)
    return Recommender(encoder, *stores, name="b", artifacts=home, checks=ReleaseChecks(beat_popularity=False))


@contextmanager
def engines(opener: Callable[[], Recommender], folder: Path, users_per_file: int) -> Iterator[dict[str, Serve]]:
    """What is installed, with the clusters running."""
    count = len(os.sched_getaffinity(0))

    def serve(users: Sequence[int], **options: Any) -> object:
        there = tempfile.mkdtemp(dir=folder)
        return recommend_to_parquet(opener, there, users, K, users_per_file=users_per_file, **options)

    found: dict[str, Serve] = {f"local, {n}": partial(serve, processes=n) for n in dict.fromkeys((1, count))}
    close = []
    if find_spec("ray"):
        import ray

        ray.init("local", num_cpus=count, include_dashboard=False, log_to_driver=False, logging_level="error")
        close.append(ray.shutdown)
        found[f"ray, {count}"] = partial(serve, engine="ray", processes=count)
    if find_spec("pyspark"):
        from pyspark.sql import SparkSession

        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # as the engine does for a session of its own
        session = SparkSession.builder.master(f"local[{count}]").config("spark.ui.enabled", "false").getOrCreate()
        close.append(session.stop)
        found[f"spark, {count}"] = partial(serve, engine="spark")
    try:
        yield found
    finally:
        for each in close:
            each()


def implicit_als(data: Dataset) -> Serve:
    """Implicit's alternating least squares with as many factors, trained for one iteration."""
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    rows = (np.ones(data.n_events, np.float32), (data.user_codes, data.item_codes))
    matrix = csr_matrix(rows, shape=(data.n_users, data.n_items))
    model = AlternatingLeastSquares(factors=256, iterations=1, random_state=7)
    model.fit(matrix, show_progress=False)

    def serve(users: Sequence[int]) -> object:
        parts = (np.array(part) for part in batched(users, 1_000))
        return [model.recommend(part, matrix[part], N=K, filter_already_liked_items=True) for part in parts]

    return serve


def measure(sides: dict[str, Serve], users: int, few: int, rounds: int) -> dict[str, dict[str, float]]:
    """The rates of each side: medians over rounds in which the sides take turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, serve in sides.items():
            times = []
            for count in (few, users):
                began = time.perf_counter()
                serve(range(count))
                times.append(time.perf_counter() - began)
            taken[name].append((times[1], times[1] - times[0]))
    rates = {name: [(users - few) / more for _, more in each] for name, each in taken.items()}
    return {
        name: {
            "per_second": round(median(rates[name]), 1),
            "whole_call_per_second": round(median(users / whole for whole, _ in each), 1),
            "to_raw": round(median(ours / raw for ours, raw in zip(rates[name], rates["raw batches, 1"])), 2),
        }
        for name, each in taken.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish, serve all users by each engine, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=6_040)
    parser.add_argument("--users-per-file", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    data, few = dataset(options.users), 2 * options.users_per_file
    with tempfile.TemporaryDirectory() as home, MilvusServer() as milvus, RedisServer() as redis:
        opener = partial(opened, milvus.url, redis.url, home)
        with opener(TwoTowerEncoder(dim=256, seed=7, settings=TwoTowerSettings(epochs=1))) as recommender:
            recommender.fit(data)
            raw = Raw(recommender, redis.url, options.users)
            with engines(opener, Path(home), options.users_per_file) as sides:
                sides["raw batches, 1"] = lambda users: [raw(part) for part in batched(users, 256)]
                if find_spec("implicit"):
                    sides["implicit, in memory"] = implicit_als(data)
                figures = measure(sides, options.users, few, options.rounds)
    rows = [
        (name, f"{each['per_second']:,.0f}", f"{each['to_raw']:.2f}", f"{each['whole_call_per_second']:,.0f}")
        for name, each in figures.items()
    ]
    title = f"lists of {K} for {options.users:,} users, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"
    columns = ("engine, processes", "users a second", "to raw", "with the start of the processes")
    report(title, columns, rows, {"benchmark": "batch", "users": options.users, "engines": figures})


if __name__ == "__main__":
    main()
