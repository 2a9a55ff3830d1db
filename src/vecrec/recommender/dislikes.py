"""What somebody dislikes never comes, and what is like it sinks, whichever encoder serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vecrec.ids import Id
from vecrec.types import Hit, User

__all__ = ["LATEST", "apart", "demoted", "direction", "turned"]

LATEST = 50
"""How many dislikes of a user count, the latest ones; none of the others is recommended either."""

_TURN = 0.5


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
    low = [threshold is not None and event.rating is not None and event.rating <= threshold for event in user.history]
    if not extra and not any(low):
        return user, ()
    last = {event.item_id: is_low for event, is_low in zip(user.history, low)}
    # In the order of their last events; a dict keeps the place of the first.
    latest = dict.fromkeys(event.item_id for event in reversed(user.history))
    disliked = [key for key in reversed(latest) if last[key] and key not in extra]
    gone = {*disliked, *extra}
    kept = [event for event, is_low in zip(user.history, low) if not is_low and event.item_id not in gone]
    return User(user.id, user.features, kept), (*disliked, *extra)


def direction(disliked: Sequence[Id], vectors: Mapping[Id, NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """The mean direction of the latest disliked items, shape (dim,); ``None`` where none of them has a vector."""
    units = [_unit(vectors[key]) for key in disliked[-LATEST:] if key in vectors]
    return np.mean(units, axis=0, dtype=np.float32) if units else None


def turned(vector: NDArray[np.float32], away: NDArray[np.float32]) -> NDArray[np.float32]:
    """A user's vector turned away from a direction: ``vector - 0.5 * |vector| * away`` (Rocchio's rule, 1971)."""
    result: NDArray[np.float32] = vector - np.float32(_TURN * float(np.linalg.norm(vector))) * away
    return result


def demoted(hits: Sequence[Hit], away: NDArray[np.float32], vectors: Mapping[Id, NDArray[np.float32]]) -> list[Hit]:
    """Popular items, each with its share times ``1 - cosine`` to what is disliked, where that is positive."""
    found = [replace(hit, score=hit.score * (1 - _likeness(vectors.get(hit.id), away))) for hit in hits]
    return sorted(found, key=lambda hit: -hit.score)


def _likeness(vector: NDArray[np.float32] | None, away: NDArray[np.float32]) -> float:
    return 0.0 if vector is None else float(np.clip(_unit(vector) @ _unit(away), 0, 1))


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector
