"""The client of a database: connections that are checked and bounded in time, tables created, errors translated."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from vecrec._internal.budget import BusyError, Opening, budget, remaining
from vecrec._internal.dependencies import missing
from vecrec.errors import InvalidDataError, StoreError, StoreTimeoutError, StoreUnavailableError
from vecrec.metadata_stores.base import closed_error
from vecrec.metadata_stores.sql.dialects import Dialect, Fault, dialect_of
from vecrec.metadata_stores.sql.engine import READ_TIMEOUT, address_of, in_memory, listen, make_engine
from vecrec.metadata_stores.sql.layout import STEPS, VERSION, Names, check_shape, create_statements, upgrades
from vecrec.metadata_stores.sql.statements import STATEMENT_BYTES, Limits

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

__all__ = ["Cursor", "Database"]

_T = TypeVar("_T")

Cursor = Any
"""A DB-API cursor."""

_IDLE = 1.0
"""Seconds after which a pooled connection is asked whether it still lives before it is used."""

_FIRST_COUNT = 1000
"""Rows after which a table is counted for the first time."""

_ATTEMPTS = 6
"""How often a transaction is tried that others keep winning against."""


class FairLock:
    """A lock whose waiters get it in the order in which they came.

    Python's own lock, and SQLAlchemy's pool, may let two busy readers keep a writer waiting for ever.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._line: deque[threading.Event] = deque()

    @contextlib.contextmanager
    def turn(self, timeout: float) -> Iterator[None]:
        """Hold the lock.

        Raises:
            TimeoutError: if its turn does not come within ``timeout`` seconds.
        """
        mine = threading.Event()
        with self._guard:
            self._line.append(mine)
            if self._line[0] is mine:
                mine.set()
        try:
            if not mine.wait(timeout):
                raise TimeoutError("other threads kept the connection")
            yield
        finally:
            with self._guard:
                self._line.remove(mine)
                if self._line:
                    self._line[0].set()


