"""What `recommend()` costs, against the raw engine calls that it cannot do without.

    python -m benchmarks.serving                        # Milvus Lite and SQLite; a Milvus server and a Redis of its own
    python -m benchmarks.serving --engines embedded --rounds 2000

The catalogue has MovieLens 1M's 3,706 items in 256 dimensions, and users with 165 events. The raw side does by plain
pymilvus, redis-py and sqlite3 what one recommendation needs: read the user's record and events, one forward pass of the
encoder, the same search with the same limit and effort, one batched read of the records found. It takes what comes: no
checks, no filtering, no results, no errors translated. Both sides serve the same users in turns, request by request.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._report import report
from vecrec import Event, Item, Recommender, ReleaseChecks, User
from vecrec.data import Categorical, Dataset, MultiCategorical, Numeric, Schema, Text
from vecrec.encoders import TwoTowerEncoder
from vecrec.encoders.two_tower import TwoTowerSettings
from vecrec.ids import Id, encode_id
from vecrec.metadata_stores import RedisMetadataStore, SQLMetadataStore
from vecrec.metadata_stores.sql import statements as sql
from vecrec.metadata_stores.sql.dialects import dialect_of
from vecrec.metadata_stores.sql.layout import Names
from vecrec.vector_stores.milvus import MilvusVectorStore

ITEMS, USERS, EVENTS, K = 3_706, 400, 165, 10
GENRES = ("Action", "Comedy", "Drama", "Horror", "Musical", "Romance", "Thriller", "War")
STEPS = ("read user and events", "forward pass", "search", "read records")
BAR = 1.25


def dataset(n_users: int = USERS) -> Dataset:
    """Users who like two genres each, and films that are liked unequally."""
    draw = np.random.default_rng(7)
    genres = draw.integers(len(GENRES), size=ITEMS)
    fame = 1 / (np.arange(ITEMS) + 20)
    items = [
        Item(n, {"title": f"The Long Title of Film Number {n}", "genres": [GENRES[genres[n]]], "year": 1950 + n % 70})
        for n in range(ITEMS)
    ]
    events = []
    for user in range(n_users):
        weights = fame * np.where((genres == user % 8) | (genres == user // 8 % 8), 8, 1)
        seen = draw.choice(ITEMS, EVENTS, replace=False, p=weights / weights.sum())
        events += [Event(user, int(item), 9e8 + n * 1000.0, float(1 + n % 5)) for n, item in enumerate(seen)]
    users = [
        User(n, {"gender": "FM"[n % 2], "age": 18 + n % 50, "occupation": f"job {n % 21}"}) for n in range(n_users)
    ]
    schema = Schema(
        items=(Text("title"), MultiCategorical("genres", filterable=True), Numeric("year", "integer", filterable=True)),
        users=(Categorical("gender"), Numeric("age", "integer"), Categorical("occupation")),
    )
    return Dataset(events, items, users, schema)


class Raw(NamedTuple):
    """The two reads of a metadata store by its plain driver."""

    read_user: Callable[[Id], Any]
    read_records: Callable[[Sequence[Id]], Any]


def raw_redis(url: str) -> Raw:
    """Plain redis-py, on the store's own keys."""
    import redis

    client: Any = redis.Redis.from_url(url)

    def read_user(user: Id) -> Any:
        with client.pipeline(transaction=False) as pipe:
            pipe.hget("vecrec/records/user", encode_id(user))
            pipe.get(f"vecrec/events/{encode_id(user)}")
            record, history = pipe.execute()
        return json.loads(record), json.loads(b"[%b]" % history[:-2])

    def read_records(ids: Sequence[Id]) -> Any:
        return [json.loads(text) for text in client.hmget("vecrec/records/item", [*map(encode_id, ids)])]

    return Raw(read_user, read_records)


def raw_sqlite(path: str) -> Raw:
    """Plain sqlite3, with the store's own statements."""
    connection = sqlite3.connect(path, isolation_level=None)
    text = sql.Statements(dialect_of("sqlite"), Names.of("vecrec_"))

    def read_user(user: Id) -> Any:
        key = encode_id(user).encode()
        rows = connection.execute(text(sql.USER), ("user", key, key, 10_000)).fetchall()
        return [json.loads(row[1]) for row in rows if row[1] is not None], rows

    def read_records(ids: Sequence[Id]) -> Any:
        keys = [encode_id(key).encode() for key in ids]
        rows = connection.execute(text(sql.GET, len(keys)), ("item", *keys)).fetchall()
        return [json.loads(row[1]) for row in rows]

    return Raw(read_user, read_records)


class Searches:
    """Notes what recommendations ask of pymilvus, so that the raw side can ask the same."""

    def __init__(self, store: MilvusVectorStore) -> None:
        self._client: Any = store._client.engine()  # noqa: SLF001 - the raw side is to use the very same connection
        self._plain = plain_client(store)
        self.asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note all searches of the block."""
        search = self._client.search

        def note(*positional: Any, **named: Any) -> Any:
            self.asked.append((positional, named))
            return search(*positional, **named)

        self._client.search = note
        try:
            yield
        finally:
            self._client.search = search

    def repeat(self, number: int) -> list[tuple[str, float]]:
        """Ask again what was asked."""
        positional, named = self.asked[number]
        return [(hit["id"], hit["distance"]) for hit in self._plain.search(*positional, **named)[0]]


def plain_client(store: MilvusVectorStore) -> Any:
    """A store's connection as pymilvus makes it, without what the store leaves out of a search."""
    engine = store._client.engine()  # noqa: SLF001
    client, handler = copy.copy(engine), copy.copy(engine._get_connection())  # noqa: SLF001
    del handler._execute_search  # noqa: SLF001
    client._get_connection = lambda: handler  # noqa: SLF001
    return client


