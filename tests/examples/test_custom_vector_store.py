"""The custom vector store keeps every promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from examples.custom_vector_store import SQLiteVectorStore
from vecrec.testing import VectorStoreTests
from vecrec.vector_stores import VectorStore


class TestSQLiteVectorStore(VectorStoreTests):
    remote = False

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
        with SQLiteVectorStore(tmp_path_factory.mktemp("store") / "vectors.sqlite") as store:
            yield store

    @override
    def reopen(self, store: VectorStore) -> VectorStore:
        assert isinstance(store, SQLiteVectorStore)
        return SQLiteVectorStore(Path(store.path))
