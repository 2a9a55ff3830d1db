"""Keys, limits, request ids and origins."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.serving.web import get, listening, problem
from vecrec import Recommender
from vecrec.serving import Settings, create_app
from vecrec.serving.middleware import RateLimit


@contextmanager
def _service(recommender: Recommender, **settings: Any) -> Iterator[httpx.Client]:
    with listening(create_app(recommender, settings=Settings(**settings))) as client:
        yield client


def test_a_request_keeps_the_id_that_it_came_with(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """It is in the header, in the list, in problems and in the log."""
    caplog.set_level(logging.INFO, "vecrec.serving.access")
    mine = {"x-request-id": "order-66.a_b"}
    answer = client.get("/v1/users/3/recommendations", headers=mine)
    assert answer.headers["x-request-id"] == get(answer)["request_id"] == "order-66.a_b"
    assert problem(client.get("/v1/items/nope", headers=mine), 404)["request_id"] == "order-66.a_b"
    while "order-66.a_b GET /v1/items/nope 404" not in caplog.text:  # it is logged after it is answered
        time.sleep(0.01)


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é".encode(), "a\tb"])
def test_a_request_without_a_proper_id_gets_one(client: httpx.Client, given: Any) -> None:
    """What might break a log is not taken over."""
    answers = [client.get("/health/live", headers={"x-request-id": given}) for _ in range(2)]
    made = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(made)) == 2
    assert all(len(each) == 32 for each in made)


def test_keys_guard_everything_but_health_and_page(recommender: Recommender) -> None:
    """With keys, a request shows one of them, in either header; health and the page's files need none."""
    with _service(recommender, api_keys=("first", "second")) as client:
        for wrong in ({}, {"x-api-key": "third"}, {"authorization": "Bearer firs"}, {"authorization": "Basic first"}):
            answer = client.get("/v1/schema", headers=wrong)
            problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        get(client.get("/v1/schema", headers={"x-api-key": "second"}))
        get(client.get("/v1/schema", headers={"authorization": "bearer first"}))
        problem(client.get("/metrics"), 401)
        problem(client.get("/v1/no-such-path"), 401)
        assert [client.get(path).status_code for path in ("/health/live", "/health/ready", "/", "/openapi.json")] == [
            200
        ] * 4


def test_keys_are_not_shown() -> None:
    """Settings can be logged."""
    settings = Settings(api_keys=("hunter2",), metadata_store="redis://:hunter2@h", vector_store="http://u:hunter2@h")
    assert "hunter2" not in repr(settings)


def test_large_bodies_are_refused_with_and_without_a_length(recommender: Recommender) -> None:
    """A header that lies, or a body that comes in pieces, makes no difference."""
    with _service(recommender, max_body_bytes=1000) as client:
        problem(client.post("/v1/events", content=b"x" * 1001), 413)
        pieces = (b"x" * 100 for _ in range(20))
        answer = client.post("/v1/events", content=pieces, headers={"content-type": "application/json"})
        problem(answer, 413)
        get(client.post("/v1/recommendations", json={"k": 3}))


def test_limits_on_sizes_are_the_settings(recommender: Recommender) -> None:
    """K and batches."""
    with _service(recommender, max_k=5, max_batch=2) as client:
        assert "more than 5" in problem(client.post("/v1/recommendations", json={"k": 6}), 422)["detail"]
        problem(client.get("/v1/items/4/similar?k=6"), 422)
        problem(client.post("/v1/items/lookup", json={"ids": [1, 2, 3]}), 422)
        problem(client.post("/v1/users/vectors", json={"users": [{}, {}, {}]}), 422)


def test_a_client_that_asks_too_often_is_told_when_to_come_again(recommender: Recommender) -> None:
    """A burst of a sixth of a minute's share, then 429; health is not counted, nor are others."""
    with _service(recommender, rate_per_minute=30, api_keys=("a", "b")) as client:
        mine, other = {"x-api-key": "a"}, {"x-api-key": "b"}
        answers = [client.get("/v1/schema", headers=mine) for _ in range(7)]
        assert [each.status_code for each in answers] == [200] * 5 + [429] * 2
        assert {each.headers["x-ratelimit-limit"] for each in answers} == {"5"}
        assert [each.headers["x-ratelimit-remaining"] for each in answers] == [*"4321000"]
        resets = [int(each.headers["x-ratelimit-reset"]) for each in answers]
        assert resets == sorted(resets)
        assert 0 < resets[0] <= 2
        assert 8 < resets[-1] <= 10
        answer = client.get("/v1/schema", headers=mine)
        problem(answer, 429)
        assert 1 <= int(answer.headers["retry-after"]) <= 2
        get(client.get("/v1/schema", headers=other))
        assert "x-ratelimit-limit" not in client.get("/health/live").headers


