"""The values that go in and out check themselves and cannot be changed."""

from __future__ import annotations

import copy
import dataclasses
import fractions
import math
import pickle
from typing import Any

import numpy as np
import pytest

from vecrec import Event, Hit, Item, Recommendation, Recommendations, User
from vecrec.errors import InvalidDataError
from vecrec.testing.data import BAD_IDS
from vecrec.types import EventColumns, column


def _recommendations() -> Recommendations:
    rows = (Recommendation(1, "a", 2.0, {"title": "A", "year": 1999}), Recommendation(2, 7, 1.0, {"title": "<B>"}))
    return Recommendations(rows, 42, "r1", "vectors", "id-1", shortfall="only 2 of 3 match")


@pytest.mark.parametrize("bad", [value for value in BAD_IDS if value is not None], ids=lambda value: f"{value!r:.20}")
def test_ids_are_checked(bad: Any) -> None:
    """What is no id is refused wherever an id stands."""
    for make in (Item, User, lambda value: Event(value, 1), lambda value: Event(1, value), lambda v: User(1, {}, [v])):
        with pytest.raises(InvalidDataError, match=r"(item|user) id"):
            make(bad)


def test_an_event_names_an_item() -> None:
    """The user may be unknown, the item not."""
    assert Event(None, 1).user_id is None
    with pytest.raises(InvalidDataError, match="item id"):
        Event(1, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "plain"),
    [(5, 5.0), (np.float32(0.5), 0.5), (np.int64(3), 3.0), (fractions.Fraction(1, 2), 0.5), (None, None)],
)
def test_times_and_ratings_become_floats(value: Any, plain: float | None) -> None:
    """Any real number will do, and ``None`` stays unknown."""
    event = Event(1, 2, value, value)
    assert (event.time, event.rating) == (plain, plain)
    assert type(event.time) is type(event.rating) is type(plain)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "5", True, 10**400, 1j, [5], np.float64("nan")])
def test_times_and_ratings_are_finite_numbers(bad: Any) -> None:
    """Everything else is refused, what no float can hold included."""
    with pytest.raises(InvalidDataError, match="time"):
        Event(1, 2, bad)
    with pytest.raises(InvalidDataError, match="rating"):
        Event(1, 2, 0.0, bad)


def test_features_are_copied_and_plain() -> None:
    """What the caller does to a record later does not reach the item or the user."""
    features: dict[str, Any] = {"genres": ("a", np.int64(1)), "nested": {"x": [1]}}
    item, user = Item(1, features), User(1, features)
    features["nested"]["x"].append(2)
    assert item.features == user.features == {"genres": ["a", 1], "nested": {"x": [1]}}


@pytest.mark.parametrize("bad", [{"x": math.nan}, {1: 2}, {"x": b""}, "text", 5, [("x", 1)]])
def test_features_are_json(bad: Any) -> None:
    """The message says whose features they are."""
    with pytest.raises(InvalidDataError, match="the features of item 'a'"):
        Item("a", bad)
    with pytest.raises(InvalidDataError, match="the features of user 'a'"):
        User("a", bad)


def test_nothing_is_needed() -> None:
    """Items and users may be known by nothing at all."""
    assert (Item().id, Item().features) == (None, {})
    assert (User().id, User().features, User().history) == (None, {}, ())
    assert User(1, None).features == {}


def test_a_history_may_be_bare_ids() -> None:
    """They become events of that user, in their order, without a time."""
    event = Event("other", "c", 5.0)
    user = User("u", {}, ["a", 2, event])
    assert user.history == (Event("u", "a"), Event("u", 2), event)
    assert User("u", {}, iter(["a"])).history == (Event("u", "a"),)


@pytest.mark.parametrize("bad", ["abc", b"abc", {"a": 1}, 5, None, [None], [1.5], [("a", 1)], [Item("a")]])
def test_a_history_is_a_sequence_of_events_and_ids(bad: Any) -> None:
    """One string is no history of its characters."""
    with pytest.raises(InvalidDataError):
        User("u", {}, bad)


