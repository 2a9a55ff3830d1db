"""What older versions of vecrec wrote is read and upgraded; what later ones and other programs wrote is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from tests.metadata_stores.conftest import engine_url
from tests.metadata_stores.engines import at_once, fresh
from vecrec.errors import StoreError
from vecrec.ids import Id
from vecrec.metadata_stores import MetadataStore, SQLMetadataStore, from_url
from vecrec.records import Record
from vecrec.types import Event

_SAMPLES = Path(__file__).parent / "samples"

_RECORDS: dict[Id, Record] = {
    1: {"title": "Heat", "year": 1995},
    "1": {"title": "Alien"},
    "é ": {"price": 1.0, "tags": ["a", None]},
}
_HISTORIES: dict[Id, list[Event]] = {
    42: [
        Event(42, 2**53 + 1, -1.5),
        Event(42, 1, 978300019.0, 5.0),
        Event(42, "1", 978300019.0),
        Event(42, 'b,\n"', 978302109.5, 0.5),
    ],
    "42": [Event("42", "é ", 0.0, 3.0)],
}

_OPENING = """
import sys
from vecrec import Event
from vecrec.metadata_stores import from_url

with from_url(sys.argv[1], prefix=sys.argv[2], timeout=30) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    store.append_events([Event(7, sys.argv[3], 1.0, kind="view")])
    assert len(store.recent_events([42])[42]) == 4
