"""Events of now that neither the live release nor the next one has learnt, and what a release does with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.sampling import evenly_spaced
from vecrec.errors import ReleaseError
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id
from vecrec.records import JSON
from vecrec.types import Event, User

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["LEAST", "Split", "before_the_next", "compare_with_live", "figures", "gains", "hold_out"]

LEAST = 20
"""Users at least whose events are held out; fewer could show no difference."""

_HISTORY = 100


@dataclass(frozen=True, slots=True)
class Split:
    """A user before an event, and the event."""

    owner: Id | None
    """Whose it is."""
    user: User
    """The user without an id, with the positive events before."""
    event: Event
    """The next event: of a kind that is to be predicted, and with an item that is new to the user."""


def before_the_next(
    policy: FeedbackPolicy, owner: Id | None, features: Mapping[str, JSON], history: Sequence[Event]
) -> Split | None:
    """A user before the latest event that can be predicted; ``None`` where there is none.

    Args:
        policy: By which the events are read.
        owner: The user's id.
        features: The user's profile.
        history: The user's positive events.
    """
    first = {event.item_id: place for place, event in reversed([*enumerate(history)])}
    for place in range(len(history) - 1, 0, -1):
        event = history[place]
        # What the user had before is left out of every list, so it cannot be found.
        if first[event.item_id] == place and policy.predicts(event):
            before = [each.item_id for each in history[max(0, place - _HISTORY) : place]]
            return Split(owner, User(None, features, before), event)
    return None


def hold_out(data: Dataset, policy: FeedbackPolicy, since: float, size: int) -> tuple[list[Split], Dataset]:
    """The latest events of some users, and the data to train on, without these events and what followed them.

    Args:
        data: What is to be learnt.
        policy: By which the events are read.
        since: The moment up to which the live release has learnt; only later events are held out.
        size: The most users. At most half of those with such an event are taken.

    Returns:
        No split and the whole data where fewer than `LEAST` users would be left.
    """
    positive = data.positive()
    if data.times is None or positive.times is None:
        return [], data
    fresh = np.unique(positive.user_codes[positive.times > since])
    fresh = fresh[np.diff(positive.user_offsets)[fresh] >= 2]
    learnt = np.ones(data.n_events, np.bool_)
    splits = []
    for code in fresh[evenly_spaced(len(fresh), min(size, len(fresh) // 2))].tolist():
        user = positive.user(code, history=True)
        split = before_the_next(policy, user.id, user.features, user.history)
        if split is not None and (split.event.time or 0.0) > since:
            splits.append(split)
            start, end = data.user_offsets[code : code + 2].tolist()
            learnt[start:end] = data.times[start:end] < (split.event.time or 0.0)
    return (splits, data.select_events(learnt)) if len(splits) >= LEAST else ([], data)


def gains(rows: Sequence[Sequence[Id]], nexts: Sequence[Id]) -> NDArray[np.float64]:
    """The NDCG of each list for the one item that is looked for: 1 at the first place, 0 where it is missing."""
    found = [1 / math.log2(row.index(item) + 2) if item in row else 0.0 for row, item in zip(rows, nexts)]
    return np.array(found, np.float64)


def compare_with_live(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], depth: int, *, required: bool
) -> dict[str, float]:
    """The paired difference between a release and the live one, with its interval of 95 %.

    Args:
        ours: The gain of each user by the new release, shape (n,).
        theirs: The same by the live release.
        depth: How deep the lists were.
        required: Whether a release that is clearly worse is refused.

    Raises:
        ReleaseError: when the whole interval is below 0.
    """
    from vecrec.evaluation.statistics import compare_paired  # what serves does without it

    found = compare_paired(f"ndcg@{depth}", ("new", ours), ("live", theirs))
    if required and found.high < 0:
        raise ReleaseError(
            f"on {len(ours)} held-out events the new release is worse than the live one: {found}",
            "train longer, correct the data, or set ReleaseChecks(beat_live=False)",
        )
    return {
        "held_out": len(ours),
        "ndcg": round(float(ours.mean()), 4),
        "live_ndcg": round(float(theirs.mean()), 4),
        "difference": round(found.difference, 4),
        "difference_low": round(found.low, 4),
        "difference_high": round(found.high, 4),
    }


def figures(rows: Sequence[Sequence[Id]], shares: Mapping[Id, float], n_items: int, unknown: int) -> dict[str, float]:
    """Numbers of a release of which neither high nor low ones are better, and which should change slowly.

    Args:
        rows: Lists of the sampled users.
        shares: The popularity of the popular items, of the most popular one 1.
        n_items: How many items the catalogue has.
        unknown: How many of them the encoder has not learnt.
    """
    listed = [key for row in rows for key in row]
    return {
        "coverage": round(len({*listed}) / max(n_items, 1), 4),
        "popularity_bias": round(sum(shares.get(key, 0.0) for key in listed) / max(len(listed), 1), 4),
        "unknown_items": round(unknown / max(n_items, 1), 4),
    }
