"""What an engine that hangs costs: a Milvus, a Redis and a MariaDB of its own, stopped by SIGSTOP and let go on again.

    python -m benchmarks.outage
    python -m benchmarks.outage --engine redis --timeout 1

For each engine sixteen threads ask at once when it has stopped: the slowest of them is the first failure. The requests
after that are timed one by one, and so is the time until the engine is used again. While Milvus is stopped, a service
that was started before gets 10 recommendations and 5 reads of users a second, and another service is started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks._report import report
from benchmarks.service import NAME, service
from tests.servers.base import Server
from tests.servers.mariadb import MariaDBServer
from tests.servers.milvus import MilvusServer
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from vecrec import Recommender, ReleaseChecks, field
from vecrec.config.settings import Settings
from vecrec.data import Dataset
from vecrec.encoders import ContentEncoder
from vecrec.errors import StoreUnavailableError
from vecrec.metadata_stores import MetadataStore, RedisMetadataStore, SQLMetadataStore
from vecrec.vector_stores import MemoryVectorStore, VectorStore
from vecrec.vector_stores.milvus import MilvusVectorStore

USERS, ITEMS, K = 200, 500, 10
BARS = {"after_p99_ms": 100.0, "recovery_seconds": 5.0, "service_ready_seconds_stopped": 3.0}
"""Of Milvus: a recommendation after the first failure, the way back, and a service that starts meanwhile."""


def dataset() -> Dataset:
    """Users who choose items, and items with what a filter reads."""
    random = np.random.default_rng(7)
    items = {
        "item_id": list(range(ITEMS)),
        "genre": [f"g{n % 10}" for n in range(ITEMS)],
        "year": [1950 + n % 70 for n in range(ITEMS)],
    }
    events = {"user_id": np.repeat(range(USERS), 20), "item_id": random.integers(0, ITEMS, 20 * USERS)}
    return Dataset(events, items=items)


@contextlib.contextmanager
def published(vectors: VectorStore, metadata: MetadataStore, folder: str) -> Iterator[Recommender]:
    """The catalogue in both stores."""
    checks = ReleaseChecks(beat_popularity=False)
    with Recommender(ContentEncoder(dim=64), vectors, metadata, name=NAME, artifacts=folder, checks=checks) as made:
        made.fit(dataset())
        made.vector_store.flush(made.releases()[0].collection)
        yield made


def main(arguments: Sequence[str] | None = None) -> None:
    """Stop, ask, go on, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=list(_MEASURES), action="append", help="which; all by default")
    parser.add_argument("--timeout", type=float, default=2.0, help="of the stores, in seconds (%(default)s)")
    options = parser.parse_args(arguments)
    found = {name: _MEASURES[name](options.timeout) for name in options.engine or _MEASURES}
    rows = [[name, *(f"{figures.get(each, '')}" for each in _COLUMNS)] for name, figures in found.items()]
    report("An engine that hangs", ["", *_COLUMNS], rows, {"benchmark": "outage", **found})


_COLUMNS = (
    "first_failure_seconds", "after_p50_ms", "after_p99_ms", "recovery_seconds", "reads_p99_ms",
    "reads_p99_ms_stopped", "service_reads_p90_ms", "service_reads_p90_ms_stopped", "service_ready_seconds",
    "service_ready_seconds_stopped",
)  # fmt: skip


def outage(server: Server, ask: Callable[[], bool], during: Callable[[], dict[str, Any]] = dict) -> dict[str, Any]:
    """What callers of a stopped engine see.

    Args:
        server: The engine, which answers.
        ask: Asks once; whether the answer was that of an engine that works.
        during: Further figures, measured after the first failure.
    """
    if not ask():
        raise RuntimeError("the engine does not answer before it is stopped")
    server.pause()
    try:
        with ThreadPoolExecutor(16) as pool:
            first = max(pool.map(lambda _: timed(ask)[0], range(16)))
        after = [timed(ask) for _ in range(200)]
        figures = during()
    finally:
        server.resume()
    if any(works for _, works in after):
        raise RuntimeError("an answer came from an engine that was stopped")
    resumed = time.monotonic()
    while not ask():
        time.sleep(0.01)
    times = [1000 * seconds for seconds, _ in after]
    return {
        "first_failure_seconds": round(first, 2),
        "after_p50_ms": percentile(times, 50),
        "after_p99_ms": percentile(times, 99),
        "recovery_seconds": round(time.monotonic() - resumed, 2),
        **figures,
    }


