"""Listings page by page: each entry once, whatever is written between two pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.serving.conftest import published
from tests.serving.web import get, listening, problem
from vecrec import Event, Item, Recommender, User
from vecrec.serving import create_app, user_list

pytestmark = pytest.mark.usefixtures("_no_waiting_for_the_disk")

_WAR = {"tastes": ["war"], "year": 1999}


@pytest.fixture
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """Give a recommender whose catalogue may be changed at will."""
    with published(tmp_path_factory.mktemp("artifacts")) as made:
        yield made


@pytest.fixture
def client(recommender: Recommender) -> Iterator[httpx.Client]:
    """Give a client of a service on it."""
    with listening(create_app(recommender)) as made:
        yield made


def _pages(client: httpx.Client, path: str, between: Callable[[int], Any] = lambda page: None, **params: Any) -> Any:
    """The entries of each page, and what is done after each."""
    cursor, page = None, 0
    while page == 0 or cursor is not None:
        answer = get(client.get(path, params={**params, **({"cursor": cursor} if cursor else {})}))
        yield next(value for value in answer.values() if isinstance(value, list))
        cursor, page = answer["cursor"], page + 1
        between(page)


@pytest.mark.parametrize("where", [[], ["tastes:war"]])
def test_items(client: httpx.Client, recommender: Recommender, where: list[str]) -> None:
    """Items that are removed and added while somebody reads neither repeat nor hide others."""
    before = [each["id"] for page in _pages(client, "/v1/items", limit=200, where=where) for each in page]
    assert len(before) >= 12
    gone = before[0::7]

    def write(page: int) -> None:
        if gone:
            get(client.post("/v1/items/delete", json={"ids": [gone.pop(0)]}))
        get(client.post("/v1/items", json={"items": [{"id": f"new {page}", "features": {"title": "N", **_WAR}}]}))

    pages = list(_pages(client, "/v1/items", write, limit=4, where=where))
    assert all(len(page) == 4 for page in pages[:-1])
    seen = [each["id"] for page in pages for each in page]
    assert len(seen) == len({*map(repr, seen)})
    assert [key for key in seen if key in before] == [key for key in before if key in seen]
    assert {*before} - {*seen} <= {*before[0::7]}
    again = [each["id"] for page in _pages(client, "/v1/items", limit=3, where=where) for each in page]
    assert f"new {len(pages)}" in again
    assert len(again) == len({*map(repr, again)})


def test_users(client: httpx.Client, recommender: Recommender) -> None:
    """Integers first, each kind in order; users with a profile alone, with events alone, or neither any more."""
    recommender.upsert_users([User("profile", {"taste": "war"})])
    before = [each["id"] for page in _pages(client, "/v1/users", limit=200) for each in page]
    assert before == [*sorted(key for key in before if isinstance(key, int)), "profile"]
    assert len(before) >= 20

    def write(page: int) -> None:
        if page < 3:
            get(client.delete(f"/v1/users/{before[5 * page - 1]}"))
        get(client.put(f"/v1/users/{1000 - page}", json={"taste": "war"}))
        get(client.post("/v1/events", json={"events": [{"user_id": f"z{page}", "item_id": 3}]}))

    pages = list(_pages(client, "/v1/users", write, limit=5))
    assert all(len(page) == 5 for page in pages[:-1])
    seen = [each["id"] for page in pages for each in page]
    assert len(seen) == len({*map(repr, seen)})
    assert {*before} <= {*seen}
    assert {"z1", 999} <= {*seen}
    alone = get(client.get("/v1/users", params={"limit": 200}))["users"]
    by_id = {each["id"]: each for each in alone}
    assert by_id["z1"] == {"id": "z1", "features": {}, "events": 1, "latest": by_id["z1"]["latest"]}
    assert by_id["z1"]["latest"] > 1.7e9
    assert by_id["profile"] == {"id": "profile", "features": {"taste": "war"}, "events": 0, "latest": None}
    assert before[4] not in by_id


def test_users_of_other_processes(
    client: httpx.Client, recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are there when the list is read again, and what this service writes meanwhile is not lost."""
    assert get(client.get("/v1/users"))["users"]
    recommender.record(Event("elsewhere", 3))
    ids = [each["id"] for page in _pages(client, "/v1/users", limit=200) for each in page]
    assert "elsewhere" not in ids
    monkeypatch.setattr(user_list, "_SECONDS", 0.0)
    get(client.post("/v1/users/here/likes", json={"item_id": 3}))
    ids = [each["id"] for page in _pages(client, "/v1/users", limit=200) for each in page]
    assert {"elsewhere", "here"} <= {*ids}


def test_events(client: httpx.Client, recommender: Recommender) -> None:
    """New events, late ones, and those that were removed do not move the pages; events of one time neither."""
    recommender.record([Event("reader", number, time=1_000 + number // 3) for number in range(30)])

    def write(page: int) -> None:
        recommender.record([Event("reader", 59), Event("reader", 58, time=1_000 + page)])
        recommender.delete_events("reader", 10 * page - 1)

    pages = list(_pages(client, "/v1/users/reader/events", write, limit=7))
    seen = [event["item_id"] for page in reversed(pages) for event in page]
    assert [key for key in seen if key < 58] == [key for key in range(30) if key != 9]
    assert len(pages) >= 5
    # The event that a cursor names is gone: the page goes on before its time.
    first = get(client.get("/v1/users/reader/events", params={"limit": 1}))
    recommender.delete_events("reader", first["events"][0]["item_id"])
    rest = get(client.get("/v1/users/reader/events", params={"cursor": first["cursor"], "limit": 1}))
    assert rest["events"][0]["time"] <= first["events"][0]["time"]


@pytest.mark.parametrize("path", ["/v1/items", "/v1/users", "/v1/users/3/events"])
@pytest.mark.parametrize("cursor", ["x", "W10", "WzEsMl0", "bnVsbA", "W3RydWUsMSwxXQ", "é", "[" * 1_000])
def test_a_cursor_of_nowhere_is_refused(client: httpx.Client, path: str, cursor: str) -> None:
    """Texts that are not Base64, lists of other lengths and types: 422, and no listing from the beginning."""
    if (path, cursor) == ("/v1/items", "WzEsMl0"):
        assert get(client.get(path, params={"cursor": cursor}))["items"]  # [1, 2]: after the place of an item
    else:
        assert "cursor" in problem(client.get(path, params={"cursor": cursor}), 422)["detail"]


def test_a_catalogue_with_both_kinds_of_ids(client: httpx.Client, recommender: Recommender) -> None:
    """``7`` and ``"7"`` are two items in a listing too."""
    recommender.upsert_items([Item("7", {"title": "Text", "tastes": ["war"], "year": 1999})])
    ids = [each["id"] for page in _pages(client, "/v1/items", limit=9) for each in page]
    assert {7, "7"} <= {*ids}
