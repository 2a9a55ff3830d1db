"""Requests a second: concurrent calls of `recommend` that are answered together, beside calls that are not.

    python -m benchmarks.concurrency                     # a Milvus server and a Redis of its own
    python -m benchmarks.concurrency --threads 1 8 64 --seconds 5 --rounds 3

The catalogue is that of `benchmarks.serving`: MovieLens 1M's 3,706 items in 256 dimensions, users with 165 events. In
turns, each for some seconds, so many threads call `recommend` of a recommender that coalesces, and of one that does
not. The raw side then makes the calls that a batch cannot do without, in batches of the sizes that were measured just
before, from as many threads as groups are answered at a time: one read of the users, one forward pass, the same
search, one read of the records. It checks, filters and returns nothing. Other work on the machine slows all sides of a
round alike, so the ratios count; it changes the processor time of client and servers together least.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np

from benchmarks._jobs import in_threads
from benchmarks._report import report
from benchmarks.service import processor_seconds
from benchmarks.serving import USERS, K, dataset, plain_client
from tests.servers import MilvusServer, RedisServer
from vecrec import Recommender, ReleaseChecks, User
from vecrec.encoders import TwoTowerEncoder
from vecrec.encoders.two_tower import TwoTowerSettings
from vecrec.ids import encode_id
from vecrec.metadata_stores import RedisMetadataStore
from vecrec.recommender import coalesce
from vecrec.vector_stores.milvus import MilvusVectorStore

Ask = Callable[[Sequence[int]], object]


class Raw:
    """The engines' own clients, on the data of a recommender."""

    def __init__(self, recommender: Recommender, redis_url: str, n_users: int = USERS) -> None:
        import redis

        store: Any = recommender.vector_store
        self._engine = store._client.engine()  # noqa: SLF001 - the raw side is to use the very same connection
        self._plain = plain_client(store)
        self._redis: Any = redis.Redis.from_url(redis_url)
        with recommender.live() as live:
            self._encoder = live.encoder
        users = list(range(n_users))
        records, histories = recommender.metadata_store.read_users("user", users)
        self._users = [User(user, records[user], histories[user]) for user in users]
        self._search = self._noted(recommender)
        self.limit = self._search["limit"]
        self._found = [[each.item_id for each in recommender.recommend(user, K)] for user in users]

    def _noted(self, recommender: Recommender) -> dict[str, Any]:
        """The arguments of the search that one recommendation makes."""
        asked: list[dict[str, Any]] = []
        search = self._engine.search

        def note(*positional: Any, **named: Any) -> Any:
            asked.append({"collection_name": positional[0], **named} if positional else named)
            return search(*positional, **named)

        self._engine.search = note
        try:
            recommender.recommend(0, K)
        finally:
            self._engine.search = search
        return asked[0]

    def __call__(self, users: Sequence[int]) -> object:
        """What a batch of users cannot do without."""
        keys = [encode_id(user) for user in users]
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget("vecrec/records/user", keys)
            for key in keys:
                pipe.get(f"vecrec/events/{key}")
            records, *histories = pipe.execute()
        read = [json.loads(record) for record in records], [json.loads(b"[%b]" % each[:-2]) for each in histories]
        vectors = self._encoder._encode_users([self._users[user] for user in users])  # noqa: SLF001 - the pass alone
        rows = self._plain.search(**{**self._search, "data": list(vectors)})
        hits = [[(hit["id"], hit["distance"]) for hit in row] for row in rows]
        wanted = list(dict.fromkeys(key for user in users for key in self._found[user]))
        items = [json.loads(text) for text in self._redis.hmget("vecrec/records/item", [*map(encode_id, wanted)])]
        return read, hits, items


def load(
    ask: Ask, threads: int, seconds: float, processes: Sequence[int], sizes: Callable[[], int] = lambda: 1
) -> dict[str, float]:
    """So many threads that ask one after the other: users a second, milliseconds of a call and of processors a user."""
    times: list[list[float]] = [[] for _ in range(threads)]
    served = [0] * threads
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        draw = random.Random(number)
        while time.monotonic() < end:
            users = [draw.randrange(USERS) for _ in range(sizes())]
            began = time.perf_counter()
            ask(users)
            times[number].append(1000 * (time.perf_counter() - began))
            served[number] += len(users)

    began, spent = time.monotonic(), cpu_seconds(processes)
    in_threads(work, threads)
    taken = np.concatenate([np.array(each) for each in times])
    p50, p99 = np.percentile(taken, [50, 99])
    rate, cpu = sum(served) / (time.monotonic() - began), (cpu_seconds(processes) - spent) / sum(served)
    return {"per_second": rate, "p50_ms": float(p50), "p99_ms": float(p99), "cpu_ms": 1000 * cpu}


