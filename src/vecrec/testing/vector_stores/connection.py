"""The promises about connections: threads, durability, closing, and an engine that does not answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np
import pytest

from vecrec.errors import StoreError, StoreTimeoutError, StoreUnavailableError
from vecrec.testing.base import eventually, expected, hanging, refused, run_together, same_ids
from vecrec.testing.data import axis
from vecrec.testing.vector_stores.base import Library, VectorStoreKit, fresh_name
from vecrec.vector_stores.base import CollectionSpec, VectorStore

__all__ = ["ConnectionTests"]

_THREADS = 8


class ConnectionTests(VectorStoreKit):
    """Tests of what concerns the whole store."""

    def test_threads_lose_nothing(self, store: VectorStore, scratch: str, library: Library) -> None:
        """Several threads write, delete and search in one store at once: each write is there, and no call fails."""

        def work(worker: int) -> Callable[[], None]:
            def run() -> None:
                for turn in range(4):
                    ids = [f"{worker} {turn} {number}" for number in range(5)]
                    store.upsert(scratch, [*ids, "shared"], [axis(worker)] * 6, [{"year": worker}] * 6)
                    store.delete(scratch, ids[:1])
                    hits = store.search(library.name, library.vectors[:2], 3)
                    assert [len(row) for row in hits] == [3, 3]
                    assert len(store.fetch(scratch, ids)) == 4

            return run

        run_together([work(worker) for worker in range(_THREADS)])

        kept = {f"{w} {turn} {number}" for w in range(_THREADS) for turn in range(4) for number in range(1, 5)}
        assert same_ids((entry.id for entry in store.scan(scratch)), {"shared", *kept})
        assert store.count(scratch) == len(expected(kept)) + 1

    def test_flush_keeps_everything(self, store: VectorStore, scratch: str) -> None:
        """``flush`` changes no answer, and writing goes on after it."""
        store.upsert(scratch, ["a", "b", "c"], [axis(0), axis(1), axis(2)], [{"year": 1}] * 3)
        store.upsert(scratch, ["a"], [axis(3)], [{"year": 2}])
        store.delete(scratch, ["c"])
        store.flush(scratch)
        store.flush(scratch)

        found = store.fetch(scratch, ["a", "b", "c"])
        assert [(key, entry.attributes) for key, entry in found.items()] == [("a", {"year": 2}), ("b", {"year": 1})]
        np.testing.assert_array_equal(found["a"].vector, axis(3))
        store.upsert(scratch, ["a", "d"], [axis(4), axis(5)])
        assert same_ids((entry.id for entry in store.scan(scratch)), ["a", "b", "d"])
        assert [hit.id for hit in store.search(scratch, [axis(4)], 1)[0]] == ["a"]

    def test_data_outlives_the_connection(self, store: VectorStore, scratch: str, library: Library) -> None:
        """What a connection wrote before it was closed, a later one reads, searches, changes and drops."""
        if not self.persistent:
            pytest.skip("this store lives in its process only")
        name = fresh_name()
        with self.reopen(store) as first:
            first.create(name, CollectionSpec(2, "cosine", {"year": "integer"}))
            first.upsert(name, [1, "1"], [[1.0, 0.0], [0.0, 2.0]], [{"year": 5}, {}])
        with self.reopen(store) as second:
            assert second.spec(name) == CollectionSpec(2, "cosine", {"year": "integer"})
            assert second.fetch(name, [1])[1].attributes == {"year": 5}
            assert [hit.id for hit in second.search(name, [[0.0, 1.0]], 1)[0]] == ["1"]
            assert second.count(library.name) == len(library.ids)
            second.drop(name)
        assert name not in store.collections()

    def test_ping_returns_while_the_engine_answers(self, store: VectorStore) -> None:
        """``ping`` raises nothing and returns nothing."""
        assert store.ping() is None

    def test_close_may_be_called_twice(self, store: VectorStore) -> None:
        """A second ``close`` does nothing, and closing one connection leaves another open."""
        other = self.reopen(store)
        other.close()
        other.close()
        store.ping()

    def test_leaving_the_with_block_closes(self, store: VectorStore) -> None:
        """A store is a context manager that returns itself and closes at the end, also on an error."""
        opened = self.reopen(store)
        with contextlib.suppress(ZeroDivisionError), opened as entered:
            assert entered is opened
            raise ZeroDivisionError
        with pytest.raises(StoreError):
            opened.ping()

    def test_a_closed_store_refuses_every_call(self, store: VectorStore) -> None:
        """After ``close`` each call raises `StoreError`, also about a collection that it knew while it was open."""
        closed, name = self.reopen(store), fresh_name()
        closed.create(name, CollectionSpec(2))
        closed.upsert(name, [1], [[1.0, 0.0]])
        assert closed.search(name, [[1.0, 0.0]], 1)[0][0].id == 1
        closed.close()
        refused(
            {
                "ping": closed.ping,
                "collections": closed.collections,
                "create": lambda: closed.create(fresh_name(), CollectionSpec(2)),
                "drop": lambda: closed.drop(name),
                "spec": lambda: closed.spec(name),
                "upsert": lambda: closed.upsert(name, [1], [[1.0, 0.0]]),
                "delete": lambda: closed.delete(name, [1]),
                "search": lambda: closed.search(name, [[1.0, 0.0]], 1),
                "fetch": lambda: closed.fetch(name, [1]),
                "scan": lambda: list(closed.scan(name)),
                "count": lambda: closed.count(name),
                "flush": lambda: closed.flush(name),
            },
            StoreError,
        )
        if self.persistent:
            store.drop(name)  # it has outlived the connection

    def test_an_engine_out_of_reach_is_told_in_time(self) -> None:
        """Where nothing answers, `StoreUnavailableError` comes within the timeout, with the engine's own cause."""
        if not self.remote:
            pytest.skip("this store is embedded, so there is no engine to lose")
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError) as caught, self.unreachable() as lost:
            lost.ping()
        assert time.monotonic() - started < 15
        assert caught.value.__cause__ is not None

    def test_an_engine_that_hangs_is_waited_for_once(self, store: VectorStore) -> None:
        """After a call that waited in vain, others fail at once, in the same words, until the engine answers again."""
        name = fresh_name()
        with self.reopen(store) as lost:
            lost.create(name, CollectionSpec(2))
            with hanging(lost) as calls:
                with pytest.raises(StoreTimeoutError, match="the engine hangs"):
                    lost.count(name)
                waited = [call for call in calls if call != "ping"]
                for call in (
                    lost.collections,
                    lambda: lost.count(name),
                    lambda: lost.search(name, [[1.0, 0.0]], 1),
                    lambda: lost.delete(name, [1]),
                ):
                    with pytest.raises(StoreTimeoutError, match="the engine hangs"):
                        call()
                assert [call for call in calls if call != "ping"] == waited, "a call has waited for it again"
            eventually(lambda: lost.drop(name))
