"""The engine's errors, of either of their two kinds, as vecrec's own."""

from __future__ import annotations

import re
from typing import Any

from vecrec._internal.dependencies import requires
from vecrec.errors import (
    CollectionNotFoundError,
    StoreError,
    StoreTimeoutError,
    StoreUnavailableError,
)

__all__ = [
    "engine_errors",
    "is_loaded",
    "is_not_loaded",
    "is_too_large",
    "is_unanswered",
    "is_unreachable",
    "is_without_index",
    "translate",
]

_NOT_FOUND = 100
_NOT_LOADED = (101, 103)
_CONNECT_FAILED = 2

# What a server says that answers, but has just started, or just lost one of its parts. Phrases, since a single word
# might be the name of a collection.
_NOT_READY = (
    "not ready", "service unavailable", "not fully loaded", "channel not available", "no available", "node not found",
    "node offline", "node not match", "nodes not enough", "not healthy", "replica not available", "channel lacks",
    "shard leader",
)  # fmt: skip
_TOO_LARGE = re.compile(
    r"message larger than max|message (length|size)? ?(is )?too large|maxOutputSize|exceed the limit size",
    re.IGNORECASE,
)
_BEING_RELEASED = re.compile(r"search/query delegator .*(collection|channel) not found")
_TOO_LATE = re.compile("retry timeout|wait for .* timeout|deadline exceeded|timed out", re.IGNORECASE)


def engine_errors() -> tuple[type[Exception], ...]:
    """The types of errors that the client raises.

    Raises:
        MissingDependencyError: when pymilvus is not installed.
    """
    with requires("pymilvus", extra="milvus", purpose="MilvusVectorStore"):
        import grpc
        from pymilvus.exceptions import MilvusException
    return (MilvusException, grpc.RpcError, grpc.FutureTimeoutError)


def translate(error: Exception, doing: str, where: str) -> StoreError:
    """The error to be raised in place of the engine's own.

    Args:
        error: One of `engine_errors`.
        doing: What was attempted, such as ``"search in 'movies'"``.
        where: The address without credentials.
    """
    reason = _reason(error)
    if getattr(error, "code", None) == _NOT_FOUND:
        return CollectionNotFoundError(f"{doing}: {reason}", "publish the items again")
    if is_unanswered(error) or _TOO_LATE.search(reason):
        return StoreTimeoutError(
            f"{doing}: Milvus at {where} did not answer in time ({reason})",
            "look at the server, or give the store a longer timeout",
        )
    if is_unreachable(error) or getattr(error, "code", None) == _CONNECT_FAILED:
        return StoreUnavailableError(f"{doing}: Milvus at {where} does not answer ({reason})", "is it running there?")
    if any(text in reason.lower() for text in _NOT_READY):
        return StoreUnavailableError(f"{doing}: Milvus at {where} is not ready ({reason})", "try again in some seconds")
    return _refusal(error, f"{doing}: Milvus at {where}", reason)


def _refusal(error: Exception, subject: str, reason: str) -> StoreError:
    if _status(error) in ("UNAUTHENTICATED", "PERMISSION_DENIED") or "auth check failure" in reason:
        return StoreError(f"{subject} refused the token ({reason})", "give a valid one")
    if is_too_large(error):
        return StoreError(f"{subject} refused a single row as too large ({reason})", "keep long values in the records")
    return StoreError(f"{subject} refused: {reason}", "look at the server's log")


def is_unanswered(error: BaseException | None) -> bool:
    """Whether the engine gave no answer within the timeout."""
    return _status(error) == "DEADLINE_EXCEEDED"


def is_unreachable(error: BaseException | None) -> bool:
    """Whether the call did not get through to the engine."""
    return _status(error) == "UNAVAILABLE"


def is_too_large(error: BaseException | None) -> bool:
    """Whether the engine refused a request or an answer for its size in bytes."""
    return bool(_TOO_LARGE.search(_reason(error)))


def is_not_loaded(error: BaseException | None) -> bool:
    """Whether the collection has to be loaded before it can be read."""
    return getattr(error, "code", None) in _NOT_LOADED or bool(_BEING_RELEASED.search(_reason(error)))


def is_loaded(answer: dict[str, Any]) -> bool:
    """Whether the engine's answer about a collection's state says that it can be read."""
    return getattr(answer.get("state"), "name", None) == "Loaded"


def is_without_index(error: BaseException | None) -> bool:
    """Whether the collection cannot be loaded because it has no index yet."""
    return "index not" in _reason(error) or "no vector index" in _reason(error)


def _status(error: BaseException | None) -> str | None:
    """The name of the gRPC status in an error or in what it was raised from."""
    # pymilvus raises errors from themselves, so the chain may be a circle.
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        code: Any = getattr(error, "code", None)
        code = code() if callable(code) else code
        name = getattr(code, "name", None)
        # The client's own codes are integers, some of them enums with names of their own.
        if isinstance(name, str) and not isinstance(code, int):
            return name
        error = error.__cause__
    return None


def _reason(error: BaseException | None) -> str:
    details = getattr(error, "details", None)
    text = details() if callable(details) else getattr(error, "message", None)
    return str(text or error).strip()[:500]
