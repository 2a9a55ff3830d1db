"""The promises about ``fetch``, ``scan`` and ``count``, and about reading what was just written."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import numpy as np
import pytest

from vecrec.errors import CollectionNotFoundError
from vecrec.ids import Id
from vecrec.testing.base import expected, refused, same, same_ids
from vecrec.testing.data import axis
from vecrec.testing.vector_stores.base import Library, VectorStoreKit, fresh_name
from vecrec.vector_stores.base import VectorStore

__all__ = ["ReadTests"]


class ReadTests(VectorStoreKit):
    """Tests of reading without a search."""

    def test_fetch_keeps_the_order_and_leaves_out_what_is_missing(self, store: VectorStore, library: Library) -> None:
        """The entries come in the order of the ids asked for, each once, without those that are not there."""
        ids = [library.ids[5], "missing", library.ids[2], library.ids[5], -7, library.ids[9]]
        found = store.fetch(library.name, ids)
        assert same(list(found), [library.ids[5], library.ids[2], library.ids[9]])
        assert [entry.id for entry in found.values()] == list(found)

    def test_fetch_without_attributes_leaves_them_out(self, store: VectorStore, library: Library) -> None:
        """The same vectors in the same order, without attributes."""
        ids = [library.ids[5], "missing", library.ids[2]]
        found = store.fetch(library.name, ids, attributes=False)
        assert same(list(found), [library.ids[5], library.ids[2]])
        for entry, position in zip(found.values(), (5, 2)):
            assert entry.id == library.ids[position]
            assert entry.attributes == {}
            np.testing.assert_array_equal(entry.vector, library.vectors[position])

    @pytest.mark.parametrize("batch_size", [7, 199, 200, 10_000])
    def test_scan_gives_every_entry_once(self, store: VectorStore, library: Library, batch_size: int) -> None:
        """Whatever the size of its batches, a scan returns each entry once with its vector and attributes."""
        entries = list(store.scan(library.name, vectors=True, batch_size=batch_size))
        assert same_ids((entry.id for entry in entries), expected(library.ids))
        for entry in entries:
            position = library.ids.index(entry.id)
            assert same(entry.attributes, library.attributes(position))
            np.testing.assert_array_equal(entry.vector, library.vectors[position])

    def test_scan_without_vectors_leaves_them_out(self, store: VectorStore, library: Library) -> None:
        """By default a scan returns ids and attributes only."""
        entries = list(store.scan(library.name))
        assert same_ids((entry.id for entry in entries), expected(library.ids))
        for entry in entries:
            assert entry.vector is None
            assert same(entry.attributes, library.attributes(library.ids.index(entry.id)))

    def test_scan_is_not_thrown_off_by_writes(self, store: VectorStore, scratch: str) -> None:
        """Entries that no write touches come exactly once, while others are written and deleted between the batches."""
        store.upsert(scratch, range(60), [axis(0)] * 60)
        touched = set(range(0, 60, 3)) | set(range(1000, 1060))
        seen = []
        for count, entry in enumerate(store.scan(scratch, batch_size=10)):
            seen.append(entry.id)
            if count < 40:
                store.upsert(scratch, [1000 + count], [axis(1)])
            if count % 4 == 0 and count < 40:
                store.delete(scratch, [count - count % 3])
        assert sorted(key for key in seen if key not in touched) == expected([n for n in range(60) if n % 3])

    def test_scan_refuses_a_batch_size_below_one(self, store: VectorStore, library: Library) -> None:
        """The size of a batch is a whole number of at least 1; anything else is refused at the call."""
        sizes: list[Any] = [0, -1, True, 1.5, "10", None]
        refused({repr(size): partial(store.scan, library.name, batch_size=size) for size in sizes})

    def test_count_counts_entries_not_writes(self, store: VectorStore, scratch: str) -> None:
        """Replacing leaves the count, writing and deleting change it by what was there."""
        counts = []
        batches: list[list[Id]] = [[1, 2], [2, 3], [3, 3, "3"]]
        for ids in batches:
            store.upsert(scratch, ids, [axis(0)] * len(ids))
            counts.append(store.count(scratch))
        store.delete(scratch, [1, 1, 99])
        assert same([*counts, store.count(scratch)], [2, 3, 4, 3])

    def test_what_was_written_is_read_by_the_next_call(self, store: VectorStore, scratch: str) -> None:
        """Right after each write, every kind of reading sees it."""
        for turn in range(5):
            store.upsert(scratch, ["moving", turn], [axis(turn), axis(9)], [{"year": turn}, {}])
            found = store.fetch(scratch, ["moving"])["moving"]
            np.testing.assert_array_equal(found.vector, axis(turn))
            assert found.attributes == {"year": turn}
            assert [hit.id for hit in store.search(scratch, [axis(turn)], 1)[0]] == ["moving"]
            assert store.count(scratch) == turn + 2
            assert same_ids((entry.id for entry in store.scan(scratch)), ["moving", *range(turn + 1)])
            store.delete(scratch, ["moving"])
            assert store.fetch(scratch, ["moving"]) == {}
            assert [hit.score for hit in store.search(scratch, [axis(turn)], 1)[0]] == [0.0]
            store.upsert(scratch, ["moving"], [axis(8)])

    def test_what_was_written_is_read_by_another_connection(self, store: VectorStore, scratch: str) -> None:
        """What one connection has written, another that is open already reads at once, and the other way round."""
        if not self.persistent:
            pytest.skip("this store lives in its process only")
        with self.reopen(store) as other:
            for turn in range(4):
                # Twice the same way, so that the reader has read before and has not written since.
                writer, reader = (store, other) if turn < 2 else (other, store)
                writer.upsert(scratch, ["moving", turn], [axis(turn), axis(9)], [{"year": turn}, {}])
                np.testing.assert_array_equal(reader.fetch(scratch, ["moving"])["moving"].vector, axis(turn))
                assert [hit.id for hit in reader.search(scratch, [axis(turn)], 1)[0]] == ["moving"]
                assert reader.count(scratch) == turn + 2
            store.delete(scratch, ["moving"])
            assert same_ids((entry.id for entry in other.scan(scratch)), [0, 1, 2, 3])

    def test_a_bulk_write_is_read_here_at_once_and_by_all_at_its_end(self, store: VectorStore, scratch: str) -> None:
        """Inside ``bulk`` a store reads what it wrote; after the block, also one that failed, every connection does."""
        with store.bulk(scratch):
            for turn in range(3):
                store.upsert(scratch, [turn], [axis(turn)])
                assert store.count(scratch) == turn + 1
            store.delete(scratch, [0])
            assert list(store.fetch(scratch, [0, 1, 2])) == [1, 2]
        with contextlib.suppress(ZeroDivisionError), store.bulk(scratch):
            store.upsert(scratch, [3], [axis(3)])
            raise ZeroDivisionError
        with pytest.raises(CollectionNotFoundError), store.bulk(fresh_name()):
            pass
        if not self.persistent:
            assert store.count(scratch) == 3
            return
        with self.reopen(store) as other:
            assert same_ids((entry.id for entry in other.scan(scratch)), [1, 2, 3])
            with store.bulk(scratch):
                store.upsert(scratch, [4], [axis(4)])
            assert list(other.fetch(scratch, [4])) == [4]