def milvus(timeout: float) -> dict[str, Any]:
    """The vector store away: popularity, filtered and without what the user has seen."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vecrec-bench-"))
        # By default a standalone server ends itself when it was stopped for ten seconds.
        server = stack.enter_context(MilvusServer({"common.session.ttl": 120}))
        redis = stack.enter_context(RedisServer())
        settings = Settings(
            name=NAME, artifacts=folder, vector_store=server.url, metadata_store=redis.url, port=free_port()
        )
        stores = MilvusVectorStore(server.url), RedisMetadataStore(redis.url)
        trained = stack.enter_context(published(*stores, folder))
        hasty = MilvusVectorStore(server.url, timeout=timeout), RedisMetadataStore(redis.url, timeout=timeout)
        serving = stack.enter_context(Recommender.open(NAME, *hasty, folder))
        _, ready = stack.enter_context(service(settings))
        load(settings.port, 1.0)
        seen = {user: {event.item_id for event in trained.history(user)} for user in range(USERS)}
        before = {
            "service_ready_seconds": ready,
            "reads_p99_ms": percentile(reads(serving), 99),
            "service_reads_p90_ms": percentile(load(settings.port, 5.0), 90),
        }

        def during() -> dict[str, Any]:
            stopped = {"reads_p99_ms_stopped": percentile(reads(serving), 99)}
            with service(replace(settings, port=free_port())) as (_, ready_now):
                return {
                    **stopped,
                    "service_ready_seconds_stopped": ready_now,
                    "service_reads_p90_ms_stopped": percentile(load(settings.port, 10.0), 90),
                }

        return before | outage(server, partial(recommend, serving, seen), during)


def recommend(serving: Recommender, seen: dict[int, set[Any]]) -> bool:
    """Recommend to a user under a filter; whether vectors served."""
    user = int(np.random.default_rng().integers(USERS))
    found = serving.recommend(user, K, where=field("year") >= 1990)
    keys = {item.item_id for item in found}
    if len(found) != K or keys & seen[user] or any(item["year"] < 1990 for item in found):
        raise RuntimeError(f"a wrong list: {found}")
    return found.served_by == "vectors"


def reads(serving: Recommender) -> list[float]:
    """Milliseconds of reads that need the metadata store alone."""
    return [1000 * timed(lambda n=number: serving.get_users([n % USERS]))[0] for number in range(300)]  # type: ignore[misc]


def load(port: int, seconds: float) -> list[float]:
    """Ten recommendations and five reads of users a second; milliseconds of the reads."""
    end, times, errors = time.monotonic() + seconds, [], []

    def ask(path: str, took: list[float]) -> None:
        began = time.monotonic()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                json.load(answer)
        except OSError as error:
            errors.append(f"{path}: {error}")
        took.append(1000 * (time.monotonic() - began))

    with ThreadPoolExecutor(64) as pool:
        number = 0
        while time.monotonic() < end:
            pool.submit(ask, f"/v1/users/{number % USERS}/recommendations", [])
            if number % 2:
                pool.submit(ask, f"/v1/users/{number % USERS}", times)
            number += 1
            time.sleep(0.1)
    if errors:
        raise RuntimeError(f"{len(errors)} requests failed: {errors[:3]}")
    return times


def metadata(server: Server, store: Callable[[str], MetadataStore]) -> dict[str, Any]:
    """The metadata store away: a typed error."""
    with (
        tempfile.TemporaryDirectory(prefix="vecrec-bench-") as folder,
        server,
        published(MemoryVectorStore(), store(server.url), folder) as recommender,
    ):
        return outage(server, partial(answers, recommender))


def answers(recommender: Recommender) -> bool:
    """Whether a recommendation comes, or the error that the engine does not answer."""
    try:
        return len(recommender.recommend(3, K)) == K
    except StoreUnavailableError:
        return False


def redis(timeout: float) -> dict[str, Any]:
    """Redis away."""
    return metadata(RedisServer(), lambda url: RedisMetadataStore(url, timeout=timeout))


def mariadb(timeout: float) -> dict[str, Any]:
    """MariaDB away."""
    return metadata(MariaDBServer(), lambda url: SQLMetadataStore(url, timeout=timeout))


_MEASURES = {"milvus": milvus, "redis": redis, "mariadb": mariadb}


def timed(call: Callable[[], bool]) -> tuple[float, bool]:
    """How long a call takes, in seconds, and what it returns."""
    began = time.monotonic()
    answer = call()
    return time.monotonic() - began, answer


def percentile(times: Sequence[float], at: float) -> float:
    """A percentile, rounded."""
    return round(float(np.percentile(times, at)), 1)


if __name__ == "__main__":
    main()
