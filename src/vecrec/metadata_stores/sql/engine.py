"""SQLAlchemy's engine: made for a URL or taken as it is, its connections prepared and bounded in time."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from vecrec._internal.budget import remaining
from vecrec._internal.dependencies import missing, requires
from vecrec.errors import InvalidDataError
from vecrec.metadata_stores.sql.dialects import Dialect, dialect_of

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy.engine import URL, Engine

__all__ = ["READ_TIMEOUT", "address_of", "in_memory", "listen", "make_engine"]

READ_TIMEOUT = "vecrec_read_timeout"
"""Where a pooled connection keeps the seconds that the driver waits for an answer, as far as it can be told."""

_DRIVERS = {
    "sqlite": "sqlite",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mariadb+pymysql": "mariadb+pymysql",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


def make_engine(
    target: str | URL | Engine, timeout: float, max_connections: int, options: Mapping[str, Any]
) -> tuple[Engine, bool]:
    """The engine for a URL, or the one handed in, and whether the store closes it.

    Raises:
        MissingDependencyError: if SQLAlchemy or the driver is not installed.
        InvalidDataError: for a URL, an option or an engine that cannot be used.
    """
    with requires("sqlalchemy", extra="sql", purpose="SQLMetadataStore"):
        import sqlalchemy as sa
    if isinstance(target, sa.Engine):
        if options:
            raise InvalidDataError(
                "engine_options are for an engine that the store makes, and this one was handed in",
                "give them to sqlalchemy.create_engine",
            )
        if target.dialect.name not in {"sqlite", "mysql", "mariadb", "postgresql"}:
            raise InvalidDataError(f"{target.dialect.name!r} is not a database that vecrec knows", _KNOWN)
        return target, False
    url = _database_url(target)
    dialect = dialect_of(url.get_backend_name())
    arguments = {**dialect.connect_args(timeout), **options.get("connect_args", {})}
    settings = {**_pool_options(url, timeout, max_connections), **options, "connect_args": arguments}
    try:
        return sa.create_engine(url, **settings), True
    except ImportError as error:
        purpose = f"a {url.drivername} database"
        raise missing(error, error.name or "driver", extra=dialect.extra, purpose=purpose) from error
    except (TypeError, ValueError, sa.exc.ArgumentError) as error:
        raise InvalidDataError(
            f"SQLAlchemy does not accept the engine_options {sorted(options)}", "see sqlalchemy.create_engine"
        ) from error


_KNOWN = "use sqlite:///file.db, mysql+pymysql://, mariadb+pymysql:// or postgresql+psycopg://"


def _database_url(target: str | URL) -> URL:
    import sqlalchemy as sa

    if not isinstance(target, (str, sa.URL)):
        raise InvalidDataError(f"the URL of the database is of type {type(target).__name__}", _KNOWN)
    try:
        url = sa.make_url(target)
    except (sa.exc.ArgumentError, ValueError):
        # Without SQLAlchemy's error, whose text may hold the URL and with it the password.
        raise InvalidDataError("the URL of the database cannot be read", _KNOWN) from None
    if url.drivername not in _DRIVERS:
        raise InvalidDataError(f"{url.drivername!r} is not a database that vecrec knows", _KNOWN)
    if "@" in f"{url.host or ''}" or (url.get_backend_name() != "sqlite" and "@" in f"{url.database or ''}"):
        # A password with one of these characters ends early, and its rest would be shown as the host.
        raise InvalidDataError(
            "the URL of the database cannot be read", "write / ? # and @ of a user or password as %2F %3F %23 and %40"
        )
    return url.set(drivername=_DRIVERS[url.drivername])


def _pool_options(url: URL, timeout: float, max_connections: int) -> dict[str, Any]:
    from sqlalchemy.pool import QueuePool

    return {
        "isolation_level": "AUTOCOMMIT",
        "poolclass": QueuePool,
        # A database in memory is its connection: there is one, and it stays.
        "pool_size": 1 if in_memory(url) else max_connections,
        "max_overflow": 0,
        "pool_timeout": timeout,
        "pool_recycle": -1 if url.get_backend_name() == "sqlite" else 1800,
        "pool_use_lifo": True,
        # Nothing is ever left open that a rollback, one more round trip, would have to end.
        "pool_reset_on_return": None,
    }


def in_memory(url: URL) -> bool:
    """Whether the URL names a SQLite database that lives in this process."""
    database = url.database or ""
    return url.get_backend_name() == "sqlite" and (
        database in {"", ":memory:"} or "mode=memory" in database or url.query.get("mode") == "memory"
    )


def listen(engine: Engine, dialect: Dialect, timeout: float) -> None:
    """Have each new connection of an engine prepared."""
    import sqlalchemy as sa

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        try:
            cursor = connection.cursor()
            for statement in dialect.session(connection, timeout):
                _execute(cursor, statement, dialect, timeout)
            cursor.close()
        except BaseException:
            connection.close()  # SQLAlchemy does not close what could not be prepared
            raise

    if engine.dialect.name in {"mysql", "mariadb"}:

        @sa.event.listens_for(engine, "do_connect")
        def bound(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
            record.info[READ_TIMEOUT] = options.get("read_timeout")
            names = ("connect_timeout", "read_timeout", "write_timeout")
            options.update({name: remaining(options[name]) for name in names if options.get(name)})

    if engine.dialect.name == "postgresql":
        bounded = _bounded_connection(timeout)

        @sa.event.listens_for(engine, "do_connect")
        def connect(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
            # Psycopg takes whole seconds, two at least.
            options["connect_timeout"] = math.ceil(remaining(options.get("connect_timeout") or timeout))
            return bounded.connect(*arguments, **options)


def _execute(cursor: Any, statement: str, dialect: Dialect, timeout: float) -> None:
    """Run a statement, again while another process holds the file: SQLite does not wait for the first switch to WAL."""
    end = time.monotonic() + timeout
    while True:
        try:
            cursor.execute(statement)
        except Exception as error:
            if dialect.fault(error) != "busy" or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def address_of(url: URL) -> str:
    """What messages may show of a URL: neither its credentials nor its options, which may hold some."""
    import sqlalchemy as sa

    return sa.URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()


def _bounded_connection(timeout: float) -> type[psycopg.Connection[Any]]:
    """A class of connections none of whose calls waits longer than ``timeout`` seconds.

    PostgreSQL's own timeouts are kept by the server, and a server that hangs keeps none. All of psycopg's waiting goes
    through one method.
    """
    import psycopg

    # Psycopg before 3.3 waits for ever.
    knows_timeouts = "timeout" in signature(psycopg.Connection.wait).parameters

    class BoundedConnection(psycopg.Connection[Any]):  # type: ignore[misc]
        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            left = remaining(timeout)
            if knows_timeouts:
                return super().wait(gen, *args, **{"timeout": left, **options})
            return super().wait(_bounded(gen, left), *args, **options)

    return BoundedConnection


def _bounded(work: Generator[Any, Any, Any], timeout: float) -> Generator[Any, Any, Any]:
    import psycopg

    deadline = time.monotonic() + timeout
    try:
        wanted = next(work)
        while True:
            # Psycopg looks in every tenth of a second, and reports no event by a state of nothing.
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise psycopg.OperationalError("timeout expired")
            wanted = work.send(ready)
    except StopIteration as end:
        return end.value
