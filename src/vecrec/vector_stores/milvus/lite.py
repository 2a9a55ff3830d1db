"""Milvus Lite's servers, which run in this process: one for each directory, shared by all stores on it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vecrec._internal.dependencies import requires
from vecrec.errors import StoreError

__all__ = ["acquire", "lock_of", "release"]

_LOG = "milvus_lite.server_manager"


class _Registry:
    """Which directories this process serves, for how many stores each."""

    def __init__(self) -> None:
        # Also held while a server starts: of several threads that open one directory, all but one would fail.
        self.lock = threading.Lock()
        self.users: dict[str, int] = {}
        self.locks: dict[str, threading.RLock] = {}
        self.foreign: set[str] = set()


_registry = _Registry()
_orphans: list[object] = []
_fork_guarded = False


def acquire(path: str) -> str:
    """The address of the server for the directory ``path``, started if need be. Each call needs one `release`.

    Raises:
        StoreError: when the directory cannot be opened; the message says why and what to do.
        MissingDependencyError: when milvus-lite is not installed.
    """
    manager = _manager()
    registry = _registry
    with registry.lock:
        # Another client in this process may serve it already; then it is not ours to stop.
        if path not in registry.users and path in manager._servers:  # noqa: SLF001 - there is no public way to ask
            registry.foreign.add(path)
        uri = _start(manager, path)
        registry.users[path] = registry.users.get(path, 0) + 1
        return uri


def release(path: str) -> None:
    """Give up one use; with the last one the server stops, and another process may open the directory."""
    registry = _registry
    with registry.lock:
        registry.users[path] -= 1
        if registry.users[path]:
            return
        del registry.users[path]
        if path in registry.foreign:
            registry.foreign.discard(path)
        else:
            # Closing the client alone would keep the directory locked.
            _manager().release_server(path)


def lock_of(path: str) -> threading.RLock:
    """The lock of a directory: Milvus Lite takes one writer at a time, and no flush or drop beside a read."""
    registry = _registry
    with registry.lock:
        return registry.locks.setdefault(path, threading.RLock())


def _start(manager: Any, path: str) -> str:
    if Path(path).is_file():
        raise StoreError(
            f"{path} is a file, not a directory of Milvus Lite 3",
            "older versions wrote files. Move it away or name another path, and publish the items again",
        )
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with _caught() as failures:
            uri: str | None = manager.start_and_get_uri(path)
    except OSError as error:
        raise StoreError(f"Milvus Lite cannot use {path} ({error})", "name a place that can be written to") from error
    if uri is None:
        raise _failure(path, failures[-1] if failures else None)
    return uri


@contextlib.contextmanager
def _caught() -> Iterator[list[BaseException]]:
    """The errors that milvus-lite only logs, and keeps to itself otherwise."""
    failures: list[BaseException] = []

    def catch(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            failures.append(record.exc_info[1])
            return False
        return True

    logger = logging.getLogger(_LOG)
    level = logger.level
    logger.setLevel(logging.ERROR)
    logger.addFilter(catch)
    try:
        yield failures
    finally:
        logger.removeFilter(catch)
        logger.setLevel(level)


def _failure(path: str, cause: BaseException | None) -> StoreError:
    if type(cause).__name__ == "DataDirLockedError":
        error = StoreError(
            f"{path} is open in another process, and Milvus Lite serves one process at a time",
            "end that process, or use from both a FileVectorStore, 'movies.vec', or a server, 'http://host:19530'",
        )
    else:
        reason = f"{type(cause).__name__}: {cause}" if cause else "no reason was given"
        error = StoreError(f"Milvus Lite cannot open {path} ({reason})", "restore a backup, or publish into a new path")
    error.__cause__ = cause
    return error


def _manager() -> Any:
    with requires("milvus-lite", extra="milvus", purpose="a MilvusVectorStore on a .db path"):
        from milvus_lite.server_manager import server_manager_instance
    _guard_forks(server_manager_instance)
    return server_manager_instance


def _guard_forks(manager: Any) -> None:
    # A forked child that ends normally would run milvus-lite's exit handler, which closes the parent's database and
    # deletes its live log. So a child forgets the servers; it keeps the objects, whose destructors would do the same.
    global _fork_guarded  # noqa: PLW0603 - once for the process
    if _fork_guarded or not hasattr(os, "register_at_fork"):
        return
    _fork_guarded = True

    def forget() -> None:
        global _registry  # noqa: PLW0603
        _orphans.append(dict(manager._servers))  # noqa: SLF001
        manager._servers.clear()  # noqa: SLF001
        _registry = _Registry()  # its lock may have been held by a thread that the child lacks

    os.register_at_fork(after_in_child=forget)
