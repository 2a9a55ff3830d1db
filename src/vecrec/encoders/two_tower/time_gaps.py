"""The time between the events of a history, in steps that each stand for twice as long as the one before."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import counts_of
from vecrec.data import Vocabulary

__all__ = [
    "START_TOKEN", "STEPS", "UNKNOWN", "History", "history_of", "set_of", "steps_like", "time_gap_steps",
    "with_start_token",
]  # fmt: skip

Rows: TypeAlias = NDArray[np.int64]

START_TOKEN = Vocabulary.UNKNOWN
"""The row that stands before the first event of a history; an unknown item, whose row it would be, is never read."""

UNKNOWN = 0
"""The step of an unknown gap, such as the one before the first event."""

STEPS = 33
"""How many steps there are: the last one is for gaps of 68 years and more."""


_ENOUGH = 100
"""Examples of a step from which something is learnt about it."""

_BEYOND = 1
"""Steps after the longest one with examples that still count as it."""


class History(NamedTuple):
    """What one user did, oldest first."""

    items: Rows
    """Rows of the item table, shape (n,)."""
    time_gaps: Rows
    """The step of the time gap before each event, shape (n,)."""
    pause: int = UNKNOWN
    """The step of the time gap between the last event and the request."""


def time_gap_steps(times: NDArray[np.float64]) -> Rows:
    """The steps of the gaps before the events of one user: 1 for none, 2 from one second on, 3 from three on.

    Args:
        times: In seconds, oldest first, NaN where unknown, shape (n,).
    """
    time_gaps = times[1:] - times[:-1]
    known = np.flatnonzero(~np.isnan(time_gaps))
    steps = np.full(len(times), UNKNOWN, np.int64)
    # Without an order in time, as where clocks differ, the gap counts as none.
    steps[1 + known] = 1 + np.minimum(np.log2(1 + np.maximum(time_gaps[known], 0)), STEPS - 2).astype(np.int64)
    return steps


def steps_like(steps: NDArray[Any]) -> Rows:
    """What stands for each step, shape (STEPS,): the nearest one with enough examples.

    Unknown stands for all where none has them, and for what is far longer than the longest one that has: of years after
    the last event, a log of weeks says nothing.

    Args:
        steps: The examples, shape (n,).
    """
    enough = 1 + np.flatnonzero(counts_of(steps, STEPS)[1:] >= _ENOUGH)
    nearest = np.full(STEPS, UNKNOWN)
    if len(enough):
        reach = enough[-1] + _BEYOND
        nearest[1 : reach + 1] = enough[np.abs(np.arange(1, STEPS)[:reach, None] - enough).argmin(axis=1)]
    return nearest


def history_of(
    items: Rows, times: NDArray[np.float64] | None, at: float | None = None, *, gaps: bool = True
) -> History:
    """A history without the items that have no row, whose gaps are those between the others, if there are times.

    Args:
        items: Rows of the item table, shape (n,).
        times: In seconds, oldest first, NaN where unknown, shape (n,).
        at: The time of the request, if it is known.
        gaps: Whether the gaps between the items are read; the one before the request is.
    """
    known = items > 1
    items, unknown = items[known], np.full(np.count_nonzero(known), UNKNOWN)
    if times is None:
        return History(items, unknown)
    read = np.append(times[known], np.nan if at is None else at)
    steps = time_gap_steps(read if gaps else read[-2:])
    return History(items, steps[:-1] if gaps else unknown, int(steps[-1]))


def set_of(items: Rows) -> History:
    """The different items that have a row, in an order that looks drawn and depends on nothing but the items."""
    known = np.unique(items[items > 1])
    drawn = known.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing
    return History(known[np.argsort(drawn, kind="stable")], np.full(len(known), UNKNOWN))


def with_start_token(history: History, longest: int, *, known: bool) -> History:
    """What is read of a history: the beginning, then the events; of a longer one, only its latest events.

    A user's first events follow other rules than later ones, so the towers read a token before the first.

    Args:
        history: What one user did.
        longest: How many events are read, at most.
        known: Whether the user is in the training data, and so has events even if none is given.
    """
    if not longest:
        return History(history.items[:0], history.time_gaps[:0], history.pause)
    if len(history.items) > longest or (known and not len(history.items)):
        return History(history.items[-longest:], history.time_gaps[-longest:], history.pause)
    return History(np.append(START_TOKEN, history.items), np.append(UNKNOWN, history.time_gaps), history.pause)
