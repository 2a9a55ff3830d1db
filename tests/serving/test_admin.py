"""The operator's view: what it tells, what it switches, and who may see it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.browser import ENTER, Page, browser
from tests.serving.conftest import published
from tests.serving.web import get, listening, problem
from vecrec import Event, Recommender
from vecrec.serving import Settings, create_app
from vecrec.serving.history import RequestHistory

_ADMIN = {"Authorization": "Bearer top"}
_KEYS = ("read:r", "write:w", "admin:top")


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recommender]:
    """Give a world with two releases."""
    with published(tmp_path_factory.mktemp("artifacts")) as made:
        made.publish()
        yield made


@pytest.fixture(scope="module")
def client(recommender: Recommender) -> Iterator[httpx.Client]:
    """Give a client of a service with keys of every scope."""
    with listening(create_app(recommender, settings=Settings(name="demo", api_keys=_KEYS))) as made:
        yield made


def test_the_overview(client: httpx.Client, recommender: Recommender) -> None:
    """Releases with their checks, health, requests by the minute, what ranked the lists, popular and rising items."""
    get(client.get("/v1/users/3/recommendations", headers=_ADMIN))
    get(client.get("/v1/users/nobody/recommendations", headers=_ADMIN))
    recommender.record([Event(f"new {user}", 59) for user in range(30)])
    seen = get(client.get("/v1/admin", headers=_ADMIN))
    assert [each["id"] for each in seen["releases"]] == [each.id for each in recommender.releases()]
    assert [each["live"] for each in seen["releases"]] == [True, False]
    assert seen["releases"][0]["checks"]
    assert seen["parts"] == dict.fromkeys(("vector_store", "metadata_store", "release"), "ok")
    assert seen["lists"] == {"vectors": 1, "popularity": 1}
    assert sum(each["requests"] for each in seen["minutes"]) >= 2
    assert all(each["p95_ms"] >= each["p50_ms"] > 0 for each in seen["minutes"])
    assert len(seen["popular"]) == 8
    assert seen["rising"][0] == {"item_id": 59, "title": "Movie 59", "share": 1.0}


def test_switch_verify_and_repair(client: httpx.Client, recommender: Recommender) -> None:
    """Back to the first release and again to the second; the stores agree; an unknown release is refused."""
    live, previous = (each.id for each in recommender.releases())
    assert get(client.post("/v1/admin/release", json={}, headers=_ADMIN))["id"] == previous
    assert get(client.post("/v1/admin/release", json={"release": live}, headers=_ADMIN))["id"] == live
    assert client.post("/v1/admin/release", json={"release": "no such"}, headers=_ADMIN).status_code >= 400
    recommender.vector_store.delete(recommender.releases()[0].collection, [3])
    found = get(client.post("/v1/admin/verify", headers=_ADMIN))
    assert (found["agree"], found["unsearchable"]) == (False, [3])
    assert get(client.post("/v1/admin/repair", params={"full": True}, headers=_ADMIN)) == {"repaired": [3]}
    assert get(client.post("/v1/admin/verify", headers=_ADMIN))["agree"]


def test_refresh(client: httpx.Client, recommender: Recommender) -> None:
    """A new release of the same encoder, then nothing new; a time that is not valid is refused."""
    recommender.record([Event(f"fresh {user}", 58) for user in range(5)])
    before = recommender.releases()[0]
    made = get(client.post("/v1/admin/refresh", json={}, headers=_ADMIN))
    assert (made["new"], made["release"]["id"]) == (True, recommender.releases()[0].id)
    assert recommender.releases()[1].id == before.id
    again = get(client.post("/v1/admin/refresh", json={}, headers=_ADMIN))
    assert again == {"new": False, "release": made["release"]}
    assert get(client.post("/v1/admin/refresh", json={"since": "1970-01-01"}, headers=_ADMIN))["new"]
    problem(client.post("/v1/admin/refresh", json={"since": "yesterday"}, headers=_ADMIN), 422)


@pytest.mark.parametrize("key", ["r", "w"])
def test_it_needs_an_admin_key(client: httpx.Client, key: str) -> None:
    """Neither a key to read nor one to write opens it, and without any key there is no such path."""
    headers = {"Authorization": f"Bearer {key}"}
    problem(client.get("/v1/admin", headers=headers), 403)
    problem(client.post("/v1/admin/verify", headers=headers), 403)
    problem(client.get("/v1/admin"), 401)


def test_an_open_service_has_none(recommender: Recommender) -> None:
    """Where nobody has a key, nobody may switch releases."""
    with listening(create_app(recommender)) as open_client:
        problem(open_client.get("/v1/admin"), 404)
        problem(open_client.get("/admin"), 404)


def test_explaining_is_reading(client: httpx.Client) -> None:
    """A key that may read gets an explanation of a posted user."""
    get(client.post("/v1/explanations", json={"liked": [3], "item_id": 55}, headers={"Authorization": "Bearer r"}))


def test_minutes_are_told_apart() -> None:
    """Requests, errors and durations by the minute; what is older than two hours is gone."""
    now = [1_000_000.0 * 60]
    history = RequestHistory(clock=lambda: now[0])
    for status, seconds in ((200, 0.010), (503, 0.030)):
        history.note(status, seconds)
    now[0] += 60
    history.note(200, 0.5)
    first, second = history.minutes()
    assert (first.requests, first.errors, second.requests, second.start - first.start) == (2, 1, 1, 60)
    assert first.percentile(50) == pytest.approx(20)
    now[0] += 120 * 60
    assert history.minutes() == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_view_in_a_browser(client: httpx.Client) -> None:
    """It asks for a key, draws charts, looks up a user and an item, compares the stores; axe finds nothing."""
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
    with browser() as chrome:
        page = Page(chrome, f"{client.base_url}/admin")
        for width, dark in ((1440, False), (390, True)):
            page.open(width=width, height=1000, dark=dark)
            page.wait(page.asks_for_key)
            page.all("#key-value")[0].send_keys("top", ENTER)
            page.wait(lambda: page.texts("#releases article"))
            page.wait(lambda: page.all("#requests svg"))
            page.wait(lambda: page.all("#lists svg"))
            page.all("#look-id")[0].send_keys("3", ENTER)
            page.wait(lambda: "User 3" in page.text("#found"))
            page.wait(lambda: "Because" in page.text("#found"))
            if folder := os.environ.get("VECREC_TEST_SCREENSHOTS"):
                chrome.execute_script("scrollTo(0, 0)")
                page.picture(Path(folder) / f"admin-{width}.png")
            chrome.execute_script(axe)
            found: Any = chrome.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
            assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
            scrolled: Any = chrome.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
            assert scrolled[0] <= scrolled[1]
        chrome.execute_script("scrollTo(0, 0)")  # the header stays in sight, and lies over what is scrolled away
        page.click("#verify")
        page.wait(lambda: "they agree" in page.text("#verified"))
