"""A request that is sent again with its `Idempotency-Key` is answered again and not carried out again."""

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
from vecrec.errors import StoreUnavailableError
from vecrec.metadata_stores import MemoryMetadataStore, SQLMetadataStore
from vecrec.serving import Settings, create_app, idempotency
from vecrec.vector_stores import MemoryVectorStore

pytestmark = pytest.mark.usefixtures("_no_waiting_for_the_disk")

_VIEW = {"events": [{"user_id": "new", "item_id": 3, "kind": "view"}]}


def _key(name: str, **more: str) -> dict[str, str]:
    return {"Idempotency-Key": name, **more}


def _events(client: httpx.Client, user: str = "new") -> list[Any]:
    events: list[Any] = get(client.get(f"/v1/users/{user}/events"))["events"]
    return events


class Unsteady(MemoryMetadataStore):
    """A store that writes events and then, when it is told to, waits or fails."""

    fails, waits = False, False
    written, go_on = threading.Semaphore(0), threading.Event()

    def _append_events(self, events: Any) -> None:
        super()._append_events(events)
        if self.waits:
            self.written.release()
            assert self.go_on.wait(120)
        if self.fails:
            raise StoreUnavailableError("the connection broke after the write")


@pytest.fixture
def store() -> Unsteady:
    """Give a store that does what it should as long as it is not told otherwise."""
    return Unsteady()


@pytest.fixture
def recommender(store: Unsteady, tmp_path: Path) -> Iterator[Recommender]:
    """Give a published recommender on it."""
    with Recommender(TasteEncoder(), MemoryVectorStore(), store, name="demo", artifacts=tmp_path) as made:
        made.fit(world())
        yield made


@pytest.fixture
def client(recommender: Recommender) -> Iterator[httpx.Client]:
    """Give a client of a service on it, which has two keys."""
    settings = Settings(name="demo", api_keys=("admin:first", "write:second"))
    with listening(create_app(recommender, settings=settings)) as made:
        made.headers["x-api-key"] = "first"
        yield made


def test_a_retry_is_answered_and_writes_nothing(client: httpx.Client) -> None:
    """Without a key the same click is a second one; with it, once, and the second answer says what it is."""
    first = client.post("/v1/events", json=_VIEW, headers=_key("a"))
    assert get(first) == {"written": 1}
    assert "idempotency-replayed" not in first.headers
    again = client.post("/v1/events", content=b' {"events":[{"kind":"view","item_id":3,"user_id":"new"}]}',
                        headers=_key('"a"', **{"content-type": "application/json"}))  # fmt: skip
    assert (get(again), again.headers["idempotency-replayed"]) == ({"written": 1}, "true")
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(_events(client)) == 1
    for key in ({}, _key("b")):
        get(client.post("/v1/events", json=_VIEW, headers=key))
    assert len(_events(client)) == 3


def test_a_late_retry_does_not_undo_what_came_between(client: httpx.Client) -> None:
    """Also where the write itself may be repeated: the like of before does not come back, nor does the old record."""
    item = {"items": [{"id": "x", "features": {"title": "Old", "year": 1990}}]}
    for _ in range(2):
        get(client.post("/v1/users/new/likes", json={"item_id": 3}, headers=_key("like")))
        get(client.post("/v1/items", json=item, headers=_key("item")))
        get(client.post("/v1/users/new/dislikes", json={"item_id": 3}))
        get(client.patch("/v1/items", json={"items": [{"id": "x", "features": {"title": "New"}}]}))
    assert [event["kind"] for event in _events(client)] == ["dislike"]
    assert get(client.get("/v1/items/x"))["features"]["title"] == "New"


def test_a_switch_that_is_sent_twice_switches_once(client: httpx.Client, recommender: Recommender) -> None:
    """Back to the previous release, and not back and forth."""
    old = recommender.releases()[0].id
    recommender.fit(world())
    answers = [get(client.post("/v1/admin/release", json={}, headers=_key("back"))) for _ in range(2)]
    assert [answer["id"] for answer in answers] == [old, old]
    assert recommender.releases()[0].id == old


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/events", {"events": [{"user_id": "new", "item_id": 4}]}), ("/v1/users/new/likes", {"item_id": 3})],
)
def test_a_key_is_for_one_request(client: httpx.Client, path: str, body: Any) -> None:
    """Another body or another place with the same key is refused; another client's key is another key."""
    get(client.post("/v1/events", json=_VIEW, headers=_key("a")))
    refused = problem(client.post(path, json=body, headers=_key("a")), 422)
    assert "another request" in refused["detail"]
    get(client.post(path, json=body, headers=_key("a", **{"x-api-key": "second"})))


