"""What the tests of the recommender share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.recommender.engines import Engine, running_engine
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


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path, server_url: Callable[[str], str]) -> Iterator[Engine]:
    """The engine of a test that `each_engine` marks."""
    with running_engine(request.param, tmp_path, server_url) as made:
        yield made
