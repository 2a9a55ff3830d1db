"""Every endpoint does what the library's call does, and says so in JSON."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.serving.web import get, problem
from vecrec import Recommender, User, field

pytestmark = pytest.mark.usefixtures("_no_waiting_for_the_disk")


def _ids(answer: Any) -> list[Any]:
    return [item["item_id"] for item in answer["items"]]


def test_a_stored_user_gets_what_the_library_gives(client: httpx.Client, recommender: Recommender) -> None:
    """The list, the scores, the records and what is said about them are the library's."""
    expected = recommender.recommend(3, 5, where=field("year") >= 1990)
    answer = get(client.get("/v1/users/3/recommendations", params={"k": 5, "where": "year>=1990"}))
    assert [(each["item_id"], each["rank"], each["metadata"]) for each in answer["items"]] == [
        (each.item_id, each.rank, each.metadata) for each in expected
    ]
    assert [each["score"] for each in answer["items"]] == pytest.approx([each.score for each in expected])
    assert answer["release"] == expected.release
    assert (answer["served_by"], answer["user_id"]) == ("vectors", 3)
    assert answer["based_on"] == ["features", "history"]
    assert answer["shortfall"] is None


def test_an_unknown_user_gets_popular_items_and_hears_so(client: httpx.Client) -> None:
    """A user of whom nothing is known is no error."""
    answer = get(client.get("/v1/users/nobody/recommendations"))
    assert answer["served_by"] == "popularity"
    assert len(answer["items"]) == 10
    assert any("nothing is known" in note for note in answer["notes"])


def test_a_posted_profile_is_served(client: httpx.Client, recommender: Recommender) -> None:
    """Somebody who is not stored is known by what is posted."""
    answer = get(client.post("/v1/recommendations", json={"features": {"taste": "space"}, "k": 4}))
    assert _ids(answer) == [each.item_id for each in recommender.recommend_for(User(features={"taste": "space"}), 4)]
    assert answer["based_on"] == ["features"]


def test_likes_decide_at_once(client: httpx.Client) -> None:
    """Somebody who likes war movies gets war movies, none of them those that they named, each with its reason."""
    answer = get(client.post("/v1/recommendations", json={"liked": [3, 7], "k": 6, "explain": True}))
    assert all(each["metadata"]["tastes"] == ["war"] for each in answer["items"])
    assert not {3, 7} & set(_ids(answer))
    for each in answer["items"]:
        reason = each["because"]["reasons"][0]
        assert reason["item_id"] in {3, 7}
        assert reason["title"] in {"Movie 3", "Movie 7"}
        assert each["because"]["sentence"] in {"Because you liked Movie 3", "Because you liked Movie 3 and Movie 7"}


def test_dislikes_push_their_kind_down(client: httpx.Client) -> None:
    """Of two tastes that are liked alike, the one that is disliked too comes later; the disliked item never."""
    both = {"liked": [1, 2], "k": 12}
    plain = get(client.post("/v1/recommendations", json=both))
    turned = get(client.post("/v1/recommendations", json={**both, "disliked": [5]}))
    tastes = [each["metadata"]["tastes"] for each in turned["items"]]
    assert ["love"] in [each["metadata"]["tastes"] for each in plain["items"][:6]]
    assert tastes[:12] == [["space"]] * 12
    assert 5 not in _ids(turned)
    assert turned["items"] == sorted(turned["items"], key=lambda each: -each["score"])


def test_somebody_who_only_dislikes_gets_popular_items_without_these(client: httpx.Client) -> None:
    """There is nothing to turn away from, and what they dislike does not come."""
    first = _ids(get(client.post("/v1/recommendations", json={"k": 3})))
    answer = get(client.post("/v1/recommendations", json={"k": 3, "disliked": first}))
    assert answer["served_by"] == "popularity"
    assert not set(first) & set(_ids(answer))


def test_the_last_word_counts(client: httpx.Client) -> None:
    """A posted dislike takes back a stored like, and a posted like a stored dislike."""
    client.post("/v1/users/fickle/likes", json={"item_id": 3})
    client.post("/v1/users/fickle/dislikes", json={"item_id": 6})
    answer = get(client.post("/v1/recommendations", json={"user_id": "fickle", "liked": [6], "disliked": [3], "k": 8}))
    assert [each["metadata"]["tastes"] for each in answer["items"]] == [["space"]] * 8
    assert 6 not in _ids(answer)


def test_a_stored_like_and_dislike_work_at_the_next_request(client: httpx.Client, recommender: Recommender) -> None:
    """Both are events, which the next list knows."""
    assert get(client.post("/v1/users/anna/likes", json={"item_id": 2})) == {"written": 1}
    assert get(client.post("/v1/users/anna/dislikes", json={"item_id": 6})) == {"written": 1}
    history = get(client.get("/v1/users/anna"))["history"]
    assert [(each["item_id"], each["kind"]) for each in history] == [(2, "like"), (6, "dislike")]
    found = _ids(get(client.get("/v1/users/anna/recommendations", params={"exclude_seen": False})))
    assert 6 not in found
    assert recommender.forget_user("anna").events == 2


