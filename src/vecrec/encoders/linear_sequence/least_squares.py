"""Item vectors fitted to user vectors: one half of alternating least squares, all positions at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import slices, user_batches
from vecrec.encoders.linear_sequence.closed_form import set_scale
from vecrec.learning.events import horizon_offsets

__all__ = ["Positions", "fit_items", "read_positions", "read_sets"]

_FLOATS = 1 << 28
"""How many numbers the user vectors of all chosen positions may have: 1 GB."""
_STATES = 1 << 26
"""How many numbers the vectors of the users who are followed at once may have: 256 MB."""
_PRECISION, _MOST_STEPS = 1e-5, 100
"""When an item's vector is good enough: what is left of the equations, against all of it; or after so many steps."""

_FEW, _ITEMS_AT_A_TIME = 8, 4096
"""Items with at most so many positions are fitted many at once: most items of a large catalogue."""

_THINNED_POWER = 0.75
"""How the number of positions that are kept grows with that of an item. With a quarter of those of MovieLens 1M, .75
loses 3 % of the NDCG@10, .5 loses 6 %, and 0, which keeps equally many of each item, 9 %."""
_HALVINGS = 50
_MOST_READINGS = 8
"""How often all events are read again, at most, to fit each item to all of its positions. In ranges that would still be
too large positions are thinned. With room for an eighth of those of MovieLens 1M nothing is lost so, and 9 % of the
NDCG@10 without reading again."""

_LEAST = 1e-6  # more dimensions than the data need would make equations without a solution


@dataclass(frozen=True, slots=True)
class Positions:
    """Moments in users' lives: what the encoder would know of them, and what they did next."""

    vectors: NDArray[np.float32]
    """The users' vectors, sorted by the item that came next, shape (n, dim)."""
    starts: NDArray[np.int64]
    """The positions before item ``i`` are ``starts[i]:starts[i + 1]``, shape (n_items + 1,)."""
    weights: NDArray[np.float32]
    """How many positions each one stands for: the weight of the event, and more where not all are here, shape (n,)."""
    totals: NDArray[np.int64]
    """How many there are before each item, also those that are not here, shape (n_items,)."""

    @property
    def complete(self) -> bool:
        """Whether all are here."""
        return len(self.vectors) == int(self.totals.sum())

    def of(self, item: int) -> slice:
        """Where the positions before an item stand."""
        return slice(self.starts[item], self.starts[item + 1])


def read_positions(
    tables: NDArray[np.float32],
    codes: NDArray[Any],
    offsets: NDArray[np.int64],
    decays: Sequence[float],
    horizon: int = 1,
    *,
    weights: NDArray[np.float32] | None = None,
    items: slice | None = None,
) -> Positions:
    """The users' vectors before each of their events but the first, or before some of them where there are too many.

    With a horizon, they are those of some events earlier, as far as there are so many.

    Args:
        tables: What an item adds to a user's vector in each block, shape (len(decays), n_items + 1, dim); the last row
            is that of an item that adds nothing.
        codes: The item of each event, shape (n_events,).
        offsets: Where each user's events begin, shape (n_users + 1,).
        decays: The decays of the blocks.
        horizon: How far ahead of the user's vector an event lies on average.
        weights: How much each event counts; ``None`` where each counts 1. Events of weight 0 have no position.
        items: Those before whose events the positions are to be; ``None`` for all items.
    """
    n_items = tables.shape[1] - 1
    later, moments = _later(offsets, weights, horizon)
    if not len(later):
        return _alone(codes, weights, n_items, tables.shape[2])
    if items is not None:
        theirs = _within(items, codes[later])
        later, moments = later[theirs], moments[theirs]
    chosen, starts, stand_for, totals = _chosen(later, codes, weights, n_items, tables.shape[2])
    moments = moments[np.searchsorted(later, chosen)].astype(np.int64)
    del later
    # The rows of the result by the moment whose state they are; with a horizon several may share one, or none have it.
    by_moment = np.argsort(moments, kind="stable")
    begin = np.zeros(len(codes) + 2, np.int32)
    np.add.at(begin, moments + 1, 1)
    np.cumsum(begin, out=begin)
    vectors = np.empty((len(chosen), tables.shape[2]), np.float32)
    for events, states in _walk(tables, codes, *_parts_to_walk(offsets, moments), decays):
        rows = begin[events + 1] - begin[events]
        wanted = np.flatnonzero(rows)
        first, counts = begin[events[wanted]], rows[wanted]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        vectors[by_moment[np.repeat(first, counts) + within]] = np.repeat(states[:, wanted].sum(axis=0), counts, axis=0)
    return Positions(vectors, starts, stand_for, totals)


