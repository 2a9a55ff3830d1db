"""Where the databases differ."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, TypeAlias

from typing_extensions import override

__all__ = ["Dialect", "Fault", "dialect_of"]

Fault: TypeAlias = Literal["away", "timeout", "busy", "conflict", "refused"]
"""What went wrong: the database is not available; no answer in time; another transaction won; anything else."""


class Dialect(ABC):
    """What a database expects and what it answers."""

    name: ClassVar[str]
    """Which of the statements of an upgrade are for it."""
    extra: ClassVar[str]
    """The extra of vecrec that brings the driver."""
    mark: ClassVar[str]
    """The placeholder of a parameter."""
    begin: ClassVar[str] = "BEGIN"
    """Begins a transaction that will write."""
    plans: ClassVar[bool] = True
    """Whether the driver keeps the plans of statements by their text: then few texts are better than many."""

    analyzes: ClassVar[bool] = False
    """Whether the database reads whole tables for a few ids until it has counted what is in them."""

    @abstractmethod
    def connect_args(self, timeout: float) -> dict[str, Any]:
        """What the driver is told so that no call takes longer than ``timeout`` seconds."""

    @abstractmethod
    def session(self, connection: Any, timeout: float) -> list[str]:
        """The statements that prepare a new connection."""

    @abstractmethod
    def upsert(self, keys: tuple[str, ...], value: str) -> str:
        """What follows the rows of an INSERT so that rows that are there take the new value of a column."""

    @abstractmethod
    def locked(self, name: str, timeout: float) -> tuple[str, str]:
        """The statements that let one process at a time create tables, within a transaction, and that end it."""

    @abstractmethod
    def shape(self, table: str) -> str:
        """The query for a table's columns: name, type, and whether the primary key has it; no rows without a table."""

    @abstractmethod
    def fault(self, error: BaseException) -> Fault:
        """What an error of the driver is."""

    def bound(self, connection: Any, seconds: float) -> None:
        """Let the next answers on a driver's connection take so long; by default something else bounds them."""
        return

    def packet(self) -> str | None:
        """The query for the most bytes that a statement may have; ``None`` for no limit."""
        return None


class SQLite(Dialect):
    """SQLite, through Python's own module."""

    name = "sqlite"
    extra = "sql"
    mark = "?"
    # Takes the write lock at once: a transaction that reads first and writes later may fail without a wait.
    begin = "BEGIN IMMEDIATE"

    @override
    def connect_args(self, timeout: float) -> dict[str, Any]:
        return {"timeout": timeout, "check_same_thread": False}

    @override
    def session(self, connection: Any, timeout: float) -> list[str]:
        # Readers and the writer do not wait for each other, and a crash of the process loses nothing.
        return ["PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL"]

    @override
    def upsert(self, keys: tuple[str, ...], value: str) -> str:
        return _on_conflict(keys, value)

    @override
    def locked(self, name: str, timeout: float) -> tuple[str, str]:
        return "", ""  # the transaction is the lock

    @override
    def shape(self, table: str) -> str:
        return f"SELECT name, type, pk > 0 FROM pragma_table_info('{table}')"  # noqa: S608 - a checked name

    @override
    def fault(self, error: BaseException) -> Fault:
        text = str(error)
        if "locked" in text or "busy" in text:
            return "busy"
        return "away" if "unable to open" in text or "disk I/O" in text else "refused"


