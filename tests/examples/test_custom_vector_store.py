"""The vector store of one's own keeps every promise, and is as short as it says."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

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
        with SQLiteVectorStore(tmp_path_factory.mktemp("sqlite") / "vectors.sqlite") as store:
            yield store

    @override
    def reopen(self, store: VectorStore) -> VectorStore:
        assert isinstance(store, SQLiteVectorStore)
        return SQLiteVectorStore(store.path)


def test_it_is_under_90_lines() -> None:
    """The class is all that it takes; blank lines are not counted."""
    lines = [line for line in inspect.getsource(SQLiteVectorStore).splitlines() if line.strip()]
    assert 40 < len(lines) < 90
