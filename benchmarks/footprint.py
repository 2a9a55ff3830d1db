"""What a process that only serves takes: seconds until it is ready, memory, and whether memory grows with requests.

    python -m benchmarks.footprint                                    # MovieLens 100K, 18,000 requests
    python -m benchmarks.footprint --data ml-1m/ --requests 180000    # an hour's worth at 50 a second
    python -m benchmarks.footprint --python serving/bin/python        # serve by a Python without PaddlePaddle

It trains on the data, publishes into Milvus Lite and SQLite, migrates that to a Milvus server and Redis of its own, and
starts `vecrec serve` on both, several times. Without ``--python``, importing PaddlePaddle fails in the service as where
it is not installed. Then wrk asks for random users' recommendations, as fast as it gets them, and between its turns the
memory is read. The service on files gets a tenth of the requests, since it answers them more slowly.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks._report import report
from benchmarks.service import resident, service, wrk
from tests.servers.milvus import MilvusServer
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from vecrec.config.compose import compose, open_metadata_store
from vecrec.config.settings import Settings
from vecrec.data import Dataset
from vecrec.datasets import movielens
from vecrec.encoders import TwoTowerEncoder
from vecrec.vector_stores.opening import open_vector_store

BARS = {"ready_seconds": 3.0, "memory_mb": 250.0, "growth_mb": 10.0}
NAME = "bench"
_CONNECTIONS = 16
_TURNS = 12
_STARTS = 5


@dataclass(frozen=True)
class Load:
    """What is asked of a service."""

    users: range
    """Their ids."""
    requests: int
    """At least so many."""
    python: str
    """The interpreter that serves."""
    folder: Path
    """Where wrk's script goes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, publish, serve, ask, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="100k", help="1m, 100k or a directory with the files (%(default)s)")
    parser.add_argument("--requests", type=int, default=18_000, help="recommendations to ask for (%(default)s)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that serves (this one)")
    options = parser.parse_args(arguments)
    data = movielens.load(options.data)
    figures: dict[str, Any] = {"benchmark": "footprint", "data": data.name, "items": data.n_items, "stores": {}}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vecrec-bench-")))
        files = Settings(name=NAME, artifacts=str(folder), port=free_port(), max_in_flight=1000)
        publish(data, files)
        users = range(int(min(data.user_ids)), int(max(data.user_ids)) + 1)
        load = Load(users, options.requests, options.python, folder)
        figures["stores"]["Milvus Lite, SQLite"] = measure(files, replace(load, requests=options.requests // 10))
        servers = replace(
            files,
            vector_store=stack.enter_context(MilvusServer()).url,
            metadata_store=stack.enter_context(RedisServer()).url,
        )
        figures["moved"] = move(files, servers)
        figures["stores"]["Milvus server, Redis"] = measure(servers, load)
    show(figures)


def publish(data: Dataset, settings: Settings) -> None:
    """Train, and put everything into the stores of the settings."""
    with compose(settings, TwoTowerEncoder(dim=256, seed=7)) as recommender:
        recommender.fit(data, progress=True)


def move(source: Settings, target: Settings) -> dict[str, int]:
    """What `Recommender.migrate` moves from one to the other."""
    with (
        contextlib.closing(open_vector_store(target.vector_store_uri)) as vectors,
        contextlib.closing(open_metadata_store(target.metadata_store_url, target.metadata_prefix)) as metadata,
        compose(source) as recommender,
    ):
        return recommender.migrate(vectors, metadata, progress=True).to_json()


def measure(settings: Settings, load: Load) -> dict[str, Any]:
    """All figures of a service on these stores."""
    ready = []
    for _ in range(_STARTS - 1):
        with service(settings, load.python) as (_process, seconds):
            ready.append(seconds)
    with service(settings, load.python) as (process, seconds):
        ready.append(seconds)
        memory: list[tuple[int, float]] = [(0, resident(process.pid))]
        taken, errors, answered = 0.0, 0, 0
        while answered < load.requests:
            # A short turn at first, to learn the rate; then as long as a twelfth of them, or what is left, takes.
            ask = min(load.requests / _TURNS, load.requests - answered)
            turn = max(2, round(ask * taken / answered) + 1) if answered else 2
            found = wrk(settings.port, _CONNECTIONS, turn, load.folder, load.users)
            answered, taken = answered + int(found["requests"]), taken + found["seconds"]
            errors += int(found["errors"])
            memory.append((answered, resident(process.pid)))
    return {
        "ready_seconds": {"median": statistics.median(ready), "most": max(ready)},
        "memory_mb": memory,
        "requests": answered,
        "requests_per_second": round(answered / taken, 1),
        "errors": errors,
    }


def growth(memory: Sequence[tuple[int, float]]) -> float:
    """The memory at the end less what it was after a quarter of the requests, when all caches are filled, in MB."""
    warm = next(held for asked, held in memory if asked >= memory[-1][0] / 4)
    return round(memory[-1][1] - warm, 1)


def show(figures: dict[str, Any]) -> None:
    """The table, the bars and the line of JSON."""
    rows, bars = [], {}
    for name, found in figures["stores"].items():
        ready, memory = found["ready_seconds"], found["memory_mb"]
        found["growth_mb"] = growth(memory)
        reached = {
            "ready_seconds": ready["median"],
            "memory_mb": memory[0][1],
            "growth_mb": found["growth_mb"],
        }
        bars[name] = {bar: reached[bar] <= most for bar, most in BARS.items()} | {"errors": not found["errors"]}
        start, end = (f"{memory[place][1]:.0f}" for place in (0, -1))
        rate = f"{found['requests_per_second']:.0f}"
        cells = (f"{ready['median']:.2f}", start, end, f"{found['growth_mb']:+.1f}", f"{found['requests']:,}", rate)
        rows.append((name, *cells, str(found["errors"])))
    columns = ("", "ready s", "MB at start", "MB at end", "last 3/4 MB", "requests", "a second", "errors")
    title = f"{figures['data']}, {figures['items']:,} items, load average {os.getloadavg()[0]:.1f}"
    report(title, columns, rows, {**figures, "bars": bars})


if __name__ == "__main__":
    main()
