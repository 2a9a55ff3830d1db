"""The metadata store on SQL databases."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from typing_extensions import override

from vecrec._internal.validation import integer, mapping
from vecrec.errors import StoreError
from vecrec.ids import Id, decode_id, encode_id
from vecrec.metadata_stores.base import (
    MAX_EVENTS,
    EventFilter,
    MetadataStore,
    by_user,
    read_records,
    seconds,
)
from vecrec.metadata_stores.sql import statements as sql
from vecrec.metadata_stores.sql.client import Cursor, Database
from vecrec.metadata_stores.sql.engine import in_memory
from vecrec.metadata_stores.sql.layout import Names
from vecrec.metadata_stores.sql.statements import BATCH, Statements, bounded, one_of, padded
from vecrec.records import Record, dump_record
from vecrec.types import Event

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

__all__ = ["SQLMetadataStore"]

_ANY_BATCH = BATCH * 1200
"""Bytes in which a batch of ids fits, however long they are."""

_Row: TypeAlias = tuple[bytes, bytes, float, bytes, float | None, int]
"""User, item, time, kind, rating, number."""

_LOG = logging.getLogger(__name__)


class SQLMetadataStore(MetadataStore):
    """Records and events in SQLite, MySQL, MariaDB or PostgreSQL, by SQLAlchemy's engine.

    Two tables, for the prefix ``vecrec_``, created when they are missing, and one more for their version::

        vecrec_records   kind, id, record                              key: kind, id
        vecrec_events    user_id, item_id, time, kind, rating, seq     key: user_id, item_id, time, kind

    Ids are bytes, ``i42`` for ``42`` and ``s42`` for ``"42"``, so that no collation takes two of them for one. A kind
    of events is bytes too, empty where there is none; records are JSON text. By hand::

        SELECT record FROM vecrec_records WHERE kind = 'item' AND id = 'i42';             -- MySQL, MariaDB
        SELECT record FROM vecrec_records WHERE kind = 'item' AND id = CAST('i42' AS BLOB);    -- SQLite
        SELECT record::json FROM vecrec_records WHERE kind = 'item' AND id = 'i42'::bytea;     -- PostgreSQL

    and to read ids, ``CAST(id AS CHAR)``, ``CAST(id AS TEXT)`` and ``convert_from(id, 'UTF8')``.

    What it promises beyond the contract:

    - Tables of an older version of vecrec are upgraded at the first use, by one of the processes that start, within the
      timeout: raise it once for large tables on MySQL and PostgreSQL. Tables of a later version, and tables of these
      names that another program made, are refused and not written into.
    - A call writes all or nothing, whatever its size.
    - Appending to the same users from several processes loses nothing; what loses to another transaction is repeated.
    - A read is tried once more when its connection turns out to be lost. Writes are not.
    - A forked process gets connections of its own; only a database in memory stays with the process that made it.
    - A SQLite file is in WAL mode: a crash of the process loses nothing, one of the machine perhaps the latest commits.
    """

    def __init__(
        self,
        url: str | URL | Engine,
        *,
        prefix: str = "vecrec_",
        timeout: float = 5.0,
        max_connections: int = 20,
        max_events_per_user: int = 10_000,
        engine_options: Mapping[str, Any] | None = None,
    ) -> None:
        """A store that connects, and creates its tables, when it is first used.

        Args:
            url: ``sqlite:///file.db``, ``sqlite://`` for memory, ``mysql+pymysql://user:password@host:port/database``,
                ``mariadb+pymysql://``, ``postgresql+psycopg://``; or an engine of SQLAlchemy, which keeps its own
                timeouts and is not closed.
            prefix: What the tables' names begin with: a letter or underscore, up to 39 letters, digits and underscores,
                taken in lower case.
            timeout: Seconds to wait for a connection, for an answer, for a lock, and for a free connection of the pool.
            max_connections: The most connections.
            max_events_per_user: How many of a user's latest events are kept.
            engine_options: Further arguments of ``sqlalchemy.create_engine``, such as ``{"connect_args": {"ssl":
                {"ca": "ca.pem"}}, "pool_pre_ping": True}``.

        Raises:
            MissingDependencyError: if SQLAlchemy or the database's driver is not installed.
            InvalidDataError: for a URL, a prefix or a number that is not valid.
        """
        names = Names.of(prefix)
        self.max_events_per_user = integer(max_events_per_user, "max_events_per_user", low=1, high=MAX_EVENTS)
        self.timeout = wait = seconds(timeout, "timeout")
        connections = integer(max_connections, "max_connections", low=1, high=100_000)
        self._database = Database(
            url,
            names,
            wait,
            connections,
            mapping(engine_options, "engine_options"),
        )
        self._sql = Statements(self._database.dialect, names)
        self._names = names
        self.db_system = self._database.engine.dialect.name
        self.one_process = in_memory(self._database.engine.url)

    def __repr__(self) -> str:
        return f"<SQLMetadataStore at {self._database.address}, tables {self._names.records} and {self._names.events}>"

    @override
    def ping(self) -> None:
        self._database.ping()

    @override
    def close(self) -> None:
        self._database.close()

    # -- records

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        limits = self._database.limits()
        # In the order of the key, so that two transactions take their locks in the same order.
        rows = sorted((_key(identity), dump_record(record)) for identity, record in records.items())
        for key, text in rows:
            limits.check(text, f"the record of {kind}", key)
        chunks = list(bounded(rows, lambda row: limits.sent(row[0]) + limits.sent(row[1]) + 60, limits.statement))

        def work(cursor: Cursor) -> None:
            for chunk in chunks:
                cursor.execute(self._sql(sql.PUT, len(chunk)), [value for row in chunk for value in (kind, *row)])

        self._database.write(work)
        self._database.wrote(self._names.records, len(rows))

    @override
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        found: list[tuple[bytes, str]] = []
        for keys in self._key_batches(ids):
            found += self._database.read(self._sql(sql.GET, len(keys)), (kind, *keys))
        return _records(kind, found)

    @override
    def _delete(self, kind: str, ids: list[Id]) -> None:
        batches = list(self._key_batches(sorted(ids, key=encode_id)))

        def work(cursor: Cursor) -> None:
            for keys in batches:
                cursor.execute(self._sql(sql.DELETE, len(keys)), (kind, *keys))

        self._database.write(work)

    @override
    def _count(self, kind: str) -> int:
        return int(self._database.read(self._sql(sql.COUNT), (kind,))[0][0])

    @override
    def _scan(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]:
        self._database.check_open()
        return self._scanned(kind, batch_size)

    def _scanned(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]:
        rows = self._database.read(self._sql(sql.FIRST_PAGE), (kind, batch_size))
        while rows:
            yield from _records(kind, _with_ids(rows)).items()
            rows = self._database.read(self._sql(sql.NEXT_PAGE), (kind, rows[-1][0], batch_size))

    # -- events

    @override
    def _append_events(self, events: list[Event]) -> None:
        histories = {_key(user): theirs for user, theirs in by_user(events).items()}

        limits = self._database.limits()

        def size(row: _Row) -> int:
            return limits.sent(row[0]) + limits.sent(row[1]) + limits.sent(row[3]) + 100

        def work(cursor: Cursor) -> None:
            for users in bounded(sorted(histories), limits.sent, limits.statement):
                held = self._held(cursor, users)
                rows = [row for user in users for row in _rows(user, histories[user], held.get(user, (0, 0))[1])]
                for chunk in bounded(rows, size, limits.statement):
                    cursor.execute(self._sql(sql.APPEND, len(chunk)), [value for row in chunk for value in row])
                for user in users:
                    if held.get(user, (0, 0))[0] + len(histories[user]) > self.max_events_per_user:
                        self._cut(cursor, user, histories[user])

        self._database.write(work)
        self._database.wrote(self._names.events, len(events))

    def _held(self, cursor: Cursor, users: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
        cursor.execute(self._sql(sql.HELD, len(users)), users)
        return {user: (count, last) for user, count, last in cursor.fetchall()}

    def _cut(self, cursor: Cursor, user: bytes, added: Sequence[Event]) -> None:
        # The latest of the new events stays, also where it is older than all others.
        kept = max(reversed(added), key=lambda event: event.time or 0.0)
        name = (_key(kept.item_id), kept.time, _kind(kept.kind))
        cursor.execute(self._sql(sql.LATEST_OVER), (user, *name, self.max_events_per_user - 1))
        for row in cursor.fetchall():
            cursor.execute(self._sql(sql.CUT), (user, *name, *row))

    @override
    def _recent_events(self, user_ids: list[Id], limit: int | None) -> dict[Id, list[Event]]:
        most = self._most(limit)
        if len(user_ids) == 1:
            return _histories(self._database.read(self._sql(sql.HISTORY), (_key(user_ids[0]), most)), most)
        text, limits = (sql.HISTORIES, ()) if limit is None else (sql.LATEST_HISTORIES, (most,))
        rows: list[tuple[Any, ...]] = []
        for keys in self._key_batches(user_ids):
            rows += self._database.read(self._sql(text, len(keys)), (*keys, *limits))
        return _histories(rows, most)

    @override
    def _read_users(
        self, kind: str, user_ids: list[Id], limit: int | None
    ) -> tuple[dict[Id, Record], dict[Id, list[Event]]]:
        most = self._most(limit)
        rows: list[tuple[Any, ...]] = []
        if len(user_ids) == 1:
            key = _key(user_ids[0])
            rows += self._database.read(self._sql(sql.USER), (kind, key, key, most))
        else:
            text, limits = (sql.USERS, ()) if limit is None else (sql.LATEST_USERS, (most,))
            for keys in self._key_batches(user_ids):
                rows += self._database.read(self._sql(text, len(keys)), (kind, *keys, *keys, *limits))
        records = [row[:2] for row in rows if row[1] is not None]
        return _records(kind, records), _histories([row for row in rows if row[1] is None], most)

    @override
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        most = self._database.limits().statement // 3  # users, items and kinds in one statement
        users = sorted(map(_key, user_ids))
        items = [None] if only is None or only.item_ids is None else self._parts(map(_key, only.item_ids), most)
        kinds = [None] if only is None or only.kinds is None else self._parts(map(_kind, only.kinds), most)
        times = () if only is None or only.time is None else (only.time,)

        def work(cursor: Cursor) -> None:
            for some_users, some_items, some_kinds in itertools.product(self._parts(users, most), items, kinds):
                text = sql.DELETE_EVENTS
                values: list[Any] = [*some_users]
                for column, some in (("item_id", some_items), ("kind", some_kinds), ("time", times)):
                    if some:
                        text += one_of(column, len(some))
                        values += some
                cursor.execute(self._sql(text, len(some_users)), values)

        self._database.write(work)

    def _parts(self, keys: Iterable[bytes], most: int) -> list[Sequence[bytes]]:
        return [padded(part) for part in bounded(keys, self._database.limits().sent, most)]

    @override
    def _scan_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]:
        self._database.check_open()
        return self._scanned_events(batch_size)

    def _scanned_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]:
        rows = self._database.read(self._sql(sql.FIRST_USERS), (batch_size,))
        while rows:
            page = _ids(row[0] for row in _with_ids(rows))
            yield from (self._recent_events(page, None) if page else {}).items()
            rows = self._database.read(self._sql(sql.NEXT_USERS), (rows[-1][0], batch_size))

    def _most(self, limit: int | None) -> int:
        return self.max_events_per_user if limit is None else min(limit, self.max_events_per_user)

    def _key_batches(self, ids: Sequence[Id]) -> Iterator[Sequence[bytes]]:
        limits = self._database.limits()
        keys = [_key(identity) for identity in ids]
        few = len(keys) <= BATCH and limits.statement >= _ANY_BATCH
        for batch in [keys] if few else bounded(keys, limits.sent, limits.statement):
            yield padded(batch) if self._database.dialect.plans else batch


def _rows(user: bytes, events: Sequence[Event], last: int) -> list[_Row]:
    """The rows of a user's events, numbered on from ``last`` in the order of appending, in the order of the key."""
    # Adding nothing makes 0.0 of -0.0, which some keys take for another number.
    rows = [
        (user, _key(event.item_id), (event.time or 0.0) + 0.0, _kind(event.kind), event.rating, number)
        for number, event in enumerate(events, last + 1)
    ]
    return sorted(rows, key=itemgetter(1, 2, 3))


