"""The reference metadata store keeps every promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from typing_extensions import override

from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore, MetadataStore
from vecrec.records import Record
from vecrec.testing import MetadataStoreTests


class TestMemoryMetadataStore(MetadataStoreTests):
    persistent = False
    remote = False

    @pytest.fixture
    def store(self) -> Iterator[MemoryMetadataStore]:
        with MemoryMetadataStore(max_events_per_user=520) as store:
            yield store

    @override
    def reopen(self, store: MetadataStore) -> MetadataStore:
        return MemoryMetadataStore()

    @override
    def raw_record(self, store: MetadataStore, kind: str, key: Id) -> Record | None:
        assert isinstance(store, MemoryMetadataStore)
        return store._records[kind].get(key)
