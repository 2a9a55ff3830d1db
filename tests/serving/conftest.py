"""What the tests of the service share: a small world in memory, and a service on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.recommender.tastes import TasteEncoder, world
from tests.serving.web import listening
from vecrec import Recommender
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.serving import create_app
from vecrec.vector_stores import MemoryVectorStore


@pytest.fixture(autouse=True, scope="package")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """A power cut is nothing that these tests can cause, so they need not wait until the disk is ready for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def published(artifacts: Path) -> Recommender:
    """The world of tastes in memory, published."""
    recommender = Recommender(
        TasteEncoder(),
        MemoryVectorStore(),
        MemoryMetadataStore(),
        name="demo",
        artifacts=artifacts,
        refresh_seconds=0.0,
    )
    recommender.fit(world())
    return recommender


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """Give a recommender on the world of tastes; tests that change it take users and items of their own."""
    with published(tmp_path_factory.mktemp("artifacts")) as made:
        yield made


@pytest.fixture(scope="module")
def client(recommender: Recommender) -> Iterator[httpx.Client]:
    """Give a client of a service on it."""
    with listening(create_app(recommender)) as made:
        yield made
