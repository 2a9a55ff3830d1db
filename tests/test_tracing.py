"""Spans of OpenTelemetry: around requests and around what they ask of real engines; and nothing without a provider."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.datastructures import Headers

from tests.metadata_stores.engines import fresh
from tests.recommender.tastes import TasteEncoder, world
from tests.serving.web import get, listening
from vecrec import Recommender
from vecrec._internal import meters, tracing
from vecrec.config.settings import Settings
from vecrec.errors import StoreUnavailableError
from vecrec.metadata_stores import MemoryMetadataStore, MetadataStore, RedisMetadataStore, SQLMetadataStore
from vecrec.serving import create_app
from vecrec.serving.metrics import Metrics
from vecrec.serving.middleware import Gate
from vecrec.vector_stores import MemoryVectorStore
from vecrec.vector_stores.milvus import MilvusVectorStore


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Give what a provider exports that is set for this test alone."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # A provider can be set once in a process, and the other tests shall not pay for this one.
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(tracing, "_state", tracing._State())
    return exporter


@pytest.fixture
def rec(tmp_path: Path) -> Iterator[Recommender]:
    with Recommender(
        TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), name="demo", artifacts=tmp_path
    ) as made:
        made.fit(world())
        yield made


def _told(spans: InMemorySpanExporter) -> list[tuple[str, dict[str, Any]]]:
    return [(each.name, dict(each.attributes or {})) for each in spans.get_finished_spans()]


def _named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    return next(each for each in spans.get_finished_spans() if each.name == name)


@pytest.mark.parametrize("system", ["redis", "mysql", "postgresql", "sqlite"])
def test_calls_of_a_metadata_store(
    system: str, spans: InMemorySpanExporter, server_url: Callable[[str], str], tmp_path: Path
) -> None:
    """By the stable conventions: the engine, the operation, and the kind of records."""
    server = {"mysql": "mariadb", "postgresql": "postgres"}.get(system, system)
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}" if system == "sqlite" else server_url(server)
    store: MetadataStore
    store = RedisMetadataStore(url, prefix=fresh()) if system == "redis" else SQLMetadataStore(url, prefix=fresh())
    with store:
        store.put("item", {1: {"title": "Fargo"}})
        store.recent_events([1], 10)
    assert _told(spans) == [
        ("put item", {"db.system.name": system, "db.operation.name": "put", "db.collection.name": "item"}),
        (
            "recent_events events",
            {"db.system.name": system, "db.operation.name": "recent_events", "db.collection.name": "events"},
        ),
    ]
    assert {each.kind for each in spans.get_finished_spans()} == {SpanKind.CLIENT}


def test_calls_of_a_milvus_server(spans: InMemorySpanExporter, milvus_uri: str) -> None:
    with MilvusVectorStore(milvus_uri) as store:
        store.collections()
    (span,) = spans.get_finished_spans()
    assert span.name == "collections milvus"
    assert dict(span.attributes or {}) == {"db.system.name": "milvus", "db.operation.name": "collections"}
    assert span.status.status_code is StatusCode.UNSET


def test_a_failed_call_names_its_error_and_not_its_message(spans: InMemorySpanExporter) -> None:
    with RedisMetadataStore("redis://user:secret@127.0.0.1:1") as store, pytest.raises(StoreUnavailableError):
        store.get("item", [1])
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "StoreUnavailableError"
    assert "secret" not in span.to_json()
    assert span.events == ()


def test_a_request_is_the_parent_of_what_it_asks(spans: InMemorySpanExporter, rec: Recommender) -> None:
    spans.clear()
    rec.recommend(3)
    request = _named(spans, "vecrec.recommend")
    assert request.parent is None
    asked = [each for each in spans.get_finished_spans() if each is not request]
    assert {each.name.split()[0] for each in asked} == {"read_users", "spec", "search", "get"}
    assert {each.parent.span_id for each in asked if each.parent} == {request.context.span_id}
    spans.clear()
    rec.similar_items(3)
    rec.popular(3)
    rec.rank(3, [1, 2])
    names = [each.name for each in spans.get_finished_spans() if each.kind is SpanKind.INTERNAL]
    assert names == ["vecrec.similar_items", "vecrec.popular", "vecrec.rank"]


CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {"traceparent": f"00-{CALLER}-00f067aa0ba902b7-01", "x-request-id": "order-66"}


def test_the_service_goes_on_with_the_trace_of_its_client(spans: InMemorySpanExporter, rec: Recommender) -> None:
    """From the header `traceparent` down to the engines, through the worker threads, with one span of the server."""
    spans.clear()
    with listening(create_app(rec)) as client:
        get(client.get("/v1/users/3/recommendations", headers=HEADERS))
    one = [each for each in spans.get_finished_spans() if f"{each.context.trace_id:032x}" == CALLER]
    assert {each.name.split()[0] for each in one} >= {"GET", "vecrec.recommend", "search", "get"}
    (served,) = [each for each in one if each.kind is SpanKind.SERVER]
    assert served.name == "GET /v1/users/{user_id}/recommendations"
    told = dict(served.attributes or {})
    assert told["http.route"] == "/v1/users/{user_id}/recommendations"
    assert told["http.response.status_code"] == 200
    assert told["vecrec.request_id"] == "order-66"


def test_the_gate_makes_the_span_where_no_framework_does(spans: InMemorySpanExporter) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        status = 503 if scope["path"] == "/busy" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with listening(Gate(app, settings=Settings(), metrics=Metrics())) as client:
        client.get("/", headers=HEADERS)
        client.get("/busy")
    first, second = spans.get_finished_spans()
    assert (first.kind, first.name, f"{first.context.trace_id:032x}") == (SpanKind.SERVER, "GET", CALLER)
    assert dict(first.attributes or {}) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "vecrec.request_id": "order-66",
    }
    assert (second.attributes or {})["error.type"] == "503"
    assert second.parent is None


def test_without_a_provider_nothing_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry is imported here, and no provider set: a thousand calls take not a byte, not even for a moment."""
    monkeypatch.setattr(tracing, "_state", tracing._State())
    assert tracing.tracer() is None
    monkeypatch.setattr(meters, "_state", meters._State())
    assert meters.instruments() is None
    tracing._state.next_look = meters._state.next_look = math.inf  # what follows is between two looks
    arguments, inner, headers = ("item", [1]), nullcontext(), Headers({"traceparent": "00"})

    def call() -> None:
        assert tracing.engine_span("redis", "_get", arguments) is None
        assert tracing.request_span("recommend", inner) is inner
        assert tracing.serving_span("GET", headers, "order-66") is None
        meters.count_lists((), degraded=False)

    def nothing() -> None:
        assert tracing._state is not None

    assert _peak(call) <= _peak(nothing), "beside what measuring takes itself"
    assert _peak(lambda: tracing.engine_span("redis", "_get", (*arguments, 2.5))) > _peak(nothing), "it sees a tuple"


def _peak(call: Callable[[], object]) -> int:
    """The most bytes beside those of before while a thousand calls run, apart from what other threads take."""
    return min(_peak_of_all_threads(call) for _ in range(20))


def _peak_of_all_threads(call: Callable[[], object]) -> int:
    coverage = sys.gettrace()
    sys.settrace(None)  # it keeps what it counts
    tracemalloc.start()
    try:
        call()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1_000):
            call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
        sys.settrace(coverage)


def test_without_opentelemetry_nothing_of_it_runs() -> None:
    """A process that has not imported it does not import it by tracing, and calls no function of the module."""
    script = """
import sys
from vecrec._internal import tracing
from vecrec.metadata_stores import MemoryMetadataStore
called = []
def follow(frame, event, _):
    if event == "call":
        called.append(frame.f_code.co_filename)
store = MemoryMetadataStore()
sys.setprofile(follow)
store.put("item", {1: {}})
store.get("item", [1])
sys.setprofile(None)
assert called and tracing.__file__ not in called, called
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