def test_a_rate_limit_refills_and_forgets() -> None:
    """A token every so often, never more than the bucket, and a bounded number of clients."""
    now = [0.0]
    limit = RateLimit(60, clock=lambda: now[0])
    assert [limit.wait("a") > 0 for _ in range(11)] == [False] * 10 + [True]
    now[0] += 1.01
    assert [limit.wait("a") > 0 for _ in range(2)] == [False, True]
    now[0] += 1e6
    assert [limit.wait("a") > 0 for _ in range(11)] == [False] * 10 + [True]
    for client in range(20_000):
        limit.wait(str(client))
    assert len(limit._buckets) == 10_000


def test_too_many_at_a_time_are_told_to_come_again(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the answer is 503 at once, and health goes on answering."""
    release, arrived = threading.Event(), threading.Barrier(3)

    def slow(*_: object) -> object:
        arrived.wait(10)
        release.wait(10)
        return found

    found = recommender.similar_items(4)
    monkeypatch.setattr(recommender, "similar_items", lambda *a, **b: slow())
    with _service(recommender, max_in_flight=2) as client:
        threads = [threading.Thread(target=client.get, args=("/v1/items/4/similar",)) for _ in range(2)]
        for thread in threads:
            thread.start()
        arrived.wait(10)
        answer = client.get("/v1/items/4")
        assert problem(answer, 503)["type"].endswith("busy")
        assert answer.headers["retry-after"] == "1"
        get(client.get("/health/live"))
        release.set()
        for thread in threads:
            thread.join()
        get(client.get("/v1/items/4"))


def test_other_origins_are_shut_out_unless_named(recommender: Recommender, client: httpx.Client) -> None:
    """By default no answer allows another origin; a named one may read, and no other."""
    assert (
        "access-control-allow-origin" not in client.get("/v1/items/1", headers={"origin": "https://a.example"}).headers
    )
    with _service(recommender, cors_origins=("https://a.example",), api_keys=("k",)) as shared:
        ask = {"origin": "https://a.example", "access-control-request-method": "POST"}
        before = shared.options("/v1/events", headers={**ask, "access-control-request-headers": "x-api-key"})
        assert before.status_code == 200
        assert before.headers["access-control-allow-origin"] == "https://a.example"
        answer = shared.get("/v1/items/1", headers={"origin": "https://b.example", "x-api-key": "k"})
        assert "access-control-allow-origin" not in answer.headers


def test_a_mistake_of_the_service_is_a_problem_without_its_insides(
    recommender: Recommender, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with the request's id, under which the log has the details."""
    monkeypatch.setattr(recommender, "get_items", lambda ids: 1 / 0)
    body = problem(client.get("/v1/items/1"), 500)
    assert "ZeroDivisionError" not in str(body)
    assert "ZeroDivisionError" in caplog.text
    assert body["request_id"] in caplog.text


def test_it_can_be_mounted_in_another_application(recommender: Recommender) -> None:
    """Below any path, with keys, ids with slashes and the page."""
    outer = FastAPI()
    outer.mount("/inner/rec", create_app(recommender, settings=Settings(api_keys=("k",))))
    with listening(outer) as client:
        key = {"x-api-key": "k"}
        problem(client.get("/inner/rec/v1/items/1"), 401)
        assert get(client.get("/inner/rec/v1/items/1", headers=key))["id"] == 1
        assert problem(client.get("/inner/rec/v1/items/a%2Fb", headers=key), 404)["detail"].startswith("no item 'a/b'")
        assert client.get("/inner/rec/").status_code == 200
        assert get(client.get("/inner/rec/health/ready"))["status"] == "ok"