@pytest.mark.parametrize(
    "value", [Event(1, 2, 3.0), Item(1, {"x": [1]}), User(1, {"x": 1}, [2]), Hit(1, 0.5), _recommendations()]
)
def test_values_are_frozen_and_travel(value: Any) -> None:
    """No field can be set, and a copy, a pickle and a replacement by nothing are equal to the original."""
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == dataclasses.replace(value) == value
    assert not hasattr(value, "__dict__")


def test_events_by_column_are_a_sequence_of_events() -> None:
    """They read, compare, slice and travel like the list of the same events, and `column` reads both alike."""
    rows: list[tuple[Any, ...]] = [(7, 1.0, None, None), ("7", 2.0, 5.0, "view"), (8, 3.5, 0.0, "dislike")]
    events, listed = EventColumns(42, *map(list, zip(*rows))), [Event(42, *row) for row in rows]
    assert [*events] == listed
    assert [*reversed(events)] == listed[::-1]
    assert events == listed == events
    assert events == tuple(listed)
    assert events != listed[1:]
    assert events != 3
    assert (events[-1], len(events), listed[1] in events, repr(events)) == (listed[-1], 3, True, repr(tuple(listed)))
    assert isinstance(events[1:], EventColumns)
    assert events[1:] == listed[1:]
    assert pickle.loads(pickle.dumps(events)) == copy.deepcopy(events) == listed
    assert User(42, {}, events).history == User.unchecked(42, {}, events).history == tuple(listed)
    for name in ("item_id", "time", "rating", "kind"):
        assert column(events, name) == column(listed, name) == [getattr(event, name) for event in listed]
    with pytest.raises(IndexError):
        events[3]


def test_hits_are_made_of_columns() -> None:
    """As many as there are ids, equal to those made one by one."""
    assert Hit.of([1, "1"], (0.5, -2.0, 7.0)) == [Hit(1, 0.5), Hit("1", -2.0)]
    assert Hit.of([], []) == []


def test_a_replaced_value_is_checked_again() -> None:
    """`dataclasses.replace` is no way around the checks."""
    with pytest.raises(InvalidDataError):
        dataclasses.replace(Item(1), id=1.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidDataError):
        dataclasses.replace(User(1), history="abc")  # type: ignore[arg-type]


def test_a_recommendation_reads_its_record() -> None:
    """Its fields by name, with a `KeyError` or a default where there is none."""
    movie = _recommendations()[0]
    assert movie["title"] == "A"
    assert movie.get("missing") is None
    assert movie.get("missing", 5) == 5
    with pytest.raises(KeyError, match="missing"):
        movie["missing"]


def test_recommendations_are_a_sequence() -> None:
    """Length, index, slice, iteration, membership."""
    found = _recommendations()
    assert len(found) == 2
    assert [row.item_id for row in found] == ["a", 7]
    assert found[-1].rank == 2
    assert list(found[:1]) == [found[0]]
    assert found[0] in found
    assert found.index(found[1]) == 1
    assert not Recommendations((), None, "r1", "popularity", "id-2")


def test_recommendations_become_a_table() -> None:
    """A row a recommendation, a column a field, null where a record lacks it, mixed ids as text."""
    table = _recommendations().to_arrow()
    assert table.column_names[:3] == ["rank", "item_id", "score"]
    assert table.to_pydict() == {
        "rank": [1, 2],
        "item_id": ["a", "7"],
        "score": [2.0, 1.0],
        "title": ["A", "<B>"],
        "year": [1999, None],
    }
    assert list(_recommendations().to_pandas()["title"]) == ["A", "<B>"]


def test_recommendations_show_in_a_notebook() -> None:
    """What stands in a record is escaped."""
    shown = _recommendations()._repr_html_()
    assert "&lt;B&gt;" in shown
    assert "<B>" not in shown
    assert "only 2 of 3 match" in shown
