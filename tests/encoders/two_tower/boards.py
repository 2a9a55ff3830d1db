"""Small data sets with one right answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from vecrec.data import Categorical, Dataset, Numeric, Schema, Text
from vecrec.encoders.two_tower import TwoTowerEncoder, TwoTowerSettings
from vecrec.types import Event, Item, User

__all__ = ["N_ITEMS", "N_USERS", "QUICK", "SCHEMA", "checkerboard", "item", "quick", "user"]

N_USERS, N_ITEMS, LENGTH = 60, 40, 12

SCHEMA = Schema(
    items=(Categorical("parity"), Text("title"), Numeric("year")),
    users=(Categorical("gender", values=("F", "M")), Numeric("age"), Categorical("occupation", values=(0, 1, 2, 3))),
)

QUICK: dict[str, Any] = {
    "hidden": 0,
    "epochs": 4,
    "min_steps": 160,
    "learning_rate": 0.02,
    "user_ids": True,
    "negatives": 512,
    "dropout": 0.2,
}
"""Settings with which a test does not take longer than it must, and nothing is left to the data."""


def quick(dim: int = 16, seed: int = 0, **settings: Any) -> TwoTowerEncoder:
    """An encoder that learns a board within a second or two."""
    return TwoTowerEncoder(dim, seed=seed, settings=TwoTowerSettings(**{**QUICK, **settings}), threads=1)


def checkerboard(seed: int = 0) -> Dataset:
    """Even users go through the even items in ascending order, odd ones through the odd items, around the corner.

    So the item after ``i`` is always ``i + 2``, each item is as popular as any other, but for chance, and who sees only
    the set of what a user did cannot know what comes next. Genders go with parities.
    """
    rng = np.random.default_rng(seed)
    events = [
        Event(number, item_id, float(time), 1.0 + item_id % 5)
        for number in range(N_USERS)
        for time, item_id in enumerate(walk(number, int(rng.integers(N_ITEMS // 2)), LENGTH))
    ]
    return Dataset(events, [*map(item, range(N_ITEMS))], [*map(user, range(N_USERS))], SCHEMA)


def walk(number: int, start: int, length: int) -> list[int]:
    """The items that a user goes through, from one of theirs."""
    return [(2 * (start + step) + number % 2) % N_ITEMS for step in range(length)]


def item(number: int) -> Item:
    """An item of the board."""
    return Item(
        number,
        {"parity": ("even", "odd")[number % 2], "title": f"Movie {number % 2} the {number % 3}", "year": 1980 + number},
    )


def user(number: int) -> User:
    """A user of the board, without a history."""
    return User(number, {"gender": "FM"[number % 2], "age": 20 + number % 7, "occupation": number % 4})