@pytest.mark.parametrize("key", ["", '""', "two words", "k" * 256])
def test_a_key_that_cannot_be_one_is_refused(client: httpx.Client, key: str) -> None:
    """Before anything is written; where nothing is written, a key is not read."""
    assert "Idempotency-Key" in problem(client.post("/v1/events", json=_VIEW, headers=_key(key)), 422)["detail"]
    assert _events(client) == []
    get(client.post("/v1/recommendations", json={"liked": [3]}, headers=_key(key)))


def test_an_error_is_not_kept(client: httpx.Client) -> None:
    """What was refused is refused again, and the request that is right is carried out."""
    for _ in range(2):
        problem(client.post("/v1/users/new/likes", json={"item_id": 3, "x": 1}, headers=_key("a")), 422)
    get(client.post("/v1/users/new/likes", json={"item_id": 3}, headers=_key("b")))
    assert len(_events(client)) == 1


def test_a_retry_after_a_write_without_an_answer_writes_once(client: httpx.Client, store: Unsteady) -> None:
    """The store has written and its answer was lost: the event of the second try is the one of the first."""
    store.fails = True
    problem(client.post("/v1/events", json=_VIEW, headers=_key("a")), 503)
    store.fails = False
    get(client.post("/v1/events", json=_VIEW, headers=_key("a")))
    assert len(_events(client)) == 1


def test_a_request_that_has_no_answer_yet_is_not_begun_again(client: httpx.Client, store: Unsteady) -> None:
    """The second is told to come again, and gets the answer then."""
    store.waits = True
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/events", json=_VIEW, headers=_key("a"))
        try:
            assert store.written.acquire(timeout=120)
            busy = client.post("/v1/events", json=_VIEW, headers=_key("a"))
        finally:
            store.go_on.set()
        get(first.result(120))
    assert problem(busy, 409)["type"].endswith("key-in-use")
    assert busy.headers["retry-after"] == "1"
    again = client.post("/v1/events", json=_VIEW, headers=_key("a"))
    assert again.headers["idempotency-replayed"] == "true"
    assert len(_events(client)) == 1


def test_all_processes_know_the_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two services on one store: the second answers from it. What another process has begun counts for a while."""
    parts = [SQLMetadataStore(f"sqlite:///{tmp_path / 'store.sqlite'}") for _ in range(2)]
    with Recommender(TasteEncoder(), MemoryVectorStore(), parts[0], name="demo", artifacts=tmp_path) as made:
        made.fit(world())
        second = Recommender(TasteEncoder(), made.vector_store, parts[1], name="demo", artifacts=tmp_path)
        with listening(create_app(made)) as one, listening(create_app(second)) as two:
            get(one.post("/v1/events", json=_VIEW, headers=_key("a")))
            assert two.post("/v1/events", json=_VIEW, headers=_key("a")).headers["idempotency-replayed"] == "true"
            assert len(_events(two)) == 1
            (name, record), = parts[0].scan(idempotency.KIND)  # fmt: skip
            begun = {key: value for key, value in record.items() if key not in ("status", "body")}
            parts[0].put(idempotency.KIND, {name: begun})
            problem(two.post("/v1/events", json=_VIEW, headers=_key("a")), 409)
            monkeypatch.setattr(idempotency, "_CLAIM_SECONDS", 0.0)  # the other process has died meanwhile
            get(two.post("/v1/events", json=_VIEW, headers=_key("a")))
            assert len(_events(one)) == 1
        parts[1].close()


def test_keys_are_bounded(client: httpx.Client, store: Unsteady, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones go, and of many the oldest."""
    monkeypatch.setattr(idempotency, "_MOST", 5)
    monkeypatch.setattr(idempotency, "_SWEEP_AFTER", 3)
    for number in range(20):
        get(client.post("/v1/events", json=_VIEW, headers=_key(str(number))))
    assert 5 <= store.count(idempotency.KIND) <= 9
    before = len(_events(client))
    assert "idempotency-replayed" in client.post("/v1/events", json=_VIEW, headers=_key("19")).headers
    monkeypatch.setattr(idempotency, "_KEPT_SECONDS", 0.0)
    assert "idempotency-replayed" not in client.post("/v1/events", json=_VIEW, headers=_key("19")).headers
    assert len(_events(client)) == before + 1


def test_nothing_is_written_into_the_store_of_another(
    store: Unsteady, recommender: Recommender, tmp_path: Path
) -> None:
    """A service on the wrong store refuses a request with a key as it does without one."""
    assert recommender.releases()
    other = Recommender(TasteEncoder(), MemoryVectorStore(), store, name="other", artifacts=tmp_path / "other")
    with listening(create_app(other)) as client:
        problem(client.post("/v1/events", json=_VIEW, headers=_key("a")), 422)
    assert store.count(idempotency.KIND) == 0
