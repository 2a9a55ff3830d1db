"""Measures of OpenTelemetry, read by the real SDK: of calls to real engines, of requests, of what ranked the lists."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData

from tests.metadata_stores.engines import fresh
from tests.recommender.tastes import TasteEncoder, world
from vecrec import Recommender, User
from vecrec._internal import meters
from vecrec.errors import ItemNotFoundError, StoreTimeoutError, StoreUnavailableError
from vecrec.metadata_stores import MemoryMetadataStore, RedisMetadataStore
from vecrec.vector_stores import MemoryVectorStore
from vecrec.vector_stores.milvus import MilvusVectorStore

DURATION, REQUEST, LISTS = "db.client.operation.duration", "vecrec.request.duration", "vecrec.lists"


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    """Give what a provider has collected that is set for this test alone."""
    made = InMemoryMetricReader()
    provider = MeterProvider([made])
    # A provider can be set once in a process, and the other tests shall not pay for this one.
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    monkeypatch.setattr(meters, "_state", meters._State())
    return made


@pytest.fixture
def rec(tmp_path: Path) -> Iterator[Recommender]:
    with Recommender(
        TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), name="demo", artifacts=tmp_path
    ) as made:
        made.fit(world())
        yield made


def _read(reader: InMemoryMetricReader, name: str) -> tuple[str, dict[tuple[Any, ...], float]]:
    """The unit of a metric; its count or sum by the values of its attributes, in the order of their names."""
    data = reader.get_metrics_data()
    assert isinstance(data, MetricsData)
    found: list[Any] = [
        each for resource in data.resource_metrics for scope in resource.scope_metrics for each in scope.metrics
    ]
    (metric,) = [each for each in found if each.name == name]
    counts = {
        tuple(value for _, value in sorted(point.attributes.items())): getattr(point, "count", None) or point.value
        for point in metric.data.data_points
    }
    return metric.unit, counts


def test_calls_to_engines(reader: InMemoryMetricReader, server_url: Callable[[str], str], milvus_uri: str) -> None:
    """By the stable conventions for database clients, in seconds; one that fails with the type of its error."""
    with RedisMetadataStore(server_url("redis"), prefix=fresh()) as store:
        store.put("item", {1: {"title": "Fargo"}})
        store.get("item", [1])
        store.get("item", [2])
    with MilvusVectorStore(milvus_uri) as vectors:
        vectors.collections()
    with RedisMetadataStore("redis://127.0.0.1:1") as nowhere, pytest.raises(StoreUnavailableError):
        nowhere.get("item", [1])
    unit, counts = _read(reader, DURATION)
    assert unit == "s"
    # db.collection.name, db.operation.name, db.system.name, error.type
    assert counts == {
        ("item", "put", "redis"): 1,
        ("item", "get", "redis"): 2,
        ("collections", "milvus"): 1,
        ("item", "get", "redis", "StoreUnavailableError"): 1,
    }


def test_requests_and_what_ranked_the_lists(
    reader: InMemoryMetricReader, rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list is degraded while the vector store is away, not for a user about whom nothing is known."""
    rec.recommend(3)
    rec.recommend(4)
    rec.recommend_for(User())
    rec.popular(3)
    with pytest.raises(ItemNotFoundError):
        rec.similar_items("none")

    def away(*_: Any) -> None:
        raise StoreTimeoutError("it hangs")

    monkeypatch.setattr(rec.vector_store, "_search", away)
    rec.recommend(3)
    unit, counts = _read(reader, REQUEST)
    assert unit == "s"
    assert counts == {
        ("recommend",): 3,
        ("recommend_for",): 1,
        ("popular",): 1,
        ("ItemNotFoundError", "similar_items"): 1,
    }
    # vecrec.degraded, vecrec.served_by
    lists = _read(reader, LISTS)[1]
    assert {key: lists[key] for key in lists if key[0]} == {(True, "popularity"): 1}
    assert lists[False, "vectors"] == 2
    assert lists[False, "popularity"] == 2


def test_without_a_provider_for_metrics_nothing_of_it_is_imported() -> None:
    """Nor where the application traces only."""
    script = """
import sys
import opentelemetry.trace
from vecrec.metadata_stores import MemoryMetadataStore
store = MemoryMetadataStore()
store.put("item", {1: {}})
assert not [name for name in sys.modules if name.startswith("opentelemetry.metrics")]
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
