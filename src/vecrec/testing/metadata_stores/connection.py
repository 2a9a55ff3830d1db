"""The promises about connections: threads, whole batches, durability, closing, and an engine that does not answer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import pytest

from vecrec.errors import StoreError, StoreTimeoutError, StoreUnavailableError
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.testing.base import eventually, expected, hanging, refused, run_together, same
from vecrec.testing.metadata_stores.base import MetadataStoreKit
from vecrec.types import Event

__all__ = ["ConnectionTests"]

_THREADS = 8


class ConnectionTests(MetadataStoreKit):
    """Tests of what concerns the whole store."""

    def test_threads_lose_no_record(self, store: MetadataStore, kind: str) -> None:
        """Several threads put, get and delete in one store at once: each record is there, and no call fails."""

        def work(worker: int) -> Callable[[], None]:
            def run() -> None:
                for turn in range(10):
                    ids = [f"{worker} {turn} {number}" for number in range(4)]
                    store.put(kind, {key: {"worker": worker} for key in (*ids, "shared")})
                    store.delete(kind, ids[:1])
                    assert len(store.get(kind, ids)) == 3

            return run

        run_together([work(worker) for worker in range(_THREADS)])
        assert store.count(kind) == _THREADS * 10 * 3 + 1

    def test_threads_lose_no_event(self, store: MetadataStore, users: list[Id]) -> None:
        """Several threads append to the same history at once: each event is in it, once, in its place."""

        def work(worker: int) -> Callable[[], None]:
            def run() -> None:
                for turn in range(10):
                    time = float(turn * _THREADS + worker)
                    events = [Event(user, f"{worker} {turn}", time) for user in (users[0], users[worker])]
                    store.append_events(events)
                    store.append_events(events)

            return run

        run_together([work(worker) for worker in range(1, _THREADS)])
        found = store.recent_events(users)
        wanted = {float(turn * _THREADS + worker) for turn in range(10) for worker in range(1, _THREADS)}
        assert [event.time for event in found[users[0]]] == sorted(expected(wanted))
        assert [len(found[user]) for user in users[1:_THREADS]] == [10] * (_THREADS - 1)

    def test_a_batch_is_read_whole_or_not_at_all(self, store: MetadataStore, kind: str) -> None:
        """While batches are put, a reader of their records sees all of one batch and never parts of two."""
        if not self.atomic:
            pytest.skip("this store's engine cannot write a batch as one, as its docs say")
        ids = range(50)
        store.put(kind, {key: {"version": 0} for key in ids})
        done = threading.Event()
        mixed: list[set[object]] = []

        def write() -> None:
            try:
                for version in range(1, 40):
                    store.put(kind, {key: {"version": version} for key in ids})
            finally:
                done.set()

        def read() -> None:
            while not done.is_set():
                records = store.get(kind, ids)
                assert len(records) == len(ids)
                versions: set[object] = {record["version"] for record in records.values()}
                if len(versions) > 1:
                    mixed.append(versions)

        run_together([write, read, read])
        assert not mixed, f"a reader saw these versions side by side: {mixed[0]}"
        assert store.get(kind, [0]) == {0: {"version": 39}}

    def test_data_outlives_the_connection(self, store: MetadataStore, kind: str, users: list[Id]) -> None:
        """What a connection wrote before it was closed, a later one reads and changes."""
        if not self.persistent:
            pytest.skip("this store lives in its process only")
        events = [Event(users[0], 1, 1.5, 2.5), Event(users[0], "1", 1.5)]
        with self.reopen(store) as first:
            first.put(kind, {1: {"x": 1.0}, "1": {"é": [None]}})
            first.append_events(events)
        with self.reopen(store) as second:
            assert same(second.get(kind, [1, "1"]), {1: {"x": 1.0}, "1": {"é": [None]}})
            assert second.recent_events(users[:1])[users[0]] == events
            second.delete(kind, [1])
            second.append_events([Event(users[0], 2, 0.5)])
        assert same(store.get(kind, [1, "1"]), {"1": {"é": [None]}})
        assert [event.item_id for event in store.recent_events(users[:1])[users[0]]] == [2, 1, "1"]

    def test_ping_returns_while_the_engine_answers(self, store: MetadataStore) -> None:
        """``ping`` raises nothing and gives nothing."""
        assert store.ping() is None

    def test_close_may_be_called_twice(self, store: MetadataStore) -> None:
        """A second ``close`` does nothing, and closing one connection leaves another open."""
        other = self.reopen(store)
        other.close()
        other.close()
        store.ping()

    def test_leaving_the_with_block_closes(self, store: MetadataStore) -> None:
        """A store is a context manager that returns itself and closes at the end, also on an error."""
        opened = self.reopen(store)
        with contextlib.suppress(ZeroDivisionError), opened as entered:
            assert entered is opened
            raise ZeroDivisionError
        with pytest.raises(StoreError):
            opened.ping()

    def test_a_closed_store_refuses_every_call(self, store: MetadataStore, kind: str, users: list[Id]) -> None:
        """After ``close`` each call raises `StoreError`."""
        closed = self.reopen(store)
        closed.put(kind, {1: {}})
        closed.close()
        refused(
            {
                "ping": closed.ping,
                "put": lambda: closed.put(kind, {1: {}}),
                "get": lambda: closed.get(kind, [1]),
                "delete": lambda: closed.delete(kind, [1]),
                "scan": lambda: list(closed.scan(kind)),
                "count": lambda: closed.count(kind),
                "append_events": lambda: closed.append_events([Event(users[0], 1, 1.0)]),
                "recent_events": lambda: closed.recent_events(users),
                "read_users": lambda: closed.read_users(kind, users),
                "delete_events": lambda: closed.delete_events(users),
                "scan_events": lambda: list(closed.scan_events()),
            },
            StoreError,
        )

    def test_an_engine_out_of_reach_is_told_in_time(self) -> None:
        """Without a server, `StoreUnavailableError` comes within the timeout, with the engine's own cause."""
        if not self.remote:
            pytest.skip("this store is embedded, so there is no engine to lose")
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught, self.unreachable() as lost:
            lost.ping()
        assert time.monotonic() - started < 15
        assert caught.value.__cause__ is not None

    def test_an_engine_that_hangs_is_waited_for_once(self, store: MetadataStore, kind: str, users: list[Id]) -> None:
        """After a call that waited in vain, others fail at once, in the same words, until the engine answers again."""
        with self.reopen(store) as lost:
            lost.get(kind, [1])
            with hanging(lost) as calls:
                with pytest.raises(StoreTimeoutError, match="the engine hangs"):
                    lost.get(kind, [1])
                waited = [call for call in calls if call != "ping"]
                for call in (
                    lambda: lost.get(kind, [1]),
                    lambda: lost.count(kind),
                    lambda: lost.recent_events(users),
                    lambda: lost.put(kind, {1: {}}),
                ):
                    with pytest.raises(StoreTimeoutError, match="the engine hangs"):
                        call()
                assert [call for call in calls if call != "ping"] == waited, "a call has waited for it again"
            eventually(lambda: lost.get(kind, [1]))