class MySQL(Dialect):
    """MySQL and MariaDB, through PyMySQL."""

    name = "mysql"
    extra = "mysql"
    mark = "%s"
    plans = False

    # Too many connections, shutting down, errors of the network, cannot connect, gone away, lost, out of order.
    _AWAY = frozenset({1040, 1053, 1077, 1079, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031})
    _BUSY = frozenset({1205, 1317, 1969, 3024})
    _CONFLICT = frozenset({1020, 1213})

    @override
    def connect_args(self, timeout: float) -> dict[str, Any]:
        seconds = math.ceil(timeout)
        return {
            "charset": "utf8mb4",
            "connect_timeout": seconds,
            "read_timeout": timeout,
            "write_timeout": timeout,
        }

    @override
    def session(self, connection: Any, timeout: float) -> list[str]:
        # The mode makes an error of a value that does not fit, and keeps backslash and quotes as PyMySQL escapes them.
        mariadb = "maria" in str(connection.get_server_info()).lower()
        # Both end before the client's own wait, since a server that says so does not hang. MariaDB's bound ends waits
        # for locks too, whose own bound is in whole seconds.
        bound = f"max_statement_time={0.8 * timeout:g}" if mariadb else f"max_execution_time={int(timeout * 800)}"
        waits = max(1, int(timeout * 0.8))
        return [f"SET SESSION sql_mode='STRICT_ALL_TABLES', innodb_lock_wait_timeout={waits}, {bound}"]

    @override
    def upsert(self, keys: tuple[str, ...], value: str) -> str:
        return f"ON DUPLICATE KEY UPDATE {value}=VALUES({value})"

    @override
    def locked(self, name: str, timeout: float) -> tuple[str, str]:
        return f"SELECT GET_LOCK('{name}', {math.ceil(timeout)})", f"SELECT RELEASE_LOCK('{name}')"

    @override
    def shape(self, table: str) -> str:
        return (
            "SELECT column_name, data_type, column_key = 'PRI' FROM information_schema.columns "  # noqa: S608
            f"WHERE table_schema = DATABASE() AND table_name = '{table}'"
        )

    @override
    def fault(self, error: BaseException) -> Fault:
        code = error.args[0] if error.args else None
        if code in self._CONFLICT:
            return "conflict"
        if code in self._BUSY:
            return "busy"
        if code in self._AWAY and "timed out" in str(error):
            return "timeout"
        # PyMySQL says (0, '') of a connection that it has closed itself.
        return "away" if code in self._AWAY or code == 0 else "refused"

    @override
    def bound(self, connection: Any, seconds: float) -> None:
        # PyMySQL has no public way, and the server's own bounds are not kept by a server that hangs.
        connection._read_timeout = connection._write_timeout = seconds  # noqa: SLF001

    @override
    def packet(self) -> str | None:
        return "SELECT @@max_allowed_packet"


class Postgres(Dialect):
    """PostgreSQL, through psycopg."""

    name = "postgresql"
    extra = "postgres"
    mark = "%s"
    plans = False
    analyzes = True

    @override
    def connect_args(self, timeout: float) -> dict[str, Any]:
        # A statement that was prepared on one server connection is unknown on the next one behind PgBouncer.
        return {"connect_timeout": math.ceil(timeout), "prepare_threshold": None}

    @override
    def session(self, connection: Any, timeout: float) -> list[str]:
        # A little less than the client waits: a server that says so is not one that hangs.
        return [f"SET statement_timeout = {math.ceil(timeout * 800)}"]

    @override
    def upsert(self, keys: tuple[str, ...], value: str) -> str:
        return _on_conflict(keys, value)

    @override
    def locked(self, name: str, timeout: float) -> tuple[str, str]:
        return f"SELECT pg_advisory_xact_lock(hashtext('{name}'))", ""

    @override
    def shape(self, table: str) -> str:
        return (
            "SELECT attname, format_type(atttypid, atttypmod), "  # noqa: S608
            "COALESCE(attnum = ANY(indkey), FALSE) FROM pg_attribute "
            "LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary "
            f"WHERE attrelid = to_regclass('{table}') AND attnum > 0 AND NOT attisdropped"
        )

    @override
    def fault(self, error: BaseException) -> Fault:
        state = str(getattr(error, "sqlstate", None) or "")
        if state.startswith("40"):
            return "conflict"
        if state in {"57014", "55P03"}:
            return "busy"
        if "timeout expired" in str(error):
            return "timeout"
        if state.startswith(("08", "57P", "53")):
            return "away"
        # The client library's own errors have no state: refused and lost connections, mostly.
        return "away" if not state and type(error).__name__ == "OperationalError" else "refused"


_DIALECTS: dict[str, type[Dialect]] = {
    "sqlite": SQLite,
    "mysql": MySQL,
    "mariadb": MySQL,
    "postgresql": Postgres,
}


def dialect_of(name: str) -> Dialect:
    """The dialect of a database by SQLAlchemy's name for it."""
    return _DIALECTS[name]()


def _on_conflict(keys: tuple[str, ...], value: str) -> str:
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {value}=excluded.{value}"
