"""redis-py's errors, translated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vecrec.errors import StoreError, StoreTimeoutError, StoreUnavailableError

__all__ = ["UnknownScriptError", "engine_errors", "translate"]


class UnknownScriptError(StoreError):
    """The server was restarted or its scripts were flushed. Nothing ran."""


def engine_errors() -> Any:
    """redis-py's module of errors."""
    from redis import exceptions

    return exceptions


def translate(error: Exception, address: str, timeout: float) -> StoreError | None:
    """The error for a caller, or ``None`` for one that is not redis-py's."""
    where = f"Redis at {address}"
    if _timed_out(error):
        return StoreTimeoutError(
            f"{where} did not answer within {timeout:g} s", "see whether it is overloaded, or raise the timeout"
        )
    for kinds, make in _TABLE:
        if isinstance(error, tuple(getattr(engine_errors(), name) for name in kinds) or OSError):
            return make(where, error)
    return None


def _timed_out(error: BaseException) -> bool:
    timeouts = (engine_errors().TimeoutError, TimeoutError)
    return isinstance(error, timeouts) or isinstance(error.__cause__, timeouts)


def _refused_credentials(where: str, error: Exception) -> StoreError:
    return StoreError(f"{where} refused the credentials: {error}", "correct the user and password of the URL")


def _forbidden(where: str, error: Exception) -> StoreError:
    return StoreError(f"{where} does not allow this user the operation: {error}", "give the user the permission (ACL)")


def _full(where: str, error: Exception) -> StoreError:
    return StoreError(f"{where} is full and wrote nothing", "raise its maxmemory, or delete something")


def _unknown_script(where: str, error: Exception) -> StoreError:
    return UnknownScriptError(f"{where} does not know the script", "repeat the call")


def _node_of_cluster(where: str, error: Exception) -> StoreError:
    return StoreError(f"{where} is a node of a cluster", "give redis+cluster:// instead of redis://, or cluster=True")


def _away(where: str, error: Exception) -> StoreError:
    if "No connection available" in str(error):
        return StoreTimeoutError(f"all connections to {where} stayed busy", "raise max_connections")
    return StoreUnavailableError(f"{where} is not available: {error}", "start it, or correct its address")


def _refused(where: str, error: Exception) -> StoreError:
    text = str(error)
    if text.startswith("VECREC "):
        return StoreError(f"{where} holds {text.removeprefix('VECREC ')}", "update this vecrec, or use another prefix")
    if "WRONGTYPE" in text:
        return StoreError(
            f"{where} holds a value of another program under one of the keys: {text}", "use another prefix"
        )
    return StoreError(f"{where} refused the operation: {text}", "see the message of the server")


# From the special to the general, since redis-py derives the first five from others further down.
_TABLE: tuple[tuple[tuple[str, ...], Callable[[str, Exception], StoreError]], ...] = (
    (("NoPermissionError",), _forbidden),
    (("AuthenticationError", "AuthorizationError"), _refused_credentials),
    (("OutOfMemoryError",), _full),
    (("NoScriptError",), _unknown_script),
    (("MovedError",), _node_of_cluster),
    (("ConnectionError", "ClusterDownError", "RedisClusterException", "ReadOnlyError", "TryAgainError"), _away),
    ((), _away),
    (("RedisError",), _refused),
)
