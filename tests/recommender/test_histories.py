"""Stored histories: what a moved window, an unknown order or a slow clock makes of them, on each engine."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vecrec import Event, Recommender, ReleaseChecks
from vecrec.data import Dataset
from vecrec.encoders import LinearSequenceEncoder
from vecrec.feedback import FeedbackPolicy
from vecrec.metadata_stores import MemoryMetadataStore, MetadataStore, RedisMetadataStore, SQLMetadataStore
from vecrec.vector_stores import MemoryVectorStore

EASY = ReleaseChecks(beat_popularity=False)
NOW = 1_700_000_000.0


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def shop(request: pytest.FixtureRequest, tmp_path: Path, server_url: Callable[[str], str]) -> Iterator[Recommender]:
    """Give a recommender without a release, whose store keeps 5 events of a user."""
    metadata: MetadataStore
    if request.param == "memory":
        metadata = MemoryMetadataStore(max_events_per_user=5)
    elif request.param == "sqlite":
        metadata = SQLMetadataStore(f"sqlite:///{tmp_path}/m.sqlite", max_events_per_user=5)
    else:
        prefix = f"t{uuid.uuid4().hex[:12]}"
        metadata = RedisMetadataStore(server_url("redis"), prefix=prefix, max_events_per_user=5)
    parts = LinearSequenceEncoder(dim=4), MemoryVectorStore(), metadata
    with Recommender(*parts, name="shop", artifacts=tmp_path, checks=EASY, refresh_seconds=0) as made:
        yield made


def _log(events: str, **more: Any) -> dict[str, Any]:
    """A log of one user: of ``"av bp"`` the items are a and b, the kinds v and p."""
    pairs = events.split()
    kinds = [pair[1:] for pair in pairs]
    log = {"user_id": [1] * len(pairs), "item_id": [pair[0] for pair in pairs], **more}
    return log | ({"kind": kinds} if any(kinds) else {})


WINDOWS = [
    ("a b c d", "b c d e", "a b c d e"),
    ("c a d b", "d b e", "c a d b e"),
    ("a b", "c d", "a b c d"),
    ("a b c", "a b c", "a b c"),
    ("av ap bv", "ap bv cv", "av ap bv cv"),
    ("av bv bp", "bp cv av", "av bv bp cv av"),
    ("kv hp kp", "kp pv kv", "kv hp kp pv kv"),
]


@pytest.mark.parametrize(("first", "second", "whole"), WINDOWS)
@pytest.mark.parametrize("order", ["rows", None])
def test_a_moved_window_neither_doubles_nor_scrambles(
    shop: Recommender, first: str, second: str, whole: str, order: Any
) -> None:
    """Each event is recognised by item and kind; declared rows keep their order."""
    for window in (first, second):
        shop.fit(Dataset(_log(window), order=order))
    held = [f"{event.item_id}{event.kind or ''}" for event in shop.history(1)]
    expected = whole.split() if order else sorted({*whole.split()})
    assert (held if order else sorted(held)) == expected


@pytest.mark.parametrize("times", [{}, {"time": [NOW] * 4}])
@pytest.mark.parametrize(
    ("log", "policy"),
    [
        ({"kind": ["dislike", "like", "like", "like"]}, None),
        ({"kind": ["like", "dislike", "like", "like"]}, None),
        ({"rating": [1.0, 5.0, 5.0, 4.0]}, FeedbackPolicy(negative_rating=2)),
        ({"rating": [5.0, 1.0, 5.0, 4.0]}, FeedbackPolicy(negative_rating=2)),
    ],
)
def test_a_negative_event_decides_where_the_order_is_unknown(
    shop: Recommender, log: dict[str, Any], policy: FeedbackPolicy | None, times: dict[str, Any]
) -> None:
    """The stored history says what the data set said."""
    data = Dataset({"user_id": [1, 1, 1, 2], "item_id": ["a", "a", "b", "b"], **log, **times}, feedback=policy)
    shop.fit(data)
    taste = shop.taste(shop.get_users([1])[1])
    liked = {event.item_id for event in data.positive().events() if event.user_id == 1}
    assert {event.item_id for event in taste.user.history} == liked == {"b"}
    assert taste.disliked == ("a",)


CLICKS: list[list[list[Event]]] = [
    [[Event(900, 20)], [Event(900, 21)]],
    [[Event(900, 20), Event(900, 21)]],
    [[Event(900, 20, kind="like")], [Event(900, 21, kind="like")]],
    [[Event(900, 21), Event(900, 20), Event(900, 21)]],
    [[Event(900, 4)], [Event(900, 20)], [Event(900, 21)]],
]


@pytest.mark.parametrize("calls", CLICKS)
def test_a_clock_behind_a_full_history_loses_nothing(
    shop: Recommender, calls: list[list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user does now comes after what they did before, whatever the clock says."""
    shop.fit(Dataset({"user_id": [1, 1, 2, 2], "item_id": [20, 2, 21, 3], "time": [1e9, 1e9 + 1, 3e8, 4e8]}))
    for item in range(5):
        shop.record(Event(900, item))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 60)
    for events in calls:
        shop.record(events)
    held = [event.item_id for event in shop.history(900)]
    assert len(held) == 5
    assert held[-2:] == [20, 21]


def test_a_clock_that_stands_still_tells_two_plays_of_one_item_apart(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal times would make one event of them."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    for _ in range(3):
        rec.record(Event("anna", 5))
    times = [event.time for event in rec.history("anna")]
    assert len({*times}) == 3
    assert times == sorted(times)  # type: ignore[type-var]
