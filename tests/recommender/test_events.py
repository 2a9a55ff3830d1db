"""What users do: recorded, said once, taken back, counted; by the library and by the service."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.recommender.tastes import TasteEncoder
from vecrec import Event, FeedbackPolicy, Item, Recommender, User, field
from vecrec.errors import InvalidDataError

NOW = 1_700_000_000.0


def _said(rec: Recommender, user: str) -> list[tuple[Any, str | None]]:
    return [(event.item_id, event.kind) for event in rec.history(user)]


@pytest.mark.parametrize(
    ("events", "kept"),
    [
        (["like", "like"], ["like"]),
        (["like", "dislike"], ["dislike"]),
        (["dislike", "like", "like", "dislike", "like"], ["like"]),
        (["view", "view"], ["view", "view"]),
        (["view", "like", "view", "like"], ["view", "view", "like"]),
        ([None, "like", None], [None, "like", None]),
    ],
)
@pytest.mark.parametrize("at_once", [False, True])
def test_a_state_said_again_replaces_the_earlier_one(
    rec: Recommender, events: list[str | None], kept: list[str | None], at_once: bool
) -> None:
    """Occurrences stay as many as they are, and the last state holds; a repeated request adds nothing."""
    made = [Event("anna", 5, NOW + n, kind=kind) for n, kind in enumerate(events)]
    for part in [made] if at_once else [[each] for each in made]:
        rec.record(part)
    assert _said(rec, "anna") == [(5, kind) for kind in kept]
    rec.record(made[-1])
    assert _said(rec, "anna") == [(5, kind) for kind in kept]


def test_states_are_by_user_and_item(rec: Recommender) -> None:
    """A state replaces those of its own user and item only."""
    rec.record([Event("anna", 5, kind="like"), Event("anna", 6, kind="like"), Event("bert", 5, kind="dislike")])
    rec.record(Event("anna", 5, kind="dislike"))
    assert _said(rec, "anna") == [(6, "like"), (5, "dislike")]
    assert _said(rec, "bert") == [(5, "dislike")]


def test_a_clock_that_is_behind_does_not_lose_a_state(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said now holds from now on, whatever the clock says."""
    rec.record(Event("anna", 5, kind="like"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 60)
    rec.record(Event("anna", 5, kind="dislike"))
    assert _said(rec, "anna") == [(5, "dislike")]


def test_states_recorded_side_by_side_leave_one(rec: Recommender) -> None:
    """The last state stays and the others go, in whichever order the threads append them."""
    threads = [threading.Thread(target=rec.record, args=(Event("anna", 5, kind=k),)) for k in ["like", "dislike"] * 8]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(_said(rec, "anna")) == 1


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (Event("anna", 5, 4e9), "lies in the future"),
        (Event("anna", 5, 4e9, kind="like"), "lies in the future"),
        (Event(None, 5), "user"),
        (Event(None, 5, kind="like"), "user"),
    ],
)
def test_what_cannot_have_happened_is_refused_whole(rec: Recommender, event: Event, problem: str) -> None:
    """Nothing is written then."""
    with pytest.raises(InvalidDataError, match=problem):
        rec.record([Event("anna", 4), event])
    assert rec.history("anna") == []


@pytest.mark.parametrize(
    ("conditions", "left"),
    [
        ({}, []),
        ({"item_ids": 5}, [6, 7]),
        ({"item_ids": [5, 6]}, [7]),
        ({"kinds": "like"}, [6, 7]),
        ({"kinds": ["like", None]}, [6]),
        ({"kinds": "like", "item_ids": 6}, [5, 6, 7]),
        ({"time": NOW + 1}, [5, 7]),
        ({"time": "2023-11-14T22:13:22Z"}, [5, 6]),
        ({"item_ids": []}, [5, 6, 7]),
    ],
)
def test_events_are_taken_back(rec: Recommender, conditions: dict[str, Any], left: list[int]) -> None:
    """Those that agree with every condition go, and their number comes back."""
    rec.record([Event("anna", 5, NOW, kind="like"), Event("anna", 6, NOW + 1, kind="view"), Event("anna", 7, NOW + 2)])
    assert rec.delete_events("anna", **conditions) == 3 - len(left)
    assert [event.item_id for event in rec.history("anna")] == left


