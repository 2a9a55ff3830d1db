"""Notices of a data set: its assumptions, and signs of a mistake in the data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec.ids import Id

__all__ = ["Notice", "id_notices", "record_notices", "show_time", "time_notices", "unrated_notices", "unused_notices"]

_DAY = 86_400.0
_UNRATED_SHARE = 0.2
_MISSING = frozenset(("", "nan", "none", "null", "<na>", "n/a", "#n/a", "nat", "undefined"))
_WHOLE_FLOAT = re.compile(r"-?[0-9]+\.0+\Z")


@dataclass(frozen=True, slots=True)
class Notice:
    """An assumption about a data set, or a sign of a mistake in it."""

    problem: str
    """What is assumed or wrong, with figures."""
    cure: str
    """What to do next where that is not intended."""

    def __str__(self) -> str:
        return f"{self.problem}: {self.cure}"


def time_notices(order: str, n_events: int, times: NDArray[np.float64] | None, as_of: float) -> Iterator[Notice]:
    """An unknown order, and times after the moment that the data is of."""
    if order == "unknown" and n_events:
        why = "there are no times" if times is None else "all events have the same time"
        yield Notice(
            f"{why}, so the order of the events is unknown, and nothing is learnt from it",
            'give times, or order="rows" where the rows are in the order of the events',
        )
    if times is not None and len(times) and float(times.max()) > as_of + _DAY:
        late = int((times > as_of + _DAY).sum())
        yield Notice(
            f"{late:,} events lie after the moment that the data is of, the last at {show_time(float(times.max()))}",
            "correct the times, which are seconds since 1970, or as_of",
        )


def unrated_notices(ratings: NDArray[np.float32] | None, negative_rating: float | None) -> Iterator[Notice]:
    """0 or -1 where it seems to mean "not rated"."""
    if ratings is None or negative_rating is None:
        return
    rated = ratings[~np.isnan(ratings)]
    for value in (0.0, -1.0):
        share = float((rated == value).mean()) if len(rated) and value <= negative_rating else 0.0
        if share >= _UNRATED_SHARE:
            yield Notice(
                f"{share:.0%} of the ratings are {value:g} and count as dislikes",
                f'where {value:g} means "not rated", leave these ratings empty or set '
                "FeedbackPolicy(negative_rating=None); where it is a dislike, say so by "
                f"FeedbackPolicy(negative_rating={negative_rating:g})",
            )


def id_notices(what: str, ids: Sequence[Id]) -> Iterator[Notice]:
    """Ids that look like missing values or like numbers that became floats on their way."""
    texts = [value for value in ids if isinstance(value, str)]
    missing = [value for value in texts if value.strip().casefold() in _MISSING]
    if missing:
        shown = ", ".join(map(repr, missing[:4]))
        yield Notice(f"{what} ids look like missing values: {shown}", f"remove the rows without a {what} id")
    floats = [value for value in texts if _WHOLE_FLOAT.match(value)]
    if floats and 2 * len(floats) > len(ids):
        problem = f"{len(floats):,} of {len(ids):,} {what} ids look like integers that became floats, as {floats[0]!r}"
        yield Notice(problem, "convert them to integers before they become text")


def unused_notices(unused: Sequence[str]) -> Iterator[Notice]:
    """Columns of the interactions without a meaning."""
    if unused:
        names = ", ".join(map(repr, unused))
        yield Notice(f"columns of the interactions that are not used: {names}", "name them with Columns if they matter")


def record_notices(what: str, records: Sequence[Any], counts: NDArray[Any], given: bool) -> Iterator[Notice]:
    """Items or users without a record, and items without an event.

    Args:
        what: ``"items"`` or ``"users"``.
        records: By code, ``None`` for a missing one.
        counts: How many events each has.
        given: Whether there is a table of them.
    """
    without, total = sum(record is None for record in records), len(records)
    if given and without:
        yield Notice(f"{without:,} of {total:,} {what} have no record", f"add their rows to the {what}")
    cold = int((counts == 0).sum())
    if cold and what == "items":
        yield Notice(f"{cold:,} of {total:,} items have no event", "they are recommended by their features alone")


def show_time(seconds: float) -> str:
    """A time as text, in UTC."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g}"
