"""What a user likes and dislikes has one rule, the feedback policy, by every door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.serving.conftest import published
from tests.serving.web import get, listening, problem
from vecrec import Event, FeedbackPolicy, Item, Recommender, User
from vecrec.errors import InvalidDataError
from vecrec.serving import Settings, create_app

WAR, OTHER_WAR = 3, 7


def _ids(answer: Any) -> list[Any]:
    return [item["item_id"] for item in answer["items"]]


def _everything(client: httpx.Client, user: str) -> list[Any]:
    return _ids(get(client.get(f"/v1/users/{user}/recommendations", params={"k": 60, "exclude_seen": False})))


@pytest.mark.parametrize(
    ("said", "comes"),
    [
        (["likes"], True),
        (["dislikes"], False),
        (["likes", "dislikes"], False),
        (["dislikes", "likes"], True),
        (["dislikes", "dislikes", "likes"], True),
        (["likes", "dislikes", "likes", "dislikes"], False),
    ],
)
def test_the_last_of_likes_and_dislikes_counts(
    client: httpx.Client, recommender: Recommender, said: list[str], comes: bool
) -> None:
    """In the service as in the library, for stored users and for posted ones."""
    user = "-".join(said)
    for each in said:
        get(client.post(f"/v1/users/{user}/{each}", json={"item_id": WAR}))
    assert (WAR in _everything(client, user)) == comes
    assert (WAR in [each.item_id for each in recommender.recommend(user, 60, exclude_seen=False)]) == comes
    posted = {"user_id": user, "features": {"taste": "war"}, "k": 60, "exclude_seen": False}
    assert (WAR in _ids(get(client.post("/v1/recommendations", json=posted)))) == comes


@pytest.mark.parametrize("what", ["likes", "dislikes"])
def test_what_is_said_twice_is_said_once(client: httpx.Client, what: str) -> None:
    """A client that repeats a lost request adds no event; said after something else it is a new one."""
    user, other = f"twice-{what}", "dislikes" if what == "likes" else "likes"
    path = f"/v1/users/{user}"
    for _ in range(3):
        assert get(client.post(f"{path}/{what}", json={"item_id": WAR})) == {"written": 1}
    assert [each["kind"] for each in get(client.get(path))["history"]] == [what[:-1]]
    get(client.post(f"{path}/{what}", json={"item_id": OTHER_WAR}))
    get(client.post(f"{path}/{other}", json={"item_id": WAR}))
    get(client.post(f"{path}/{what}", json={"item_id": WAR}))
    last = [each["kind"] for each in get(client.get(path))["history"] if each["item_id"] == WAR]
    assert last[-1] == what[:-1]


def test_a_kind_is_stored_and_read(client: httpx.Client) -> None:
    """Events have kinds, which come back."""
    events = [{"user_id": "kinds", "item_id": WAR, "kind": kind, "time": n} for n, kind in enumerate(("view", "buy"))]
    assert get(client.post("/v1/events", json={"events": events})) == {"written": 2}
    assert get(client.get("/v1/users/kinds"))["history"][-1]["kind"] == "buy"


@pytest.fixture(scope="module")
def starred(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Recommender, httpx.Client]]:
    """Give a service whose policy takes ratings up to 2 for dislikes, with the settings that say so."""
    folder = tmp_path_factory.mktemp("stars")
    settings = Settings.load(None, {"VECREC_FEEDBACK": '{"negative_rating": 2}', "VECREC_NAME": "demo"})
    with published(folder) as trainer:
        serving = Recommender.open(
            "demo", trainer.vector_store, trainer.metadata_store, folder,
            encoder=type(trainer.encoder), feedback=FeedbackPolicy(negative_rating=2),
        )  # fmt: skip
        serving.record([Event("stars", WAR, 1.0, 5), Event("stars", 2, 2.0, 1), Event("stars", OTHER_WAR, 3.0, 4)])
        with listening(create_app(serving, settings=settings)) as client:
            yield serving, client


def test_reasons_are_what_the_policy_calls_positive(starred: tuple[Recommender, httpx.Client]) -> None:
    """An item rated 1 of 5 explains nothing."""
    answer = get(starred[1].get("/v1/users/stars/recommendations", params={"explain": True, "k": 20}))
    assert answer["items"]
    assert {
        reason["item_id"] for each in answer["items"] if each["because"] for reason in each["because"]["reasons"]
    } == {WAR, OTHER_WAR}


def test_the_vector_given_is_the_one_that_searches(starred: tuple[Recommender, httpx.Client]) -> None:
    """Made of what the user likes: the scores of the list are its products with the items' vectors."""
    recommender, client = starred
    vector = np.array(get(client.post("/v1/users/vectors", json={"users": [{"user_id": "stars"}]}))["vectors"][0])
    apart = client.post("/v1/users/vectors", json={"users": [{"user_id": "stars"}, {"liked": [WAR], "disliked": [2]}]})
    assert np.allclose(get(apart)["vectors"][0], vector)
    plain = get(client.post("/v1/retrieval", json={"user_id": "stars", "k": 5}))["hits"]
    keys = [hit["item_id"] for hit in plain]
    with recommender.live() as live:
        held = recommender.vector_store.fetch(live.collection, keys)
    expected = [float(np.dot(held[key].vector, vector)) for key in keys]  # type: ignore[arg-type]
    assert [hit["score"] for hit in plain] == pytest.approx(expected, abs=1e-5)
    liked = User("x", {}, [Event("x", WAR, 1.0, 5), Event("x", OTHER_WAR, 3.0, 4)])
    assert np.allclose(live.encoder.encode_users([liked])[0], vector, atol=1e-6)


