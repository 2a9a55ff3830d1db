"""The engine's errors become vecrec's own, and only reads are repeated."""

from __future__ import annotations

import os
from typing import Any

import grpc
import pytest
from pymilvus.exceptions import MilvusException

from vecrec.errors import CollectionNotFoundError, StoreError, StoreTimeoutError, StoreUnavailableError
from vecrec.vector_stores.milvus.client import Client, halved, parse_address
from vecrec.vector_stores.milvus.errors import translate


class RpcError(grpc.RpcError):  # type: ignore[misc]
    """An error of gRPC's own, as it comes out of pymilvus unchanged."""

    def __init__(self, status: str, details: str = "details") -> None:
        super().__init__(details)
        self._status, self._details = grpc.StatusCode[status], details

    def code(self) -> grpc.StatusCode:
        """Give the status."""
        return self._status

    def details(self) -> str:
        """Give the message."""
        return self._details


def caused(error: Exception, cause: Exception | None) -> Exception:
    """The error as if raised from the cause; pymilvus raises most errors from themselves."""
    error.__cause__ = cause
    return error


CIRCLE = MilvusException(65535, "refused")
CIRCLE.__cause__ = CIRCLE


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RpcError("DEADLINE_EXCEEDED"), StoreTimeoutError),
        (RpcError("UNAVAILABLE"), StoreUnavailableError),
        (RpcError("RESOURCE_EXHAUSTED"), StoreError),
        (RpcError("UNIMPLEMENTED"), StoreError),
        (RpcError("UNAUTHENTICATED"), StoreError),
        (MilvusException(grpc.StatusCode.UNAVAILABLE, "retries ran out"), StoreUnavailableError),
        (caused(MilvusException(2, "Fail connecting"), RpcError("UNAVAILABLE")), StoreUnavailableError),
        (caused(MilvusException(2, "Fail connecting"), RpcError("DEADLINE_EXCEEDED")), StoreTimeoutError),
        (MilvusException(1, "[query] Retry timeout: 10s"), StoreTimeoutError),
        (MilvusException(1, "wait for loading collection timeout, collection: a"), StoreTimeoutError),
        (MilvusException(100, "collection not found[collection=timeout]"), CollectionNotFoundError),
        (MilvusException(65535, "field timeout of collection recovering"), StoreError),
        (MilvusException(65535, "channel not available[channel=c]"), StoreUnavailableError),
        (MilvusException(103, "collection not fully loaded"), StoreUnavailableError),
        (MilvusException(1100, "invalid parameter"), StoreError),
        (CIRCLE, StoreError),
    ],
)
def test_both_kinds_of_errors_are_translated(error: Exception, kind: type[StoreError]) -> None:
    """The message says what was attempted, where, and what the engine said."""
    translated = translate(error, "search in 'items'", "http://milvus")
    assert type(translated) is kind
    assert "search in 'items'" in str(translated)
    assert (error.details() if isinstance(error, RpcError) else error.message) in str(translated)  # type: ignore[attr-defined]


class Engine:
    """A client whose calls fail as often as it is told, and which counts them."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.calls = list(failures), list[str]()

    def __getattr__(self, method: str) -> Any:
        def call(*positional: Any, **arguments: Any) -> str:
            assert arguments["timeout"] == 3, "a call without a timeout may take for ever"
            self.calls.append(method)
            if self.failures:
                raise self.failures.pop(0)
            return "done"

        return call


def connected(engine: Engine) -> Client:
    """A client with that engine behind it."""
    client = Client(parse_address("http://milvus:1"), None, 3)
    client._engine, client._process = engine, os.getpid()
    return client


def test_a_read_is_repeated_once_when_the_connection_broke() -> None:
    """As it does under the first call after a server was restarted."""
    engine = Engine(RpcError("UNAVAILABLE"))
    assert connected(engine).call("read", "query", "items") == "done"
    assert engine.calls == ["query", "query"]

    engine = Engine(*[RpcError("UNAVAILABLE")] * 3)
    with pytest.raises(StoreUnavailableError):
        connected(engine).call("read", "search", "items")
    assert engine.calls == ["search", "search"]


@pytest.mark.parametrize("method", ["delete", "flush", "drop_collection", "create_collection", "load_collection"])
def test_nothing_else_is_repeated(method: str) -> None:
    """What changes something may have been done, although the answer was lost."""
    engine = Engine(RpcError("UNAVAILABLE"))
    with pytest.raises(StoreUnavailableError):
        connected(engine).direct("change", method, "items")
    assert engine.calls == [method]


@pytest.mark.parametrize("status", ["DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"])
def test_a_read_that_was_answered_late_or_refused_is_not_repeated(status: str) -> None:
    """A second attempt would double the timeout, or be refused again."""
    engine = Engine(RpcError(status))
    with pytest.raises(StoreError):
        connected(engine).call("read", "query", "items")
    assert engine.calls == ["query"]


@pytest.mark.parametrize(
    "failure",
    [
        MilvusException(101, "Collection 'items' is in state 'released'; call load()"),
        MilvusException(65535, "failed to search/query delegator 1 for channel c: reason=channel not found[channel=c]"),
        MilvusException(65535, "failed to search/query delegator 1 for channel c: reason=collection not found[5]"),
    ],
)
def test_what_is_not_loaded_is_loaded_and_read(failure: MilvusException) -> None:
    """After an operator released the collection, or while; on a server once everything that was written is there."""
    engine = Engine(failure)
    assert connected(engine).call("read", "query", "items") == "done"
    assert engine.calls == ["query", "load_collection", "query", "query"]


def test_milvus_lite_has_nothing_to_wait_for() -> None:
    """It forgets what was loaded when its process ends, and has everything in one place."""
    engine = Engine(MilvusException(101, "Collection 'items' is in state 'released'; call load()"))
    client = Client(parse_address("items.db"), None, 3)
    client._engine, client._process = engine, os.getpid()
    assert client.call("read", "query", "items") == "done"
    assert engine.calls == ["query", "load_collection", "query"]


@pytest.mark.parametrize(
    "message",
    [
        "CLIENT: Sent message larger than max (71303168 vs. 67108864)",
        "SERVER: Received message larger than max (71303168 vs. 67108864)",
        "query results exceed the maxOutputSize Limit 104857600",
        "worker(1) query failed: query results exceed the limit size",
        "message is too large",
    ],
)
def test_what_is_too_large_is_sent_in_halves(message: str) -> None:
    """Each half again in halves, in order; a single value that is too large is told with its cure."""
    sent: list[list[int]] = []

    def send(part: list[int]) -> int:
        if len(part) > 3 or part == [9]:
            error = RpcError("RESOURCE_EXHAUSTED", message)
            raise translate(error, "write", "http://milvus") from error
        sent.append(part)
        return len(part)

    assert sum(halved(list(range(9)), send)) == 9
    assert [value for part in sent for value in part] == list(range(9))
    with pytest.raises(StoreError, match="single row as too large") as caught:
        list(halved([9], send))
    assert "records" in caught.value.cure

    def refuse(part: list[int]) -> int:
        error = RpcError("RESOURCE_EXHAUSTED", "quota")
        raise translate(error, "write", "http://milvus") from error

    with pytest.raises(StoreError, match="quota"):
        list(halved([1, 2], refuse))
