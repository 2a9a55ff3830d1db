"""Every vector store of vecrec keeps every promise of the contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from vecrec.ids import Id
from vecrec.testing import VectorStoreTests
from vecrec.vector_stores import FileVectorStore, MemoryVectorStore, MilvusVectorStore, VectorStore

NOBODY = "http://127.0.0.1:1"


class TestMemory(VectorStoreTests):
    """The plain reference."""

    persistent = False
    remote = False

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls) -> Iterator[VectorStore]:
        """Give a store in this process."""
        with MemoryVectorStore() as store:
            yield store

    def reopen(self, store: VectorStore) -> VectorStore:
        return MemoryVectorStore()

    def raw_vectors(self, store: VectorStore, collection: str) -> Mapping[Id, Sequence[float]]:
        assert isinstance(store, MemoryVectorStore)
        entries = store._data[collection].entries.values()
        return {entry.id: entry.vector.tolist() for entry in entries if entry.vector is not None}


class TestFile(VectorStoreTests):
    """Files that several processes share."""

    remote = False

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
        """Give a store on a new directory."""
        with FileVectorStore(tmp_path_factory.mktemp("file") / "kit.vec") as store:
            yield store

    def reopen(self, store: VectorStore) -> VectorStore:
        assert isinstance(store, FileVectorStore)
        return FileVectorStore(store.path)


class TestMilvusLite(VectorStoreTests):
    """Milvus inside this process."""

    remote = False
    path: ClassVar[Path]

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
        """Give a store on an empty directory."""
        cls.path = tmp_path_factory.mktemp("lite") / "kit.db"
        with MilvusVectorStore(cls.path, timeout=120) as store:
            yield store

    def reopen(self, store: VectorStore) -> VectorStore:
        return MilvusVectorStore(self.path, timeout=120)


class TestMilvusServer(VectorStoreTests):
    """A Milvus server."""

    uri: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, milvus_uri: str) -> Iterator[VectorStore]:
        """Give a store on the server that all tests share."""
        cls.uri = milvus_uri
        with MilvusVectorStore(milvus_uri, timeout=120) as store:
            yield store

    def reopen(self, store: VectorStore) -> VectorStore:
        return MilvusVectorStore(self.uri)

    def unreachable(self) -> VectorStore:
        return MilvusVectorStore(NOBODY, timeout=2)
