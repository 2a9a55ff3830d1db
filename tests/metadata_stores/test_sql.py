"""The traps of SQL databases."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from tests.metadata_stores.engines import at_once, eventually, fresh
from tests.servers import MariaDBServer, PostgresServer
from tests.servers.base import ProcessServer
from vecrec._internal.budget import BusyError
from vecrec.errors import InvalidDataError, StoreError, StoreTimeoutError, StoreUnavailableError
from vecrec.ids import Id
from vecrec.metadata_stores import SQLMetadataStore
from vecrec.metadata_stores.sql import statements as sql
from vecrec.metadata_stores.sql.statements import bounded, padded
from vecrec.records import Record
from vecrec.types import Event

_CREATING = """
import sys
from vecrec.metadata_stores import from_url

with from_url(sys.argv[1], prefix=sys.argv[2], timeout=30) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    store.put("item", {sys.argv[3]: {}})
"""

_FORKING = """
import os, sys
from vecrec.metadata_stores import from_url

store = from_url(sys.argv[1], prefix=sys.argv[2], timeout=30)
store.put("item", {1: {"by": "parent"}})
child = os.fork()
for turn in range(60):
    assert store.get("item", [1]) == {1: {"by": "parent"}}
    store.put("item", {f"{child == 0} {turn}": {}})
if child == 0:
    store.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert store.count("item") == 121
store.close()
"""


def _execute(url: str, *statements: str) -> list[Any]:
    """Run statements by hand; the rows of the last."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        result = [connection.execute(sa.text(statement)) for statement in statements][-1]
        rows = list(result) if result.returns_rows else []
    engine.dispose()
    return rows


@contextmanager
def _transaction(url: str, *statements: str) -> Iterator[None]:
    """A transaction of somebody else, open during the block."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
        yield
        connection.rollback()
    engine.dispose()


def _prefix(store: SQLMetadataStore) -> str:
    return store._names.meta.removesuffix("meta")


# -- tables


def test_tables_can_be_queried_by_hand(sql_store: SQLMetadataStore, sql_url: str) -> None:
    """The statements of the class's documentation work: ids are readable bytes, records JSON text."""
    sql_store.put("item", {42: {"title": "Heat"}, "42": {"title": "Alien"}})
    sql_store.append_events([Event("u", 42, 1.5, 4.0)])
    names = sql_store._names
    literal = {"sqlite": "CAST('i42' AS BLOB)", "mysql": "'i42'"}.get(
        sa.make_url(sql_url).get_backend_name(), "'i42'::bytea"
    )
    query = f"SELECT record FROM {names.records} WHERE kind = 'item' AND id = {literal}"
    assert _execute(sql_url, query) == [('{"title":"Heat"}',)]
    assert _execute(sql_url, f"SELECT time, rating FROM {names.events}") == [(1.5, 4.0)]


def test_prefixes_are_tables_of_their_own(sql_url: str) -> None:
    """Two stores in one database share nothing; the case of a prefix does not matter."""
    base = fresh()
    with SQLMetadataStore(sql_url, prefix=f"{base}a") as one, SQLMetadataStore(sql_url, prefix=f"{base}a_") as two:
        one.put("item", {1: {"in": "one"}})
        assert two.count("item") == 0
        with SQLMetadataStore(sql_url, prefix=f"{base.upper()}A") as again:
            assert again.get("item", [1]) == {1: {"in": "one"}}


def test_a_newer_version_of_the_tables_is_refused(sql_url: str) -> None:
    """Nothing is read or written, and the message says what to do."""
    prefix = fresh()
    with SQLMetadataStore(sql_url, prefix=prefix) as store:
        store.put("item", {1: {}})
    _execute(sql_url, f"UPDATE {prefix}meta SET value = '3' WHERE name = 'version'")
    with SQLMetadataStore(sql_url, prefix=prefix) as store:
        for call in (lambda: store.get("item", [1]), lambda: store.put("item", {2: {}}), store.ping):
            with pytest.raises(StoreError, match="have version 3, and this vecrec knows versions to 2"):
                call()
    assert _execute(sql_url, f"SELECT COUNT(*) FROM {prefix}records") == [(1,)]


