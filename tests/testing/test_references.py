"""The reference parts keep every promise: as they are, and shared by several connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
from typing_extensions import override

from tests.testing.references import BestRated, SharedMetadataStoreTests, SharedVectorStoreTests
from vecrec.encoders import ContentEncoder, Encoder, PopularityEncoder
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore, MetadataStore
from vecrec.records import Record
from vecrec.rerankers import Reranker
from vecrec.testing import EncoderTests, MetadataStoreTests, RerankerTests, VectorStoreTests
from vecrec.vector_stores import MemoryVectorStore, VectorStore


class TestMemoryVectorStore(VectorStoreTests):
    persistent = False
    remote = False

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls) -> Iterator[VectorStore]:
        with MemoryVectorStore() as store:
            yield store

    @override
    def reopen(self, store: VectorStore) -> VectorStore:
        return MemoryVectorStore()

    @override
    def raw_vectors(self, store: VectorStore, collection: str) -> Mapping[Id, Sequence[float]]:
        assert isinstance(store, MemoryVectorStore)
        entries = store._data[collection].entries.values()
        return {entry.id: entry.vector.tolist() for entry in entries if entry.vector is not None}


class TestSharedVectorStore(SharedVectorStoreTests):
    pass


class TestMemoryMetadataStore(MetadataStoreTests):
    persistent = False
    remote = False

    @pytest.fixture
    def store(self) -> Iterator[MetadataStore]:
        with MemoryMetadataStore(max_events_per_user=520) as store:
            yield store

    @override
    def reopen(self, store: MetadataStore) -> MetadataStore:
        return MemoryMetadataStore()

    @override
    def raw_record(self, store: MetadataStore, kind: str, key: Id) -> Record | None:
        assert isinstance(store, MemoryMetadataStore)
        return store._records[kind].get(key)


class TestSharedMetadataStore(SharedMetadataStoreTests):
    pass


class TestContentEncoder(EncoderTests):
    @override
    @classmethod
    def make(cls, seed: int = 0) -> Encoder:
        return ContentEncoder(dim=64, seed=seed)


class TestPopularityEncoder(EncoderTests):
    personal = False
    reads_features = False
    seeded = False

    @override
    @classmethod
    def make(cls, seed: int = 0) -> Encoder:
        return PopularityEncoder()


class TestBestRated(RerankerTests):
    @override
    @classmethod
    def make(cls, seed: int = 0) -> Reranker:
        return BestRated(seed)
