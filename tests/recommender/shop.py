"""A shop in which most products are bought after a certain other one, whatever the taste of the customer."""

from __future__ import annotations

import numpy as np

from tests.recommender.tastes import SCHEMA, TASTES
from vecrec.data import Dataset

N_ITEMS = 300

FOLLOWER = {item: (7 * item + 3) % N_ITEMS for item in range(N_ITEMS)}
"""What is bought after each product."""


def shop(n_users: int = 1_500, *, follows: float = 0.7, seed: int = 0) -> Dataset:
    """Nine events of each user: the product that follows the one before, or any one.

    Args:
        n_users: How many users there are.
        follows: How often it is the one that follows.
        seed: Of the chance.
    """
    rng = np.random.default_rng(seed)
    log: list[tuple[int, int]] = []
    for user in range(n_users):
        item = int(rng.integers(N_ITEMS))
        for _ in range(9):
            log.append((user, item))
            item = FOLLOWER[item] if rng.random() < follows else int(rng.integers(N_ITEMS))
    return Dataset(
        {
            "user_id": [user for user, _ in log],
            "item_id": [item for _, item in log],
            "time": [1_000 + place for place in range(len(log))],
        },
        items={
            "item_id": list(range(N_ITEMS)),
            "title": [f"Product {item}" for item in range(N_ITEMS)],
            "tastes": [[TASTES[item % 4]] for item in range(N_ITEMS)],
            "year": [1980 + item % 40 for item in range(N_ITEMS)],
        },
        users={"user_id": list(range(n_users)), "taste": [TASTES[user % 4] for user in range(n_users)]},
        schema=SCHEMA,
    )