def _records(kind: str, rows: Sequence[tuple[bytes, str]]) -> dict[Id, Record]:
    return read_records(kind, _ids(row[0] for row in rows), [row[1] for row in rows])


def _histories(rows: Sequence[tuple[Any, ...]], most: int) -> dict[Id, list[Event]]:
    """The events of each user, from rows of user, nothing, item, time, kind, rating, number."""
    grouped: dict[bytes, list[tuple[Any, ...]]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    return {user: _history(user, theirs, most) for user, theirs in zip(_ids(grouped), grouped.values())}


def _history(user: Id, rows: list[tuple[Any, ...]], most: int) -> list[Event]:
    # By time, then number; item and kind settle it for numbers that two processes gave at once.
    rows.sort(key=itemgetter(3, 6, 2, 4))
    latest = rows[-most:]
    items = _ids(row[2] for row in latest)
    return [
        Event.unchecked(user, item, time, rating, str(kind, "utf-8") if kind else None)
        for item, (_, _, _, time, kind, rating, _) in zip(items, latest)
    ]


def _key(identity: Id) -> bytes:
    return encode_id(identity).encode() if isinstance(identity, str) else b"i%d" % identity


def _kind(kind: str | None) -> bytes:
    return b"" if kind is None else kind.encode()


def _ids(keys: Iterable[bytes]) -> list[Id]:
    # The usual case without a call for each: an "i" and digits.
    try:
        return [int(key[1:]) if key[0] == 105 else decode_id(str(key, "utf-8")) for key in keys]
    except (ValueError, IndexError) as error:
        raise StoreError("an id in the tables was not written by vecrec", "delete its row") from error


def _with_ids(rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """The rows that begin with an id; a row that another program wrote is left out and logged."""
    try:
        _ids(row[0] for row in rows)
    except StoreError:
        return [row for row in rows if _is_id(row[0])]
    return rows


def _is_id(key: bytes) -> bool:
    try:
        _ids([key])
    except StoreError:
        _LOG.warning("the id %r in the tables was not written by vecrec, and its row is left out", key)
        return False
    return True
