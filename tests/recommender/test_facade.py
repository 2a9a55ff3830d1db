"""The facade's arguments, what it reads, and one release for a block of code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.recommender.tastes import TasteEncoder
from vecrec import Event, FeedbackPolicy, Recommender, User
from vecrec.errors import CollectionNotFoundError, InvalidDataError, NotFittedError, ReleaseError
from vecrec.recommender import LoadedRelease, RankOptions, RecommendOptions
from vecrec.recommender.request import Request

# -- arguments


def test_options_and_requests_have_the_same_names() -> None:
    """An option without a field of the request would be lost without a word."""
    options = {*RecommendOptions.__annotations__, *RankOptions.__annotations__}
    assert options == {*Request.__dataclass_fields__} - {"k", "demote"}
    assert Request.of(1, {}) == Request(1)


@pytest.mark.parametrize("call", ["recommend", "recommend_many", "recommend_for", "rank"])
def test_unknown_options_are_named(rec: Recommender, call: str) -> None:
    first: Any = {"recommend_many": [3], "recommend_for": User()}.get(call, 3)
    more: Any = [[1]] if call == "rank" else []
    with pytest.raises(InvalidDataError, match="exlude"):
        getattr(rec, call)(first, *more, exlude=[1])


def test_rank_does_not_exclude_what_was_seen(rec: Recommender) -> None:
    """The items are given, so it has no such option, and says so."""
    with pytest.raises(InvalidDataError, match="exclude_seen"):
        rec.rank(3, [1], exclude_seen=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("k", [np.int64(3), np.uint8(3), 3], ids=repr)
def test_numpy_integers_are_integers(rec: Recommender, k: Any) -> None:
    user: Any = np.int64(3)
    assert len(rec.recommend(user, k)) == 3
    assert len(Recommender(None, rec.vector_store, rec.metadata_store, max_history=k).name) > 0


@pytest.mark.parametrize("k", [True, np.True_, 3.0, "3", None, 0, -1], ids=repr)
def test_what_is_not_a_count_is_refused(rec: Recommender, k: Any) -> None:
    with pytest.raises(InvalidDataError, match="k is"):
        rec.recommend(3, k)
    with pytest.raises(InvalidDataError, match="max_history is"):
        Recommender(None, rec.vector_store, rec.metadata_store, max_history=k)


@pytest.mark.parametrize(
    ("kinds", "gone"),
    [
        (True, {0, 4, 8}),
        (False, set()),
        ({"purchase"}, {4, 8}),
        (["view", "purchase"], {0, 4, 8}),
        ((), {8}),
    ],
)
def test_seen_items_are_left_out_by_kind(rec: Recommender, kinds: Any, gone: set[int]) -> None:
    """Events without a kind always count as seen."""
    user = User(None, None, [Event(None, 0, kind="view"), Event(None, 4, kind="purchase"), 8])
    found = rec.recommend_for(user, 60, exclude_seen=kinds)
    assert {0, 4, 8}.difference(found.item_ids) == gone


@pytest.mark.parametrize("kinds", ["purchase", {""}, {1}, 1, None], ids=repr)
def test_kinds_of_seen_items_are_checked(rec: Recommender, kinds: Any) -> None:
    with pytest.raises(InvalidDataError):
        rec.recommend(3, exclude_seen=kinds)


# -- reading


def test_users_are_read_as_they_are_stored(rec: Recommender) -> None:
    rec.record([Event(3, 1, time=9e5, kind="dislike"), Event("new", 2, time=1.0)])
    found = rec.get_users(["new", "stranger", 3])
    assert list(found) == ["new", 3]
    assert found["new"] == User("new", None, [Event("new", 2, time=1.0)])
    assert found[3].features == {"taste": "war"}
    assert found[3].history[-1] == Event(3, 1, time=9e5, kind="dislike")


def test_a_taste_is_what_the_encoder_reads(rec: Recommender) -> None:
    """Without dislikes, said or stored, and without features that the schema does not allow."""
    user = User(None, {"taste": "gardening", "other": 1}, [1, Event(None, 2, kind="dislike"), 3])
    taste = rec.taste(user, [3])
    assert taste.user == User(None, {"other": 1}, [1])
    assert taste.disliked == (2, 3)
    assert taste.consumed == {1, 2, 3}


# -- one release for a block of code


def test_a_block_has_one_release(rec: Recommender) -> None:
    with rec.live() as live:
        assert isinstance(live, LoadedRelease)
        first = live.release.id
        rec.publish()
        assert live.release.id == first
        assert rec.vector_store.count(live.collection) == 60
    with rec.live() as live:
        assert live.release.id != first


def test_a_block_is_repeated_where_its_release_is_dropped(rec: Recommender) -> None:
    """After two other releases its collection is gone: the block fails once, and the next one has the live release."""
    other = Recommender.open(
        rec.name, rec.vector_store, rec.metadata_store, rec._archive.path.parent, encoder=TasteEncoder,
        refresh_seconds=3600,
    )  # fmt: skip
    rec.publish()
    live_id = rec.publish().id
    with pytest.raises(CollectionNotFoundError), other.live() as live:
        rec.vector_store.count(live.collection)
    with other.live() as live:
        assert live.release.id == live_id
        assert rec.vector_store.count(live.collection) == 60


def test_requests_are_repeated_by_themselves(rec: Recommender) -> None:
    other = Recommender.open(
        rec.name, rec.vector_store, rec.metadata_store, rec._archive.path.parent, encoder=TasteEncoder,
        refresh_seconds=3600,
    )  # fmt: skip
    rec.publish()
    live_id = rec.publish().id
    assert {found.release for found in other.recommend_many([1, 2])} == {live_id}


def test_a_block_says_that_the_collection_is_gone(rec: Recommender) -> None:
    rec.vector_store.drop(rec.releases()[0].collection)
    with pytest.raises(ReleaseError, match="has no collection"), rec.live() as live:
        rec.vector_store.count(live.collection)


def test_other_errors_leave_a_block_as_they_are(rec: Recommender) -> None:
    with pytest.raises(ZeroDivisionError), rec.live():
        _ = 1 / 0


def test_a_block_needs_a_release(unfitted: Recommender) -> None:
    with pytest.raises(NotFittedError), unfitted.live():
        pass


def test_a_given_policy_decides_for_stored_users(rec: Recommender) -> None:
    """The same stores, read by another policy."""
    rec.record(Event(3, 59, time=9e5, rating=1.0))
    assert rec.taste(rec.get_users([3])[3]).disliked == ()
    strict = Recommender(
        TasteEncoder(), rec.vector_store, rec.metadata_store, name=rec.name, artifacts=rec._archive.path.parent,
        feedback=FeedbackPolicy(negative_rating=1),
    )  # fmt: skip
    assert strict.taste(strict.get_users([3])[3]).disliked == (59,)
    assert 59 in rec.recommend(3, 60, exclude_seen=False).item_ids
    assert 59 not in strict.recommend(3, 60, exclude_seen=False).item_ids
