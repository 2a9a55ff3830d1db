"""The engines that a recommender runs on, each opened as often as wanted, and looked at from behind."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.recommender.tastes import TasteEncoder
from vecrec import Recommender
from vecrec.encoders.base import Encoder
from vecrec.metadata_stores import MemoryMetadataStore, MetadataStore, RedisMetadataStore, SQLMetadataStore
from vecrec.vector_stores import MemoryVectorStore, VectorStore
from vecrec.vector_stores.milvus import MilvusVectorStore

ENGINES = ("memory", "embedded", "servers")
"""Dictionaries; Milvus Lite and SQLite; a Milvus server and a Redis."""

KINDS = ("item", "user", "pending", "journal", "vecrec")


@dataclass
class Engine:
    """A pair of stores: each opening gives objects of its own on the same data, in any process."""

    name: str
    path: Path
    """Where the artifacts and embedded engines live."""
    milvus: str = ""
    metadata: str = ""
    prefix: str = "vecrec"
    recommender_name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:12]}")
    """Unique, since collections of a shared server begin with it."""
    memory: tuple[VectorStore, MetadataStore] | None = None

    def open_vectors(self) -> VectorStore:
        """The vector store."""
        return MilvusVectorStore(self.milvus) if self.memory is None else self.memory[0]

    def open_metadata(self) -> MetadataStore:
        """The metadata store."""
        if self.memory is not None:
            return self.memory[1]
        if self.metadata.startswith("redis"):
            return RedisMetadataStore(self.metadata, prefix=self.prefix)
        return SQLMetadataStore(self.metadata)

    def recommender(self, encoder: Encoder | None = None, **options: Any) -> Recommender:
        """A recommender as another process would make it."""
        options.setdefault("refresh_seconds", 0)
        stores = self.open_vectors(), self.open_metadata()
        return Recommender(
            encoder or TasteEncoder(), *stores, name=self.recommender_name, artifacts=self.path / "artifacts", **options
        )

    def opened(self, **options: Any) -> Recommender:
        """A recommender that serves the live release."""
        options.setdefault("refresh_seconds", 0)
        stores = self.open_vectors(), self.open_metadata()
        artifacts = self.path / "artifacts"
        return Recommender.open(self.recommender_name, *stores, artifacts, encoder=TasteEncoder, **options)

    def clear(self) -> None:
        """Leave nothing on a shared server."""
        with self.open_vectors() as vectors:
            for collection in vectors.collections():
                if collection.startswith(f"{self.recommender_name}__"):
                    vectors.drop(collection)


def snapshot(rec: Recommender) -> dict[str, Any]:
    """All that both stores hold of a recommender."""
    vectors, metadata = rec.vector_store, rec.metadata_store
    held: dict[str, Any] = {kind: dict(metadata.scan(kind)) for kind in KINDS}
    held["events"] = dict(metadata.scan_events())
    for collection in vectors.collections():
        if collection.startswith(f"{rec.name}__"):
            held[collection] = {
                entry.id: (entry.attributes, None if entry.vector is None else entry.vector.tolist())
                for entry in vectors.scan(collection, vectors=True)
            }
    return held


def make_engine(name: str, path: Path, server_url: Callable[[str], str]) -> Engine:
    """An engine by its name; servers are started when they are first asked for."""
    if name == "memory":
        return Engine(name, path, memory=(MemoryVectorStore(), MemoryMetadataStore()))
    if name == "embedded":
        return Engine(name, path, str(path / "items.db"), f"sqlite:///{path / 'records.db'}")
    return Engine(name, path, server_url("milvus"), server_url("redis"), f"t{uuid.uuid4().hex[:12]}")


def each_engine(names: tuple[str, ...] = ENGINES) -> pytest.MarkDecorator:
    """Run a test on several engines."""
    return pytest.mark.parametrize("engine", [pytest.param(name, marks=_marks(name)) for name in names], indirect=True)


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.milvus, pytest.mark.redis] if name == "servers" else []


@contextlib.contextmanager
def running_engine(name: str, path: Path, server_url: Callable[[str], str]) -> Iterator[Engine]:
    """An engine that is cleared at the end."""
    engine = make_engine(name, path, server_url)
    yield engine
    if name == "servers":
        engine.clear()