def test_search_by_text(client: httpx.Client, recommender: Recommender) -> None:
    """The list of the library, for anybody and for a user; what is written is found at once."""
    answer = get(client.get("/v1/search", params={"text": "movie", "k": 3, "where": "tastes:crime", "user": "8"}))
    expected = recommender.search("movie", 3, user=8, where=field("tastes").contains("crime"))
    assert (_ids(answer), answer["served_by"], answer["user_id"]) == (expected.item_ids, "words", 8)
    unseen = get(client.get("/v1/search", params={"text": "movie", "k": 50, "user": "8", "exclude_seen": True}))
    assert not {*_ids(unseen)} & {event.item_id for event in recommender.history(8)}
    get(client.put("/v1/items/heron", json={"title": "Heron", "tastes": ["war"], "year": 1990}))
    assert _ids(get(client.get("/v1/search", params={"text": "hero"}))) == ["heron"]
    assert client.delete("/v1/items/heron").status_code == 204
    assert _ids(get(client.get("/v1/search", params={"text": "heron"}))) != ["heron"]
    for wrong in ("", "?!", "a " * 33):
        problem(client.get("/v1/search", params={"text": wrong}), 422)


def test_similar_items(client: httpx.Client, recommender: Recommender) -> None:
    """The list of the library, itself left out."""
    answer = get(client.get("/v1/items/4/similar", params={"k": 3, "where": "tastes:crime"}))
    expected = recommender.similar_items(4, 3, where=field("tastes").contains("crime"))
    assert _ids(answer) == [each.item_id for each in expected]
    problem(client.get("/v1/items/no-such/similar"), 404)
    personal = get(client.get("/v1/items/4/similar", params={"k": 50, "user": "8"}))
    assert _ids(personal) == recommender.similar_items(4, 50, user=8).item_ids
    assert personal["user_id"] == 8
    assert not {*_ids(personal)} & {event.item_id for event in recommender.history(8)}
    problem(client.get("/v1/items/4/similar", params={"user": ""}), 422)


def test_a_short_list_says_why(client: httpx.Client) -> None:
    """Fewer than k are no error and have a reason."""
    body = {"user_id": 1, "k": 50, "where": {"field": "year", "op": "lt", "value": 1985}}
    answer = get(client.post("/v1/recommendations", json=body))
    assert 0 < len(answer["items"]) < 50
    assert "pass the filter" in answer["shortfall"]


def test_items_come_and_go(client: httpx.Client) -> None:
    """An item that is put can be read, found and deleted at once."""
    record = {"title": "Fresh", "tastes": ["war"], "year": 2099}
    assert get(client.put("/v1/items/fresh", json=record)) == {"written": 1}
    assert get(client.get("/v1/items/fresh")) == {"id": "fresh", "features": record}
    assert _ids(get(client.get("/v1/users/3/recommendations", params={"k": 1}))) == ["fresh"]
    batch = {"items": [{"id": "a", "features": record}, {"id": "b"}, {"id": "a"}]}
    assert get(client.post("/v1/items", json=batch)) == {"written": 2}
    found = get(client.post("/v1/items/lookup", json={"ids": ["b", "c", "a", 1]}))
    assert [each["id"] for each in found["items"]] == ["b", "a", 1]
    assert found["missing"] == ["c"]
    assert client.delete("/v1/items/fresh").status_code == 204
    assert get(client.post("/v1/items/delete", json={"ids": ["a", "b"]})) == {"written": 2}
    problem(client.get("/v1/items/fresh"), 404)
    assert client.delete("/v1/items/fresh").status_code == 204


def test_fields_of_items_change(client: httpx.Client) -> None:
    """A field is set, or removed by null; the others stay; of a batch with a mistake nothing is written."""
    assert get(client.patch("/v1/items/8", json={"year": 2090, "title": None})) == {"written": 1}
    assert get(client.get("/v1/items/8"))["features"] == {"tastes": ["crime"], "year": 2090}
    assert _ids(get(client.get("/v1/items/12/similar", params={"k": 1, "where": "year>2050"}))) == [8]
    batch = {"items": [{"id": 8, "features": {"year": 1988, "title": "Movie 8"}}, {"id": 9, "features": {"year": 1}}]}
    assert get(client.patch("/v1/items", json=batch)) == {"written": 2}
    assert get(client.get("/v1/items/8"))["features"] == {"tastes": ["crime"], "year": 1988, "title": "Movie 8"}
    for wrong, status in (({"id": 404, "features": {"year": 2}}, 404), ({"id": 9, "features": {"yaer": 2}}, 422)):
        problem(client.patch("/v1/items", json={"items": [{"id": 8, "features": {"year": 3}}, wrong]}), status)
        problem(client.patch(f"/v1/items/{wrong['id']}", json=wrong["features"]), status)
    assert [get(client.get(f"/v1/items/{key}"))["features"]["year"] for key in (8, 9)] == [1988, 1]
    client.patch("/v1/items/9", json={"year": 1989})


