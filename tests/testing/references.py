"""The reference stores, with a second connection and an address where nobody answers, and their kits.

Every deliberately wrong store is a subclass of one of them with one bug.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import pytest
from typing_extensions import Self, override

from vecrec.errors import StoreUnavailableError
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore, MetadataStore
from vecrec.records import Record
from vecrec.testing import MetadataStoreTests, VectorStoreTests
from vecrec.vector_stores import MemoryVectorStore, VectorStore


def _refuse() -> None:
    try:
        raise ConnectionRefusedError("nobody listens")
    except ConnectionRefusedError as error:
        raise StoreUnavailableError("no vector store at this address: is it running?") from error


class SharedVectorStore(MemoryVectorStore):
    """A memory store whose data several connections share."""

    def twin(self) -> Self:
        """Another connection to the same data."""
        other = type(self)()
        other._data, other._lock = self._data, self._lock
        return other

    @classmethod
    def lost(cls) -> VectorStore:
        """A connection to an engine that is not there."""
        _refuse()
        return cls()


class SharedVectorStoreTests(VectorStoreTests):
    """The kit on `SharedVectorStore`, or on a wrong subclass of it."""

    make: ClassVar[type[SharedVectorStore]] = SharedVectorStore

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls) -> Iterator[VectorStore]:
        store = cls.make()
        yield store
        SharedVectorStore.close(store)

    @override
    def reopen(self, store: VectorStore) -> VectorStore:
        assert isinstance(store, SharedVectorStore)
        return store.twin()

    @override
    def unreachable(self) -> VectorStore:
        return self.make.lost()

    @override
    def raw_vectors(self, store: VectorStore, collection: str) -> Mapping[Id, Sequence[float]]:
        assert isinstance(store, SharedVectorStore)
        entries = store._data[collection].entries.values()
        return {entry.id: entry.vector.tolist() for entry in entries if entry.vector is not None}


class SharedMetadataStore(MemoryMetadataStore):
    """A memory store whose data several connections share, and which counts its calls."""

    def __init__(self) -> None:
        super().__init__(max_events_per_user=520)
        self.calls = 0

    def twin(self) -> Self:
        """Another connection to the same data."""
        other = type(self)()
        other._records, other._events, other._lock = self._records, self._events, self._lock
        return other

    @classmethod
    def lost(cls) -> MetadataStore:
        """A connection to an engine that is not there."""
        _refuse()
        return cls()

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        self.calls += 1
        super()._put(kind, records)

    @override
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        self.calls += 1
        return super()._get(kind, ids)

    @override
    def _delete(self, kind: str, ids: list[Id]) -> None:
        self.calls += 1
        super()._delete(kind, ids)


class SharedMetadataStoreTests(MetadataStoreTests):
    """The kit on `SharedMetadataStore`, or on a wrong subclass of it."""

    make: ClassVar[type[SharedMetadataStore]] = SharedMetadataStore

    @pytest.fixture
    def store(self) -> Iterator[MetadataStore]:
        store = self.make()
        yield store
        SharedMetadataStore.close(store)

    @override
    def reopen(self, store: MetadataStore) -> MetadataStore:
        assert isinstance(store, SharedMetadataStore)
        return store.twin()

    @override
    def unreachable(self) -> MetadataStore:
        return self.make.lost()

    @override
    def raw_record(self, store: MetadataStore, kind: str, key: Id) -> Record | None:
        assert isinstance(store, SharedMetadataStore)
        return store._records[kind].get(key)

    @override
    def round_trips(self, store: MetadataStore) -> int | None:
        assert isinstance(store, SharedMetadataStore)
        return store.calls
