"""Vector stores that are wrong about fetching, scanning and counting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from typing_extensions import override

from tests.testing.references import SharedVectorStore
from tests.testing.wrong import caught_by
from vecrec.ids import Id
from vecrec.vector_stores import CollectionSpec, Entry
from vecrec.vector_stores.base import Attributes, Vectors


@caught_by("test_fetch_keeps_the_order_and_leaves_out_what_is_missing")
class FetchesInItsOwnOrder(SharedVectorStore):
    @override
    def fetch(self, collection: str, ids: Sequence[Id], *, attributes: bool = True) -> dict[Id, Entry]:
        found = super().fetch(collection, ids, attributes=attributes)
        return dict(sorted(found.items(), key=lambda pair: repr(pair[0])))


@caught_by("test_fetch_without_attributes_leaves_them_out")
class FetchesEverything(SharedVectorStore):
    @override
    def _fetch_vectors(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        return self._fetch(collection, spec, ids)


class _Scan(SharedVectorStore):
    def bend(self, entries: list[Entry], batch_size: int) -> list[Entry]:
        raise NotImplementedError

    @override
    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]:
        yield from self.bend(list(super()._scan(collection, spec, vectors, batch_size)), batch_size)


@caught_by("test_scan_gives_every_entry_once")
class ScanDropsTheRest(_Scan):
    @override
    def bend(self, entries: list[Entry], batch_size: int) -> list[Entry]:
        return entries[: len(entries) // batch_size * batch_size]


@caught_by("test_scan_gives_every_entry_once")
class ScanRepeats(_Scan):
    @override
    def bend(self, entries: list[Entry], batch_size: int) -> list[Entry]:
        return [entry for place, entry in enumerate(entries) for _ in range(2 if place == batch_size else 1)]


@caught_by("test_scan_without_vectors_leaves_them_out")
class ScanAlwaysGivesVectors(SharedVectorStore):
    @override
    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]:
        return super()._scan(collection, spec, True, batch_size)


@caught_by("test_scan_is_not_thrown_off_by_writes")
class ScansByOffset(SharedVectorStore):
    @override
    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]:
        offset = 0
        while batch := list(super()._scan(collection, spec, vectors, batch_size))[offset : offset + batch_size]:
            yield from batch
            offset += batch_size


@caught_by("test_scan_refuses_a_batch_size_below_one")
class BatchSizeUnchecked(SharedVectorStore):
    @override
    def scan(self, collection: str, *, vectors: bool = False, batch_size: int = 1000) -> Iterator[Entry]:
        return self._scan(collection, self.spec(collection), vectors, batch_size)


@caught_by("test_count_counts_entries_not_writes")
class CountsWrites(SharedVectorStore):
    _written = 0

    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        self._written += len(ids)
        super()._upsert(collection, spec, ids, vectors, attributes)

    @override
    def _count(self, collection: str, spec: CollectionSpec) -> int:
        return self._written


@caught_by("test_what_was_written_is_read_by_the_next_call")
class ReadsLate(SharedVectorStore):
    """Reads what there was before the latest write."""

    _before: Mapping[Id, Entry] = {}

    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        self._before = dict(self._data[collection].entries)
        super()._upsert(collection, spec, ids, vectors, attributes)

    @override
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        return super()._fetch(collection, spec, ids) | {key: self._before[key] for key in ids if key in self._before}


@caught_by("test_what_was_written_is_read_by_another_connection")
class RemembersWhatItRead(SharedVectorStore):
    """Keeps what it has read until it writes itself."""

    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[Id, Entry] = {}

    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        self._cache.clear()
        super()._upsert(collection, spec, ids, vectors, attributes)

    @override
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        self._cache = super()._fetch(collection, spec, ids) | self._cache
        return {key: self._cache[key] for key in ids if key in self._cache}


@caught_by("test_a_bulk_write_is_read_here_at_once_and_by_all_at_its_end")
class BulkHoldsBack(SharedVectorStore):
    """Writes what came in bulk when the block ends, and not before."""

    _waiting: list[Callable[[], None]] | None = None

    @override
    @contextmanager
    def bulk(self, collection: str) -> Iterator[None]:
        self._waiting = []
        with super().bulk(collection):
            yield
        waiting, self._waiting = self._waiting, None
        for write in waiting:
            write()

    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        write = partial(super()._upsert, collection, spec, ids, vectors, attributes)
        write() if self._waiting is None else self._waiting.append(write)