def test_users_come_and_go(client: httpx.Client) -> None:
    """A profile that is put serves, events add to it, and forgetting says what there was."""
    assert get(client.put("/v1/users/kim", json={"taste": "love"})) == {"written": 1}
    assert get(client.get("/v1/users/kim/recommendations"))["based_on"] == ["features"]
    events = [{"user_id": "kim", "item_id": 1, "time": 5, "rating": 4}, {"user_id": "kim", "item_id": 5, "time": 6.5}]
    assert get(client.post("/v1/events", json={"events": events})) == {"written": 2}
    kim = get(client.get("/v1/users/kim"))
    assert kim["features"] == {"taste": "love"}
    assert kim["history"][0] == {"item_id": 1, "time": 5.0, "rating": 4.0, "kind": None}
    assert get(client.delete("/v1/users/kim")) == {"user_id": "kim", "profile": True, "events": 2, "remembered": True}
    problem(client.get("/v1/users/kim"), 404)
    assert get(client.delete("/v1/users/kim")) == {"user_id": "kim", "profile": False, "events": 0, "remembered": True}
    assert get(client.post("/v1/users", json={"users": [{"id": "x"}, {"id": "y"}]})) == {"written": 2}


def test_ids_keep_their_types(client: httpx.Client) -> None:
    """The integer 7 and the text "7" are two items; a path says which it means."""
    client.post("/v1/items", json={"items": [{"id": "7", "features": {"title": "text"}}]})
    try:
        assert get(client.get("/v1/items/7"))["features"]["title"] == "Movie 7"
        assert get(client.get("/v1/items/7?id_type=string"))["features"]["title"] == "text"
        problem(client.get("/v1/items/seven?id_type=integer"), 422)
    finally:
        client.delete("/v1/items/7?id_type=string")


def test_retrieval_finds_by_vector_item_and_person(client: httpx.Client, recommender: Recommender) -> None:
    """The hits are the vector store's, those that the person has seen among them."""
    vector = get(client.post("/v1/users/vectors", json={"users": [{"user_id": 3}, {"liked": [1]}]}))
    assert vector["dim"] == len(vector["vectors"][0]) == len(vector["vectors"][1])
    by_vector = get(client.post("/v1/retrieval", json={"vector": vector["vectors"][0], "k": 5}))
    by_person = get(client.post("/v1/retrieval", json={"user_id": 3, "k": 5}))
    assert by_vector["hits"] == by_person["hits"]
    assert [hit["item_id"] for hit in by_person["hits"]] == [
        each.item_id for each in recommender.recommend(3, 5, exclude_seen=False)
    ]
    by_item = get(client.post("/v1/retrieval", json={"item_id": 4, "k": 3}))
    assert [hit["item_id"] for hit in by_item["hits"]] == [each.item_id for each in recommender.similar_items(4, 3)]
    problem(client.post("/v1/retrieval", json={}), 422)
    problem(client.post("/v1/retrieval", json={"vector": [1.0]}), 422)
    problem(client.post("/v1/retrieval", json={"item_id": "no-such"}), 404)


def test_the_collections_own_field_cannot_be_asked_for(client: httpx.Client) -> None:
    """A filter sees the schema's fields only."""
    hidden = {"field": "_digest", "op": "ge", "value": ""}
    problem(client.post("/v1/retrieval", json={"item_id": 4, "where": hidden}), 422)
    problem(client.post("/v1/recommendations", json={"where": hidden}), 422)


def test_ranking_scores_given_items(client: httpx.Client, recommender: Recommender) -> None:
    """The scores are those of the recommendations; unknown items are named; ties keep the order given."""
    scores = {each.item_id: each.score for each in recommender.recommend(3, 60, exclude_seen=False)}
    answer = get(client.post("/v1/ranking", json={"user_id": 3, "item_ids": [2, 3, "none", 59, 3]}))
    assert [hit["item_id"] for hit in answer["items"]] == [59, 3, 2]
    assert [hit["score"] for hit in answer["items"]] == pytest.approx([scores[59], scores[3], scores[2]])
    assert answer["unknown"] == ["none"]
    anybody = get(client.post("/v1/ranking", json={"item_ids": [0, 59]}))
    assert anybody["served_by"] == "popularity"


