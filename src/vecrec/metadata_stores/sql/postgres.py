"""A PostgreSQL connection that gives up in time. Imported only where psycopg is."""

from __future__ import annotations

from collections.abc import Generator
from inspect import signature
from time import monotonic
from typing import Any

import psycopg

__all__ = ["bounded_connection"]


# Psycopg before 3.3 waits for ever.
_KNOWS_TIMEOUTS = "timeout" in signature(psycopg.Connection.wait).parameters


def bounded_connection(timeout: float) -> type[psycopg.Connection[Any]]:
    """A class of connections none of whose calls waits longer than ``timeout`` seconds.

    PostgreSQL's own timeouts are kept by the server, and a server that hangs keeps none. All of psycopg's waiting goes
    through one method.
    """

    class BoundedConnection(psycopg.Connection[Any]):  # type: ignore[misc]
        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            if _KNOWS_TIMEOUTS:
                return super().wait(gen, *args, **{"timeout": timeout, **options})
            return super().wait(_bounded(gen, timeout), *args, **options)

    return BoundedConnection


def _bounded(work: Generator[Any, Any, Any], timeout: float) -> Generator[Any, Any, Any]:
    deadline = monotonic() + timeout
    try:
        wanted = next(work)
        while True:
            # Psycopg looks in every tenth of a second, and says so by a state of nothing.
            ready = yield wanted
            if not ready and monotonic() > deadline:
                raise psycopg.OperationalError("timeout expired")
            wanted = work.send(ready)
    except StopIteration as end:
        return end.value