def test_a_stored_profile_that_no_longer_fits_is_served(starred: tuple[Recommender, httpx.Client]) -> None:
    """It was stored under an earlier schema; what is posted must fit all the same."""
    recommender, client = starred
    recommender.metadata_store.put("user", {"old": {"taste": "fish", "name": "Ann"}})
    get(client.post("/v1/users/vectors", json={"users": [{"user_id": "old"}]}))
    answer = get(client.get("/v1/users/old/recommendations"))
    assert any("do not fit" in note for note in answer["notes"])
    get(client.post("/v1/ranking", json={"user_id": "old", "item_ids": [1, 2]}))
    get(client.post("/v1/recommendations", json={"user_id": "old", "liked": [WAR]}))
    problem(client.post("/v1/recommendations", json={"user_id": "old", "features": {"taste": "fish"}}), 422)


@pytest.mark.parametrize(
    ("policy", "refused"),
    [
        (FeedbackPolicy(), []),
        (FeedbackPolicy(negative={"return"}), ["dislikes"]),
        (FeedbackPolicy(neutral={"like"}), ["likes"]),
        (FeedbackPolicy(negative={"like", "dislike"}), ["likes"]),
    ],
)
def test_a_policy_that_gives_likes_no_meaning_refuses_them(
    tmp_path: Path, policy: FeedbackPolicy, refused: list[str]
) -> None:
    """Rather than to count a dislike as a like."""
    trainer = published(tmp_path)
    stores = trainer.vector_store, trainer.metadata_store
    serving = Recommender.open("demo", *stores, tmp_path, encoder=type(trainer.encoder), feedback=policy)
    with serving, listening(create_app(serving)) as client:
        for what in ("likes", "dislikes"):
            status = 422 if what in refused else 200
            assert client.post("/v1/users/policy/" + what, json={"item_id": WAR}).status_code == status
            body = {"liked" if what == "likes" else "disliked": [WAR]}
            assert client.post("/v1/recommendations", json=body).status_code == status


@pytest.mark.parametrize("search", ["zzyzx", ""])
def test_a_listing_knows_every_write_of_its_service(client: httpx.Client, search: str) -> None:
    """Added, renamed and removed items, one by one or many, and the values to filter by."""
    get(client.get("/v1/items"))

    def listed() -> dict[Any, str]:
        found = get(client.get("/v1/items", params={"search": search, "limit": 200}))["items"]
        return {each["id"]: each["features"]["title"] for each in found if each["id"] in ("z1", "z2")}

    client.put("/v1/items/z1", json={"title": "Zzyzx Road", "tastes": ["zither"], "year": 3000})
    assert listed() == {"z1": "Zzyzx Road"}
    facets = get(client.get("/v1/schema"))["facets"]
    assert "zither" in facets["tastes"]["values"]
    assert facets["year"]["high"] == 3000
    titles = {"z1": "Zzyzx Street", "z2": "Zzyzx 2"}
    items = [{"id": key, "features": {"title": title}} for key, title in titles.items()]
    client.post("/v1/items", json={"items": items})
    assert listed() == titles
    client.delete("/v1/items/z1")
    assert listed() == {"z2": "Zzyzx 2"}
    client.post("/v1/items/delete", json={"ids": ["z2"]})
    assert listed() == {}


