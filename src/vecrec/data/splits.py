"""Data sets split for training and measuring. Users, items and their codes stay the same in every part.

Each split depends on the data and, where there is chance in it, on the seed: not on the process, the platform or
NumPy's version.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.times import moment
from vecrec._internal.validation import flag, instance, integer, number
from vecrec.data.dataset import Dataset
from vecrec.errors import InvalidDataError
from vecrec.ids import Id, encode_id

__all__ = ["Split", "cold_items", "cold_users", "leave_last_out", "random", "temporal"]


Moment: TypeAlias = float | str | date | np.datetime64
"""A point in time: seconds since 1970, a text in ISO format, or a date of Python or NumPy."""


@dataclass(frozen=True, slots=True)
class Split:
    """A data set in three parts."""

    train: Dataset
    """The training part."""
    validation: Dataset
    """The part for the choice of settings; without events where the split has no such part."""
    test: Dataset
    """The test part."""
    before_test: Dataset
    """Train and validation together: what is known when the test begins."""
    rule: str
    """The rule of the split, in one line."""
    held_out: NDArray[np.int32] | None = None
    """The codes of the items or users that are kept from training, ascending; ``None`` where the split is one of
    events."""

    def __str__(self) -> str:
        parts = (("train", self.train), ("validation", self.validation), ("test", self.test))
        rows = [f"{name:<10}  {part.n_events:>12,} events" for name, part in parts]
        held_out = [] if self.held_out is None else [f"held out    {len(self.held_out):>12,}"]
        return "\n".join([self.rule, *rows, *held_out])


def leave_last_out(data: Dataset) -> Split:
    """Test on each user's last target, validate on the last but one, train on the rest.

    A target is an event that the feedback policy of the data counts as one (see `Dataset.is_target`): without kinds and
    negative ratings, any event. Events after the last target are in the test too, and not measured; those between the
    two in validation.

    Events of a user that times do not tell apart are in the order that `Dataset` describes: drawn, so that the held-out
    ones are at random, unless it was declared that the rows are in order. A user with a single event is
    in the test only, one with two in test and validation.
    """
    validation, test = _last_two(_checked(data))
    return _split(data, ~(validation | test), validation, test, "leave last out")


def temporal(
    data: Dataset,
    fraction: float = 0.8,
    *,
    at: Moment | None = None,
    validation: float = 0.0,
    drop_cold: bool = True,
) -> Split:
    """Train on what happened before a moment, test on what happened then and after it.

    Without ``at`` the moment is the time of event ``int(n * fraction)`` in the order of time. All events of one time
    are in one part.

    Args:
        data: With times.
        fraction: How much of the events come before the test, in (0, 1); not used with ``at``.
        at: The moment when the test begins, as a date, such as ``"2026-11-01"`` or a ``datetime``, or in seconds since
            1970. A date without a zone begins at midnight UTC.
        validation: How much of the events, the latest before the test, become the validation part.
        drop_cold: Whether to leave events of users and items that the train part does not know out of validation and
            test.

    Raises:
        InvalidDataError: for data without times, fractions out of range, or a moment before or after all events.
    """
    times = _checked(data).times
    if times is None:
        raise InvalidDataError(
            "a temporal split needs times, and the data set has none", "use leave_last_out or random"
        )
    ordered = np.sort(times)
    begin = None if at is None else _check_moment(moment(at, "at"), ordered)
    if begin is not None:
        fraction = float(np.searchsorted(ordered, begin)) / len(ordered)
    _check_fractions(fraction, validation)
    test = times >= (_moment(ordered, fraction) if begin is None else begin)
    valid = (times >= _moment(ordered, fraction - validation)) & ~test if validation else np.zeros_like(test)
    train = ~(test | valid)
    warm = _warm(data, train) if flag(drop_cold, "drop_cold") else np.ones_like(test)
    when = f"{fraction:g} of the events before the test" if begin is None else f"the test from {_date(begin)} on"
    rule = f"temporal, {when}" + (", cold ones dropped" if drop_cold else "")
    return _split(data, train, valid & warm, test & warm, rule)


def random(data: Dataset, fraction: float = 0.8, *, validation: float = 0.0, seed: int = 0) -> Split:
    """Train on a random part of the events, whatever their times. Optimistic: it trains on the future of what it tests.

    Args:
        data: Any data set.
        fraction: How much of the events are not in the test, in (0, 1).
        validation: How much of the events become the validation part.
        seed: Equal seeds give equal splits.

    Raises:
        InvalidDataError: for fractions out of range or a seed that is not an integer from 0.
    """
    _check_fractions(fraction, validation)
    # The raw bits: NumPy promises that they stay, and does not promise it of permutation().
    draws = np.random.PCG64(_check_seed(seed)).random_raw(_checked(data).n_events)
    order = np.argsort(draws, kind="stable")
    start, cut = int(data.n_events * (fraction - validation)), int(data.n_events * fraction)
    parts = (_mask(data, order[:start]), _mask(data, order[start:cut]), _mask(data, order[cut:]))
    return _split(data, *parts, f"random, {fraction:g} of the events before the test, seed {seed}")


def cold_items(data: Dataset, fraction: float = 0.1, *, seed: int = 0) -> Split:
    """`leave_last_out` with some items that training never sees, as if they were added after it.

    Train has the events of the other items. Validation and test have the users whose last but one and last event is of
    a held-out item: the task is to rank it among the held-out items, which are known by their features alone.

    Args:
        data: Any data set.
        fraction: How much of the items to hold out, in (0, 1).
        seed: Equal seeds give equal items, which depend on their ids only.

    Raises:
        InvalidDataError: for a fraction out of range or a seed that is not an integer from 0.
    """
    held_out = _draw(_checked(data).item_ids, fraction, seed)
    cold = np.isin(data.item_codes, held_out)
    validation, test = _last_two(data)
    rule = f"leave last out, {fraction:g} of the items held out, seed {seed}"
    return _split(data, ~(validation | test | cold), validation & cold, test & cold, rule, held_out=held_out)


def cold_users(data: Dataset, fraction: float = 0.1, *, seed: int = 0) -> Split:
    """Train on all events of most users, test on all events of the others, as if they came after training.

    Args:
        data: Any data set.
        fraction: How much of the users to hold out, in (0, 1).
        seed: Equal seeds give equal users, which depend on their ids only.

    Raises:
        InvalidDataError: for a fraction out of range or a seed that is not an integer from 0.
    """
    held_out = _draw(_checked(data).user_ids, fraction, seed)
    test = np.isin(data.user_codes, held_out)
    return _split(
        data, ~test, np.zeros_like(test), test, f"{fraction:g} of the users held out, seed {seed}", held_out=held_out
    )


def _checked(data: object) -> Dataset:
    return instance(data, "data", Dataset)


def _split(
    data: Dataset,
    train: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    test: NDArray[np.bool_],
    rule: str,
    *,
    held_out: NDArray[np.int32] | None = None,
) -> Split:
    select = data.select_events
    return Split(select(train), select(validation), select(test), select(train | validation), rule, held_out)


def _last_two(data: Dataset) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which events are from the last but one target of their users on, and which from the last one on."""
    last, before = np.full((2, data.n_users), data.n_events)
    rows = np.flatnonzero(data.is_target & data.is_positive)
    last[data.user_codes[rows]] = rows  # of several rows of one user the last counts
    rows = rows[rows != last[data.user_codes[rows]]]
    before[data.user_codes[rows]] = rows
    places = np.arange(data.n_events)
    test = places >= last[data.user_codes]
    return (places >= before[data.user_codes]) & ~test, test


