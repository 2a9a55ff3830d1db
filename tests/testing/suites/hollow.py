"""Kits that somebody has hollowed out, and one that gives a promise up honestly."""

from __future__ import annotations

import pytest
from typing_extensions import override

from tests.testing.references import SharedMetadataStore, SharedMetadataStoreTests
from tests.testing.wrong.metadata_reads import PingFails
from vecrec.metadata_stores import MetadataStore

SUITES = ("TestReplaced", "TestReplacedInABase", "TestDeleted", "TestSkipped", "TestNoReason", "TestDeclared")


class TestReplaced(SharedMetadataStoreTests):
    @override
    def test_put_replaces_the_whole_record(self, store: MetadataStore, kind: str) -> None:
        assert True


class _Base(SharedMetadataStoreTests):
    @override
    def test_kinds_are_independent(self, store: MetadataStore, kind: str) -> None:
        """Replaced far from the class that is collected."""


class TestReplacedInABase(_Base):
    pass


class TestDeleted(SharedMetadataStoreTests):
    test_ping_returns_while_the_engine_answers = None  # type: ignore[assignment]


class TestSkipped(SharedMetadataStoreTests):
    @override
    @pytest.mark.skip(reason="not today")
    def test_put_replaces_the_whole_record(self, store: MetadataStore, kind: str) -> None:
        raise AssertionError


class TestNoReason(SharedMetadataStoreTests):
    @override
    @pytest.mark.xfail
    def test_put_replaces_the_whole_record(self, store: MetadataStore, kind: str) -> None:
        raise AssertionError


class TestDeclared(SharedMetadataStoreTests):
    make: type[SharedMetadataStore] = PingFails  # type: ignore[misc]

    @override
    @pytest.mark.xfail(reason="this engine has no ping")
    def test_ping_returns_while_the_engine_answers(self, store: MetadataStore) -> None:
        super().test_ping_returns_while_the_engine_answers(store)

    def test_of_ones_own(self) -> None:
        """Additions are welcome."""
