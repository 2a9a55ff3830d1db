"""Stores that the tests of a module share, since opening one and making a collection take seconds."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from vecrec.vector_stores import CollectionSpec, MilvusVectorStore

Make = Callable[..., str]


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusVectorStore]:
    """Give a store on Milvus Lite."""
    with MilvusVectorStore(tmp_path_factory.mktemp("lite") / "vectors.db", timeout=120) as store:
        yield store


@pytest.fixture(scope="module")
def server(milvus_uri: str) -> Iterator[MilvusVectorStore]:
    """Give a store on the server that all tests share."""
    with MilvusVectorStore(milvus_uri, timeout=120) as store:
        yield store


@pytest.fixture(scope="module")
def make() -> Iterator[Make]:
    """Give what makes a collection of a fresh name, dropped at the end: ``make(store, dim, metric, fields)``."""
    with ExitStack() as stack:

        def create(store: MilvusVectorStore, *spec: object) -> str:
            name = f"test_{uuid.uuid4().hex}"
            store.create(name, CollectionSpec(*spec))  # type: ignore[arg-type]
            stack.callback(store.drop, name)
            return name

        yield create