def read_sets(
    tables: NDArray[np.float32],
    codes: NDArray[Any],
    offsets: NDArray[np.int64],
    *,
    weights: NDArray[np.float32] | None = None,
    items: slice | None = None,
) -> Positions:
    """The users' vectors without each of their items, of those with two or more, as in `read_positions`.

    Args:
        tables: What an item adds to a user's vector, shape (1, n_items + 1, dim).
        codes: The items of the users, each item of a user once, shape (n_events,).
        offsets: Where each user's begin, shape (n_users + 1,).
        weights: As for `read_positions`.
        items: Likewise.
    """
    table, sizes = tables[0], np.diff(offsets)
    n_items, several = len(table) - 1, np.repeat(sizes > 1, sizes)
    later = np.flatnonzero(several if weights is None else several & (weights > 0))
    if not len(later):
        return _alone(codes, weights, n_items, table.shape[1])
    if items is not None:
        later = later[_within(items, codes[later])]
    chosen, starts, stand_for, totals = _chosen(later, codes, weights, n_items, table.shape[1])
    users, places = np.unique(np.searchsorted(offsets, chosen, "right") - 1, return_inverse=True)
    sums = np.zeros((len(users), table.shape[1]), np.float32)
    for place, user in enumerate(users.tolist()):
        sums[place] = table[codes[offsets[user] : offsets[user + 1]]].sum(axis=0)
    vectors = sums[places]
    vectors -= table[codes[chosen]]
    vectors *= set_scale(sizes[users[places]] - 1)[:, None]
    return Positions(vectors, starts, stand_for, totals)


