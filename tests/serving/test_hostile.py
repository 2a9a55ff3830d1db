"""Nothing that can be sent makes the service fail, lie or write half of it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.serving.web import get, problem
from vecrec import Recommender

IDS: list[str] = [
    "a/b", "/", "..", ".", "a%2Fb", "%", "%25", "a?b=c", "a#b", "a b", "a+b", "é", "🎬", "\t", "\n", "\\", '"', "{}",
    "'; DROP TABLE x; --", "zz'] or id != 'zz' or id in ['zz", "{item_id}", "null", "1.5", "-0", "007",
    "9" * 20, "x" * 512,
]  # fmt: skip


@pytest.mark.parametrize("key", IDS)
def test_any_text_is_an_id_in_a_path(client: httpx.Client, key: str) -> None:
    """What was put under an id is read, recommended from and deleted under it, and nothing else is."""
    path = f"/v1/items/{quote(key, safe='').replace('.', '%2E')}?id_type=string"
    before = len(get(client.get("/v1/items?limit=200"))["items"])
    assert get(client.put(path, json={"title": key, "tastes": ["war"]})) == {"written": 1}
    try:
        assert get(client.get(path)) == {"id": key, "features": {"title": key, "tastes": ["war"]}}
        assert get(client.post("/v1/items/lookup", json={"ids": [key]}))["items"][0]["id"] == key
        assert get(client.get(path.replace("?", "/similar?k=1&")))["items"]
    finally:
        assert client.delete(path).status_code == 204
    problem(client.get(path), 404)
    assert len(get(client.get("/v1/items?limit=200"))["items"]) == before


@pytest.mark.parametrize("key", IDS)
def test_any_text_is_a_user(client: httpx.Client, key: str) -> None:
    """Liking, reading and forgetting work for any id."""
    path = f"/v1/users/{quote(key, safe='').replace('.', '%2E')}"
    text = {"id_type": "string"}
    assert get(client.post(f"{path}/likes", params=text, json={"item_id": 3})) == {"written": 1}
    assert get(client.get(path, params=text))["id"] == key
    assert get(client.get(f"{path}/recommendations", params=text))["user_id"] == key
    assert get(client.delete(path, params=text))["events"] == 1


@pytest.mark.parametrize(
    ("key", "expected"),
    [("7", 7), ("-3", -3), ("0", 0), ("007", "007"), ("-0", "-0"), ("1e3", "1e3"), ("٣", "٣"), ("9" * 19, "9" * 19)],
)
def test_what_looks_like_an_integer_is_one(client: httpx.Client, key: str, expected: int | str) -> None:
    """And nothing else: no leading zero, no other script's digits, nothing beyond 64 bits."""
    assert get(client.get(f"/v1/users/{quote(key)}/recommendations"))["user_id"] == expected


BODIES: list[tuple[str, Any]] = [
    ("/v1/recommendations", {"k": 0}),
    ("/v1/recommendations", {"k": 1001}),
    ("/v1/recommendations", {"k": 1.5}),
    ("/v1/recommendations", {"k": None}),
    ("/v1/recommendations", {"user_id": True}),
    ("/v1/recommendations", {"user_id": 1.0}),
    ("/v1/recommendations", {"user_id": 2**63}),
    ("/v1/recommendations", {"user_id": "\ud800"}),
    ("/v1/recommendations", {"user_id": "é" * 400}),
    ("/v1/recommendations", {"usr_id": 3}),
    ("/v1/recommendations", {"liked": [None]}),
    ("/v1/recommendations", {"liked": list(range(1001))}),
    ("/v1/recommendations", {"features": {"taste": "fish"}}),
    ("/v1/recommendations", {"features": {"taste": float("nan")}}),
    ("/v1/recommendations", {"features": {"taste": ["war"]}}),
    ("/v1/recommendations", {"where": {"field": "nope", "op": "eq", "value": 1}}),
    ("/v1/recommendations", {"where": {"field": "year", "op": "eq", "value": "x"}}),
    ("/v1/recommendations", {"where": {"field": "year", "op": "eq", "value": [1]}}),
    ("/v1/recommendations", {"where": {"field": "year", "op": "in", "value": 1}}),
    ("/v1/recommendations", {"where": {"field": "year", "op": "lt", "value": True}}),
    ("/v1/recommendations", {"where": {"field": "year", "op": "contains", "value": 3}}),
    ("/v1/recommendations", {"where": {"field": "year", "op": "eq", "value": 2**70}}),
    ("/v1/recommendations", {"where": {"field": "year", "op": "eq", "value": float("inf")}}),
    ("/v1/recommendations", {"where": {"all": []}}),
    ("/v1/recommendations", {"where": {"all": [{"field": "year", "op": "ge", "value": 1}], "any": []}}),
    ("/v1/recommendations", {"where": "year>1990"}),
    ("/v1/recommendations", []),
    ("/v1/recommendations", "text"),
    ("/v1/recommendations", None),
    ("/v1/users", {"users": []}),
    ("/v1/users", {"users": [{"id": 1, "features": {"taste": "fish"}}]}),
    ("/v1/users", {"users": [{"id": 1, "history": [1]}]}),
    ("/v1/users", {"users": [{"features": {}}]}),
    ("/v1/users", {"users": [{"id": n} for n in range(1001)]}),
    ("/v1/items", {"items": [{"id": "new", "features": {"year": "soon"}}]}),
    ("/v1/items", {"items": [{"id": "new"}, {"id": "new2", "features": {"year": 1.5}}]}),
    ("/v1/items", {"items": [{"id": "new", "features": {"x": 2**70}}]}),
    ("/v1/events", {"events": [{"user_id": 1, "item_id": 1, "time": "now"}]}),
    ("/v1/events", {"events": [{"user_id": "new", "item_id": 1}, {"user_id": 1, "item_id": None}]}),
    ("/v1/events", {"events": [{"user_id": "new", "item_id": 1, "rating": float("inf")}]}),
    ("/v1/events", {"events": [{"user_id": "new", "item_id": 1, "time": 10**400}]}),
    ("/v1/ranking", {"user_id": 3, "item_ids": []}),
    ("/v1/ranking", {"user_id": 3, "item_ids": list(range(1001))}),
    ("/v1/retrieval", {"vector": []}),
    ("/v1/retrieval", {"vector": [0.0] * 6}),
    ("/v1/retrieval", {"vector": [float("nan")] * 5}),
    ("/v1/retrieval", {"vector": [10**400] * 5}),
    ("/v1/users/new/likes", {"item_id": None}),
    ("/v1/users/new/likes", {}),
]


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_bad_bodies_are_refused_and_nothing_is_written(
    client: httpx.Client, recommender: Recommender, path: str, body: Any
) -> None:
    """422 with what is wrong, and both stores as they were."""
    before = (recommender.metadata_store.count("item"), recommender.metadata_store.count("user"))
    answer = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert len(problem(answer, 422)["detail"]) < 2000
    assert (recommender.metadata_store.count("item"), recommender.metadata_store.count("user")) == before
    problem(client.get("/v1/users/new"), 404)
    problem(client.get("/v1/items/new"), 404)


