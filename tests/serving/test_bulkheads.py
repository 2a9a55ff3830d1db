"""Requests that wait for one engine leave the threads of the others alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.recommender.tastes import TasteEncoder, world
from tests.serving.web import get, listening, problem
from vecrec import Recommender
from vecrec.config import Settings
from vecrec.errors import StoreTimeoutError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.serving import create_app
from vecrec.vector_stores import MemoryVectorStore


class Waiting(MemoryVectorStore):
    """A vector store that answers when it is told to."""

    go_on = threading.Event()
    asked = threading.Semaphore(0)
    away = False

    def ping(self) -> None:
        if self.away:
            raise StoreTimeoutError("the engine at 10.0.0.7 hangs")

    def _search(self, *arguments: Any, **options: Any) -> Any:
        self.asked.release()
        assert self.go_on.wait(120)
        return super()._search(*arguments, **options)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[httpx.Client, Waiting]]:
    """Give a client of a service, and its vector store."""
    vectors = Waiting()
    vectors.go_on.set()
    parts = TasteEncoder(), vectors, MemoryMetadataStore()
    # Each request is a search of its own, so that each takes a place.
    with Recommender(*parts, name="demo", artifacts=tmp_path, coalesce=False) as recommender:
        recommender.fit(world())
        with listening(create_app(recommender, settings=Settings(name="demo", max_in_flight=160))) as client:
            yield client, vectors


def test_reads_of_users_pass_a_crowd_that_waits_for_vectors(served: tuple[httpx.Client, Waiting]) -> None:
    """The room of the vector store is full, all beyond it are refused, and the other rooms have their threads."""
    client, vectors = served
    vectors.asked = threading.Semaphore(0)
    vectors.go_on.clear()
    with ThreadPoolExecutor(60) as pool:
        crowd = [pool.submit(client.get, "/v1/users/3/recommendations") for _ in range(60)]
        try:
            for _ in range(32):  # as many as there are threads for them
                assert vectors.asked.acquire(timeout=120)
            while sum(each.done() for each in crowd) < 20:  # the room has 40 places
                threading.Event().wait(0.01)
            for _ in range(5):
                assert get(client.get("/v1/users/3"))["id"] == 3
                assert get(client.get("/v1/popular"))["items"]
                get(client.put("/v1/users/77", json={}))
        finally:
            vectors.go_on.set()
        answers = [each.result(120) for each in crowd]
    assert sorted({each.status_code for each in answers}) == [200, 503]
    assert sum(each.status_code == 200 for each in answers) == 40
    refused = next(each for each in answers if each.status_code == 503)
    assert problem(refused, 503)["type"].endswith("store-timeout")


def test_without_the_vector_store_the_service_is_ready_and_degraded(served: tuple[httpx.Client, Waiting]) -> None:
    """A balancer goes on sending requests, which popularity serves."""
    client, vectors = served
    vectors.away = True
    ready = get(client.get("/health/ready"))
    assert ready["status"] == "degraded"
    assert ready["parts"] == {
        "vector_store": "A store does not answer in time", "metadata_store": "ok", "release": "ok"
    }  # fmt: skip
