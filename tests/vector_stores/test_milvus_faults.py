"""A server that hangs, dies and comes back, told within the timeout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.servers.milvus import MilvusServer
from vecrec.errors import StoreTimeoutError, StoreUnavailableError
from vecrec.vector_stores import CollectionSpec, MilvusVectorStore

QUERY = [[1.0, 0.0]]
_T = TypeVar("_T")


@pytest.fixture(scope="module")
def own() -> Iterator[MilvusServer]:
    """Give a server of this module's own, which it may kill."""
    with MilvusServer() as server:
        yield server
        server.kill()  # there is nothing to be kept, and to end in order takes it ten seconds


def check_raises(call: Callable[[], object], error: type[Exception]) -> None:
    """Check that a call raises exactly this error, from one of the client or at once; one without a timeout hangs."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.__cause__ is not None or "fail at once" in str(caught.value)


def test_a_server_that_hangs_dies_and_returns(own: MilvusServer) -> None:
    """Each state is told by its error, in time; when the server is back the same store works, with all data."""
    with MilvusVectorStore(own.url, timeout=1.5) as patient, MilvusVectorStore(own.url, timeout=60) as store:
        store.create("items", CollectionSpec(2))
        store.upsert("items", [1, 2], [[1, 0], [2, 0]])
        assert patient.count("items") == 2

        own.pause()
        check_raises(lambda: patient.search("items", QUERY, 2), StoreTimeoutError)
        check_raises(lambda: patient.flush("items"), StoreTimeoutError)
        check_raises(lambda: patient.upsert("items", [3], QUERY), StoreTimeoutError)
        check_raises(MilvusVectorStore(own.url, timeout=1).ping, StoreTimeoutError)

        own.kill()
        calls: list[Callable[[], object]] = [
            store.ping,
            store.collections,
            lambda: store.search("items", QUERY, 2),
            lambda: store.upsert("items", [3], QUERY),
            lambda: store.delete("items", [1]),
            lambda: store.flush("items"),
            lambda: list(store.scan("items")),
            lambda: store.create("more", CollectionSpec(2)),
        ]
        for call in calls:
            check_raises(call, StoreUnavailableError)

        own.start()
        assert [hit.id for hit in _until_ready(lambda: store.search("items", QUERY, 2))[0]] == [2, 1]
        _until_ready(lambda: store.upsert("items", [3], [[3, 0]]))
        assert _until_ready(lambda: patient.count("items")) == 3


def _until_ready(call: Callable[[], _T]) -> _T:
    # A server that was killed answers some seconds before it knows its collections again.
    deadline = time.monotonic() + 120
    while True:
        try:
            return call()
        except StoreUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