class Database:
    """Connections of one store. Every method raises `StoreError` and its subclasses only.

    Connections come from SQLAlchemy's pool and are used through the driver's own cursors: on a hot read the layers
    between cost several times what SQLite does. They commit by themselves; what belongs together is begun and committed
    by hand. That saves each read two round trips, and leaves no transaction that would go on reading an old state.
    """

    def __init__(
        self, target: str | URL | Engine, names: Names, timeout: float, max_connections: int, options: Mapping[str, Any]
    ) -> None:
        self._timeout = timeout
        self._names = names
        self.engine, self._owned = make_engine(target, timeout, max_connections, options)
        self.dialect: Dialect = dialect_of(self.engine.dialect.name)
        self.address = address_of(self.engine.url)
        self._limits = Limits(STATEMENT_BYTES, None)
        self._memory = in_memory(self.engine.url)
        # A database in memory is one connection, which threads take in turn.
        self._turns = FairLock() if self._memory else None
        self._process = os.getpid()
        self._ready = self._closed = False
        self._grown: dict[str, int] = {}
        self._counted: dict[str, int] = {}
        self._opening = Opening()
        if self._owned:
            listen(self.engine, self.dialect, timeout)

    def read(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """The rows of a query; asked again where the connection turns out to be lost."""
        self._prepare()
        with self._translated(), budget(self._timeout):
            try:
                return self._query(sql, parameters)
            except self._driver_errors() as error:
                if self._memory or self._fault(error) != "away":
                    raise
            return self._query(sql, parameters)

    def write(self, work: Callable[[Cursor], _T]) -> _T:
        """The result of ``work`` in a transaction, which is undone if it raises and repeated when others won."""
        self._prepare()
        with self._translated():
            for attempt in range(1, _ATTEMPTS):
                try:
                    return self._transaction(work)
                except self._driver_errors() as error:
                    if self._fault(error) != "conflict":
                        raise
                time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - not a secret
            return self._transaction(work)

    def wrote(self, table: str, rows: int) -> None:
        """Note that a table has grown, and have it counted where the database's plans need that."""
        if not self.dialect.analyzes:
            return
        self._grown[table] = self._grown.get(table, 0) + rows
        if self._grown[table] >= self._counted.get(table, _FIRST_COUNT):
            # Twice as late each time: PostgreSQL counts by itself too, but within minutes.
            self._counted[table] = 2 * self._grown[table]
            with contextlib.suppress(StoreError):
                self.write(lambda cursor: cursor.execute(f"ANALYZE {table}"))

    def limits(self) -> Limits:
        """What the server takes."""
        self._prepare()
        return self._limits

    def ping(self) -> None:
        """Ask for an answer, and for tables that this version knows."""
        self.read("SELECT 1", ())

    def close(self) -> None:
        """Close all connections, unless the engine was handed in."""
        self._closed = True
        if self._owned:
            self.engine.dispose(close=self._process == os.getpid())

    # -- statements on a connection

    def _query(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        with self._connection() as connection:
            cursor = connection.cursor()
            cursor.execute(sql, parameters)
            rows: list[Any] = cursor.fetchall()
            cursor.close()
            if not self._owned:
                # Theirs may have begun a transaction, in which the next read would see what this one saw.
                connection.rollback()
            return rows

    def _transaction(self, work: Callable[[Cursor], _T]) -> _T:
        with self._connection() as connection:
            cursor = connection.cursor()
            cursor.execute(self.dialect.begin)
            try:
                result = work(cursor)
                connection.commit()
            except BaseException:
                with contextlib.suppress(Exception):
                    connection.rollback()
                raise
            cursor.close()
            return result

    def _connection(self) -> contextlib.AbstractContextManager[Any]:
        return self._pooled() if self._turns is None else self._alone(self._turns)

    @contextlib.contextmanager
    def _alone(self, turns: FairLock) -> Iterator[Any]:
        with turns.turn(remaining(self._timeout)), self._pooled() as connection:
            yield connection

    @contextlib.contextmanager
    def _pooled(self) -> Iterator[Any]:
        with budget(self._timeout):  # for the pool, the question whether it lives, and a new connection together
            connection = self._checkout()
        try:
            self._bound(connection)
            yield connection
        except BaseException as error:
            self._put_back(connection, error)
            raise
        connection.info["vecrec_used"] = time.monotonic()
        connection.close()

    def _put_back(self, connection: Any, error: BaseException) -> None:
        fault = self._fault(error) if isinstance(error, self._driver_errors()) else "away"
        if self._memory or fault in {"refused", "conflict"}:
            connection.close()
            return
        # After a timeout or an interrupt the answer may still come, to its next user.
        connection.invalidate()
        if self._owned and isinstance(error, Exception):
            # The others in the pool have most likely been lost with it.
            self.engine.dispose()

    def _checkout(self) -> Any:
        connection = self._connected()
        used = connection.info.get("vecrec_used")
        if used is None or time.monotonic() - used < _IDLE or self._lives(connection):
            return connection
        connection.invalidate()
        if self._owned:
            self.engine.dispose()
        return self._connected()

    def _bound(self, connection: Any) -> None:
        most = connection.info.get(READ_TIMEOUT)
        if most:
            self.dialect.bound(connection.dbapi_connection, remaining(most))

    def _connected(self) -> Any:
        try:
            return self.engine.raw_connection()
        except (TypeError, ValueError) as error:
            # Without the error, whose text may hold a value.
            raise InvalidDataError(
                f"the database's driver does not accept an option given for {self.address} ({type(error).__name__})",
                "correct what follows the ? of the URL, and connect_args",
            ) from None

    def _lives(self, connection: Any) -> bool:
        self._bound(connection)
        try:
            return bool(self.engine.dialect.do_ping(connection.dbapi_connection))
        except self._driver_errors() as error:
            if self._fault(error) == "timeout":
                connection.invalidate()
                raise  # the database hangs, and would let a new connection wait as long
            return False

    # -- before the first statement

    def check_open(self) -> None:
        """Refuse to be used after `close`."""
        if self._closed:
            raise closed_error()

    def _prepare(self) -> None:
        self.check_open()
        if self._process != os.getpid():
            self._after_fork()
        if not self._ready:
            with self._opening.turn(self._timeout), self._translated():
                if not self._ready:
                    self._read_limits()
                    self._create_tables()
                    self._ready = True

    def _after_fork(self) -> None:
        if self._memory:
            raise StoreError(
                "a SQLite database in memory belongs to the process that made it", "use a file, or make a store here"
            )
        # The parent's connections stay the parent's: they are neither used nor closed here.
        self.engine.dispose(close=False)
        self._opening = Opening()
        self._process = os.getpid()

    def _read_limits(self) -> None:
        packet = self.dialect.packet()
        if packet is not None:
            most = int(self._query(packet, ())[0][0]) - 1000  # room for the text around the values
            self._limits = Limits(min(most, STATEMENT_BYTES), most)

    def _create_tables(self) -> None:
        version = self._version()
        if version is None or upgrades(version, self._names):
            self._transaction(self._locked)
        else:
            with self._connection() as connection:
                cursor = connection.cursor()
                self._check_shapes(cursor)
                cursor.close()
                if not self._owned:
                    connection.rollback()

    def _version(self) -> str | None:
        try:
            rows = self._query(self._of_version("SELECT value FROM {meta} WHERE name = 'version'"), ())
        except self._driver_errors() as error:
            if self._fault(error) != "refused":
                raise
            return None  # no such table, or none that we may read, which creating it will tell
        return str(rows[0][0]) if rows else None

    def _locked(self, cursor: Cursor) -> None:
        lock, unlock = self.dialect.locked(self._names.meta, self._timeout)
        if lock:
            cursor.execute(lock)
            if cursor.fetchall()[0][0] == 0:
                raise TimeoutError("another process is creating or upgrading the tables")
        try:
            self._create(cursor)
        finally:
            if unlock:
                with contextlib.suppress(*self._driver_errors()):
                    cursor.execute(unlock)

    def _create(self, cursor: Cursor) -> None:
        """Create the tables, or upgrade them step by step. MySQL commits each statement: every part may be repeated."""
        for statement in create_statements(self._names, self.engine.dialect):
            cursor.execute(statement)
        cursor.execute(self._of_version("SELECT value FROM {meta} WHERE name = 'version'"))
        found = cursor.fetchall()
        for version in upgrades(str(found[0][0]), self._names) if found else ():
            self._upgrade(cursor, version)
        self._check_shapes(cursor)
        if not found:
            cursor.execute(
                self._of_version("INSERT INTO {meta} (name, value) VALUES ('version', '{version}')", VERSION)
            )

    def _upgrade(self, cursor: Cursor, version: int) -> None:
        step = STEPS[version]
        cursor.execute(self.dialect.shape(self._names.events))
        if step.column not in {row[0] for row in cursor.fetchall()}:
            for statement in step.statements[self.dialect.name]:
                cursor.execute(statement.format(events=self._names.events))
        cursor.execute(self._of_version("UPDATE {meta} SET value = '{version}' WHERE name = 'version'", version))

    def _check_shapes(self, cursor: Cursor) -> None:
        for table in ("records", "events"):
            cursor.execute(self.dialect.shape(getattr(self._names, table)))
            check_shape(self._names, table, cursor.fetchall())

    def _of_version(self, statement: str, version: int = VERSION) -> str:
        return statement.format(meta=self._names.meta, version=version)

    # -- errors

    def _driver_errors(self) -> tuple[type[Exception], ...]:
        from sqlalchemy.exc import DBAPIError

        return (self.engine.dialect.loaded_dbapi.Error, DBAPIError, OSError)

    def _fault(self, error: BaseException) -> Fault:
        own = getattr(error, "orig", None) or error
        if isinstance(own, OSError):
            return "timeout" if isinstance(own, TimeoutError) else "away"
        return self.dialect.fault(own)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        from sqlalchemy import exc

        engine_errors: tuple[type[Exception], ...] = (*self._driver_errors(), exc.SQLAlchemyError)
        try:
            yield
        except exc.TimeoutError as error:
            raise StoreTimeoutError(
                f"all connections to {self.address} stayed busy for {self._timeout:g} s", "raise max_connections"
            ) from error
        except engine_errors as error:
            raise self._translation(error) from error
        except RuntimeError as error:
            if "cryptography" not in str(error):
                raise
            raise missing(
                ModuleNotFoundError(str(error)),
                "cryptography",
                extra="mysql",
                purpose="this server's way to check passwords",
            ) from error

    def _translation(self, error: BaseException) -> StoreError:
        fault = self._fault(error)
        if fault in ("timeout", "busy"):
            kind = BusyError if fault == "busy" else StoreTimeoutError
            return kind(
                f"{self.address} did not answer within {self._timeout:g} s: {error}",
                "see whether it is overloaded, or raise the timeout",
            )
        if fault == "away":
            return StoreUnavailableError(
                f"{self.address} is not available: {error}", "start it, or correct its address"
            )
        if fault == "conflict":
            return StoreError(
                f"{self.address} preferred other transactions {_ATTEMPTS} times; nothing was written: {error}",
                "repeat the call",
            )
        return StoreError(f"{self.address} refused the operation: {error}", "see the message of the database")
