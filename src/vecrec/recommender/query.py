"""Whom to serve, and how far that has come."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vecrec.ids import Id
from vecrec.recommender.generation import Live
from vecrec.types import Hit, User

__all__ = ["UNLIKE", "Query", "head_room", "known_of", "notes_on", "wanted"]

UNLIKE = 100
"""Candidates at least for somebody who dislikes something."""


@dataclass(slots=True)
class Query:
    """Whom to serve, and how far that has come."""

    user: User
    vector: NDArray[np.float32] | None
    """Shape (dim,); ``None`` for somebody about whom nothing is known."""
    excluded: Collection[Id]
    """Items that must not come."""
    based_on: tuple[str, ...] = ()
    """What the vector was made from."""
    disliked: tuple[Id, ...] = ()
    """Items that the user dislikes, the latest last; they are excluded too."""
    notes: tuple[str, ...] = ()
    found: list[Hit] = field(default_factory=list)
    """Hits with a record, not excluded, best first."""
    missing: list[Id] = field(default_factory=list)
    """Hits without a record."""


def notes_on(given: User, user: User, based_on: tuple[str, ...], disliked: tuple[Id, ...]) -> tuple[str, ...]:
    """What is to be said about a user as they were given, and as they were read."""
    left_out = sorted(given.features.keys() - user.features.keys())
    unfit = f"the stored features {left_out} do not fit the live release and were left out"
    known = "only what they dislike" if disliked else "nothing"
    unknown = f"{known} is known about this user, popularity serves"
    return ((unfit,) if left_out else ()) + (() if based_on else (unknown,))


def known_of(live: Live, user: User) -> tuple[str, ...]:
    """What is known about a user that the encoder can read."""
    profile = any(user.features.get(feature.name) is not None for feature in live.schema.users)
    return (("features",) if profile else ()) + (("history",) if user.history else ())


def wanted(query: Query, depth: int) -> int:
    """How many hits to find: more where some of them may have to make room for others."""
    return max(4 * depth, UNLIKE) if query.disliked else depth


def head_room(query: Query, depth: int) -> int:
    """How many hits more to search for at first, since some will be left out."""
    # What somebody has seen tends to rank high, but a history of thousands is better met by a second, deeper search.
    return min(len(query.excluded), 3 * depth + 100)