def measure(rec: Recommender, raw: Raw, rounds: int) -> dict[str, Any]:
    """The figures of one pair of engines, in microseconds."""
    users = random.Random(3).sample(range(USERS), 100)
    store: Any = rec.vector_store
    searches = Searches(store)
    with searches.noted():
        served = [[each.item_id for each in rec.recommend(user, K)] for user in users]
    assert len(searches.asked) == len(users), "one search for each user"
    encoder, (records, histories) = rec.encoder, rec.metadata_store.read_users("user", users)
    profiles = [User(user, records[user], histories[user]) for user in users]
    steps: list[Callable[[int], object]] = [
        lambda n: rec.recommend(users[n], K),
        lambda n: raw.read_user(users[n]),
        lambda n: encoder._encode_users([profiles[n]]),  # noqa: SLF001 - the forward pass itself, without checks
        searches.repeat,
        lambda n: raw.read_records(served[n]),
    ]
    taken = np.array([_timed(steps, turn % len(users)) for turn in range(rounds + 50)])[50:]
    times = dict(zip(("recommend", *STEPS), taken.T), raw=taken[:, 1:].sum(axis=1))
    figures = {name: {f"p{p}_us": round(float(np.percentile(t, p)), 1) for p in (50, 99)} for name, t in times.items()}
    # On a quiet machine both are one. On a busy one the requests that lose their turn lift the median of the sums over
    # the sum of the medians, so that the second ratio is the harder to meet.
    ours, summed = figures["recommend"]["p50_us"], sum(figures[name]["p50_us"] for name in STEPS)
    ratios = {"ratio_p50": ours / figures["raw"]["p50_us"], "ratio_to_sum_of_p50s": ours / summed}
    rounded = {name: round(value, 3) for name, value in ratios.items()}
    return {**figures, "limit": searches.asked[0][1]["limit"], **rounded}


def _timed(steps: Sequence[Callable[[int], object]], n: int) -> list[float]:
    """The time of each step in microseconds, one after the other."""
    marks = [time.perf_counter_ns()]
    for step in steps:
        step(n)
        marks.append(time.perf_counter_ns())
    return [(end - start) / 1000 for start, end in pairwise(marks)]


@contextlib.contextmanager
def embedded() -> Iterator[tuple[MilvusVectorStore, Any, Callable[[], Raw]]]:
    """Milvus Lite and SQLite."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "records.db")
        yield (
            MilvusVectorStore(f"{directory}/items.db"),
            SQLMetadataStore(f"sqlite:///{path}"),
            lambda: raw_sqlite(path),
        )


@contextlib.contextmanager
def servers() -> Iterator[tuple[MilvusVectorStore, Any, Callable[[], Raw]]]:
    """A Milvus server and a Redis."""
    from tests.servers import MilvusServer, RedisServer

    with MilvusServer() as milvus, RedisServer() as redis:
        yield MilvusVectorStore(milvus.url), RedisMetadataStore(redis.url), lambda: raw_redis(redis.url)


ENGINES = {"embedded": embedded, "servers": servers}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=1000, help="timed requests on each pair of engines")
    options = parser.parse_args()
    data, figures = dataset(), {"benchmark": "serving", "k": K, "bar": BAR}
    encoder = TwoTowerEncoder(256, seed=7, settings=TwoTowerSettings(epochs=1, min_steps=20)).fit(data)
    for name in options.engines:
        with ENGINES[name]() as (vectors, metadata, raw), tempfile.TemporaryDirectory() as artifacts:
            checks = ReleaseChecks(beat_popularity=False, index_recall=0.5)
            with Recommender(encoder, vectors, metadata, artifacts=artifacts, checks=checks) as rec:
                _fill(rec, data)
                figures[name] = measure(rec, raw(), options.rounds)
    rows = [
        (f"{engine}: {what}", f"{figures[engine][what]['p50_us']:,.0f}", f"{figures[engine][what]['p99_us']:,.0f}")
        for engine in options.engines
        for what in ("recommend", "raw", *STEPS)
    ]
    ratios = (("to the p50 of the raw sums", "ratio_p50"), ("to the sum of the p50s", "ratio_to_sum_of_p50s"))
    rows += [
        (f"{engine}: {what} (bar {BAR})", f"{figures[engine][name]:.2f}", "")
        for engine in options.engines
        for what, name in ratios
    ]
    report("recommend() against its raw engine calls, microseconds", ("", "p50", "p99"), rows, figures)


def _fill(rec: Recommender, data: Dataset) -> None:
    """What `fit` stores, with the encoder as it is."""
    rec.metadata_store.put("item", {item.id: item.features for item in data.items() if item.id is not None})
    rec.metadata_store.put("user", {user.id: user.features for user in data.users() if user.id is not None})
    rec.metadata_store.append_events(list(data.events()))
    rec.publish()


if __name__ == "__main__":
    main()