def test_users_are_listed_with_a_profile_or_events(rec: Recommender) -> None:
    """Each once."""
    rec.record(Event("only events", 5))
    rec.upsert_users(User("only a profile", {"taste": "war"}))
    assert sorted(map(str, rec.user_ids())) == sorted([*map(str, range(40)), "only events", "only a profile"])


@pytest.mark.parametrize(
    ("seen", "hidden"),
    [(True, {5, 9}), (["purchase"], {5}), (["purchase", "view"], {5, 9}), ([], set()), (False, set())],
)
def test_what_was_bought_can_be_hidden_and_what_was_viewed_not(rec: Recommender, seen: Any, hidden: set[int]) -> None:
    """The kinds of events whose items are left out are chosen by the call."""
    rec.record([Event("anna", 5, kind="purchase"), Event("anna", 9, kind="view")])
    assert {5, 9} - set(rec.recommend("anna", 60, exclude_seen=seen).item_ids) == hidden


def test_rank_takes_a_filter_and_exclusions_and_many_take_them_by_user(rec: Recommender) -> None:
    """The options that `recommend` has."""
    ranked = rec.rank(1, [1, 5, 9, 57], where=field("year") >= 1985, exclude=[9])
    assert set(ranked.item_ids) == {5, 57}
    assert ranked.shortfall == "2 of 4: the others are not in the catalogue or do not pass the filter or are excluded"
    assert not rec.verify().pending
    one, other = rec.recommend_many([1, 5], 3, exclude={1: [57]})
    assert 57 not in one.item_ids
    assert 57 in other.item_ids


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({"half_life": 1e12}, 20),
        ({"half_life": 3_600.0}, 58),
        ({"segment": {"taste": "war"}}, 59),
        ({"half_life": 3_600.0, "segment": {"taste": "crime"}}, 58),
        ({"segment": {"taste": "crime"}, "where": field("year") >= 2036}, 58),
    ],
)
def test_popularity_is_of_people_of_now_and_of_a_segment(
    unfitted: Recommender, options: dict[str, Any], first: int
) -> None:
    """Thirty users chose 20 long ago, three 58 lately, one user 57 five hundred times, ten of the taste war 59."""
    from tests.recommender.tastes import world

    unfitted.fit(world())
    for user in range(40):
        unfitted.delete_events(user)
    late = NOW + 86_400
    unfitted.record([Event(user, 20, NOW) for user in range(40) if user % 4 != 3])
    unfitted.record([Event(user, 58, late) for user in (0, 4, 8)])
    unfitted.record([Event(0, 57, late - n) for n in range(500)])
    unfitted.record([Event(user, 59, NOW) for user in range(3, 40, 4)])
    found = unfitted.popular(3, **options)
    assert found[0].item_id == first
    assert (found.served_by, found[0].score) == ("popularity", 1.0 if "where" not in options else found[0].score)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert "users" in found.notes[0]


def test_popular_without_options_is_the_list_of_the_release(rec: Recommender) -> None:
    """It costs no look at the events, and does not go beyond what is popular."""
    found = rec.popular(60)
    assert (len(found), found.shortfall) == (48, "48 of 60: the list of popular items has no more")
    assert found.item_ids[:4] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "options", [{"half_life": 0}, {"half_life": "1d"}, {"segment": {"shoe": 4}}, {"segment": 3}, {"k": 0}]
)
def test_a_count_that_cannot_be_made_is_refused(rec: Recommender, options: dict[str, Any]) -> None:
    """With the cure."""
    with pytest.raises(InvalidDataError):
        rec.popular(**options)


def test_a_policy_may_have_no_states(tmp_path: Path, rec: Recommender) -> None:
    """Then a like is an occurrence like any other; and one item is taken where many are."""
    stores = rec.vector_store, rec.metadata_store
    other = Recommender.open("movies", *stores, tmp_path, encoder=TasteEncoder, feedback=FeedbackPolicy(states=()))
    other.record([Event("anna", 5, NOW, kind="like"), Event("anna", 5, NOW + 1, kind="like")])
    assert len(other.history("anna")) == 2
    other.upsert_items(Item(500, {"tastes": ["war"], "year": 2000}))
    assert 500 in other.get_items([500])
