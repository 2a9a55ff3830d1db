"""Metadata stores against the raw drivers that they stand on.

    python -m benchmarks.metadata                       # SQLite, and servers of its own: Redis, MariaDB, PostgreSQL
    python -m benchmarks.metadata --engines sqlite redis --rounds 500

Hot reads are what one recommendation needs: a user's record with 165 events (the mean of MovieLens 1M), and the
records of 10 and 100 items. The raw side sends the same commands through the plain driver and decodes the replies to
plain values: no checks, no pool, no translated errors, tuples instead of events. Bulk writes are 2,000 records, and
9,900 events of 60 users, in one call, against the driver's plainest way to do it in one transaction. Both sides take
turns call by call; the figures are medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._report import report
from benchmarks._timing import interleaved
from vecrec.ids import Id, decode_id, encode_id
from vecrec.metadata_stores import MetadataStore, from_url
from vecrec.metadata_stores.redis.layout import decode_history, encode_rows
from vecrec.metadata_stores.sql import statements as sql
from vecrec.metadata_stores.sql.dialects import dialect_of
from vecrec.metadata_stores.sql.layout import Names
from vecrec.types import Event

RECORDS, USERS, EVENTS_PER_USER = 20_000, 600, 165

_READS = ("read_users of one", "get of 10", "get of 100")


class Raw(NamedTuple):
    """The same work by the plain driver."""

    read_user: Callable[[Id], Any]
    get: Callable[[Sequence[Id]], Any]
    put: Callable[[Mapping[Id, Any]], Any]
    append: Callable[[Sequence[Event]], Any]
    close: Callable[[], Any]


def records() -> dict[Id, Any]:
    """Films."""
    return {
        number: {
            "title": f"The Long Title of Film Number {number}",
            "genres": ["Comedy", "Drama", "Thriller"][: 1 + number % 3],
            "year": 1950 + number % 70,
        }
        for number in range(RECORDS)
    }


def events() -> list[Event]:
    """What the users saw, ordered by time."""
    draw = random.Random(7)
    return [
        Event(user, draw.randrange(RECORDS), 978_300_000.0 + turn * 1000 + user, float(draw.randrange(1, 6)))
        for turn in range(EVENTS_PER_USER)
        for user in range(USERS)
    ]


def raw_redis(url: str) -> Raw:
    """Plain redis-py on keys of its own, in the store's format."""
    import redis

    client: Any = redis.Redis.from_url(url)

    def read_user(user: Id) -> Any:
        with client.pipeline(transaction=False) as pipe:
            pipe.hget("vecrec/records/item", encode_id(user))
            pipe.get(f"vecrec/events/{encode_id(user)}")
            record, history = pipe.execute()
        flat = json.loads(b"[%b]" % history[:-2])
        return json.loads(record), list(zip(flat[1::3], flat[2::3], flat[3::3]))

    def get(ids: Sequence[Id]) -> Any:
        return dict(zip(ids, map(json.loads, client.hmget("vecrec/records/item", list(map(encode_id, ids))))))

    def put(batch: Mapping[Id, Any]) -> None:
        with client.pipeline() as pipe:
            items = list(batch.items())
            for start in range(0, len(items), 1000):
                part = {encode_id(key): json.dumps(record) for key, record in items[start : start + 1000]}
                pipe.hset("raw/records", mapping=part)
            pipe.execute()

    def append(batch: Sequence[Event]) -> None:
        histories: dict[Any, list[Event]] = {}
        for event in batch:
            histories.setdefault(event.user_id, []).append(event)
        with client.pipeline() as pipe:
            for user, theirs in histories.items():
                pipe.append(f"raw/events/{user}", "".join(encode_rows(theirs)))
            pipe.execute()

    return Raw(read_user, get, put, append, client.close)


def raw_sql(name: str, connection: Any) -> Raw:
    """A plain DB-API connection that commits by itself, with the store's statements for reads."""
    text = sql.Statements(dialect_of(name), Names.of("vecrec_"))
    cursor = connection.cursor()
    mark = dialect_of(name).mark

    def rows(template: str, parameters: Sequence[Any], count: int = 0) -> Any:
        cursor.execute(text(template, count), parameters)
        return cursor.fetchall()

    def read_user(user: Id) -> Any:
        key = encode_id(user).encode()
        found = rows(sql.USER, ("item", key, key, 10_000))
        seen = [(decode_id(str(row[2], "utf-8")), row[3], row[4]) for row in found if row[1] is None]
        return [json.loads(row[1]) for row in found if row[1] is not None], seen

    def get(ids: Sequence[Id]) -> Any:
        keys = [encode_id(key).encode() for key in ids]
        found = rows(sql.GET, ("item", *keys), len(keys))
        return {decode_id(str(key, "utf-8")): json.loads(record) for key, record in found}

    def write(table: str, columns: int, values: list[tuple[Any, ...]]) -> None:
        cursor.execute("BEGIN")
        marks = ",".join([mark] * columns)
        cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
        connection.commit()

    def put(batch: Mapping[Id, Any]) -> None:
        values = [("raw", encode_id(key).encode(), json.dumps(record)) for key, record in batch.items()]
        write("vecrec_records", 3, values)

    def append(batch: Sequence[Event]) -> None:
        values = [
            (f"r{event.user_id}".encode(), encode_id(event.item_id).encode(), event.time, event.rating, number)
            for number, event in enumerate(batch)
        ]
        write("vecrec_events", 5, values)

    return Raw(read_user, get, put, append, connection.close)