@pytest.mark.parametrize(
    "content",
    [b"{", b"", b"\xff\xfe", b'{"k": 1' + b"0" * 5000 + b"}", b'{"a":' * 5000, b"[" * 100_000, b'{"user_id": "\xff"}'],
    ids=["cut off", "empty", "no text", "endless number", "deep", "deeper", "bad text"],
)
def test_what_is_no_json_is_refused(client: httpx.Client, content: bytes) -> None:
    """A client's mistake is 4xx, whatever the parser makes of it."""
    answer = client.post("/v1/recommendations", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code)


def test_deep_and_wide_filters_are_refused(client: httpx.Client) -> None:
    """Neither the nesting nor the number of conditions can exhaust the stack."""
    leaf: Any = {"field": "year", "op": "ge", "value": 1}
    deep = leaf
    for _ in range(200):
        deep = {"not": deep}
    wide = {"any": [{"all": [leaf] * 100}] * 100}
    for where in (deep, wide):
        problem(client.post("/v1/recommendations", json={"where": where}), 422)


@pytest.mark.parametrize(
    "text", ["", "year", "year>=", "year>=x", "nope=1", "year~1", ">=1", "tastes<=war", "year>=1 or 1=1"]
)
def test_bad_conditions_in_a_query_are_refused(client: httpx.Client, text: str) -> None:
    """With the way to write them."""
    problem(client.get("/v1/users/3/recommendations", params={"where": text}), 422)


@pytest.mark.parametrize(
    "query", ["k=0", "k=x", "k=1001", "k=-1", "exclude_seen=perhaps", "id_type=float", f"k={'9' * 5000}"]
)
def test_bad_queries_are_refused(client: httpx.Client, query: str) -> None:
    """422, whatever the parameter."""
    problem(client.get(f"/v1/users/3/recommendations?{query}"), 422)


def test_a_path_that_is_no_text_is_refused(client: httpx.Client) -> None:
    """Bytes that are no UTF-8 are not replaced by something that might be another's id."""
    problem(client.get("/v1/items/%FF"), 400)
    problem(client.get("/v1/items/%ED%A0%80"), 400)


def test_unknown_paths_and_methods_are_problems_too(client: httpx.Client) -> None:
    """Nothing is answered by another format."""
    problem(client.get("/v1/nothing"), 404)
    assert "POST" in client.request("PATCH", "/v1/users").headers["allow"]
    problem(client.request("PATCH", "/v1/users"), 405)


def test_answers_do_not_repeat_what_was_sent(client: httpx.Client) -> None:
    """A secret that was sent in the wrong field comes back in no message of the validation."""
    answer = client.post("/v1/recommendations", json={"k": "hunter2-secret", "features": "hunter2-secret"})
    assert "hunter2-secret" not in problem(answer, 422)["detail"] + answer.text