def test_a_write_during_the_making_of_the_listing_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scan may have passed by where the item is written, and goes on while others write."""
    with published(tmp_path) as recommender:
        app = create_app(recommender)
        service = app.state.vecrec
        scan = recommender.metadata_store.scan

        def slow(kind: str, *rest: Any) -> Any:
            held = list(scan(kind, *rest))
            if kind == "item" and not recommender.get_items(["late"]):
                service.upsert_items([Item("late", {"title": "Too late"})])
                service.delete_items([WAR])
            return iter(held)

        monkeypatch.setattr(recommender.metadata_store, "scan", slow)
        assert [item.id for item in service.directory.find("too late", None, None, 10)[0]] == ["late"]
        assert WAR not in service.directory._index.known


def test_settings_of_feedback_are_checked() -> None:
    """A table in the file, JSON in the environment, with the policy's own messages."""
    assert Settings.load(None, {}).feedback is None
    made = Settings.load(None, {"VECREC_FEEDBACK": '{"weights": {"buy": 5}, "negative": ["return"]}'}).feedback
    assert made == FeedbackPolicy(weights={"buy": 5}, negative={"return"})
    for text in ("{", "[]", '{"nope": 1}', '{"weights": {"buy": -1}}', "3"):
        with pytest.raises(InvalidDataError):
            Settings.load(None, {"VECREC_FEEDBACK": text})


def test_events_are_taken_back_over_http(client: httpx.Client, recommender: Recommender) -> None:
    """A like, a dislike, and events by item, kind and time; times are seconds or ISO texts."""
    path = "/v1/users/undoing"
    get(client.post(f"{path}/likes", json={"item_id": 5}))
    get(client.post(f"{path}/dislikes", json={"item_id": 6}))
    row = {"user_id": "undoing", "item_id": 7, "time": "2023-11-14T22:13:20Z", "kind": "view"}
    get(client.post("/v1/events", json={"events": [row]}))
    assert recommender.history("undoing")[0].time == 1_700_000_000.0
    assert get(client.delete(f"{path}/likes/5")) == {"removed": 1}
    assert get(client.delete(f"{path}/likes/6")) == {"removed": 0}
    assert get(client.delete(f"{path}/dislikes/6")) == {"removed": 1}
    assert get(client.delete(f"{path}/events", params={"item_id": 7, "kind": "like"})) == {"removed": 0}
    assert client.delete(f"{path}/events", params={"time": "soon"}).status_code == 422
    assert get(client.delete(f"{path}/events", params={"time": "1700000000"})) == {"removed": 1}
    assert recommender.history("undoing") == []


@pytest.mark.parametrize(("seen", "hidden"), [(True, {5, 9}), (["purchase"], {5}), (False, set())])
def test_kinds_of_events_can_be_left_out_over_http(
    client: httpx.Client, recommender: Recommender, seen: Any, hidden: set[int]
) -> None:
    """What was bought is hidden, what was viewed is not."""
    recommender.record([Event("shopper", 5, 1.0, kind="purchase"), Event("shopper", 9, 2.0, kind="view")])
    body = {"user_id": "shopper", "k": 60, "exclude_seen": seen}
    assert {5, 9} - set(_ids(get(client.post("/v1/recommendations", json=body)))) == hidden


def test_popular_items_over_http(client: httpx.Client, recommender: Recommender) -> None:
    """The release's list, or a count of the events of some users; what cannot be counted is refused."""
    assert _ids(get(client.get("/v1/popular", params={"k": 4}))) == recommender.popular(4).item_ids
    found = get(client.get("/v1/popular", params={"segment": '{"taste": "war"}'}))
    assert found["items"][0]["source"] == "popularity"
    assert found["items"][0]["metadata"]["tastes"] == ["war"]
    for params in ({"half_life": 0}, {"segment": "war"}, {"segment": '{"shoe": 4}'}):
        assert client.get("/v1/popular", params=params).status_code == 422


def test_a_query_says_which_kinds_count_as_seen(client: httpx.Client, recommender: Recommender) -> None:
    """As the body of a request does."""
    recommender.record([Event("asker", 5, 1.0, kind="purchase"), Event("asker", 9, 2.0, kind="view")])
    found = get(client.get("/v1/users/asker/recommendations", params={"k": 60, "seen_kind": "purchase"}))
    assert {5, 9} - set(_ids(found)) == {5}