def fit_items(
    positions: Positions,
    background: float,
    shrinkage: float,
    read: Callable[[slice], Positions] | None = None,
) -> NDArray[np.float32]:
    """The item vectors that say best who takes which item next.

    Of item ``i`` the vector v minimises, over all positions u,

        sum over those before i of (1 - u v)^2 + background * sum over all of (u v)^2 + ridge_i |v|^2

    with ``ridge_i = shrinkage * m * (events of i + background * positions)``, m the mean square of the coordinates of
    the u (Rendle et al., *Revisiting the performance of iALS on item recommendation benchmarks*, RecSys 2022). In all
    of these sums and counts a position counts by its weight: one of weight 2 is as two of weight 1.

    Args:
        positions: All, or some where there are too many: they make the sums over all positions, and those over the
            positions of an item where they cannot be read.
        background: As above.
        shrinkage: Likewise.
        read: Gives the positions of some items. Where not all are here, each item is fitted to its own from there.

    Returns:
        Shape (n_items, dim).
    """
    n_items, dim = len(positions.starts) - 1, positions.vectors.shape[1]
    everywhere = background * _gram(positions)
    places = np.repeat(np.arange(n_items), np.diff(positions.starts))
    counts = np.bincount(places, positions.weights, n_items)
    mean_square = float(np.trace(everywhere)) / (dim * background * max(float(counts.sum()), 1.0))
    ridges = max(shrinkage, _LEAST) * mean_square * (counts + background * counts.sum())
    values, basis = np.linalg.eigh(everywhere)
    turned = basis.astype(np.float32)
    fitted = np.zeros((n_items, dim), np.float32)
    again = None if positions.complete else read
    for part in [slice(0, n_items)] if again is None else _readings(positions.totals, _FLOATS // dim):
        held = positions if again is None else again(part)
        for some in slices(part.stop - part.start, _ITEMS_AT_A_TIME):
            first = part.start + some.start
            items = first + np.flatnonzero(counts[first : part.start + some.stop])
            # Coordinates in which everything but the item's own positions is the identity.
            scales = 1 / np.sqrt(np.maximum(values, 0.0) + ridges[items][:, None])
            fitted[items] = (scales * _fitted(held, items, turned, scales.astype(np.float32))) @ basis.T
    return fitted


def _readings(totals: NDArray[np.int64], most: int) -> list[slice]:
    """Ranges of items with about as many positions as are held at a time; more where they would be too many ranges."""
    number = min(_MOST_READINGS, math.ceil(totals.sum() / most))
    ends = np.searchsorted(np.cumsum(totals), totals.sum() * np.arange(1, number) / number, side="right")
    bounds = np.unique([0, *ends, len(totals)]).tolist()
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _fitted(
    positions: Positions, items: NDArray[np.int64], turned: NDArray[np.float32], scales: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The vectors of some items in scaled coordinates, shape (n, dim)."""
    found = np.empty(scales.shape)
    sizes = np.diff(positions.starts)[items]
    for size in np.unique(sizes[sizes <= _FEW]).tolist():
        places = np.flatnonzero(sizes == size)
        rows = positions.starts[items[places]][:, None] + np.arange(size)
        mine = (positions.vectors[rows] @ turned) * scales[places, None]
        found[places] = _solved(mine, positions.weights[rows])
    for place in np.flatnonzero(sizes > _FEW).tolist():
        where = positions.of(items[place])
        found[place] = _conjugate_gradients(positions.vectors[where], positions.weights[where], turned * scales[place])
    return found


def _solved(rows: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """The solutions of `_conjugate_gradients` for many items with equally few rows, shape (items, rows, dim).

    Where there are fewer rows than dimensions, ``v = U'a`` with ``(W^-1 + U U') a = 1`` is a smaller equation.
    """
    products = (rows @ rows.swapaxes(1, 2)).astype(np.float64)
    places = np.arange(rows.shape[1])
    products[:, places, places] += 1 / weights
    shares = np.linalg.solve(products, np.ones((*weights.shape, 1)))
    solved: NDArray[np.float64] = (rows * shares).sum(axis=1)
    return solved


def _conjugate_gradients(
    rows: NDArray[np.float32], weights: NDArray[np.float32], turned: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The solution v of ``(I + U'WU) v = U'W 1`` for ``U = rows @ turned``, without ever writing U or U'WU down.

    Each step costs two products with the rows, which stay in the processor's cache, and some ten steps are enough
    (Takacs, Pilaszy and Tikk, *Applications of the conjugate gradient method for implicit feedback collaborative
    filtering*, RecSys 2011).
    """
    rest = ((weights @ rows) @ turned).astype(np.float64)
    found: NDArray[np.float64] = np.zeros_like(rest)
    step = rest.copy()
    size = float(rest @ rest)
    enough = _PRECISION**2 * size
    for _ in range(_MOST_STEPS):
        if size <= enough:
            break
        along = turned @ step.astype(np.float32)
        product = step + ((weights * (rows @ along)) @ rows) @ turned
        far = size / float(step @ product)
        found += far * step
        rest -= far * product
        before, size = size, float(rest @ rest)
        step = rest + (size / before) * step
    return found


def _later(
    offsets: NDArray[np.int64], weights: NDArray[np.float32] | None, horizon: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The events that have a position, ascending, and the events before which it lies: earlier ones with a horizon."""
    rng, kind = np.random.default_rng(0), np.int32 if offsets[-1] < 1 << 31 else np.int64
    found = []
    for users in user_batches(offsets):
        first = offsets[users.start : users.stop + 1]
        events = np.arange(first[0], first[-1])
        moments = events - horizon_offsets(horizon, len(events), rng) if horizon > 1 else events
        kept = moments > np.repeat(first[:-1], np.diff(first))
        if weights is not None:
            kept &= weights[first[0] : first[-1]] > 0
        found.append((events[kept].astype(kind), moments[kept].astype(kind)))
    if not found:
        return np.zeros(0, kind), np.zeros(0, kind)
    later = np.concatenate([events for events, _ in found])
    return later, later if horizon == 1 else np.concatenate([moments for _, moments in found])


def _alone(codes: NDArray[Any], weights: NDArray[np.float32] | None, n_items: int, dim: int) -> Positions:
    """The positions where no user has two events: all users are alike, and items differ by their counts."""
    weights = np.ones(len(codes), np.float32) if weights is None else weights
    counted = np.flatnonzero(weights > 0)
    vectors = np.zeros((len(counted), dim), np.float32)
    vectors[:, 0] = 1
    starts = np.concatenate(([0], np.cumsum(np.bincount(codes[counted], minlength=n_items))))
    own = weights[counted[np.argsort(codes[counted], kind="stable")]]
    return Positions(vectors, starts, own, np.diff(starts))


def _within(items: slice, codes: NDArray[Any]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (codes >= items.start) & (codes < items.stop)
    return inside


def _gram(positions: Positions) -> NDArray[np.float64]:
    """The sum of ``u u'`` over all positions."""
    dim = positions.vectors.shape[1]
    total = np.zeros((dim, dim), np.float64)
    for start in range(0, len(positions.vectors), 1 << 14):
        some = slice(start, start + (1 << 14))
        part = positions.vectors[some] * np.sqrt(positions.weights[some, None])
        total += part.T @ part  # of one array with itself, which BLAS does in half of the time
    return total


def _chosen(
    later: NDArray[Any], codes: NDArray[Any], weights: NDArray[np.float32] | None, n_items: int, dim: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """The events with a position, sorted by item, where each item's begin, how many each stands for, all of each item.

    Where there are too many, those of popular items are thinned.
    """
    order = later[np.argsort(codes[later], kind="stable")]
    totals = np.bincount(codes[later], minlength=n_items)
    chosen, kept = _thinned(order, totals, _FLOATS // dim)
    stand_for = np.repeat(totals / np.maximum(kept, 1), kept)
    if weights is not None:
        stand_for *= weights[chosen]
    return chosen, np.concatenate(([0], np.cumsum(kept))), stand_for.astype(np.float32), totals


def _thinned(order: NDArray[Any], totals: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions sorted by item, fewer of popular items where there are too many, and how many of each are left."""
    if totals.sum() <= most:
        return order, totals
    # What an item would keep of its positions, by its popularity, times the largest factor with which all have room.
    shares = totals.astype(np.float64) ** _THINNED_POWER
    low, high = 0.0, float(totals.max())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(totals, middle * shares).sum() <= most else (low, middle)
    kept = np.minimum(totals, np.maximum(1, low * shares)).astype(np.int64)
    starts = np.cumsum(totals) - totals
    # Evenly spread, so that an item's early and late positions are both there.
    within = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    places = np.repeat(starts, kept) + within * np.repeat(totals, kept) // np.repeat(np.maximum(kept, 1), kept)
    return order[places], kept


def _parts_to_walk(
    offsets: NDArray[np.int64], moments: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the users who have moments, where their events begin, and how many there are up to the last moment."""
    users = np.searchsorted(offsets, moments, "right") - 1
    last = np.zeros(len(offsets) - 1, np.int64)
    np.maximum.at(last, users, moments + 1)
    walked = np.flatnonzero(last)
    return offsets[walked], last[walked] - offsets[walked]


def _walk(
    tables: NDArray[np.float32],
    codes: NDArray[Any],
    begin: NDArray[np.int64],
    counts: NDArray[np.int64],
    decays: Sequence[float],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Follow many users at once, event by event, those with the most events first.

    Args:
        tables: As for `read_positions`.
        codes: Likewise.
        begin: The first event of each user, shape (n,).
        counts: How many of the user's events to follow, at least 1, shape (n,).
        decays: As for `read_positions`.

    Yields:
        Events, shape (m,), and what each block knows before them, shape (len(decays), m, dim), valid until the next.
    """
    longest_first = np.argsort(-counts, kind="stable")
    width = tables.shape[2]
    for users in slices(len(counts), max(1, _STATES // (len(decays) * width))):
        lengths, first = counts[longest_first[users]], begin[longest_first[users]]
        state = np.zeros((len(decays), len(lengths), width), np.float32)
        for step in range(1, int(lengths[0])):
            alive = int(np.searchsorted(-lengths, -step, side="left"))
            before = codes[first[:alive] + step - 1]
            for block, decay in enumerate(decays):
                state[block, :alive] *= np.float32(decay)
                state[block, :alive] += tables[block, before]
            yield first[:alive] + step, state[:, :alive]
