"""Generated logs with the shapes of public data: a shop, a music service, books and a small retailer.

Each has its own column names, times, ids and kinds. Within each, users of one group like the items of that group, so
that a model can learn something, and the rows carry what misleads a careless reader.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Table = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """The tables of one kind of data set, and what is right about them."""

    log: Table
    """The interactions."""
    items: Table | None
    """The items."""
    order: str
    """What `Dataset.order` is to be."""
    kinds: tuple[str, ...]
    """The kinds of events."""
    first_second: float | None
    """The first time, in seconds since 1970."""
    id_type: type
    """What the ids of items are."""


def _pairs(n_users: int, n_events: int, n_items: int, seed: int) -> tuple[Any, Any]:
    """Users and items of ``n_events`` events for each user; users and items of equal parity like each other."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), n_events)
    items = 2 * rng.integers(0, n_items // 2, len(users)) + users % 2
    return users, items


def retail(seed: int = 0) -> Shape:
    """A shop's clickstream: ``visitorid``, kinds, milliseconds, many views and few purchases, and impressions."""
    users, items = _pairs(40, 12, 60, seed)
    rng = np.random.default_rng(seed)
    kinds = rng.choice(["view", "addtocart", "transaction", "impression"], len(users), p=[0.6, 0.1, 0.1, 0.2])
    kinds[:4] = "view", "addtocart", "transaction", "impression"
    times = 1_433_221_332_000 + 1000 * rng.permutation(len(users))
    log = {"timestamp": times, "visitorid": users + 100, "event": kinds, "itemid": items}
    table = {"itemid": np.arange(60), "categoryid": [n % 7 for n in range(60)]}
    return Shape(log, table, "time", ("addtocart", "impression", "transaction", "view"), 1_433_221_332.0, int)


def listening(seed: int = 0) -> Shape:
    """A music service: plays without times, sorted by artist, repeated, with ids that are text."""
    users, items = _pairs(50, 10, 40, seed)
    rows = np.lexsort((users, items))
    log = {
        "userID": [f"user_{n:06}" for n in users[rows]],
        "artistID": [f"artist-{n}" for n in items[rows]],
        "plays": np.random.default_rng(seed).integers(1, 500, len(rows)),
    }
    return Shape(log, None, "unknown", (), None, str)


def books(seed: int = 0) -> Shape:
    """Ratings of books: ISBNs with leading zeros, 0 for "not rated" in 60 % of the rows, no times."""
    users, items = _pairs(50, 10, 40, seed)
    rng = np.random.default_rng(seed)
    ratings = np.where(rng.random(len(users)) < 0.6, 0, rng.integers(5, 11, len(users)))
    isbns = np.array([f"{n:010}" for n in range(40)])
    log = {"User-ID": users, "ISBN": isbns[items], "Book-Rating": ratings}
    return Shape(log, {"ISBN": isbns, "Book-Title": [f"Book {n}" for n in range(40)]}, "unknown", (), None, str)


def shop(seed: int = 0) -> Shape:
    """A small retailer: invoices by the day as text, customer numbers as text, several items at one time."""
    users, items = _pairs(30, 8, 30, seed)
    days = np.datetime64("2025-01-01") + np.arange(len(users)) // 4
    log = {
        "customer_id": [f"{n:05}" for n in users],
        "sku": [f"S{n}" for n in items],
        "date": days.astype(str),
    }
    table = {"sku": [f"S{n}" for n in range(30)], "name": [f"Thing {n}" for n in range(30)]}
    return Shape(log, table, "time", (), 1_735_689_600.0, str)


SHAPES: dict[str, Callable[[], Shape]] = {"retail": retail, "listening": listening, "books": books, "shop": shop}
