"""The store of one's own keeps every promise, and is as short as it says."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from examples.custom_store import FileStore
from vecrec.metadata_stores import MetadataStore
from vecrec.testing import MetadataStoreTests


class TestFileStore(MetadataStoreTests):
    remote = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[MetadataStore]:
        with FileStore(tmp_path / "store.json") as store:
            yield store

    @override
    def reopen(self, store: MetadataStore) -> MetadataStore:
        assert isinstance(store, FileStore)
        return FileStore(store.path)


def test_it_is_under_60_lines() -> None:
    """The class is all that it takes; blank lines are not counted."""
    lines = [line for line in inspect.getsource(FileStore).splitlines() if line.strip()]
    assert 20 < len(lines) < 60
