"""What events mean: one event, a user's history, the columns of a log; and the policy in a release."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recommender.tastes import TasteEncoder, world
from vecrec import Event, FeedbackPolicy, Recommender, ReleaseChecks, User
from vecrec.data import Dataset
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.types import MAX_KIND
from vecrec.vector_stores import MemoryVectorStore

SHOP = FeedbackPolicy(
    weights={"view": 1, "cart": 2, "purchase": 5}, negative={"return"}, consumed={"purchase"}, targets={"purchase"}
)
STARS = FeedbackPolicy(negative_rating=2, rating_weights=((3, 0.5), (5, 1.5)))
UNRATED = FeedbackPolicy(negative_rating=None)
DEFAULT = FeedbackPolicy()
POLICIES = {"default": DEFAULT, "shop": SHOP, "stars": STARS, "unrated": UNRATED}

KINDS = (None, "view", "purchase", "return", "dislike", "impression", "like")
RATINGS = (None, 0.0, 2.0, 2.5, 5.0)


def _event(item: int | str, kind: str | None = None, rating: float | None = None) -> Event:
    return Event(None, item, rating=rating, kind=kind)


def _user(*events: Event) -> User:
    return User("u", {"age": 7}, events)


# -- one event


@pytest.mark.parametrize(
    ("policy", "kind", "rating", "sign"),
    [
        (DEFAULT, None, None, 1),
        (DEFAULT, "view", None, 1),
        (DEFAULT, "anything", 3.0, 1),
        (DEFAULT, None, 0.0, -1),
        (DEFAULT, None, -1.0, -1),
        (DEFAULT, None, 0.5, 1),
        (DEFAULT, "dislike", None, -1),
        (DEFAULT, "dislike", 5.0, -1),
        (DEFAULT, "impression", None, 0),
        (DEFAULT, "impression", 0.0, 0),
        (DEFAULT, "like", 0.0, -1),
        (STARS, None, 2.0, -1),
        (STARS, None, 2.5, 1),
        (UNRATED, None, 0.0, 1),
        (UNRATED, None, -5.0, 1),
        (UNRATED, "dislike", None, -1),
        (SHOP, "dislike", None, 1),
        (SHOP, "return", None, -1),
        (SHOP, "return", 5.0, -1),
        (SHOP, "purchase", 0.0, -1),
        (FeedbackPolicy(neutral=()), "impression", None, 1),
        (FeedbackPolicy(negative=()), "dislike", None, 1),
    ],
)
def test_an_event_is_neutral_else_negative_else_positive(
    policy: FeedbackPolicy, kind: str | None, rating: float | None, sign: int
) -> None:
    assert policy.sign(_event(1, kind, rating)) == sign


@pytest.mark.parametrize(
    ("policy", "kind", "rating", "weight"),
    [
        (DEFAULT, "view", 4.0, 1.0),
        (DEFAULT, "dislike", None, 0.0),
        (DEFAULT, "impression", None, 0.0),
        (SHOP, "view", None, 1.0),
        (SHOP, "purchase", None, 5.0),
        (SHOP, "wishlist", None, 1.0),
        (SHOP, None, None, 1.0),
        (SHOP, "return", None, 0.0),
        (STARS, None, None, 1.0),
        (STARS, None, 2.0, 0.0),
        (STARS, None, 2.5, 0.5),
        (STARS, None, 3.0, 0.5),
        (STARS, None, 4.0, 1.0),
        (STARS, None, 9.0, 1.5),
        (FeedbackPolicy(weights={"view": 4}, rating_weights=((1, 1), (3, 2))), "view", 2.0, 6.0),
    ],
)
def test_a_weight_is_the_kinds_times_the_ratings(
    policy: FeedbackPolicy, kind: str | None, rating: float | None, weight: float
) -> None:
    assert policy.weight(_event(1, kind, rating)) == pytest.approx(weight)


@pytest.mark.parametrize(
    ("policy", "kind", "rating", "predicted"),
    [
        (DEFAULT, "view", None, True),
        (DEFAULT, None, 0.0, False),
        (DEFAULT, "impression", None, False),
        (SHOP, "view", None, False),
        (SHOP, "purchase", None, True),
        (SHOP, "purchase", 0.0, False),
        (SHOP, None, None, True),
        (SHOP, "return", None, False),
    ],
)
def test_what_is_to_be_predicted(
    policy: FeedbackPolicy, kind: str | None, rating: float | None, predicted: bool
) -> None:
    assert policy.predicts(_event(1, kind, rating)) is predicted


@pytest.mark.parametrize(
    "policy", [*POLICIES.values(), FeedbackPolicy(negative={"return", "thumbs down"}, negative_rating=None)]
)
def test_a_negative_event_is_negative_by_its_own_policy(policy: FeedbackPolicy) -> None:
    made = policy.negative_event("u", 7)
    assert (made.user_id, made.item_id, made.time, policy.sign(made)) == ("u", 7, None, -1)


# -- a user's history


@pytest.mark.parametrize(
    ("events", "history", "disliked"),
    [
        ([], [], []),
        ([_event(1), _event(2)], [1, 2], []),
        ([_event(1), _event(1), _event(2)], [1, 1, 2], []),
        ([_event(1), _event(2, "dislike")], [1], [2]),
        ([_event(1, "like"), _event(1, "dislike")], [], [1]),
        ([_event(1, "dislike"), _event(1, "like")], [1], []),
        ([_event(1, "view"), _event(1, "dislike"), _event(1, "view")], [1, 1], []),
        ([_event(1, "dislike"), _event(1, "impression")], [], [1]),
        ([_event(1, "like"), _event(1, "impression")], [1], []),
        ([_event(1, "impression")], [], []),
        ([_event(1, rating=0.0), _event(1, rating=4.0)], [1], []),
        ([_event(3, "dislike"), _event(1, "dislike"), _event(2), _event(3, "dislike")], [2], [1, 3]),
        ([_event(1, "dislike"), _event("1", "like")], ["1"], [1]),
    ],
)
def test_the_latest_event_with_an_item_decides(events: list[Event], history: list[Any], disliked: list[Any]) -> None:
    taste = DEFAULT.taste(_user(*events))
    assert [event.item_id for event in taste.user.history] == history
    assert list(taste.disliked) == disliked
    assert (taste.user.id, taste.user.features) == ("u", {"age": 7})


@pytest.mark.parametrize(
    ("policy", "kinds", "consumed"),
    [
        (DEFAULT, None, {1, 2, 3, 5, 6}),
        (DEFAULT, frozenset({"view"}), {1, 6}),
        (DEFAULT, frozenset(), {6}),
        (SHOP, None, {2, 6}),
        (SHOP, frozenset({"view", "like"}), {1, 5, 6}),
        (FeedbackPolicy(consumed=()), None, {6}),
        (FeedbackPolicy(neutral={"view"}), None, {2, 3, 4, 5, 6}),
    ],
)
def test_what_counts_as_consumed(policy: FeedbackPolicy, kinds: frozenset[str] | None, consumed: set[int]) -> None:
    """Neutral events never do, events without a kind always."""
    named = ("view", "purchase", "dislike", "impression", "like", None)
    user = _user(*(_event(number, kind) for number, kind in enumerate(named, 1)))
    assert policy.taste(user, consumed=kinds).consumed == consumed


def test_what_a_call_says_is_disliked_whatever_the_events_say() -> None:
    taste = DEFAULT.taste(_user(_event(1), _event(2), _event(3, "dislike"), _event(4, "dislike")), [2, 9, 3])
    assert [event.item_id for event in taste.user.history] == [1]
    assert taste.disliked == (4, 2, 9, 3)


def test_a_user_who_dislikes_nothing_stays_the_same() -> None:
    user = _user(_event(1), _event(2, "view", 4.0))
    assert DEFAULT.taste(user).user is user


# -- the columns of a log


def _columns(rows: Sequence[tuple[str | None, float | None]]) -> tuple[list[str | None], np.ndarray[Any, Any]]:
    return [kind for kind, _ in rows], np.array([np.nan if rating is None else rating for _, rating in rows])


@pytest.mark.parametrize("name", POLICIES)
def test_columns_say_what_single_events_say(name: str) -> None:
    policy, rows = POLICIES[name], list(product(KINDS, RATINGS))
    kinds, ratings = _columns(rows)
    events = [_event(1, kind, rating) for kind, rating in rows]
    assert policy.signs(len(rows), kinds, ratings).tolist() == [policy.sign(event) for event in events]
    weights = policy.event_weights(len(rows), kinds, ratings)
    assert weights == pytest.approx(np.array([policy.weight(event) for event in events]))
    assert policy.is_target(len(rows), kinds, ratings).tolist() == [policy.predicts(event) for event in events]
    assert {*policy.signs(len(rows), kinds, ratings).tolist()} == {1, -1, 0}


@pytest.mark.parametrize("name", POLICIES)
def test_columns_may_be_missing(name: str) -> None:
    policy = POLICIES[name]
    assert policy.signs(3).tolist() == [1, 1, 1]
    assert policy.event_weights(3).tolist() == [1, 1, 1]
    assert policy.is_target(3).tolist() == [True, True, True]
    assert policy.signs(2, ["view", "impression"]).tolist() == [1, 0]
    assert policy.signs(0).tolist() == policy.is_target(0, [], np.zeros(0)).tolist() == []


_LOGS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from(KINDS), st.sampled_from(RATINGS)),
    min_size=1,
    max_size=30,
)


@given(rows=_LOGS, name=st.sampled_from(sorted(POLICIES)))
def test_a_log_has_the_histories_and_the_people_that_tastes_have(rows: list[Any], name: str) -> None:
    """The columns of a whole log against one taste for each user."""
    policy = POLICIES[name]
    log = [replace(_event(item, kind, rating), user_id=user, time=None) for user, item, kind, rating in rows]
    data = Dataset(log, feedback=policy, order="rows")
    people: Counter[Id] = Counter()
    for code, user in enumerate(data.user_ids):
        history = policy.taste(_user(*(event for event in log if event.user_id == user))).user.history
        kept = data.item_codes[data.is_positive & (data.user_codes == code)]
        assert [event.item_id for event in history] == [data.item_ids[item] for item in kept]
        people.update({event.item_id for event in history})
    assert dict(zip(data.item_ids, data.popularity().tolist())) == {key: people[key] for key in data.item_ids}


# -- what is not a policy


@pytest.mark.parametrize(
    "make",
    [
        lambda: FeedbackPolicy(weights={"view": 0}),
        lambda: FeedbackPolicy(weights={"view": -1}),
        lambda: FeedbackPolicy(weights={"view": True}),
        lambda: FeedbackPolicy(weights={"view": "2"}),  # type: ignore[dict-item]
        lambda: FeedbackPolicy(weights={"view": float("inf")}),
        lambda: FeedbackPolicy(weights=["view"]),  # type: ignore[arg-type]
        lambda: FeedbackPolicy(weights={3: 1}),  # type: ignore[dict-item]
        lambda: FeedbackPolicy(negative="dislike"),
        lambda: FeedbackPolicy(negative={"dislike": 1}),
        lambda: FeedbackPolicy(negative=None),  # type: ignore[arg-type]
        lambda: FeedbackPolicy(neutral={""}),
        lambda: FeedbackPolicy(neutral={"x" * (MAX_KIND + 1)}),
        lambda: FeedbackPolicy(neutral={"a\nb"}),
        lambda: FeedbackPolicy(consumed=5),  # type: ignore[arg-type]
        lambda: FeedbackPolicy(targets={None}),  # type: ignore[arg-type]
        lambda: FeedbackPolicy(negative_rating="2"),  # type: ignore[arg-type]
        lambda: FeedbackPolicy(negative_rating=True),
        lambda: FeedbackPolicy(negative_rating=float("nan")),
        lambda: FeedbackPolicy(rating_weights=((1, 2), (1, 3))),
        lambda: FeedbackPolicy(rating_weights=((2, 1), (1, 1))),
        lambda: FeedbackPolicy(rating_weights=((1, -1),)),
        lambda: FeedbackPolicy(rating_weights=((1, 2, 3),)),  # type: ignore[arg-type]
        lambda: FeedbackPolicy(rating_weights=5),  # type: ignore[arg-type]
        lambda: FeedbackPolicy(weights={"dislike": 2}),
        lambda: FeedbackPolicy(weights={"impression": 2}),
        lambda: FeedbackPolicy(negative={"impression"}),
        lambda: FeedbackPolicy(targets={"dislike"}),
        lambda: FeedbackPolicy(targets={"impression"}),
        lambda: FeedbackPolicy(consumed={"impression"}),
        lambda: FeedbackPolicy.from_json({"colour": 1}),
        lambda: FeedbackPolicy.from_json(["weights"]),
        lambda: FeedbackPolicy.from_json(None),
        lambda: FeedbackPolicy.from_json({"negative": "dislike"}),
    ],
)
def test_what_is_not_a_policy_is_refused(make: Callable[[], FeedbackPolicy]) -> None:
    with pytest.raises(InvalidDataError) as caught:
        make()
    assert caught.value.problem
    assert caught.value.cure


def test_numbers_may_be_of_any_kind() -> None:
    weights: dict[str, Any] = {"view": np.int64(2), "cart": Fraction(5, 2)}
    low: Any = np.float32(1.0)
    policy = FeedbackPolicy(weights=weights, negative_rating=low)
    assert policy.weights == {"view": 2.0, "cart": 2.5}
    assert [type(value) for value in (*policy.weights.values(), policy.negative_rating)] == [float] * 3


# -- kept in a release


@pytest.mark.parametrize("name", POLICIES)
def test_json_carries_a_policy(name: str) -> None:
    policy = POLICIES[name]
    assert FeedbackPolicy.from_json(json.loads(json.dumps(policy.to_json()))) == policy


def test_an_empty_object_is_the_default_policy() -> None:
    assert FeedbackPolicy.from_json({}) == FeedbackPolicy()


def _recommender(path: Path, stores: Any = None, **options: Any) -> Recommender:
    stores = stores or (MemoryVectorStore(), MemoryMetadataStore())
    return Recommender(TasteEncoder(), *stores, artifacts=path, refresh_seconds=0, **options)


def test_the_release_keeps_the_policy_and_serves_by_it(tmp_path: Path) -> None:
    made = _recommender(tmp_path, feedback=STARS)
    made.fit(world())
    stores = made.vector_store, made.metadata_store
    user = User(None, None, [Event(None, 9, rating=2.0), 1])
    for opened in (
        made,
        Recommender.open("vecrec", *stores, tmp_path, encoder=TasteEncoder),
        _recommender(tmp_path, stores),
    ):
        with opened.live() as live:
            assert live.feedback == STARS
        assert opened.taste(user).disliked == (9,)
        assert 9 not in opened.recommend_for(user, 60, exclude_seen=False).item_ids
    with _recommender(tmp_path, stores, feedback=UNRATED) as other:
        assert other.taste(user).disliked == ()
        assert 9 in other.recommend_for(user, 60, exclude_seen=False).item_ids


def test_a_recommender_without_a_policy_goes_on_with_the_live_one(tmp_path: Path) -> None:
    first = _recommender(tmp_path, feedback=STARS)
    first.fit(world())
    again = _recommender(tmp_path, (first.vector_store, first.metadata_store))
    assert FeedbackPolicy.from_json(again.fit(world()).feedback) == STARS
    changed = _recommender(tmp_path, (first.vector_store, first.metadata_store), feedback=UNRATED)
    assert FeedbackPolicy.from_json(changed.fit(world()).feedback) == UNRATED
    assert FeedbackPolicy.from_json(changed.publish().feedback) == UNRATED


def test_a_release_of_before_the_policy_has_the_default_one(tmp_path: Path) -> None:
    made = _recommender(tmp_path)
    release = made.fit(world())
    path = tmp_path / "vecrec" / "releases" / release.id / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["feedback"]
    path.write_text(json.dumps(manifest))
    with _recommender(tmp_path, (made.vector_store, made.metadata_store)).live() as live:
        assert live.feedback == FeedbackPolicy()


# -- popularity and release checks


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("fit", {"rating": 0.0}),
        ("publish", {"rating": 0.0}),
        ("publish", {"kind": "dislike"}),
        ("publish", {"kind": "impression"}),
    ],
)
def test_negative_and_neutral_events_are_no_popularity(tmp_path: Path, by: str, said: dict[str, Any]) -> None:
    """Neither from a data set nor from the store."""
    with _recommender(tmp_path) as made:
        made.fit(world())
        crowd = [Event(f"visitor {number}", 59, time=float(number), **said) for number in range(500)]
        if by == "fit":
            events = [*world().events(), *crowd]
            made.fit(Dataset(events, [*world().items()], [*world().users()], world().schema))
        else:
            made.record(crowd)
            made.publish()
        with made.live() as live:
            assert 59 not in live.popularity.ids


@pytest.mark.parametrize("by", ["fit", "publish"])
def test_popularity_counts_people(tmp_path: Path, by: str) -> None:
    """One visitor who opens an item 500 times counts once."""
    bot = [Event("bot", 59, time=float(number)) for number in range(500)]
    fans = [Event(f"fan {number}", 58, time=1.0) for number in range(30)]
    with _recommender(tmp_path) as made:
        made.fit(world())
        if by == "fit":
            events = [*world().events(), *bot, *fans]
            made.fit(Dataset(events, [*world().items()], [*world().users()], world().schema))
        else:
            made.record([*bot, *fans])
            made.publish()
        with made.live() as live:
            assert live.popularity.ids[0] == 58
            shares = dict(zip(live.popularity.ids, live.popularity.shares))
            assert shares[59] == pytest.approx(1 / 30)


def test_popularity_counts_each_user_once(tmp_path: Path) -> None:
    """A user counts once for an item, whatever the kinds and the number of the events."""
    with _recommender(tmp_path, feedback=SHOP) as made:
        made.fit(world())
        bought = [Event(f"b{number}", 58, 1.0, kind="purchase") for number in range(81)]
        viewed = [Event(f"v{number}", 59, 1.0, kind="view") for number in range(90)]
        made.record([*bought, Event("b1", 58, 2.0, kind="view"), *viewed])
        made.publish()
        with made.live() as live:
            assert live.popularity.ids[:2] == (59, 58)
            assert live.popularity.shares[1] == pytest.approx(0.9)


def test_checks_predict_what_is_to_be_predicted(tmp_path: Path) -> None:
    """Every user of the world ends with a disliked item of another taste, which no check takes for the next one."""
    with _recommender(tmp_path, checks=ReleaseChecks(sampled_users=40)) as made:
        before = made.fit(world()).checks
        made.record([Event(user, (user + 1) % 4, time=9e5, kind="dislike") for user in range(40)])
        made.record([Event(user, (user + 2) % 4, time=9e5, kind="impression") for user in range(40)])
        after = made.publish().checks
        assert before["hits"] == after["hits"] == 40
