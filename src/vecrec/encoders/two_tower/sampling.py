"""What the network sees, step by step: pieces of histories, and the items that they are compared with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec.data import Vocabulary
from vecrec.encoders.two_tower.time_gaps import START_TOKEN
from vecrec.learning.events import horizon_offsets

__all__ = ["Batch", "Histories", "Negatives", "Sampler", "accidental_hits"]

PLACES = 256
"""Events of one user, at most, that a step learns from side by side."""

MOST_CONTEXT = 128
"""Events before them, at most, that are read again."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Histories:
    """The events to learn from, by user, oldest first."""

    items: NDArray[Any]
    """The row of each event's item in the item table, shape (n,); rows begin at 2, as in `vecrec.data.Vocabulary`."""
    ratings: NDArray[np.float32] | None
    """The rating of each event, shape (n,), NaN where there is none."""
    time_gaps: NDArray[Any]
    """The step of the time gap before each event, shape (n,); see `vecrec.encoders.two_tower.time_gaps`."""
    offsets: Rows
    """Where each user's events begin, shape (users + 1,)."""
    weights: NDArray[np.float32] | None = None
    """How much each event counts as one to predict, shape (n,); ``None`` where each counts 1."""
    ordered: bool = True
    """Whether a user's events are in the order in which they happened; else nothing may depend on their order."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Pieces of histories, time by user, 0 where there is nothing. A beginning is read before the first event."""

    users: Rows
    """The user of each piece, shape (n,)."""
    read: Rows
    """The rows of the items read, shape (length, n). The last place has seen all of them but the last."""
    time_gaps: Rows
    """The steps of the time gaps before them, shape (length, n)."""
    targets: Rows
    """The rows of the items to predict, shape (places, n), places <= length."""
    ratings: NDArray[np.float32] | None
    """How they were rated, shape (places, n), NaN where there is no rating."""
    weights: NDArray[np.float32]
    """How much each counts, shape (places, n), 0 where there is nothing to predict."""

    def users_from(self, first: int, step: int) -> Batch:
        """The pieces of every so many users."""
        some = slice(first, None, step)
        return Batch(
            self.users[some],
            self.read[:, some],
            self.time_gaps[:, some],
            self.targets[:, some],
            None if self.ratings is None else self.ratings[:, some],
            self.weights[:, some],
        )