def raw_driver(url: str) -> Raw:
    """The driver of a URL, without a store."""
    import sqlalchemy as sa

    if url.startswith("redis"):
        return raw_redis(url)
    parts = sa.make_url(url)
    if parts.drivername == "sqlite":
        connection: Any = sqlite3.connect(str(parts.database), isolation_level=None)
        connection.execute("PRAGMA synchronous=NORMAL")
        return raw_sql("sqlite", connection)
    address: dict[str, Any] = {
        "host": parts.host,
        "port": parts.port,
        "user": parts.username,
        "password": parts.password,
    }
    if "pymysql" in url:
        import pymysql

        return raw_sql("mysql", pymysql.connect(**address, database=parts.database, autocommit=True))
    import psycopg

    return raw_sql("postgresql", psycopg.connect(**address, dbname=parts.database, autocommit=True))


def measure(store: MetadataStore, raw: Raw, rounds: int) -> dict[str, Any]:
    """The figures of one engine."""
    films, log = list(records().items()), events()
    batches = [dict(films[start : start + 2000]) for start in range(0, RECORDS, 2000)]
    logs = [[event for event in log if int(event.user_id or 0) % 10 == part] for part in range(10)]
    rates = {
        "put": _rates(batches, lambda batch: store.put("item", batch), raw.put),
        "append_events": _rates(logs, store.append_events, raw.append),
    }
    # Both sides must do the same work.
    assert len(raw.read_user(5)[1]) == len(store.read_users("item", [5])[1][5]) == EVENTS_PER_USER
    assert raw.get([5, 3]) == store.get("item", [5, 3])
    draw = random.Random(11)
    reads = {}
    for name, size in zip(_READS, (1, 10, 100)):
        ids = (
            [draw.sample(range(RECORDS), size) for _ in range(64)]
            if size > 1
            else [[draw.randrange(USERS)] for _ in range(64)]
        )
        # Each side goes through the same ids, in its own pace.
        ours, theirs = _cycle(ids), _cycle(ids)
        if size == 1:
            calls = {
                "store": lambda o=ours: store.read_users("item", next(o)),
                "raw": lambda t=theirs: raw.read_user(next(t)[0]),
            }
        else:
            calls = {"store": lambda o=ours: store.get("item", next(o)), "raw": lambda t=theirs: raw.get(next(t))}
        reads[name] = interleaved(calls, rounds)
    return {"reads_us": reads, "writes_per_s": rates}


def _rates(batches: Sequence[Any], ours: Callable[[Any], object], theirs: Callable[[Any], object]) -> dict[str, float]:
    """Entries a second, each batch written once by each side."""
    left, right = iter(batches), iter(batches)
    calls = {"store": lambda: ours(next(left)), "raw": lambda: theirs(next(right))}
    taken = interleaved(calls, rounds=len(batches), warmup=0)
    return {name: len(batches[0]) * 1e6 / microseconds for name, microseconds in taken.items()}


def _cycle(values: Sequence[Any]) -> Iterator[Any]:
    while True:
        yield from values


def decoding(rounds: int) -> float:
    """Microseconds to decode a history of 2,000 events in Redis's format."""
    log = [Event(1, number * 13, 978_300_000.0 + number * 37, float(number % 5)) for number in range(2000)]
    text = ("    2000,2,\n" + "".join(encode_rows(log))).encode()
    assert decode_history(1, text, 10_000) == log
    return interleaved({"decode": lambda: decode_history(1, text, 10_000)}, rounds)["decode"]


@contextlib.contextmanager
def engine(name: str) -> Iterator[str]:
    """The URL of an engine of our own."""
    from tests.servers import MariaDBServer, PostgresServer, RedisServer

    if name == "sqlite":
        with tempfile.TemporaryDirectory() as directory:
            yield f"sqlite:///{Path(directory) / 'store.db'}"
    else:
        with {"redis": RedisServer, "mariadb": MariaDBServer, "postgres": PostgresServer}[name]() as server:
            yield server.url


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["sqlite", "redis", "mariadb", "postgres"]
    parser.add_argument("--engines", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=1000, help="timed calls of each kind of read")
    options = parser.parse_args()
    figures: dict[str, Any] = {"benchmark": "metadata", "decode_2000_events_us": decoding(options.rounds)}
    for name in options.engines:
        with engine(name) as url, from_url(url) as store:
            store.ping()
            raw = raw_driver(url)
            figures[name] = measure(store, raw, options.rounds)
            raw.close()
    report(
        "Metadata stores against their raw drivers",
        ("", "store", "raw", "ratio"),
        _rows(figures, options.engines),
        figures,
    )


def _rows(figures: Mapping[str, Any], engines: Sequence[str]) -> list[tuple[str, str, str, str]]:
    rows = [("decode 2,000 events", f"{figures['decode_2000_events_us']:,.0f} us", "", "")]
    for name in engines:
        for call, taken in figures[name]["reads_us"].items():
            ours, theirs = taken["store"], taken["raw"]
            rows.append((f"{name} {call}, p50", f"{ours:,.0f} us", f"{theirs:,.0f} us", f"{ours / theirs:.2f}"))
        for call, rate in figures[name]["writes_per_s"].items():
            ours, theirs = rate["store"], rate["raw"]
            rows.append((f"{name} {call}", f"{ours:,.0f}/s", f"{theirs:,.0f}/s", f"{ours / theirs:.2f}"))
    return rows


if __name__ == "__main__":
    main()
