"""The closed form: ridge regression from what came before to what came next, in few dimensions.

At each position of a user's sequence the features are the items before it, in blocks: in the block of the decay d an
item that came ``l`` events before the next one counts ``d ** (l - 1)``. With x for the features, y for the next item
and ``t`` for the position, a block follows the recursion ``x_t+1 = d x_t + e(item t)``. So its products need no pass
over the pairs of features: with ``C_d`` for the sum of ``x y'`` in the block d and N for the diagonal of the items'
counts, summing both sides of the recursion's outer products gives

    sum of x_a x_b' = (a C_a + b C_b' + N) / (1 - a b)

where each sequence is taken to go on without events until its features have faded away.

Where y is not the next item but all later ones, an item k events further on counting ``g ** k``, a feature and an item
l events after it meet at l positions. They count ``sum of d ** m * g ** (l - 1 - m)`` over m from 0 to l - 1, which is
``(d ** l - g ** l) / (d - g)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec.learning.algebra import Factor, leading_vectors

__all__ = ["ClosedForm", "feature_products", "next_sums"]

_POPULARITY_POWER = 0.4
"""How much less a popular item's errors count in the approximation, each: by its events to the power of minus this."""


_HORIZONS = 4
"""How many times the horizon ahead items still count."""


class ClosedForm:
    """``B = (X'X + ridge I)^-1 X'Y`` for the features X and the later items Y of all positions, never written down.

    A position's features are the items before it in several blocks; see `vecrec.encoders.linear_sequence.closed_form`.
    """

    def __init__(
        self,
        codes: NDArray[np.int64],
        ages: NDArray[np.int64],
        decays: Sequence[float],
        window: int,
        ridge: float,
        *,
        horizon: int = 1,
    ) -> None:
        """Sum up the events and factor the matrix.

        Args:
            codes: The item of each event, -1 for one that takes no part; those that do are numbered without gaps.
            ages: How many events of the same user come before each one.
            decays: The decay of each block.
            window: How far back features reach.
            ridge: What large coefficients cost; at most the mean number of events of an item, so that little data
                is not drowned.
            horizon: How far ahead the items of Y lie on average: those of each position count ``1 / horizon`` in all.

        Raises:
            numpy.linalg.LinAlgError: for a ridge that is too small to make the matrix invertible.
        """
        self._counts = np.bincount(codes[codes >= 0])
        sums = next_sums(codes, ages, len(self._counts), decays, window)
        products = feature_products(sums, self._counts, decays)
        products[np.diag_indices(len(products))] += np.float32(min(ridge, float(self._counts.mean())))
        if horizon > 1:
            ahead = 1 - 1 / horizon
            far = max(window, _HORIZONS * horizon)
            sums = next_sums(codes, ages, len(self._counts), decays, far, ahead=ahead)
        self._sums = np.concatenate(sums)
        self._sums /= np.float32(horizon)
        del sums
        self._factor = Factor(products)
        self._blocks = len(decays)

    def tables(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """What each item before adds to the regression of a vector on the features.

        Args:
            targets: The vector that is to come out before each item, shape (n_items, dim).

        Returns:
            Shape (len(decays), n_items, dim).
        """
        found = self._factor.solve(self._sums @ targets)
        return found.reshape(self._blocks, len(self._counts), targets.shape[1])

    def approximate(self, dim: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The best approximation of ``X B`` of rank ``dim``, popular items' errors weighing less, by a truncated SVD.

        Returns:
            Tables of shape (len(decays), n_items, dim) and item vectors of shape (n_items, dim), whose product it is;
            coordinates that a small catalogue does not need are zero.
        """
        n_items = len(self._counts)
        weights = np.maximum(self._counts, 1)[:, None].astype(np.float32) ** np.float32(-_POPULARITY_POWER)

        def multiply(right: NDArray[np.float32]) -> NDArray[np.float32]:
            product: NDArray[np.float32] = weights * (self._sums.T @ self._factor.solve(self._sums @ (weights * right)))
            return product

        leading = np.zeros((n_items, dim), np.float32)
        rank = min(dim, n_items)
        leading[:, :rank] = leading_vectors(multiply, n_items, rank, seed=seed)
        return self.tables(weights * leading), leading / weights


_PAIRS_AT_A_TIME = 1 << 24
_FADED = 2e-3


def next_sums(
    codes: NDArray[np.int64],
    ages: NDArray[np.int64],
    n_items: int,
    decays: Sequence[float],
    window: int,
    *,
    ahead: float = 0.0,
) -> list[NDArray[np.float32]]:
    """``C_d`` for each decay: how often, and how long before it, each item came before each other one.

    Args:
        codes: The item of each event, one user after the other, -1 for one that takes no part, shape (n,).
        ages: How many events of the same user come before each one, shape (n,).
        n_items: How many items take part.
        decays: The decays of the blocks.
        window: How far apart two events may be.
        ahead: How much an item counts against the one an event before it, g above; 0 for the next item alone.

    Returns:
        Matrices of shape (n_items, n_items): rows came before, columns came next.
    """
    sums = [np.zeros(n_items * n_items, np.float32) for _ in decays]
    reach = [_reach(max(decay, ahead), window) for decay in decays]
    pending: list[tuple[int, NDArray[np.int64]]] = []
    for lag in range(1, max(reach) + 1):
        later = np.flatnonzero(ages >= lag)
        before, after = codes[later - lag], codes[later]
        both = (before >= 0) & (after >= 0)
        pending.append((lag, before[both] * n_items + after[both]))
        if lag == max(reach) or sum(len(pairs) for _, pairs in pending) >= _PAIRS_AT_A_TIME:
            for total, decay, far in zip(sums, decays, reach):
                _add(total, [(_weight(decay, ahead, lag), pairs) for lag, pairs in pending if lag <= far])
            pending = []
    return [total.reshape(n_items, n_items) for total in sums]


def feature_products(
    sums: Sequence[NDArray[np.float32]], counts: NDArray[np.int64], decays: Sequence[float]
) -> NDArray[np.float32]:
    """``X'X`` for all blocks, shape (len(decays) * n_items, the same).

    Args:
        sums: What `next_sums` gives.
        counts: How often each item came, shape (n_items,).
        decays: The decays of the blocks.
    """
    n = len(counts)
    whole = np.zeros((len(sums) * n, len(sums) * n), np.float32)
    diagonal = np.arange(n)
    for i, (a, of_a) in enumerate(zip(decays, sums)):
        for j, (b, of_b) in enumerate(zip(decays, sums)):
            block = whole[i * n : (i + 1) * n, j * n : (j + 1) * n]
            block += np.float32(a) * of_a
            block += np.float32(b) * of_b.T
            block[diagonal, diagonal] += counts
            block /= np.float32(1 - a * b)
    return whole


def _weight(decay: float, ahead: float, lag: int) -> float:
    """What a feature and an item so many events after it count together, in all positions between them."""
    if decay == ahead:
        return lag * decay ** (lag - 1)
    return (decay**lag - ahead**lag) / (decay - ahead)


def _reach(decay: float, window: int) -> int:
    """How many events before the next one still count."""
    return 1 if decay == 0 else min(window, int(np.log(_FADED) / np.log(decay)) + 1)


def _add(total: NDArray[np.float32], weighted: list[tuple[float, NDArray[np.int64]]]) -> None:
    if not weighted:
        return
    pairs = np.concatenate([each for _, each in weighted])
    weights = np.repeat([weight for weight, _ in weighted], [len(each) for _, each in weighted])
    if len(pairs) * 8 < len(total):  # few pairs: a table of all that there could be would cost more than it saves
        np.add.at(total, pairs, weights.astype(np.float32))
    else:
        total += np.bincount(pairs, weights, len(total)).astype(np.float32)