def _mask(data: Dataset, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(data.n_events, np.bool_)
    mask[rows] = True
    return mask


def _check_moment(begin: float, ordered: NDArray[np.float64]) -> float:
    if not len(ordered) or not ordered[0] < begin <= ordered[-1]:
        known = f"the events are from {_date(ordered[0])} to {_date(ordered[-1])}" if len(ordered) else "give events"
        raise InvalidDataError(f"at is {_date(begin)}, which leaves nothing before it or nothing to test", known)
    return begin


def _date(time: float) -> str:
    """A moment as text, to the second, in UTC."""
    return str(np.datetime64(int(time), "s")) + "Z"


def _moment(ordered: NDArray[np.float64], fraction: float) -> float:
    # 0.7 less 0.2 is a little below 0.5, and must not cost the validation part an event.
    return float(ordered[int(len(ordered) * fraction + 1e-9)]) if len(ordered) else 0.0


def _warm(data: Dataset, train: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which events are of users and items that have an event in the train part."""
    users = np.zeros(data.n_users, np.bool_)
    items = np.zeros(data.n_items, np.bool_)
    users[data.user_codes[train]] = True
    items[data.item_codes[train]] = True
    return np.asarray(users[data.user_codes] & items[data.item_codes])


def _draw(ids: list[Id], fraction: float, seed: int) -> NDArray[np.int32]:
    """The codes of a fraction of the ids, ascending: those whose hashes are the smallest."""
    _check_fractions(fraction, 0.0)
    key = str(_check_seed(seed)).encode()
    # By the ids and not by their places, so that most of the choice stays when the data grows.
    hashes = [hashlib.blake2b(encode_id(value).encode(), key=key, digest_size=8).digest() for value in ids]
    order = sorted(range(len(ids)), key=hashes.__getitem__)
    return np.sort(np.array(order[: round(len(ids) * fraction)], np.int32))


def _check_fractions(fraction: object, validation: object) -> None:
    if number(fraction, "fraction", above=0, high=1) == 1:
        raise InvalidDataError(f"fraction is {fraction!r}", "give a number below 1")
    if number(validation, "validation", low=0) >= number(fraction, "fraction"):
        raise InvalidDataError(f"validation is {validation!r}", f"give a number below the fraction {fraction!r}")


def _check_seed(seed: object) -> int:
    return integer(seed, "seed", low=0, high=2**64 - 1)
