"""Single items written to a Milvus server and a Redis of its own, many a second, and what readers notice of it.

    python -m benchmarks.writes
    python -m benchmarks.writes --rate 100 --seconds 60 --by service

So many items a second are written one by one, by threads of this process or as PUT requests to a service. Each write
is timed from the moment that it was due until it is acknowledged, and ten recommendations a second are timed beside
it. All share the machine's cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks._report import report
from benchmarks.outage import ITEMS, USERS, percentile, published
from benchmarks.service import NAME, service
from tests.servers.milvus import MilvusServer
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from vecrec import Item, Recommender
from vecrec.config.settings import Settings
from vecrec.errors import VecrecError
from vecrec.metadata_stores import RedisMetadataStore
from vecrec.vector_stores.milvus import MilvusVectorStore

BARS = {"slowest_write_seconds": 1.5}

_COLUMNS = (
    "writes", "failed", "write_p50_seconds", "slowest_write_seconds", "reads_p50_ms", "reads_p90_ms",
    "reads_p50_ms_before", "reads_p90_ms_before",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Write, read, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100.0, help="writes a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (%(default)s)")
    parser.add_argument("--by", choices=["library", "service"], action="append", help="by which door; both by default")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vecrec-bench-"))
        milvus, redis = stack.enter_context(MilvusServer()), stack.enter_context(RedisServer())
        stores = MilvusVectorStore(milvus.url), RedisMetadataStore(redis.url)
        recommender = stack.enter_context(published(*stores, folder))
        settings = Settings(
            name=NAME, artifacts=folder, vector_store=milvus.url, metadata_store=redis.url, port=free_port()
        )
        found = {}
        for door in options.by or ("library", "service"):
            with service(settings) if door == "service" else contextlib.nullcontext():
                write, read = _doors(recommender, settings.port)[door]
                found[door] = measure(write, read, options.rate, options.seconds)
        if not recommender.verify():
            raise RuntimeError(f"the stores differ: {recommender.verify()}")
    rows = [[name, *(f"{figures[each]}" for each in _COLUMNS)] for name, figures in found.items()]
    report(f"{options.rate:g} single items a second", ["", *_COLUMNS], rows, {"benchmark": "writes", **found})


def _doors(recommender: Recommender, port: int) -> dict[str, tuple[Callable[[int], None], Callable[[int], None]]]:
    """How to write an item and how to recommend to a user, by the library and by the service."""

    def request(path: str, body: dict[str, Any] | None = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        method = "GET" if body is None else "PUT"
        asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            json.load(answer)

    def put(item: int) -> None:
        recommender.upsert_items(Item(item, _record(item)))

    def recommend(user: int) -> None:
        recommender.recommend(user)

    return {
        "library": (put, recommend),
        "service": (
            lambda item: request(f"/v1/items/{item}", _record(item)),
            lambda user: request(f"/v1/users/{user}/recommendations"),
        ),
    }


def _record(item: int) -> dict[str, Any]:
    return {"genre": f"g{item % 10}", "year": 1950 + item % 70}


def measure(
    write: Callable[[int], None], read: Callable[[int], None], rate: float, seconds: float
) -> dict[str, float | int]:
    """What writers and readers see."""
    calm: list[float | None] = []
    with ThreadPoolExecutor(16) as readers:
        _paced(readers, read, USERS, 10.0, 5.0, calm)
    writes: list[float | None] = []
    reads: list[float | None] = []
    # As many threads as any application may have, so that no write waits for one.
    with ThreadPoolExecutor(600) as writers, ThreadPoolExecutor(16) as readers, ThreadPoolExecutor(2) as both:
        both.submit(_paced, readers, read, USERS, 10.0, seconds, reads)
        both.submit(_paced, writers, write, 2 * ITEMS, rate, seconds, writes)
    done = [each for each in writes if each is not None]
    before, during = ([1000 * each for each in times if each is not None] for times in (calm, reads))
    return {
        "writes": len(writes),
        "failed": writes.count(None) + reads.count(None),
        "write_p50_seconds": round(percentile([1000 * each for each in done], 50) / 1000, 2),
        "slowest_write_seconds": round(max(done), 2),
        "reads_p50_ms": percentile(during, 50),
        "reads_p90_ms": percentile(during, 90),
        "reads_p50_ms_before": percentile(before, 50),
        "reads_p90_ms_before": percentile(before, 90),
    }


def _paced(  # noqa: PLR0917 - called by position through a pool
    pool: ThreadPoolExecutor,
    call: Callable[[int], None],
    values: int,
    rate: float,
    seconds: float,
    took: list[float | None],
) -> None:
    """Calls at a rate, each timed from the moment that it was due; ``None`` for one that failed."""

    def timed(number: int, due: float) -> None:
        try:
            call(number % values)
        except (VecrecError, OSError) as error:
            print(f"failed: {error}")
            took.append(None)
        else:
            took.append(time.monotonic() - due)

    began = time.monotonic()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        pool.submit(timed, number, due)


if __name__ == "__main__":
    main()
