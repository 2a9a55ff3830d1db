"""Item vectors fitted to user vectors: one half of alternating least squares, all positions at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrec.encoders.linear_sequence.closed_form import set_scale
from vecrec.learning.events import horizon_offsets

__all__ = ["Positions", "fit_items", "read_positions", "read_sets"]

_FLOATS = 1 << 28
"""How many numbers the user vectors of all chosen positions may have: 1 GB."""
_PRECISION, _MOST_STEPS = 1e-5, 100
"""When an item's vector is good enough: what is left of the equations, against all of it; or after so many steps."""

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

    def of(self, item: int) -> slice:
        """Where the positions before an item stand."""
        return slice(self.starts[item], self.starts[item + 1])


def read_positions(
    tables: NDArray[np.float32],
    codes: NDArray[np.int64],
    offsets: NDArray[np.int64],
    decays: Sequence[float],
    horizon: int = 1,
    *,
    weights: NDArray[np.float32] | None = None,
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
    """
    n_items = tables.shape[1] - 1
    weights = np.ones(len(codes), np.float32) if weights is None else weights
    counts = np.diff(offsets)
    users = np.repeat(np.arange(len(counts)), counts)
    moments = np.arange(len(codes))
    if horizon > 1:
        moments -= horizon_offsets(horizon, len(codes), np.random.default_rng(0))
    later = np.flatnonzero((moments > offsets[users]) & (weights > 0))
    if not len(later):
        return _alone(codes, weights, n_items, tables.shape[2])
    chosen, starts, stand_for = _chosen(later, codes, weights, n_items, tables.shape[2])
    # The rows of the result by the moment whose state they are; with a horizon several may share one, or none have it.
    by_moment = np.argsort(moments[chosen], kind="stable")
    begin = np.searchsorted(moments[chosen][by_moment], np.arange(len(codes) + 1))
    vectors = np.empty((len(chosen), tables.shape[2]), np.float32)
    for events, states in _walk(tables, codes, offsets, decays):
        rows = begin[events + 1] - begin[events]
        wanted = np.flatnonzero(rows)
        first, counts = begin[events[wanted]], rows[wanted]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        vectors[by_moment[np.repeat(first, counts) + within]] = np.repeat(states[:, wanted].sum(axis=0), counts, axis=0)
    return Positions(vectors, starts, stand_for)


def read_sets(
    tables: NDArray[np.float32],
    codes: NDArray[np.int64],
    offsets: NDArray[np.int64],
    *,
    weights: NDArray[np.float32] | None = None,
) -> Positions:
    """The users' vectors without each of their items, of those with two or more, as in `read_positions`.

    Args:
        tables: What an item adds to a user's vector, shape (1, n_items + 1, dim).
        codes: The items of the users, each item of a user once, shape (n_events,).
        offsets: Where each user's begin, shape (n_users + 1,).
        weights: As for `read_positions`.
    """
    table, sizes = tables[0], np.diff(offsets)
    n_items, users = len(table) - 1, np.repeat(np.arange(len(sizes)), sizes)
    weights = np.ones(len(codes), np.float32) if weights is None else weights
    later = np.flatnonzero((sizes[users] > 1) & (weights > 0))
    if not len(later):
        return _alone(codes, weights, n_items, table.shape[1])
    chosen, starts, stand_for = _chosen(later, codes, weights, n_items, table.shape[1])
    sums = np.zeros((len(sizes), table.shape[1]), np.float32)
    for user in np.unique(users[chosen]).tolist():
        sums[user] = table[codes[offsets[user] : offsets[user + 1]]].sum(axis=0)
    vectors = sums[users[chosen]]
    vectors -= table[codes[chosen]]
    vectors *= set_scale(sizes[users[chosen]] - 1)[:, None]
    return Positions(vectors, starts, stand_for)


def fit_items(positions: Positions, background: float, shrinkage: float) -> NDArray[np.float32]:
    """The item vectors that say best who takes which item next.

    Of item ``i`` the vector v minimises, over all positions u,

        sum over those before i of (1 - u v)^2 + background * sum over all of (u v)^2 + ridge_i |v|^2

    with ``ridge_i = shrinkage * m * (events of i + background * positions)``, m the mean square of the coordinates of
    the u (Rendle et al., *Revisiting the performance of iALS on item recommendation benchmarks*, RecSys 2022). In all
    of these sums and counts a position counts by its weight: one of weight 2 is as two of weight 1.

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
    found = np.zeros((n_items, dim))
    for item in np.flatnonzero(counts).tolist():
        # Coordinates in which everything but the item's own positions is the identity.
        scale = 1 / np.sqrt(np.maximum(values, 0.0) + ridges[item])
        where = positions.of(item)
        mine = positions.vectors[where] @ turned
        mine *= scale.astype(np.float32)
        found[item] = scale * _conjugate_gradients(mine, positions.weights[where])
    fitted: NDArray[np.float32] = (found @ basis.T).astype(np.float32)
    return fitted


def _conjugate_gradients(rows: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """The solution v of ``(I + U'WU) v = U'W 1`` for the rows U and their weights, without ever writing U'WU down.

    Each step costs two products with the rows, which stay in the processor's cache, and some ten steps are enough
    (Takacs, Pilaszy and Tikk, *Applications of the conjugate gradient method for implicit feedback collaborative
    filtering*, RecSys 2011).
    """
    rest = (weights @ rows).astype(np.float64)
    found: NDArray[np.float64] = np.zeros_like(rest)
    step = rest.copy()
    size = float(rest @ rest)
    enough = _PRECISION**2 * size
    for _ in range(_MOST_STEPS):
        if size <= enough:
            break
        along = step.astype(np.float32)
        product = step + (weights * (rows @ along)) @ rows
        far = size / float(step @ product)
        found += far * step
        rest -= far * product
        before, size = size, float(rest @ rest)
        step = rest + (size / before) * step
    return found


def _alone(codes: NDArray[np.int64], weights: NDArray[np.float32], n_items: int, dim: int) -> Positions:
    """The positions where no user has two events: all users are alike, and items differ by their counts."""
    counted = np.flatnonzero(weights > 0)
    vectors = np.zeros((len(counted), dim), np.float32)
    vectors[:, 0] = 1
    starts = np.concatenate(([0], np.cumsum(np.bincount(codes[counted], minlength=n_items))))
    return Positions(vectors, starts, weights[counted[np.argsort(codes[counted], kind="stable")]])


def _gram(positions: Positions) -> NDArray[np.float64]:
    """The sum of ``u u'`` over all positions."""
    dim = positions.vectors.shape[1]
    total = np.zeros((dim, dim), np.float64)
    for start in range(0, len(positions.vectors), 1 << 14):
        part = positions.vectors[start : start + (1 << 14)]
        total += part.T @ (part * positions.weights[start : start + (1 << 14), None])
    return total


def _chosen(
    later: NDArray[np.int64], codes: NDArray[np.int64], weights: NDArray[np.float32], n_items: int, dim: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The events with a position, sorted by item, where each item's begin, and how many each one stands for.

    Where there are too many, it is an equal number of each item's.
    """
    order = later[np.argsort(codes[later], kind="stable")]
    totals = np.bincount(codes[later], minlength=n_items)
    chosen, kept = _thinned(order, totals, _FLOATS // dim)
    stand_for = np.repeat(totals / np.maximum(kept, 1), kept) * weights[chosen]
    return chosen, np.concatenate(([0], np.cumsum(kept))), stand_for.astype(np.float32)


def _thinned(
    order: NDArray[np.int64], totals: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions sorted by item, an equal number of each item's where there are too many, and how many are left."""
    limit = int(totals.max(initial=0))
    while np.minimum(totals, limit).sum() > most and limit > 1:
        limit //= 2
    kept = np.minimum(totals, limit)
    starts = np.cumsum(totals) - totals
    # Evenly spread, so that an item's early and late positions are both there.
    within = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    places = np.repeat(starts, kept) + within * np.repeat(totals, kept) // np.repeat(np.maximum(kept, 1), kept)
    return order[places], kept


def _walk(
    tables: NDArray[np.float32], codes: NDArray[np.int64], offsets: NDArray[np.int64], decays: Sequence[float]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Follow all users at once, event by event.

    Yields:
        Events, shape (n,), and what each block knows before them, shape (len(decays), n, dim), valid until the next.
    """
    counts = np.diff(offsets)
    longest_first = np.argsort(-counts, kind="stable")
    lengths, begin = counts[longest_first], offsets[:-1][longest_first]
    state = np.zeros((len(decays), int((lengths > 1).sum()), tables.shape[2]), np.float32)
    for step in range(1, int(lengths.max(initial=0))):
        alive = int(np.searchsorted(-lengths, -step, side="left"))
        before = codes[begin[:alive] + step - 1]
        for block, decay in enumerate(decays):
            state[block, :alive] *= np.float32(decay)
            state[block, :alive] += tables[block, before]
        yield begin[:alive] + step, state[:, :alive]
