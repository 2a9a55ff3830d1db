"""Engines that accept connections and never answer: each call fails by itself, and the next ones do not wait."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymysql
import pytest
from typing_extensions import override

from vecrec._internal.budget import BudgetSpentError, budget, remaining, share
from vecrec.errors import InvalidDataError, StoreError, StoreTimeoutError, StoreUnavailableError
from vecrec.filters import Filter
from vecrec.metadata_stores import RedisMetadataStore, SQLMetadataStore
from vecrec.types import Hit
from vecrec.vector_stores import CollectionSpec, MemoryVectorStore
from vecrec.vector_stores.base import Vectors
from vecrec.vector_stores.milvus import MilvusVectorStore


class Hung:
    """A port where connections are accepted and nothing is ever said."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._socket.getsockname()[1]
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.connections.append(self._socket.accept()[0])

    def close(self) -> None:
        """Let the port go, and all connections to it."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in [self._socket, *self.connections]:
            each.close()


@pytest.fixture
def hung() -> Iterator[Hung]:
    """Give an engine that hangs."""
    engine = Hung()
    yield engine
    engine.close()


STORES: dict[str, Callable[[int, float], Any]] = {
    "milvus": lambda port, timeout: MilvusVectorStore(f"http://127.0.0.1:{port}", timeout=timeout),
    "redis": lambda port, timeout: RedisMetadataStore(f"redis://127.0.0.1:{port}", timeout=timeout),
    "mysql": lambda port, timeout: SQLMetadataStore(f"mysql+pymysql://u:p@127.0.0.1:{port}/shop", timeout=timeout),
    "postgresql": lambda port, timeout: SQLMetadataStore(
        f"postgresql+psycopg://u:p@127.0.0.1:{port}/shop", timeout=timeout
    ),
}


def _ask(store: Any) -> StoreError | None:
    try:
        store.collections() if isinstance(store, MilvusVectorStore) else store.get("item", [1])
    except StoreError as error:
        return error
    return None


@pytest.mark.parametrize("name", STORES)
def test_one_call_waits_and_its_failure_is_remembered(name: str, hung: Hung) -> None:
    """Sixteen threads at once fail as one does; those that come later do not reach the engine any more."""
    with contextlib.closing(STORES[name](hung.port, 1.0)) as store:
        with ThreadPoolExecutor(16) as pool:
            first = list(pool.map(lambda _: _ask(store), range(16)))
        assert all(isinstance(error, StoreUnavailableError) for error in first)
        reached = len(hung.connections)
        later = [_ask(store) for _ in range(200)]
        assert all(isinstance(error, StoreUnavailableError) for error in later)
        assert all("until it answers again" in str(error) for error in later)
        assert len(hung.connections) - reached < 20  # those of the probe


@pytest.mark.parametrize("name", STORES)
def test_a_short_budget_counts_more_than_the_timeout_of_a_store(name: str, hung: Hung) -> None:
    """The test would take ten minutes without it."""
    with contextlib.closing(STORES[name](hung.port, 600.0)) as store, budget(0.5):
        assert isinstance(_ask(store), StoreUnavailableError)


def test_a_budget_is_one_for_all_calls() -> None:
    """The shorter one counts, a share leaves some, and nothing is left when it is spent."""
    assert remaining(5.0) == 5.0
    with budget(100), budget(1000), share(0.5):
        assert 0 < remaining(500) <= 50
        assert remaining(2.0) == 2.0
        with budget(0), pytest.raises(BudgetSpentError):
            remaining(2.0)
    with budget(None), share(0.5):
        assert remaining(7.0) == 7.0


def test_pymysql_has_the_timeouts_that_are_set_on_its_connections() -> None:
    """There is no public way to bound a single answer."""
    connection: Any = pymysql.Connection(defer_connect=True, read_timeout=3, write_timeout=4)
    assert (connection._read_timeout, connection._write_timeout) == (3, 4)


class Slow(MemoryVectorStore):
    """A store of another package, whose engine hangs while ``hangs`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs, self.searches = threading.Event(), 0

    @override
    def ping(self) -> None:
        if self.hangs.is_set():
            raise StoreTimeoutError("the engine hangs")

    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        self.searches += 1
        if self.hangs.is_set():
            time.sleep(0.3)
            raise StoreTimeoutError("the engine hangs", "look at it")
        return super()._search(collection, spec, queries, k, where)


@pytest.fixture
def slow() -> Slow:
    """A custom store with one entry."""
    store = Slow()
    store.create("films", CollectionSpec(dim=2))
    store.upsert("films", [1], [[1, 0]])
    return store


def test_a_ping_that_is_answered_lets_calls_through_at_once(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the next probe."""
    monkeypatch.setattr("vecrec._internal.connection._PAUSE", 3600.0)
    slow.hangs.set()
    with pytest.raises(StoreTimeoutError):
        slow.search("films", [[1, 0]], 1)
    with pytest.raises(StoreTimeoutError):
        slow.ping()
    with pytest.raises(StoreTimeoutError, match="until it answers again"):
        slow.search("films", [[1, 0]], 1)
    slow.hangs.clear()
    slow.ping()
    assert slow.search("films", [[1, 0]], 1)[0][0].id == 1


def test_a_store_of_another_package_is_guarded_too(slow: Slow) -> None:
    """While its engine hangs one call waits; when a probe is answered, calls reach the engine again."""
    slow.hangs.set()
    with pytest.raises(StoreTimeoutError, match="the engine hangs: look at it"):
        slow.search("films", [[1, 0]], 1)
    for call in (lambda: slow.search("films", [[1, 0]], 1), lambda: slow.count("films"), slow.collections):
        with pytest.raises(StoreTimeoutError, match="until it answers again, calls fail at once: look at it"):
            call()
    assert slow.searches == 1
    slow.hangs.clear()
    end = time.monotonic() + 60
    while not _found(slow):
        assert time.monotonic() < end
        time.sleep(0.05)


def _found(store: Slow) -> bool:
    try:
        return store.search("films", [[1, 0]], 1)[0][0].id == 1
    except StoreUnavailableError:
        return False


def test_a_store_that_is_being_connected_keeps_no_call_waiting(hung: Hung) -> None:
    """The test would take ten minutes without it."""
    with contextlib.closing(MilvusVectorStore(f"http://127.0.0.1:{hung.port}", timeout=600.0)) as store:
        store.connect()
        assert not store.answers
        for _ in range(20):
            with pytest.raises(StoreTimeoutError, match=f"127.0.0.1:{hung.port}.* has not answered yet; until it"):
                store.collections()


def test_a_store_that_was_connected_is_used_once_it_answers(slow: Slow) -> None:
    """Until then its calls fail with the reason that the last probe has met."""
    slow.hangs.set()
    slow.connect()
    end = time.monotonic() + 60
    while "the engine hangs" not in str(_refusal(slow)):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert slow.searches == 0
    slow.hangs.clear()
    while not slow.answers:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert _found(slow)


def _refusal(store: Slow) -> StoreError | None:
    try:
        store.collections()
    except StoreError as error:
        return error
    return None


def test_mistakes_of_callers_are_not_failures_of_the_engine(slow: Slow) -> None:
    """However many there are."""
    for _ in range(20):
        with pytest.raises(InvalidDataError):
            slow.search("films", [[1, 0, 0]], 1)
        with pytest.raises(StoreError, match="no collection"):
            slow.search("books", [[1, 0]], 1)
    assert _found(slow)


def test_a_scan_is_guarded_while_it_is_read(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that hangs in the middle is remembered as well."""

    def pages(*_: Any) -> Iterator[Any]:
        yield from MemoryVectorStore._scan(slow, "films", CollectionSpec(dim=2), False, 10)
        time.sleep(0.3)
        raise StoreTimeoutError("the engine hangs")

    monkeypatch.setattr(slow, "_scan", pages)
    slow.hangs.set()
    rows = slow.scan("films")
    assert next(rows).id == 1
    with pytest.raises(StoreTimeoutError):
        next(rows)
    with pytest.raises(StoreTimeoutError, match="until it answers again"):
        slow.count("films")