class Sampler:
    """Cuts histories into pieces and puts those of about the same length together, so that little is padding.

    Every event is predicted once an epoch, from what the user did before it; with a horizon, every event stands for one
    that is up to some events later, as far as the user has so many.

    Args:
        histories: What to cut.
        batch: Events a step.
        decays: Those of the user tower: they say how far back a piece has to read.
        recurrent: Whether something in it reads as far back as it can.
        horizon: How far ahead the event lies, on average, that is predicted.
        most: Events an epoch, at most, in pieces that are drawn for each; ``None`` for all.
    """

    def __init__(
        self,
        histories: Histories,
        batch: int,
        decays: Sequence[float],
        *,
        recurrent: bool = False,
        horizon: int = 1,
        most: int | None = None,
    ) -> None:
        self._given = self._histories = histories
        self._batch, self._most = batch, most
        # Without an order every other event is as far away as the next one, and none fades.
        self._horizon = horizon if histories.ordered else 1
        self._context = MOST_CONTEXT if recurrent or not histories.ordered else _reach(decays)
        self._users, self._starts, self._ends = _pieces(histories.offsets)
        self._fresh = self._starts == histories.offsets[self._users]
        self.steps = sum(1 for _ in self._groups(np.random.default_rng(0)))
        """Steps an epoch, give or take one or two."""

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Every piece once, or as many as are wanted, in random order.

        Histories of unknown order are read in an order of this epoch.
        """
        self._histories = self._given if self._given.ordered else _shuffled(self._given, rng)
        groups = list(self._groups(rng))
        for place in rng.permutation(len(groups)):
            yield self._build(groups[place], rng)

    def _groups(self, rng: np.random.Generator) -> Iterator[Rows]:
        lengths = self._ends - self._starts
        chosen = _drawn(lengths, self._most, rng)
        for fresh in (True, False):
            pieces = chosen[self._fresh[chosen] == fresh]
            # A little noise, so that other pieces meet in every epoch.
            ordered = pieces[np.argsort(-(lengths[pieces] + 6 * rng.random(len(pieces))), kind="stable")]
            while len(ordered):
                count = max(1, self._batch // int(lengths[ordered[:8]].max()))
                yield ordered[:count]
                ordered = ordered[count:]

    def _build(self, pieces: Rows, rng: np.random.Generator) -> Batch:
        users, starts, ends = self._users[pieces], self._starts[pieces], self._ends[pieces]
        context = 1 if self._fresh[pieces[0]] else self._context
        moments = starts + np.arange(-context, int((ends - starts).max()))[:, None]
        first = self._histories.offsets[users]
        inside = (moments >= first) & (moments < ends)
        events = np.where(inside, moments, 0)
        before = np.where(moments == first - 1, START_TOKEN, Vocabulary.PADDING)
        read = np.where(inside, self._histories.items[events], before)
        wanted, there = moments[context:], inside[context:]
        if self._horizon > 1:
            wanted = wanted + horizon_offsets(self._horizon, wanted.shape, rng)
            there = there & (wanted < self._histories.offsets[users + 1])
        targets = np.where(there, wanted, 0)
        rated, weights = self._histories.ratings, self._histories.weights
        return Batch(
            users,
            read,
            self._histories.time_gaps[events].astype(np.int64),
            np.where(there, self._histories.items[targets], 0).astype(np.int64),
            None if rated is None else np.where(there, rated[targets], np.float32(np.nan)),
            there.astype(np.float32) if weights is None else np.where(there, weights[targets], np.float32(0)),
        )


class Negatives:
    """Wrong items for the sampled softmax, drawn by popularity.

    Args:
        counts: How many events each row of the item table has, shape (rows,); rows without any are never drawn.
        size: Draws a step. With no more items than that, every step has all of them.
        power: 0 draws all alike, 1 in proportion to their events.
    """

    def __init__(self, counts: Rows, size: int, power: float) -> None:
        rows = np.flatnonzero(counts)
        self._size = size
        self._rows = rows
        if len(rows) > size:
            chances = counts[rows].astype(np.float64) ** power
            self._cumulated = np.cumsum(chances / chances.sum())
            self._correction = _log_inclusion(chances / chances.sum(), size)

    def draw(self, rng: np.random.Generator) -> tuple[Rows, NDArray[np.float32]]:
        """Different rows, ascending, and the correction of each: the logarithm of its chance to be among them.

        A score less its correction makes the sum over the sample an unbiased estimate of the sum over all items (the
        logQ correction of Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations",
        2019, for a sample of different items).
        """
        if len(self._rows) <= self._size:
            return self._rows, np.zeros(len(self._rows), np.float32)
        drawn = np.searchsorted(self._cumulated, rng.random(self._size))
        places = np.unique(np.minimum(drawn, len(self._rows) - 1))
        return self._rows[places], self._correction[places]


def accidental_hits(targets: Rows, negatives: Rows) -> tuple[Rows, Rows]:
    """Where a negative is the right item itself: indexes of targets, and of negatives, which are ascending."""
    places = np.minimum(np.searchsorted(negatives, targets), len(negatives) - 1)
    rows = np.flatnonzero(negatives[places] == targets)
    return rows, places[rows]


def _log_inclusion(chances: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """The logarithm of the chance to be drawn at least once in so many draws."""
    logarithm: NDArray[np.float32] = np.log(-np.expm1(size * np.log1p(-chances))).astype(np.float32)
    return logarithm


def _reach(decays: Sequence[float]) -> int:
    """How many events back something is left: a thousandth."""
    slowest = max(decays, default=0.0)
    return 1 if slowest == 0 else min(MOST_CONTEXT, math.ceil(math.log(1e-3) / math.log(slowest)))


def _drawn(lengths: Rows, most: int | None, rng: np.random.Generator) -> Rows:
    """Pieces with so many events in all, ascending, and one at least; all of them where there are no more."""
    if most is None or lengths.sum() <= most:
        return np.arange(len(lengths))
    drawn = rng.permutation(len(lengths))
    count = int(np.searchsorted(np.cumsum(lengths[drawn]), most, side="right"))
    return np.sort(drawn[: max(1, count)])


def _shuffled(histories: Histories, rng: np.random.Generator) -> Histories:
    """The histories with the events of each user in a drawn order, so that each is predicted from any of the others."""
    users = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
    order = np.lexsort((rng.random(len(users)), users))
    ratings, weights = (None if each is None else each[order] for each in (histories.ratings, histories.weights))
    items, time_gaps = histories.items[order], histories.time_gaps[order]
    return replace(histories, items=items, time_gaps=time_gaps, ratings=ratings, weights=weights)


def _pieces(offsets: Rows) -> tuple[Rows, Rows, Rows]:
    """The user, the first event and the end of each piece."""
    counts = -(-np.diff(offsets) // PLACES)
    users = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = offsets[users] + PLACES * number
    return users, starts, np.minimum(starts + PLACES, offsets[users + 1])