def test_processes_that_start_together_create_the_tables_once(sql_url: str) -> None:
    """Four processes on an empty database: all of them work, and there is one version."""
    prefix = fresh()
    at_once(_CREATING, [(sql_url, prefix, str(worker)) for worker in range(4)])
    with SQLMetadataStore(sql_url, prefix=prefix) as store:
        assert store.count("item") == 4
    assert _execute(sql_url, f"SELECT value FROM {prefix}meta") == [("2",)]


def test_the_switch_to_wal_waits_for_another_process(tmp_path: Path) -> None:
    """SQLite refuses it at once, whatever the timeout, while somebody else reads or writes a file of the older mode."""
    path, done = tmp_path / "store.db", threading.Event()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for statement in ("CREATE TABLE other (id)", "INSERT INTO other VALUES (1)", "BEGIN IMMEDIATE"):
        other.execute(statement)
    with (
        SQLMetadataStore(f"sqlite:///{path}", timeout=0.2) as impatient,
        pytest.raises((StoreTimeoutError, StoreUnavailableError)),
    ):
        impatient.count("item")

    with SQLMetadataStore(f"sqlite:///{path}", timeout=30) as store:

        def count() -> None:
            assert store.count("item") == 0
            done.set()

        waiting = threading.Thread(target=count)
        waiting.start()
        assert not done.wait(0.5)
        other.execute("ROLLBACK")
        other.close()
        assert done.wait(30)
        waiting.join(30)


# -- batches


def test_a_failing_batch_leaves_nothing(sql_store: SQLMetadataStore, sql_url: str) -> None:
    """When the last of several statements fails, what the others wrote is gone, records and events alike."""
    sql_store.put("item", {"before": {}})
    sql_store.append_events([Event("before", 1, 1.0)])
    records, events = sql_store._names.records, sql_store._names.events
    if sql_url.startswith("sqlite"):
        raising = "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        _execute(
            sql_url,
            f"CREATE TRIGGER {records}t BEFORE INSERT ON {records} WHEN NEW.id = CAST('szzz' AS BLOB) {raising}",
            f"CREATE TRIGGER {events}t BEFORE INSERT ON {events} WHEN NEW.user_id = CAST('szzz' AS BLOB) {raising}",
        )
    else:
        _execute(
            sql_url,
            f"ALTER TABLE {records} ADD CONSTRAINT {records}c CHECK (id <> 'szzz')",
            f"ALTER TABLE {events} ADD CONSTRAINT {events}c CHECK (user_id <> 'szzz')",
        )
    ids = [*(f"a{n}" for n in range(2000)), "zzz"]
    with pytest.raises(StoreError):
        sql_store.put("item", {key: {} for key in ids})
    with pytest.raises(StoreError):
        sql_store.append_events([Event(key, 1, 1.0) for key in ids])
    assert dict(sql_store.scan("item")) == {"before": {}}
    assert dict(sql_store.scan_events()) == {"before": [Event("before", 1, 1.0)]}
    sql_store.put("item", {"after": {}})


def test_a_batch_is_a_few_statements(mariadb_url: str) -> None:
    """PyMySQL's own batching knows one form of statement only; ours are of many rows by themselves."""
    with SQLMetadataStore(mariadb_url, prefix=fresh(), max_connections=1) as store:

        def questions() -> int:
            return int(store._database.read("SHOW SESSION STATUS LIKE 'Questions'", ())[0][1])

        costs = []
        for call in (
            lambda: store.put("item", {n: {"n": n} for n in range(2048)}),
            lambda: store.get("item", range(512)),
            lambda: store.append_events([Event(n % 50, n, 1.0) for n in range(2048)]),
            lambda: store.read_users("item", range(50), 3),
            lambda: store.read_users("item", [1]),
            lambda: store.delete("item", range(512)),
        ):
            before = questions()
            call()
            costs.append(questions() - before - 1)
        # Begin, four statements of 512 rows, commit; a read is one statement and nothing else.
        assert costs == [6, 1, 7, 1, 1, 3]


def test_no_ids_are_no_statement(sql_store: SQLMetadataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """``IN ()`` is an error in MySQL: nothing is asked for nothing."""
    sql_store.ping()

    def refuse(*_: Any) -> Any:
        raise AssertionError("asked")

    monkeypatch.setattr(sql_store._database, "read", refuse)
    monkeypatch.setattr(sql_store._database, "write", refuse)
    assert sql_store.get("item", []) == {}
    assert sql_store.recent_events([]) == {}
    assert sql_store.read_users("item", []) == ({}, {})
    sql_store.put("item", {})
    sql_store.delete("item", [])
    sql_store.append_events([])
    sql_store.delete_events([])


@pytest.fixture(scope="module")
def narrow_url() -> Iterator[str]:
    """A MariaDB server that takes packets of one megabyte."""
    with MariaDBServer(["--max-allowed-packet=1M"]) as server:
        yield server.url


def test_batches_fit_the_servers_packets(narrow_url: str) -> None:
    """Megabytes of text that escaping doubles go through in pieces, as one transaction; so do long ids."""
    with SQLMetadataStore(narrow_url, prefix=fresh()) as store:
        records: dict[Id, Record] = {n: {"text": "\"'\\\n" * 20_000, "n": n} for n in range(40)}
        store.put("item", records)
        assert store.get("item", range(40)) == records
        ids = [f"{n:04}" + "\\'" * 254 for n in range(3000)]
        store.put("long", {key: {} for key in ids})
        assert len(store.get("long", ids)) == 3000
        store.append_events([Event(ids[n % 7], key, 1.0) for n, key in enumerate(ids)])
        assert sum(map(len, store.recent_events(ids).values())) == 3000
        store.delete("long", ids)
        assert store.count("long") == 0


def test_a_record_larger_than_a_packet_is_refused_by_name(narrow_url: str) -> None:
    """The server would end the connection; the message has id, sizes and setting, and nothing is written."""
    with SQLMetadataStore(narrow_url, prefix=fresh()) as store:
        largest = {"t": "x" * 1_000_000}
        store.put("item", {"fits": largest})
        with pytest.raises(InvalidDataError, match=r"item 'big' has 11000\d\d bytes.*max_allowed_packet"):
            store.put("item", {"small": {}, "big": {"t": "x" * 1_100_000}})
        with pytest.raises(InvalidDataError, match="item 7 has"):
            store.put("item", {7: {"t": "'\\" * 300_000}})
        assert dict(store.scan("item")) == {"fits": largest}


def test_batches_are_bounded_in_number_and_bytes() -> None:
    """A value that is larger than all bounds is alone; nothing is lost or reordered."""
    sizes = [1, 2, 3, 100, 4, 5, 6, 7]
    batches = list(bounded(sizes, int, most_bytes=10, most_values=3))
    assert batches == [[1, 2, 3], [100], [4, 5], [6], [7]]
    assert list(bounded([], int, 1)) == []


def test_statements_have_few_different_lengths() -> None:
    """Up to 512 ids are padded to one of a few lengths by ids that are there already."""
    lengths = {len(padded([0] * count)) for count in range(1, 513)}
    assert len(lengths) == 26
    assert all(len(padded(range(count))) - count < max(1, count) for count in range(1, 513))
    assert list(padded([*range(17)])) == [*range(17), *[16] * 15]


def test_a_few_ids_are_looked_up_and_not_searched_for(postgres_url: str) -> None:
    """PostgreSQL reads the whole table for a hundred ids as long as it has not counted the table's rows."""
    with SQLMetadataStore(postgres_url, prefix=fresh()) as store:
        for start in range(0, 12_000, 600):
            store.put("item", {key: {"text": "x" * 200} for key in range(start, start + 600)})
        query = "EXPLAIN " + store._sql(sql.GET, 112)
        plan = store._database.read(query, ("item", *[b"i%d" % (key * 31) for key in range(112)]))
        assert any("Index Cond" in row[0] and "id = ANY" in row[0] for row in plan), plan


# -- transactions


def test_each_read_sees_the_latest_state(sql_url: str) -> None:
    """In MySQL's default isolation a second read in one transaction sees the state of the first; ours never do."""
    prefix = fresh()
    isolation = "SERIALIZABLE" if sql_url.startswith("sqlite") else "REPEATABLE READ"
    engine = sa.create_engine(sql_url, isolation_level=isolation, pool_size=1, max_overflow=0)
    with SQLMetadataStore(sql_url, prefix=prefix) as writer, SQLMetadataStore(engine, prefix=prefix) as reader:
        for turn in range(3):
            writer.put("item", {1: {"turn": turn}})
            writer.append_events([Event(1, turn, float(turn))])
            assert reader.get("item", [1]) == {1: {"turn": turn}}
            assert [event.item_id for event in reader.recent_events([1])[1]] == list(range(turn + 1))
            reader.put("other", {turn: {}})
            assert writer.count("other") == turn + 1
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1, "an engine that was handed in stays open"
    engine.dispose()


def test_reads_leave_no_transaction_open(mariadb_url: str, postgres_url: str) -> None:
    """An idle transaction keeps old rows from being cleaned up."""
    for url, query in (
        (mariadb_url, "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = {}"),
        (postgres_url, "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND pid = {}"),
    ):
        with SQLMetadataStore(url, prefix=fresh(), max_connections=1) as store:
            own = "SELECT CONNECTION_ID()" if "mysql" in url else "SELECT pg_backend_pid()"
            (number,) = store._database.read(own, ())[0]
            store.put("item", {1: {}})
            store.get("item", [1])
            store.recent_events([1])
            assert _execute(url, query.format(number)) == [(0,)]


def test_deadlocks_are_tried_again(sql_store: SQLMetadataStore) -> None:
    """What loses against another transaction is repeated from its start, a few times, and then told."""
    driver = sql_store._database.engine.dialect.loaded_dbapi
    fault = sql_store._database.dialect

    class Deadlock(driver.OperationalError):  # type: ignore[name-defined,misc]
        pass

    original = fault.fault
    fault.fault = lambda error: "conflict" if isinstance(error, Deadlock) else original(error)  # type: ignore[method-assign]
    attempts = []

    def lose(times: int) -> Callable[[Any], str]:
        def work(cursor: Any) -> str:
            attempts.append(times)
            cursor.execute(sql_store._sql("INSERT INTO {records} (kind, id, record) VALUES ('k', ?, '{}')"), (b"i1",))
            if len(attempts) <= times:
                raise Deadlock("deadlock")
            return "done"

        return work

    assert sql_store._database.write(lose(3)) == "done"
    assert len(attempts) == 4
    assert sql_store.count("k") == 1
    sql_store.delete("k", [1])
    attempts.clear()
    with pytest.raises(StoreError, match="6 times; nothing was written"):
        sql_store._database.write(lose(100))
    assert sql_store.count("k") == 0


def test_the_databases_own_deadlock_is_one(mariadb_url: str, postgres_url: str) -> None:
    """Two transactions that lock two rows crosswise: the one that loses is repeated, and both are written."""
    for url in (mariadb_url, postgres_url):
        with SQLMetadataStore(url, prefix=fresh()) as store:
            store.put("item", {"a": {}, "b": {}})
            barrier = threading.Barrier(2, timeout=120)
            met: list[bytes] = []

            def cross(
                first: bytes,
                second: bytes,
                store: SQLMetadataStore = store,
                barrier: threading.Barrier = barrier,
                met: list[bytes] = met,
            ) -> None:
                def work(cursor: Any) -> None:
                    for key in (first, second):
                        cursor.execute(
                            store._sql("UPDATE {records} SET record = '{\"n\":1}' WHERE kind = 'item' AND id = ?"),
                            (key,),
                        )
                        if key == first and len(met) < 2:
                            met.append(key)
                            barrier.wait()

                store._database.write(work)

            threads = [threading.Thread(target=cross, args=pair) for pair in ((b"sa", b"sb"), (b"sb", b"sa"))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert len(met) == 2
            assert store.get("item", ["a", "b"]) == {"a": {"n": 1}, "b": {"n": 1}}


def test_a_lock_is_waited_for_in_time(sql_url: str) -> None:
    """Somebody else's transaction on the same row ends a write with the timeout, and nothing is written."""
    prefix = fresh()
    with SQLMetadataStore(sql_url, prefix=prefix, timeout=2.5) as store:
        store.put("item", {1: {"n": 1}})
        begin = "BEGIN IMMEDIATE" if sql_url.startswith("sqlite") else "SELECT 1"
        with (
            _transaction(sql_url, begin, f"UPDATE {prefix}records SET record = '{{\"n\": 2}}'"),
            pytest.raises(StoreTimeoutError),
        ):
            store.put("item", {1: {"n": 3}, 2: {}})
        assert dict(store.scan("item")) == {1: {"n": 1}}
        store.put("item", {1: {"n": 4}})


def test_a_server_that_waits_for_a_lock_does_not_hang(mariadb_url: str) -> None:
    """Also with a timeout as short as the shortest wait of the server: other calls go on."""
    prefix = fresh()
    with SQLMetadataStore(mariadb_url, prefix=prefix, timeout=30) as made:
        made.put("item", {1: {"n": 1}, 2: {"n": 2}})
    with (
        SQLMetadataStore(mariadb_url, prefix=prefix, timeout=1) as store,
        _transaction(mariadb_url, "SELECT 1", f"UPDATE {prefix}records SET record = '{{}}' WHERE id = 'i1'"),
    ):
        eventually(lambda: store.get("item", [2]))
        with pytest.raises(BusyError):
            store.put("item", {1: {"n": 3}})
        assert store._breaker._failure is None


# -- connections


def test_a_refused_connection_fails_fast() -> None:
    """Where nobody listens, the error comes at once and has the driver's own as its cause."""
    for url in ("mysql+pymysql://u:p@127.0.0.1:1/db", "postgresql+psycopg://u:p@127.0.0.1:1/db"):
        with SQLMetadataStore(url) as store, pytest.raises(StoreUnavailableError) as caught:
            store.get("item", [1])
        assert caught.value.__cause__ is not None
        assert not isinstance(caught.value, StoreTimeoutError)


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """A missing directory, and a file that is no database."""
    with SQLMetadataStore(f"sqlite:///{tmp_path}/missing/store.db") as store, pytest.raises(StoreUnavailableError):
        store.ping()
    (tmp_path / "text.db").write_text("This is no database. " * 1000)
    with SQLMetadataStore(f"sqlite:///{tmp_path}/text.db") as store, pytest.raises(StoreError, match="not a database"):
        store.ping()


@pytest.mark.parametrize("kind", [MariaDBServer, PostgresServer])
def test_a_server_may_hang_die_and_come_back(kind: type[ProcessServer]) -> None:
    """A hanging server costs one timeout a call, a dead one none, and a store outlives both without being told."""
    with kind() as server, SQLMetadataStore(server.url, timeout=1) as store:
        store.put("item", {1: {"n": 1}, 2: {"n": 2}})
        store.append_events([Event(1, 1, 1.0)])
        calls: list[Callable[[], object]] = [
            lambda: store.get("item", [1]),
            lambda: store.put("item", {1: {"n": "late"}}),
            lambda: store.read_users("item", [1]),
            store.ping,
        ]
        server.pause()
        for call in calls:
            with pytest.raises(StoreTimeoutError, match="1 s"):
                call()
        server.resume()
        eventually(lambda: store.count("item"))
        assert store.get("item", [2]) == {2: {"n": 2}}

        server.kill()
        for call in calls:
            with pytest.raises(StoreUnavailableError):
                call()
        server.start()
        eventually(lambda: store.count("item"))
        assert store.recent_events([1]) == {1: [Event(1, 1, 1.0)]}

        # Connections that have idled through a restart are noticed before a write is sent on them.
        server.stop()
        server.start()
        time.sleep(1.1)
        store.put("item", {3: {}})
        server.stop()
        server.start()
        assert store.get("item", [3]) == {3: {}}


def test_busy_connections_are_waited_for_and_then_told(sql_url: str) -> None:
    """With the pool used up, a call waits for the timeout and says which option to raise."""
    with SQLMetadataStore(sql_url, prefix=fresh(), timeout=0.5, max_connections=1) as store:
        store.ping()
        taken = store._database.engine.raw_connection()
        with pytest.raises(StoreTimeoutError, match="max_connections"):
            store.ping()
        taken.close()
        store.ping()


def test_wrong_credentials_and_databases_are_told(mariadb_url: str, postgres_url: str) -> None:
    """They are no outage, and the password is not shown."""
    for url in (mariadb_url, postgres_url):
        wrong = sa.make_url(url).set(password="wrong-password")
        missing = sa.make_url(url).set(database="missing_database")
        for target in (wrong, missing):
            with SQLMetadataStore(target) as store, pytest.raises(StoreError) as caught:
                store.ping()
            assert "wrong-password" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("mysql+pymysql://u:p@localhost/db", {"ssl": {"ca": "/ca.pem"}, "read_timeout": 5}),
        ("postgresql+psycopg://u:p@localhost/db", {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
    ],
)
def test_tls_and_other_options_reach_the_driver(
    url: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ``engine_options`` says is given to SQLAlchemy and the driver; a connection gets what is left of time."""
    options = {"connect_args": arguments, "pool_pre_ping": True, "pool_size": 3}
    with SQLMetadataStore(url, timeout=7, engine_options=options) as store:
        seen: dict[str, Any] = {}

        def capture(*_: Any, **named: Any) -> Any:
            seen.update(named)
            raise OSError("seen enough")

        monkeypatch.setattr(psycopg.Connection, "connect", capture)
        monkeypatch.setattr(pymysql, "connect", capture)
        with pytest.raises(StoreUnavailableError):
            store.ping()
        assert {name: seen.get(name) for name in arguments} == arguments
        assert 6 < seen["connect_timeout"] <= 7  # what is left of it
        assert store._database.engine.pool.size() == 3  # type: ignore[attr-defined]
        assert store._database.engine.pool._pre_ping is True


def test_bad_engine_options_are_refused(sql_url: str) -> None:
    """An option that SQLAlchemy does not know, options for an engine that exists, an engine of another database."""
    with pytest.raises(InvalidDataError, match="engine_options"):
        SQLMetadataStore(sql_url, engine_options={"no_such_option": 1})
    engine = sa.create_engine("sqlite://")
    with pytest.raises(InvalidDataError, match="handed in"):
        SQLMetadataStore(engine, engine_options={"pool_size": 1})
    engine.dispose()
    with pytest.raises(InvalidDataError, match="oracle"):
        SQLMetadataStore("oracle://u:p@h/db")


def test_statements_are_bounded_by_the_server(mariadb_url: str, postgres_url: str) -> None:
    """A query that runs too long is ended where it runs, not only given up here."""
    for url, query in ((mariadb_url, "SELECT SLEEP(100)"), (postgres_url, "SELECT pg_sleep(100)")):
        with SQLMetadataStore(url, prefix=fresh(), timeout=0.5) as store:
            store.ping()
            with pytest.raises(StoreTimeoutError):
                store._database.read(query, ())
            store.ping()


def test_a_forked_process_has_connections_of_its_own(sql_url: str) -> None:
    """Parent and child talk at once and never read each other's answers."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", _FORKING, sql_url, fresh()], check=True, timeout=60)


def test_a_database_in_memory_stays_with_its_process() -> None:
    """A fork would have a copy that nobody else sees."""
    code = (
        "import os; from vecrec.metadata_stores import from_url; from vecrec.errors import StoreError\n"
        "store = from_url('sqlite://'); store.put('item', {1: {}}); child = os.fork()\n"
        "if child == 0:\n"
        "    try: store.count('item')\n"
        "    except StoreError: os._exit(3)\n"
        "    os._exit(4)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3 and store.count('item') == 1; store.close()"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_sqlite_survives_a_killed_writer(tmp_path: Path) -> None:
    """What was committed before the process died is there, and the file is not locked."""
    url = f"sqlite:///{tmp_path}/store.db"
    code = (
        "import os, sys; from vecrec.metadata_stores import from_url\n"
        "store = from_url(sys.argv[1]); store.put('item', {n: {'n': n} for n in range(5000)})\n"
        "def die(cursor):\n"
        "    cursor.execute('DELETE FROM vecrec_records'); os.kill(os.getpid(), 9)\n"
        "store._database.write(die)"
    )
    assert subprocess.run([sys.executable, "-c", code, url], check=False).returncode == -9
    with SQLMetadataStore(url) as store:
        assert store.count("item") == 5000
        store.put("item", {1: {"n": "new"}})
    with sqlite3.connect(tmp_path / "store.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("text", ["{no json", "{},{}", "[1]", "3"])
def test_a_record_changed_by_hand_spoils_itself_only(
    sql_store: SQLMetadataStore, sql_url: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A record that is not a JSON object is left out and logged by its id; the others are read as they are."""
    sql_store.put("item", {1: {"n": 1}, "two": {}, 3: {"n": 3}})
    _execute(sql_url, f"UPDATE {sql_store._names.records} SET record = '{text}' WHERE record = '{{}}'")
    assert sql_store.get("item", [1, "two", 3]) == dict(sql_store.scan("item")) == {1: {"n": 1}, 3: {"n": 3}}
    assert sql_store.read_users("item", ["two", 3])[0] == {3: {"n": 3}}
    assert "item 'two'" in caplog.text
    sql_store.put("item", {"two": {"mended": True}})
    assert sql_store.get("item", ["two"]) == {"two": {"mended": True}}


def test_rows_with_foreign_ids_are_left_out(sql_store: SQLMetadataStore, sql_url: str) -> None:
    """A row that another program wrote, with an id of no known form, does not end a scan."""
    sql_store.put("item", {1: {}})
    sql_store.append_events([Event(1, 1, 1.0)])
    names, literal = sql_store._names, "CAST('{}' AS BLOB)" if sql_url.startswith("sqlite") else "'{}'"
    for key in ("abc", "i1x", ""):
        value = literal.format(key)
        _execute(
            sql_url,
            f"INSERT INTO {names.records} (kind, id, record) VALUES ('item', {value}, '{{}}')",
            f"INSERT INTO {names.events} (user_id, item_id, time, kind, seq) VALUES "
            f"({value}, {value}, 1, {literal.format('')}, 1)",
        )
    assert list(sql_store.scan("item", 2)) == [(1, {})]
    assert list(sql_store.scan_events(2)) == [(1, [Event(1, 1, 1.0)])]


@pytest.mark.parametrize(
    "url",
    [
        "mysql+pymysql://u:secret@more@127.0.0.1:1/db",
        "postgresql+psycopg://u:secret@127.0.0.1:one/db",
        "mysql+pymysql://u:p@127.0.0.1:1/db?password_of=secret",
    ],
)
def test_bad_urls_are_refused_without_their_secrets(url: str) -> None:
    """What cannot be read, and options that the driver does not know, are told without their values."""
    with pytest.raises(InvalidDataError) as caught, SQLMetadataStore(url) as store:
        store.ping()
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"
    assert caught.value.cure


def test_postgresql_statements_are_not_prepared(postgres_url: str) -> None:
    """Behind PgBouncer in transaction mode the next statement may meet another server process."""
    with SQLMetadataStore(postgres_url, prefix=fresh(), max_connections=1) as store:
        store.put("item", {1: {}})
        for _ in range(20):
            store.get("item", [1])
        assert store._database.read("SELECT COUNT(*) FROM pg_prepared_statements", ()) == [(0,)]
