"""What the tests of the recommender share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.recommender.tastes import TasteEncoder, world
from vecrec import Recommender
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.vector_stores import MemoryVectorStore


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut is nothing that these tests can cause, so they need not wait until the disk is ready for one."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def unfitted(tmp_path: Path) -> Recommender:
    """A recommender on empty stores in memory."""
    stores = MemoryVectorStore(), MemoryMetadataStore()
    return Recommender(TasteEncoder(), *stores, name="movies", artifacts=tmp_path, refresh_seconds=0)


@pytest.fixture
def rec(unfitted: Recommender) -> Recommender:
    """A recommender of the little world."""
    unfitted.fit(world())
    return unfitted