def cpu_seconds(processes: Sequence[int]) -> float:
    """The processor time that some processes and this one have taken."""
    return time.process_time() + sum(map(processor_seconds, processes))


@contextmanager
def group_sizes(recommender: Recommender) -> Iterator[list[int]]:
    """The sizes of the groups that a recommender answers in the block."""
    shared, sizes = recommender._pipeline._shared, []  # noqa: SLF001 - what it does is what is measured
    assert shared is not None
    answer = shared._answer_users  # noqa: SLF001

    def noted(users: Sequence[Any], request: Any) -> Any:
        sizes.append(len(users))
        return answer(users, request)

    shared._answer_users = noted  # noqa: SLF001
    try:
        yield sizes
    finally:
        shared._answer_users = answer  # noqa: SLF001


def measure(together: Recommender, apart: Recommender, raw: Raw, options: argparse.Namespace) -> dict[str, Any]:
    """The figures by number of threads: the median of each side over the rounds, and the medians of the ratios."""
    found: dict[str, Any] = {}
    for threads in options.threads:
        rounds = []
        for _ in range(options.rounds):
            one = load(lambda users: apart.recommend(users[0], K), threads, options.seconds, options.processes)
            with group_sizes(together) as sizes:
                ours = load(lambda users: together.recommend(users[0], K), threads, options.seconds, options.processes)
            batches = itertools.cycle(sizes or [1])
            lanes = min(threads, coalesce._TURNS)  # noqa: SLF001
            bare = load(raw, lanes, options.seconds, options.processes, lambda batches=batches: next(batches))  # type: ignore[misc]
            rounds.append({"apart": one, "together": ours, "raw": bare, "group": float(np.mean(sizes or [1]))})
        found[str(threads)] = {
            **{
                f"{side}_{what}": round(median(each[side][what] for each in rounds), 2)
                for side in ("apart", "together", "raw")
                for what in ("per_second", "p50_ms", "p99_ms", "cpu_ms")
            },
            "mean_group": round(median(each["group"] for each in rounds), 1),
            "to_apart": round(
                median(each["together"]["per_second"] / each["apart"]["per_second"] for each in rounds), 3
            ),
            "to_raw": round(median(each["together"]["per_second"] / each["raw"]["per_second"] for each in rounds), 3),
        }
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish, ask, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=5, help="how long each side asks (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often, in turns (%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, MilvusServer() as milvus, RedisServer() as redis:

        def opened(encoder: Any, *, together: bool) -> Recommender:
            stores = MilvusVectorStore(milvus.url, timeout=60), RedisMetadataStore(redis.url)
            checks = ReleaseChecks(beat_popularity=False)
            return Recommender(encoder, *stores, name="bench", artifacts=folder, checks=checks, coalesce=together)

        encoder = TwoTowerEncoder(dim=256, seed=7, settings=TwoTowerSettings(epochs=1))
        with opened(encoder, together=True) as one, opened(None, together=False) as other:
            one.fit(dataset())
            raw, options.processes = Raw(one, redis.url), (milvus.pid, redis.pid)
            figures = measure(one, other, raw, options)
    rows = [
        (threads, *(f"{each[f'{side}_per_second']:.0f}" for side in ("apart", "together", "raw")),
         *(f"{each[f'{side}_p50_ms']:.1f}" for side in ("apart", "together")), f"{each['mean_group']:.1f}",
         *(f"{each[f'{side}_cpu_ms']:.1f}" for side in ("apart", "together", "raw")),
         f"{each['to_apart']:.2f}", f"{each['to_raw']:.2f}")
        for threads, each in figures.items()
    ]  # fmt: skip
    columns = (
        "threads", "apart, 1/s", "together, 1/s", "raw batches, 1/s", "apart, p50 ms", "together, p50 ms", "mean group",
        "apart, CPU ms", "together, CPU ms", "raw, CPU ms", "rate to apart", "rate to raw",
    )  # fmt: skip
    title = f"recommend(k={K}) on a Milvus server and Redis, load average {os.getloadavg()[0]:.1f}"
    report(title, columns, rows, {"benchmark": "concurrency", "limit": raw.limit, "threads": figures})


if __name__ == "__main__":
    main()
