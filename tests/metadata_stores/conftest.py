"""A store on each engine, empty, for tests that hold for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.metadata_stores.engines import cluster_url, fresh
from vecrec.metadata_stores import MetadataStore, RedisMetadataStore, SQLMetadataStore

REDIS = ("redis_url", "redis_cluster_url")
SERVERS = ("mariadb_url", "postgres_url")


def engine_url(request: pytest.FixtureRequest, name: str, directory: Path) -> str:
    """The URL of an engine by the name of its fixture."""
    if name == "sqlite":
        return f"sqlite:///{directory / 'store.db'}"
    url: str = request.getfixturevalue(name)
    return cluster_url(url) if name == "redis_cluster_url" else url


@pytest.fixture(params=["sqlite", *SERVERS])
def sql_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of each SQL database."""
    return engine_url(request, request.param, tmp_path)


@pytest.fixture
def sql_store(sql_url: str) -> Iterator[SQLMetadataStore]:
    """An empty store in each SQL database."""
    with SQLMetadataStore(sql_url, prefix=fresh()) as store:
        yield store


@pytest.fixture(params=REDIS)
def any_redis_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a Redis server, and of a cluster."""
    return engine_url(request, request.param, tmp_path)


@pytest.fixture
def redis_store(any_redis_url: str) -> Iterator[RedisMetadataStore]:
    """An empty store in a Redis server, and in a cluster."""
    with RedisMetadataStore(any_redis_url, prefix=fresh()) as store:
        yield store


@pytest.fixture(params=["sqlite", *SERVERS, *REDIS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    """An empty store in each engine."""
    url = engine_url(request, request.param, tmp_path)
    made = RedisMetadataStore(url, prefix=fresh()) if "redis" in url else SQLMetadataStore(url, prefix=fresh())
    with made:
        yield made