"""


def _execute(url: str, *statements: str) -> list[Any]:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        result = [connection.exec_driver_sql(statement) for statement in statements][-1]
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def _restore_sql(url: str, directory: Path) -> tuple[str, str]:
    """Put the sample of version 1 into a database; its URL and prefix."""
    if url.startswith("sqlite"):
        shutil.copy(_SAMPLES / "v1.sqlite", directory / "store.db")
        return url, "sample_"
    prefix = fresh()
    text = (_SAMPLES / f"v1.{'mariadb' if 'mysql' in url else 'postgresql'}.sql").read_text("utf-8")
    _execute(url, *(line.rstrip(";").replace("sample_", prefix) for line in text.splitlines()))
    return url, prefix


def _restore_redis(url: str) -> str:
    prefix = fresh()
    with redis.Redis.from_url(url) as client:
        for key, value in json.loads((_SAMPLES / "v1.redis.json").read_text("utf-8")).items():
            name = key.replace("sample_", prefix)
            client.hset(name, mapping=value) if isinstance(value, dict) else client.set(name, value)
    return prefix


@pytest.fixture
def sample_sql(sql_url: str, tmp_path: Path) -> tuple[str, str]:
    """The URL and prefix of tables of version 1."""
    return _restore_sql(sql_url, tmp_path)


@pytest.fixture(params=["sqlite", "mariadb_url", "postgres_url", "redis_url"])
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    """A store on what version 1 wrote."""
    url = engine_url(request, request.param, tmp_path)
    prefix = _restore_redis(url) if request.param == "redis_url" else _restore_sql(url, tmp_path)[1]
    with from_url(url, prefix=prefix) as store:
        yield store


def test_the_first_format_is_read(sample: MetadataStore) -> None:
    """Records and events of version 1 come back as they were put, by every method that reads."""
    assert dict(sample.scan("item")) == _RECORDS
    assert sample.get("user", [42]) == {42: {"age": 25}}
    assert sample.recent_events([42, "42"]) == _HISTORIES
    assert sample.recent_events([42], 2)[42] == _HISTORIES[42][-2:]
    assert dict(sample.scan_events()) == _HISTORIES
    assert sample.read_users("user", [42], 1) == ({42: {"age": 25}}, {42: _HISTORIES[42][-1:]})


def test_the_first_format_is_written_on(sample: MetadataStore) -> None:
    """Events with and without a kind are added, replaced and deleted in histories of version 1."""
    added = [
        Event(42, 1, 978300019.0, 1.0),
        Event(42, 1, 978300019.0, 2.0, "view"),
        Event(42, "new", 2e9, None, "like"),
    ]
    sample.append_events(added)
    old = _HISTORIES[42]
    assert sample.recent_events([42])[42] == [old[0], added[0], old[2], added[1], old[3], added[2]]
    sample.delete_events(["42", 42], item_ids=[1, "é "], kinds=[None])
    assert sample.recent_events([42, "42"]) == {42: [old[0], old[2], added[1], old[3], added[2]], "42": []}
    sample.put("item", {2: {"new": True}})
    assert sample.count("item") == 4


def test_a_deletion_upgrades_a_history(sample: MetadataStore) -> None:
    """Where the first change of a history of version 1 is a deletion, the rest is kept as it was."""
    sample.delete_events([42], time=978300019.0)
    assert sample.recent_events([42, "42"]) == {42: [_HISTORIES[42][0], _HISTORIES[42][3]], "42": _HISTORIES["42"]}


def test_processes_that_start_together_upgrade_once(sample_sql: tuple[str, str]) -> None:
    """Three processes open tables of version 1 at once: all of them work, and nothing is lost."""
    url, prefix = sample_sql
    at_once(_OPENING, [(url, prefix, str(worker)) for worker in range(3)])
    with SQLMetadataStore(url, prefix=prefix) as store:
        assert {event.item_id for event in store.recent_events([7])[7]} == {"0", "1", "2"}
        assert store.recent_events([42, "42"]) == _HISTORIES
    assert _execute(url, f"SELECT value FROM {prefix}meta") == [("2",)]


def test_an_interrupted_upgrade_is_finished(sample_sql: tuple[str, str]) -> None:
    """Tables that were changed before the version was written, as MySQL may leave them, are taken as they are."""
    url, prefix = sample_sql
    with SQLMetadataStore(url, prefix=prefix) as store:
        store.append_events([Event(1, 1, 1.0, kind="view")])
    _execute(url, f"UPDATE {prefix}meta SET value = '1'")
    with SQLMetadataStore(url, prefix=prefix) as store:
        assert store.recent_events([1, 42]) == {1: [Event(1, 1, 1.0, kind="view")], 42: _HISTORIES[42]}
    assert _execute(url, f"SELECT value FROM {prefix}meta") == [("2",)]


@pytest.mark.parametrize("text", ["       1,3,\n1,2,3,null,5,\n", "       1,10,\n1,2,3,\n"])
def test_a_history_of_a_later_version_is_refused(redis_url: str, text: str) -> None:
    """It is neither read as garbage nor changed, and the message says what to do."""
    prefix = fresh()
    with redis.Redis.from_url(redis_url) as client, from_url(redis_url, prefix=prefix) as store:
        client.set(f"{prefix}/events/i5", text)
        store.append_events([Event(6, 1, 1.0)])
        calls: list[Callable[[], object]] = [
            lambda: store.recent_events([5]),
            lambda: store.append_events([Event(5, 1, 1.0)]),
            lambda: store.delete_events([6, 5], item_ids=[1]),
        ]
        for call in calls:
            with pytest.raises(StoreError, match="update this vecrec"):
                call()
        assert client.get(f"{prefix}/events/i5") == text.encode()
        assert store.recent_events([6])[6] == [Event(6, 1, 1.0)]
        store.delete_events([5])
        assert store.recent_events([5]) == {5: []}


@pytest.mark.parametrize(
    "table",
    [
        "records (kind VARCHAR(32), id VARCHAR(64), record VARCHAR(100), PRIMARY KEY (kind, id))",
        "records (id INTEGER PRIMARY KEY, name VARCHAR(100))",
        "events (user_id INTEGER, item_id INTEGER, time INTEGER, kind INTEGER, rating INTEGER, seq INTEGER)",
    ],
)
def test_tables_of_another_program_are_refused(sql_url: str, table: str) -> None:
    """A text key would make one id of "abc", "ABC" and "abc ": nothing is written, and the message names the table."""
    prefix = fresh()
    name = prefix + table.partition(" ")[0]
    _execute(sql_url, f"CREATE TABLE {prefix}{table}")
    with SQLMetadataStore(sql_url, prefix=prefix) as store:
        calls: list[Callable[[], object]] = [
            lambda: store.put("item", {"abc": {}, "ABC": {}}),
            lambda: store.append_events([Event(1, 1, 1.0)]),
        ]
        for call in calls:
            with pytest.raises(StoreError, match=f"{name} has not the columns.*another prefix"):
                call()
    assert _execute(sql_url, f"SELECT COUNT(*) FROM {name}") == [(0,)]


def test_tables_that_were_changed_are_refused(sql_url: str) -> None:
    """The version alone does not tell that the tables are vecrec's."""
    prefix = fresh()
    with SQLMetadataStore(sql_url, prefix=prefix) as store:
        store.put("item", {1: {}})
    _execute(sql_url, f"DROP TABLE {prefix}events", f"CREATE TABLE {prefix}events (user_id INTEGER, note VARCHAR(9))")
    with SQLMetadataStore(sql_url, prefix=prefix) as store, pytest.raises(StoreError, match="another prefix"):
        store.append_events([Event(1, 1, 1.0)])
