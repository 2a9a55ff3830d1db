"""The promises about scanning records, and about reading what was just written."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.records import Record
from vecrec.testing.base import expected, refused, same, same_ids
from vecrec.testing.metadata_stores.base import MetadataStoreKit
from vecrec.types import Event

__all__ = ["ScanTests"]


class ScanTests(MetadataStoreKit):
    """Tests of ``scan`` and ``count``, and of reading after writing."""

    @pytest.mark.parametrize("batch_size", [1, 7, 99, 100, 5000])
    def test_scan_gives_every_record_once(self, store: MetadataStore, kind: str, batch_size: int) -> None:
        """Whatever the size of its batches, a scan gives each id once with its record."""
        records: dict[Id, Record] = {number if number % 2 else str(number): {"n": number} for number in range(100)}
        store.put(kind, records)
        store.put(kind, {1: {"n": 1}, "0": {"n": 0}})

        found = list(store.scan(kind, batch_size))
        assert same_ids((key for key, _ in found), expected(records))
        assert all(same(record, records[key]) for key, record in found)

    def test_scan_is_not_thrown_off_by_writes(self, store: MetadataStore, kind: str) -> None:
        """Records that stay untouched come exactly once, while others are put and deleted between the batches."""
        store.put(kind, {key: {} for key in range(60)})
        seen = []
        for count, (key, _) in enumerate(store.scan(kind, 10)):
            seen.append(key)
            if count < 40:
                store.put(kind, {f"new {count}": {}, 1000 + count: {}, -count - 1: {}})
                store.delete(kind, [count - count % 3])
        untouched = [key for key in seen if isinstance(key, int) and 0 <= key < 60 and key % 3]
        assert sorted(untouched) == expected([number for number in range(60) if number % 3])

    def test_scan_refuses_a_batch_size_below_one(self, store: MetadataStore, kind: str) -> None:
        """The size of a batch is a whole number of at least 1; anything else is refused at the call."""
        sizes: list[Any] = [0, -1, True, 1.5, "10", None]
        refused({repr(size): partial(store.scan, kind, size) for size in sizes})

    def test_count_counts_records_not_writes(self, store: MetadataStore, kind: str) -> None:
        """Replacing leaves the count, putting and deleting change it by what was there."""
        counts = [store.count(kind)]
        batches: list[list[Id]] = [[1, 2], [2, 3], [3, "3"]]
        for ids in batches:
            store.put(kind, {key: {} for key in ids})
            counts.append(store.count(kind))
        store.delete(kind, [1, 1, 99])
        assert same([*counts, store.count(kind)], [0, 2, 3, 4, 3])

    def test_what_was_written_is_read_by_the_next_call(self, store: MetadataStore, kind: str, users: list[Id]) -> None:
        """Right after each write, every kind of reading sees it."""
        user = users[0]
        for turn in range(5):
            store.put(kind, {user: {"turn": turn}, turn: {}})
            store.append_events([Event(user, turn, float(turn))])
            assert store.get(kind, [user]) == {user: {"turn": turn}}
            assert store.count(kind) == turn + 2
            assert dict(store.scan(kind))[user] == {"turn": turn}
            assert store.recent_events([user], 1)[user] == [Event(user, turn, float(turn))]
            records, events = store.read_users(kind, [user], 1)
            assert (records[user], events[user][0].item_id) == ({"turn": turn}, turn)
        store.delete(kind, [user])
        store.delete_events([user])
        assert store.get(kind, [user]) == {}
        assert store.read_users(kind, [user]) == ({}, {user: []})

    def test_what_was_written_is_read_by_another_connection(
        self, store: MetadataStore, kind: str, users: list[Id]
    ) -> None:
        """What one connection has written, another that is open already reads at once, and the other way round."""
        if not self.persistent:
            pytest.skip("this store lives in its process only")
        user = users[0]
        with self.reopen(store) as other:
            for turn in range(4):
                # Twice the same way, so that the reader has read before and has not written since.
                writer, reader = (store, other) if turn < 2 else (other, store)
                writer.put(kind, {user: {"turn": turn}, turn: {}})
                writer.append_events([Event(user, turn, float(turn))])
                assert reader.get(kind, [user]) == {user: {"turn": turn}}
                assert reader.count(kind) == turn + 2
                assert [event.item_id for event in reader.recent_events([user])[user]] == list(range(turn + 1))
            store.delete(kind, [user])
            store.delete_events([user])
            assert other.read_users(kind, [user]) == ({}, {user: []})
