"""A small data set with features of every kind, and items and users to ask an encoder about."""

from __future__ import annotations

from typing import Any

import numpy as np

from vecrec.data import Categorical, Dataset, MultiCategorical, Numeric, Schema, Text
from vecrec.types import Event, Item, User

__all__ = ["BAD_ITEMS", "BAD_USERS", "SCHEMA", "items_to_ask", "tastes", "users_to_ask"]

_GENRES = ("crime", "love", "space")
_MOODS = ("dark", "fast", "funny", "slow")
_GENDERS = ("F", "M", "X")
_N_USERS, _N_ITEMS = 30, 36

SCHEMA = Schema(
    items=(
        Categorical("genre", filterable=True),
        MultiCategorical("moods", values=_MOODS, filterable=True),
        Numeric("year", dtype="integer", filterable=True),
        Numeric("length"),
        Text("title"),
    ),
    users=(Categorical("gender", values=_GENDERS), Numeric("age", dtype="integer"), Text("about")),
)


def tastes(seed: int = 0, *, name: str = "tastes") -> Dataset:
    """Users of three tastes who like items of one genre each, and say so by their ratings; genders go with tastes.

    Args:
        seed: Another seed gives other events.
        name: What to call it, which no vector may depend on.
    """
    rng = np.random.default_rng(seed)
    rows = [(user, item) for user in range(_N_USERS) for item in _choice(rng, user)]
    liked = [item % 3 == user % 3 for user, item in rows]
    return Dataset(
        {
            "user_id": [user for user, _ in rows],
            "item_id": [f"item {item}" for _, item in rows],
            "time": [1_000_000.0 + number for number in range(len(rows))],
            "rating": [5.0 if like else 2.0 for like in liked],
        },
        items=[Item(f"item {item}", _item_record(item)) for item in range(_N_ITEMS)],
        users=[User(user, _user_record(user)) for user in range(_N_USERS)],
        schema=SCHEMA,
        name=name,
    )


def items_to_ask() -> list[Item]:
    """Known items and unknown ones, with all features, some, strange ones and none."""
    return [
        *(Item(f"item {item}", _item_record(item)) for item in range(_N_ITEMS)),
        Item("item 1"),
        Item("item 1", {"genre": "love"}),
        Item(None, _item_record(1)),
        Item("unknown", _item_record(1)),
        Item(7, {"genre": "love", "not in the schema": {"x": [1, None]}}),
        Item("", {"genre": "never seen", "moods": [], "title": ""}),
        Item("\U0001f3ac", {"title": "日本語 \U0001f3ac " + "word " * 2000}),
        Item(None, {"moods": ["dark"] * 50, "year": -(10**12), "length": 1e300}),
        Item(None, {"genre": None, "moods": None, "year": None, "length": None, "title": None}),
        Item("unknown"),
        Item(),
    ]


def users_to_ask() -> list[User]:
    """Known users and unknown ones, with profiles and histories, some of them strange, and a visitor without any."""
    seen = [Event(None, f"item {item}", float(item), rating) for item, rating in ((1, 5.0), (4, None), (0, 1.0))]
    return [
        *(User(user, _user_record(user), [f"item {user % 3}", f"item {user % 3 + 3}"]) for user in range(_N_USERS)),
        User(0),
        User(0, _user_record(0)),
        User(None, _user_record(1)),
        User("unknown", _user_record(1), seen),
        User(None, {}, seen),
        User(None, {}, [f"item {number % _N_ITEMS}" for number in range(500)]),
        User(None, {}, ["unknown", 3, "item 1", ""]),
        User(None, {}, ["unknown", 3]),
        User(-1, {"age": 10**15, "about": "x" * 5000, "not in the schema": True}),
        User(None, {"gender": None, "age": None, "about": None}),
        User("unknown"),
        User(),
    ]


BAD_ITEMS: tuple[dict[str, Any], ...] = (
    {"genre": 1}, {"genre": ["love"]}, {"moods": "dark"}, {"moods": ["unheard of"]}, {"moods": [1]}, {"year": "1990"},
    {"year": 1990.5}, {"year": True}, {"length": "90"}, {"title": 5}, {"title": ["a"]},
)  # fmt: skip
"""Features of items outside the `SCHEMA`."""

BAD_USERS: tuple[dict[str, Any], ...] = (
    {"gender": "unheard of"}, {"gender": "f"}, {"gender": 1}, {"gender": ["F"]}, {"age": "25"}, {"age": 25.5},
    {"age": False}, {"about": 5},
)  # fmt: skip
"""Features of users outside the `SCHEMA`."""


def _choice(rng: np.random.Generator, user: int) -> list[int]:
    own = rng.choice(_N_ITEMS // 3, 7, replace=False) * 3 + user % 3
    other = rng.choice(_N_ITEMS // 3, 2, replace=False) * 3 + (user + 1) % 3
    return [*own.tolist(), *other.tolist()]


def _item_record(item: int) -> dict[str, Any]:
    record: dict[str, Any] = {
        "genre": _GENRES[item % 3],
        "moods": [_MOODS[item % 3], _MOODS[item % 4]][: 1 + item % 2],
        "year": 1980 + item,
        "length": 80 + item / 2,
        "title": f"The {_GENRES[item % 3]} of number {item}",
    }
    if item % 7 == 6:
        del record["year"], record["moods"]
    return record


def _user_record(user: int) -> dict[str, Any]:
    return {"gender": _GENDERS[user % 3], "age": 20 + user} if user % 7 != 6 else {}
