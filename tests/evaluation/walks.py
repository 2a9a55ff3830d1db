"""A small world whose order matters: each user walks along a ring of items, step by step."""

from __future__ import annotations

import numpy as np

from vecrec.data import Categorical, Dataset, MultiCategorical, Numeric, Schema, Text

RINGS, LENGTH = 6, 30
COLOURS = ("amber", "blue", "coral", "green", "ochre", "red")

SCHEMA = Schema(
    items=(MultiCategorical("colours", filterable=True), Numeric("place", dtype="integer"), Text("title")),
    users=(Categorical("likes", values=COLOURS), Numeric("age", dtype="integer")),
)


def walks(n_users: int = 300, n_events: int = 24, seed: int = 0, noise: float = 0.15) -> Dataset:
    """Item i is on the ring i // 30 at the place i % 30. A user walks along one ring, with some noise and a few jumps.

    Rings and places are equally popular but for chance, so popularity is a weak guide and the last items a strong one.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, int]] = []
    for user in range(n_users):
        ring, place = int(rng.integers(RINGS)), int(rng.integers(LENGTH))
        for step in range(n_events):
            if rng.random() < 0.05:
                ring = int(rng.integers(RINGS))
            item = int(rng.integers(RINGS * LENGTH)) if rng.random() < noise else ring * LENGTH + place
            rows.append((user, item, step))
            place = (place + 1) % LENGTH
    return Dataset(
        {"user_id": [row[0] for row in rows], "item_id": [row[1] for row in rows], "time": [row[2] for row in rows]},
        items={
            "item_id": list(range(RINGS * LENGTH)),
            "title": [f"{COLOURS[item // LENGTH]} step {item % LENGTH}" for item in range(RINGS * LENGTH)],
            "colours": [[COLOURS[item // LENGTH]] for item in range(RINGS * LENGTH)],
            "place": [item % LENGTH for item in range(RINGS * LENGTH)],
        },
        users={
            "user_id": list(range(n_users)),
            "likes": [COLOURS[_first_ring(rows, user, n_events)] for user in range(n_users)],
            "age": [20 + user % 50 for user in range(n_users)],
        },
        schema=SCHEMA,
        name="walks",
    )


def _first_ring(rows: list[tuple[int, int, int]], user: int, n_events: int) -> int:
    rings = [item // LENGTH for _, item, _ in rows[user * n_events : user * n_events + 8]]
    return max(set(rings), key=rings.count)
