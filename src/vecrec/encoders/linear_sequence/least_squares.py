"""Item vectors fitted to user vectors: one half of alternating least squares, all positions at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrec.learning.events import horizon_offsets

__all__ = ["Positions", "fit_items", "read_positions"]

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
    """How many positions each one of an item's stands for, shape (n_items,)."""

    def before(self, item: int) -> NDArray[np.float32]:
        """The users' vectors before an item came, shape (n, dim)."""
        return self.vectors[self.starts[item] : self.starts[item + 1]]


def read_positions(
    tables: NDArray[np.float32],
    codes: NDArray[np.int64],
    offsets: NDArray[np.int64],
    decays: Sequence[float],
    horizon: int = 1,
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
    """
    n_items = tables.shape[1] - 1
    counts = np.diff(offsets)
    users = np.repeat(np.arange(len(counts)), counts)
    moments = np.arange(len(codes))
    if horizon > 1:
        moments -= horizon_offsets(horizon, len(codes), np.random.default_rng(0))
    later = np.flatnonzero(moments > offsets[users])
    if not len(later):
        return _without_order(codes, n_items, tables.shape[2])
    order = later[np.argsort(codes[later], kind="stable")]
    totals = np.bincount(codes[later], minlength=n_items)
    chosen, kept = _thinned(order, totals, _FLOATS // tables.shape[2])
    # The rows of the result by the moment whose state they are; with a horizon several may share one, or none have it.
    by_moment = np.argsort(moments[chosen], kind="stable")
    starts = np.searchsorted(moments[chosen][by_moment], np.arange(len(codes) + 1))
    vectors = np.empty((len(chosen), tables.shape[2]), np.float32)
    for events, states in _walk(tables, codes, offsets, decays):
        rows = starts[events + 1] - starts[events]
        wanted = np.flatnonzero(rows)
        first, counts = starts[events[wanted]], rows[wanted]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        vectors[by_moment[np.repeat(first, counts) + within]] = np.repeat(states[:, wanted].sum(axis=0), counts, axis=0)
    weights = (totals / np.maximum(kept, 1)).astype(np.float32)
    return Positions(vectors, np.concatenate(([0], np.cumsum(kept))), weights)


def fit_items(positions: Positions, background: float, shrinkage: float) -> NDArray[np.float32]:
    """The item vectors that say best who takes which item next.

    Of item ``i`` the vector v minimises, over all positions u,

        sum over those before i of (1 - u v)^2 + background * sum over all of (u v)^2 + ridge_i |v|^2

    with ``ridge_i = shrinkage * m * (events of i + background * positions)``, m the mean square of the coordinates of
    the u (Rendle et al., *Revisiting the performance of iALS on item recommendation benchmarks*, RecSys 2022).

    Returns:
        Shape (n_items, dim).
    """
    n_items, dim = len(positions.weights), positions.vectors.shape[1]
    everywhere = background * _gram(positions)
    counts = np.diff(positions.starts) * positions.weights
    mean_square = float(np.trace(everywhere)) / (dim * background * max(float(counts.sum()), 1.0))
    ridges = max(shrinkage, _LEAST) * mean_square * (counts + background * counts.sum())
    values, basis = np.linalg.eigh(everywhere)
    turned = basis.astype(np.float32)
    found = np.zeros((n_items, dim))
    for item in np.flatnonzero(counts).tolist():
        # Coordinates in which everything but the item's own positions is the identity.
        scale = 1 / np.sqrt(np.maximum(values, 0.0) + ridges[item])
        mine = positions.before(item) @ turned
        mine *= scale.astype(np.float32)
        found[item] = scale * _conjugate_gradients(mine, float(positions.weights[item]))
    fitted: NDArray[np.float32] = (found @ basis.T).astype(np.float32)
    return fitted


def _conjugate_gradients(rows: NDArray[np.float32], weight: float) -> NDArray[np.float64]:
    """The solution v of ``(I + weight * U'U) v = weight * U' 1`` for the rows U, without ever writing U'U down.

    Each step costs two products with the rows, which stay in the processor's cache, and some ten steps are enough
    (Takacs, Pilaszy and Tikk, *Applications of the conjugate gradient method for implicit feedback collaborative
    filtering*, RecSys 2011).
    """
    rest = weight * rows.sum(axis=0, dtype=np.float64)
    found: NDArray[np.float64] = np.zeros_like(rest)
    step = rest.copy()
    size = float(rest @ rest)
    enough = _PRECISION**2 * size
    for _ in range(_MOST_STEPS):
        if size <= enough:
            break
        along = step.astype(np.float32)
        product = step + weight * ((rows @ along) @ rows)
        far = size / float(step @ product)
        found += far * step
        rest -= far * product
        before, size = size, float(rest @ rest)
        step = rest + (size / before) * step
    return found


def _without_order(codes: NDArray[np.int64], n_items: int, dim: int) -> Positions:
    """The positions where no user has two events: all users are alike, and items differ by their counts."""
    vectors = np.zeros((len(codes), dim), np.float32)
    vectors[:, 0] = 1
    starts = np.concatenate(([0], np.cumsum(np.bincount(codes, minlength=n_items))))
    return Positions(vectors, starts, np.ones(n_items, np.float32))


def _gram(positions: Positions) -> NDArray[np.float64]:
    """The sum of ``u u'`` over all positions."""
    dim = positions.vectors.shape[1]
    total = np.zeros((dim, dim), np.float64)
    weights = np.repeat(positions.weights, np.diff(positions.starts))[:, None]
    for start in range(0, len(positions.vectors), 1 << 14):
        part = positions.vectors[start : start + (1 << 14)]
        total += part.T @ (part * weights[start : start + (1 << 14)])
    return total


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
