"""The reference vector store keeps every promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
from typing_extensions import override

from vecrec.ids import Id
from vecrec.testing import VectorStoreTests
from vecrec.vector_stores import MemoryVectorStore, VectorStore


class TestMemoryVectorStore(VectorStoreTests):
    persistent = False
    remote = False

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls) -> Iterator[MemoryVectorStore]:
        with MemoryVectorStore() as store:
            yield store

    @override
    def reopen(self, store: VectorStore) -> VectorStore:
        return MemoryVectorStore()

    @override
    def raw_vectors(self, store: VectorStore, collection: str) -> Mapping[Id, Sequence[float]]:
        assert isinstance(store, MemoryVectorStore)
        return {
            entry.id: entry.vector.tolist()
            for entry in store._data[collection].entries.values()
            if entry.vector is not None
        }
