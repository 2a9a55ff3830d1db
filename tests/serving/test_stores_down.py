"""Real stores that go away and come back: 503 with the reason, popular items where that is possible, no restart."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.recommender.tastes import TasteEncoder, world
from tests.servers.milvus import MilvusServer
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.serving.web import get, listening, problem
from vecrec import Recommender
from vecrec.encoders import ContentEncoder
from vecrec.metadata_stores import RedisMetadataStore
from vecrec.serving import create_app
from vecrec.vector_stores import MilvusVectorStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Give a server that may be stopped."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def milvus() -> Iterator[MilvusServer]:
    """Give a server that may be stopped."""
    with MilvusServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(
    redis: RedisServer, milvus: MilvusServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """Give a client of a service on both."""
    artifacts: Path = tmp_path_factory.mktemp("artifacts")
    patient = (MilvusVectorStore(milvus.url), RedisMetadataStore(redis.url))
    with Recommender(TasteEncoder(), *patient, name="demo", artifacts=artifacts) as trainer:
        trainer.fit(world())
    hasty = (MilvusVectorStore(milvus.url, timeout=3.0), RedisMetadataStore(redis.url, timeout=1.0))
    serving = Recommender.open("demo", *hasty, artifacts, encoder=TasteEncoder)
    with serving, listening(create_app(serving)) as made:
        yield made


def _eventually(question: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            return question()
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def test_metadata_store_down(client: httpx.Client, redis: RedisServer) -> None:
    """Everything that needs it says so within its timeout, the process stays alive, and it recovers by itself."""
    assert get(client.get("/v1/users/3/recommendations"))["served_by"] == "vectors"
    redis.stop()
    try:
        for path in ("/v1/users/3/recommendations", "/v1/users/3", "/v1/items/4", "/v1/items/4/similar"):
            answer = client.get(path)
            assert problem(answer, 503)["type"].endswith(("store-unavailable", "store-timeout"))
            assert answer.headers["retry-after"]
        problem(client.post("/v1/events", json={"events": [{"user_id": 1, "item_id": 1}]}), 503)
        parts = problem(client.get("/health/ready"), 503)["parts"]
        assert parts["metadata_store"] != "ok"
        assert parts["vector_store"] == parts["release"] == "ok"
        get(client.get("/health/live"))
    finally:
        redis.start()
    _eventually(lambda: get(client.get("/health/ready")))
    _eventually(lambda: get(client.get("/v1/users/3/recommendations")))
    assert get(client.get("/v1/users/3/recommendations"))["served_by"] == "vectors"


def test_vector_store_down(client: httpx.Client, milvus: MilvusServer) -> None:
    """Lists are served by popularity and say so, explained or not; what needs vectors says why it cannot."""
    milvus.stop()
    try:
        for body in ({"user_id": 3}, {"liked": [3], "disliked": [4], "explain": True}):
            answer = get(client.post("/v1/recommendations", json=body))
            assert answer["served_by"] == "popularity"
            assert any("does not answer" in note for note in answer["notes"])
            assert len(answer["items"]) == 10
        problem(client.get("/v1/items/4/similar"), 503)
        problem(client.post("/v1/retrieval", json={"user_id": 3}), 503)
        problem(client.post("/v1/ranking", json={"user_id": 3, "item_ids": [1]}), 503)
        ready = get(client.get("/health/ready"))  # popularity serves, so a balancer goes on sending requests
        assert ready["status"] == "degraded"
        assert ready["parts"]["vector_store"] != "ok"
        assert ready["parts"]["metadata_store"] == "ok"
    finally:
        milvus.start()
    _eventually(lambda: get(client.get("/health/ready")))

    def served() -> None:
        assert get(client.get("/v1/users/3/recommendations"))["served_by"] == "vectors"

    _eventually(served)


def _second(redis: RedisServer) -> str:
    """Another database of the server, for a second recommender."""
    return redis.url.removesuffix("/0") + "/1"


@contextmanager
def _served(artifacts: Path, milvus: MilvusServer, redis: RedisServer) -> Iterator[httpx.Client]:
    """A client of `vecrec serve`, which may still be starting."""
    port, given = (
        free_port(),
        {"--artifacts": artifacts, "--vector-store": milvus.url, "--metadata-store": _second(redis)},
    )
    command = [f"{name}={value}" for name, value in {**given, "--name": "shop", "--port": port}.items()]
    log = artifacts / f"{port}.log"
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", "vecrec", "serve", *command], stderr=file)
    try:
        end = time.monotonic() + 120
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", port)):
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=120) as made:
            yield made
    finally:
        process.terminate()
        assert process.wait(120) == 0, log.read_text()


@pytest.fixture(scope="module")
def frozen() -> Iterator[MilvusServer]:
    """Give a server that may be paused: by default one ends itself when it was stopped for ten seconds."""
    with MilvusServer({"common.session.ttl": 120}) as server:
        yield server


@pytest.fixture(scope="module")
def artifacts(redis: RedisServer, frozen: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the artifacts of a shop on both, which the command can serve."""
    folder = tmp_path_factory.mktemp("shop")
    stores = MilvusVectorStore(frozen.url), RedisMetadataStore(_second(redis))
    with Recommender(ContentEncoder(dim=16), *stores, name="shop", artifacts=folder) as trainer:
        trainer.fit(world())
    return folder


def test_a_service_that_starts_while_milvus_hangs(artifacts: Path, redis: RedisServer, frozen: MilvusServer) -> None:
    """It is ready, serves popular items, and vectors once Milvus goes on."""
    frozen.pause()
    try:
        with _served(artifacts, frozen, redis) as client:
            answer = get(client.get("/v1/users/3/recommendations"))
            assert (answer["served_by"], len(answer["items"])) == ("popularity", 10)
            assert any("does not answer" in note for note in answer["notes"])
            assert get(client.get("/health/ready"))["status"] == "degraded"
            frozen.resume()
            _eventually(lambda: _is(get(client.get("/v1/users/3/recommendations"))["served_by"] == "vectors"))
    finally:
        frozen.resume()


def test_a_service_that_starts_while_redis_hangs(artifacts: Path, redis: RedisServer, frozen: MilvusServer) -> None:
    """It says so, and serves once Redis goes on."""
    redis.pause()
    try:
        with _served(artifacts, frozen, redis) as client:
            assert problem(client.get("/v1/users/3/recommendations"), 503)["type"].endswith("store-timeout")
            assert problem(client.get("/health/ready"), 503)["parts"]["release"] == "ok"
            redis.resume()
            _eventually(lambda: _is(get(client.get("/v1/users/3/recommendations"))["served_by"] == "vectors"))
    finally:
        redis.resume()


def _is(value: bool) -> None:
    assert value