def test_item_vectors_are_those_of_the_collection(client: httpx.Client, recommender: Recommender) -> None:
    """The content model: a posted item gets the vector that a stored one has."""
    record = recommender.get_items([4])[4].features
    answer = get(client.post("/v1/items/vectors", json={"items": [{"id": 4, "features": record}]}))
    with recommender.live() as live:
        held = recommender.vector_store.fetch(live.collection, [4])[4].vector
    assert held is not None
    assert answer["vectors"][0] == pytest.approx(held.tolist())


def test_looking_around(client: httpx.Client) -> None:
    """Popular items first, by words of the title, by conditions, page by page."""
    everything = get(client.get("/v1/items", params={"limit": 200}))["items"]
    assert len(everything) >= 60
    first = get(client.get("/v1/items", params={"limit": 5}))
    second = get(client.get("/v1/items", params={"limit": 5, "cursor": first["cursor"]}))
    assert [each["id"] for each in first["items"] + second["items"]] == [each["id"] for each in everything[:10]]
    assert [each["id"] for each in get(client.get("/v1/items", params={"search": "MOVIE 42"}))["items"]] == [42]
    for nothing in ("?", '"', "xyzzyqq"):
        assert get(client.get("/v1/items", params={"search": nothing}))["items"] == []
    late = get(client.get("/v1/items", params={"where": ["year>=2030", "tastes:war"]}))["items"]
    assert late
    assert all(each["features"]["year"] >= 2030 and each["features"]["tastes"] == ["war"] for each in late)


def test_the_schema_says_what_can_be_asked(client: httpx.Client) -> None:
    """Features, and the values that there are to filter by."""
    answer = get(client.get("/v1/schema"))
    assert answer["facets"]["year"]["low"] == 1980
    assert sorted(answer["facets"]["tastes"]["values"]) == ["crime", "love", "space", "war"]
    assert answer["users"] == [
        {"kind": "categorical", "name": "taste", "values": ["crime", "love", "space", "war"], "dtype": "string",
         "filterable": False}
    ]  # fmt: skip
    assert answer["name"] == "demo"


def test_health_and_metrics(client: httpx.Client) -> None:
    """Every part is asked, and what happened is counted by route, not by path."""
    assert get(client.get("/health/live"))["status"] == "ok"
    assert get(client.get("/health/ready"))["parts"] == dict.fromkeys(
        ("vector_store", "metadata_store", "release"), "ok"
    )
    client.get("/v1/items/12345678")
    get(client.get("/v1/users/8/recommendations"))
    text = client.get("/metrics").text
    assert 'vecrec_requests_total{method="GET",route="/v1/items/{item_id}",status="404"}' in text
    assert 'vecrec_lists_total{served_by="vectors"}' in text
    assert 'vecrec_part_ready{part="vector_store"} 1.0' in text
    assert "12345678" not in text


def test_an_explanation_adds_up(client: httpx.Client) -> None:
    """For a stored user and a posted one: parts, rules, the sentence; an unknown item is 404."""
    item = get(client.get("/v1/users/3/recommendations", params={"k": 1}))["items"][0]
    stored = get(client.get(f"/v1/users/3/recommendations/{item['item_id']}/explanation"))
    posted = get(client.post("/v1/explanations", json={"liked": [3, 7], "item_id": 55}))
    assert stored["score"] == pytest.approx(item["score"], rel=1e-4)
    for found in (stored, posted):
        assert sum(part["value"] for part in found["parts"]) + found["residual"] == pytest.approx(found["score"])
        assert found["rules"] == []
    assert posted["sentence"].startswith("Because you liked Movie ")
    assert get(client.post("/v1/explanations", json={"liked": [3], "item_id": 3}))["rules"] == ["seen"]
    problem(client.post("/v1/explanations", json={"liked": [3], "item_id": "no such"}), 404)
    problem(client.get("/v1/users/3/recommendations/no-such/explanation"), 404)


def test_single_fields_of_a_profile_are_changed(client: httpx.Client) -> None:
    """The others stay, and `null` removes one; an unknown user and an unknown field are told in HTTP words."""
    get(client.put("/v1/users/patched", json={"taste": "war", "name": "P", "city": "Bonn"}))
    assert get(client.patch("/v1/users/patched", json={"taste": "space", "city": None})) == {"written": 1}
    assert get(client.get("/v1/users/patched"))["features"] == {"taste": "space", "name": "P"}
    unknown = client.patch("/v1/users/not-there", json={"taste": "war"})
    assert (unknown.status_code, unknown.json()["title"]) == (404, "There is no such user")
    for path in ("/v1/users/patched", "/v1/items/3"):
        refused = client.patch(path, json={"colour": "red"})
        assert refused.status_code == 422
        assert "has no field 'colour'" in refused.json()["detail"]
        assert "upsert" not in refused.json()["detail"]
