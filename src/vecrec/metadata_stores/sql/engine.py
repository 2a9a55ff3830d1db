"""How SQLAlchemy's engine is made, or taken as it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vecrec._internal.dependencies import missing, requires
from vecrec.errors import InvalidDataError
from vecrec.metadata_stores.sql.dialects import Dialect, dialect_of

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

__all__ = ["address_of", "in_memory", "listen", "make_engine"]

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
    """The engine for a URL, or the one handed in, and whether it is ours to close.

    Raises:
        MissingDependencyError: if SQLAlchemy or the driver is not installed.
        InvalidDataError: for a URL, an option or an engine that does not serve.
    """
    with requires("sqlalchemy", extra="sql", purpose="SQLMetadataStore"):
        import sqlalchemy as sa
    if isinstance(target, sa.Engine):
        if options:
            raise InvalidDataError("engine_options are for an engine that the store makes; this one was handed in")
        if target.dialect.name not in {"sqlite", "mysql", "mariadb", "postgresql"}:
            raise InvalidDataError(f"an engine for {target.dialect.name!r} was given: {_KNOWN}")
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
        raise InvalidDataError(f"SQLAlchemy cannot use the engine_options {sorted(options)}: {error}") from error


_KNOWN = "use sqlite:///file.db, mysql+pymysql://, mariadb+pymysql:// or postgresql+psycopg://"


def _database_url(target: str | URL) -> URL:
    import sqlalchemy as sa

    try:
        url = sa.make_url(target)
    except sa.exc.ArgumentError as error:
        # Without the error's text, which holds the URL and with it the password.
        raise InvalidDataError(f"the URL of the database cannot be read: {_KNOWN}") from error.with_traceback(None)
    if url.drivername not in _DRIVERS:
        raise InvalidDataError(f"{url.drivername!r} is no database that vecrec knows: {_KNOWN}")
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
        cursor = connection.cursor()
        for statement in dialect.session(connection, timeout):
            _execute(cursor, statement, dialect, timeout)
        cursor.close()

    if engine.dialect.name == "postgresql":
        from vecrec.metadata_stores.sql.postgres import bounded_connection

        bounded = bounded_connection(timeout)

        @sa.event.listens_for(engine, "do_connect")
        def connect(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
            return bounded.connect(*arguments, **options)


def _execute(cursor: Any, statement: str, dialect: Dialect, timeout: float) -> None:
    """Run a statement, again while another process holds the file: SQLite does not wait for the first switch to WAL."""
    end = time.monotonic() + timeout
    while True:
        try:
            cursor.execute(statement)
        except Exception as error:
            if dialect.fault(error) != "timeout" or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def address_of(url: URL) -> str:
    """What messages may show of a URL: neither its credentials nor its options, which may hold some."""
    import sqlalchemy as sa

    return sa.URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()
