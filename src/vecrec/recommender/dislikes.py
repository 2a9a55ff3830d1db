"""What somebody dislikes never comes, and what is like it sinks, whichever encoder serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id
from vecrec.types import Hit, User

__all__ = ["BEHIND", "FLOOR", "LATEST", "apart", "demoted", "likeness"]

LATEST = 50
"""How many dislikes of a user count, the latest ones; none of the others is recommended either."""

FLOOR = 0.3
"""The cosine up to which items are not like each other. Chosen on MovieLens 1M."""

BEHIND = 1.01
"""How many spans of the scores one just like a disliked item loses: enough to fall behind all others."""


def apart(user: User, threshold: float | None, said: Iterable[Id] = ()) -> tuple[User, tuple[Id, ...]]:
    """A user without what they dislike, and what that is, the latest last.

    Of several events with one item the last one counts. Where the item is disliked, all its events are left out of the
    history; where it is not, only those that said otherwise.

    Args:
        user: With history.
        threshold: Events rated so or lower are dislikes; ``None`` where events tell of none.
        said: More items that they dislike, whatever the events say.
    """
    extra = dict.fromkeys(said)
    policy = FeedbackPolicy(negative_rating=threshold)
    low = [policy.sign(event) < 0 for event in user.history]
    if not extra and not any(low):
        return user, ()
    last = {event.item_id: is_low for event, is_low in zip(user.history, low)}
    # In the order of their last events; a dict keeps the place of the first.
    latest = dict.fromkeys(event.item_id for event in reversed(user.history))
    disliked = [key for key in reversed(latest) if last[key] and key not in extra]
    gone = {*disliked, *extra}
    kept = [event for event, is_low in zip(user.history, low) if not is_low and event.item_id not in gone]
    return User(user.id, user.features, kept), (*disliked, *extra)


def likeness(
    ids: Sequence[Id], disliked: Sequence[Id], vectors: Mapping[Id, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """How like each item is to the disliked one that it is most like, from 0 to 1, shape (n,).

    The largest cosine to one of the latest `LATEST` dislikes, less `FLOOR`, as a share of what is above it; 0 where one
    of the two has no vector.
    """
    away = [_unit(vectors[key]) for key in disliked[-LATEST:] if key in vectors]
    rows = [row for row, key in enumerate(ids) if key in vectors]
    found = np.zeros(len(ids), np.float32)
    if away and rows:
        units = np.array([_unit(vectors[ids[row]]) for row in rows])
        found[rows] = np.clip(((units @ np.array(away).T).max(axis=1) - FLOOR) / (1 - FLOOR), 0, 1)
    return found


def demoted(hits: Sequence[Hit], alike: NDArray[np.float32], *, shares: bool = False) -> list[Hit]:
    """Hits, best first, those like a disliked item further down.

    One that is just like it falls behind all others, one half as like by half that way: a score loses the likeness
    times the span from the first to the last. Nothing else changes. (Turning the user's vector away from what they
    dislike, as Rocchio's rule has it, moves the whole space: on MovieLens 1M a single dislike left one of the first ten
    items, where this leaves eight.)

    Args:
        hits: With scores.
        alike: Of each hit, see `likeness`, shape (n,).
        shares: Whether the scores are popularities, which stay in [0, 1].
    """
    if not hits:
        return []
    scores = np.array([hit.score for hit in hits])
    lost = alike * (scores if shares else BEHIND * np.ptp(scores))
    changed = [replace(hit, score=float(score)) for hit, score in zip(hits, scores - lost)]
    # Sorted stably, so that equal ones that are equally like stay as they were.
    places = sorted(range(len(hits)), key=lambda place: (-changed[place].score, alike[place]))
    return [changed[place] for place in places]


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector
