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

Events may weigh. Then the y of a position is the next item times the weight of its event, so that the scores estimate
the weight of what comes next instead of its count, and only the ``C_d`` of ``X'Y`` change: features do not weigh. A
regression whose rows weigh, on both sides, estimates the same divided by the mean weight of what follows the history,
one number for each user, which changes no list; but its products would not follow from the recursion.

Where the order of events is unknown, each item of a user is predicted from all the others. With x for the ones of a
user's n items, the features without item i are ``x - e(i)``, times ``(n - 1) ** -SET_POWER``, and summed over the items
of a user

    sum of (x - e(i)) (x - e(i))' = (n - 2) x x' + diag(x)        sum of (x - e(i)) e(i)' = x x' - diag(x)

where each user counts ``(n - 1) ** -_ACTIVITY_POWER``: with n items there are n predictions from nearly the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec._internal.batching import counts_of, user_batches
from vecrec.learning.algebra import Factor, leading_vectors
from vecrec.learning.sets import UserSets

__all__ = ["SET_POWER", "ClosedForm", "feature_products", "next_sums", "set_products", "set_scale"]

_POPULARITY_POWER = 0.4
"""How much less a popular item's errors count in the approximation, each: by its events to the power of minus this."""


SET_POWER = 0.5
"""How much less an item of a larger set says: by the number of the set's items to the power of minus this."""

_ACTIVITY_POWER = 0.5
"""How much less each prediction for a user with more items counts, likewise."""

_HORIZONS = 4
"""How many times the horizon ahead items still count."""


class ClosedForm:
    """``B = (X'X + ridge I)^-1 X'Y`` for the features X and the later items Y of all positions, never written down.

    A position's features are the items before it in several blocks; see `vecrec.encoders.linear_sequence.closed_form`.
    """

    def __init__(
        self, products: NDArray[np.float32], sums: NDArray[np.float32], worth: NDArray[Any], ridge: float
    ) -> None:
        """Factor the matrix.

        Args:
            products: ``X'X``, shape (n_blocks * n_items, the same); it is overwritten.
            sums: ``X'Y``, shape (n_blocks * n_items, n_items).
            worth: How much the events of each item count, shape (n_items,).
            ridge: What large coefficients cost.

        Raises:
            numpy.linalg.LinAlgError: for a ridge that is too small to make the matrix invertible.
        """
        products[np.diag_indices(len(products))] += np.float32(ridge)
        self._sums, self._worth = sums, worth
        self._factor = Factor(products)

    @classmethod
    def of_sequences(
        cls,
        codes: NDArray[Any],
        ages: NDArray[Any],
        decays: Sequence[float],
        window: int,
        ridge: float,
        *,
        horizon: int = 1,
        weights: NDArray[np.float32] | None = None,
    ) -> Self:
        """Sum up ordered events.

        Args:
            codes: The item of each event, -1 for one that takes no part; those that do are numbered without gaps.
            ages: How many events of the same user come before each one.
            decays: The decay of each block.
            window: How far back features reach.
            ridge: What large coefficients cost; at most the mean number of events of an item, so that little data
                is not drowned.
            horizon: How far ahead the items of Y lie on average: those of each position count ``1 / horizon`` in all.
            weights: How much each event counts as one that comes next; ``None`` where each counts 1.

        Raises:
            numpy.linalg.LinAlgError: for a ridge that is too small to make the matrix invertible.
        """
        # Code -1 stands for no item, and is counted in front of all others.
        n_items = int(codes.max(initial=-1)) + 1
        counts = counts_of(codes + 1, n_items + 1)[1:]
        worth = counts if weights is None else counts_of(codes + 1, n_items + 1, weights)[1:]
        sums = next_sums(codes, ages, len(counts), decays, window)
        products = feature_products(sums, counts, decays)
        if horizon > 1 or weights is not None:
            ahead = 1 - 1 / horizon
            far = max(window, _HORIZONS * horizon) if horizon > 1 else window
            sums = next_sums(codes, ages, len(counts), decays, far, ahead=ahead, weights=weights)
        stacked = np.concatenate(sums)
        del sums
        stacked /= np.float32(horizon)
        return cls(products, stacked, worth, min(ridge, float(counts.mean())))

    @classmethod
    def of_sets(cls, sets: UserSets, ridge: float, *, graded: bool = True) -> Self:
        """Sum up events without an order.

        Args:
            sets: What each user has.
            ridge: As for `of_sequences`.
            graded: Whether items to predict count by their weights; else each counts 1.

        Raises:
            numpy.linalg.LinAlgError: for a ridge that is too small to make the matrix invertible.
        """
        products, sums = set_products(sets, graded=graded)
        events = float(sets.counts[sets.exact].mean())
        # As large against the products as it is in sequences, whose diagonal is about what the items have of events.
        part = float(np.diag(products).mean()) / events or 1.0
        return cls(products, sums, sets.worth[sets.exact], min(ridge, events) * part)

    def tables(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """What each item before adds to the regression of a vector on the features.

        Args:
            targets: The vector that is to come out before each item, shape (n_items, dim).

        Returns:
            Shape (len(decays), n_items, dim).
        """
        found = self._factor.solve(self._sums @ targets)
        return found.reshape(-1, len(self._worth), targets.shape[1])

    def approximate(self, dim: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The best approximation of ``X B`` of rank ``dim``, popular items' errors weighing less, by a truncated SVD.

        Returns:
            Tables of shape (len(decays), n_items, dim) and item vectors of shape (n_items, dim), whose product it is;
            coordinates that a small catalogue does not need are zero.
        """
        n_items = len(self._worth)
        weights = np.maximum(self._worth, 1)[:, None].astype(np.float32) ** np.float32(-_POPULARITY_POWER)

        def multiply(right: NDArray[np.float32]) -> NDArray[np.float32]:
            product: NDArray[np.float32] = weights * (self._sums.T @ self._factor.solve(self._sums @ (weights * right)))
            return product

        leading = np.zeros((n_items, dim), np.float32)
        rank = min(dim, n_items)
        leading[:, :rank] = leading_vectors(multiply, n_items, rank, seed=seed)
        return self.tables(weights * leading), leading / weights


_EVENTS_AT_A_TIME = _PAIRS_AT_A_TIME = 1 << 24
_Pairs: TypeAlias = tuple[int, NDArray[np.int64], NDArray[np.float32] | None]
"""How many places apart the events of each pair are, a number for their two items, and the weight of the later one."""
_FADED = 2e-3


def next_sums(
    codes: NDArray[Any],
    ages: NDArray[Any],
    n_items: int,
    decays: Sequence[float],
    window: int,
    *,
    ahead: float = 0.0,
    weights: NDArray[np.float32] | None = None,
) -> list[NDArray[np.float32]]:
    """``C_d`` for each decay: how often, and how long before it, each item came before each other one.

    Args:
        codes: The item of each event, one user after the other, -1 for one that takes no part, shape (n,).
        ages: How many events of the same user come before each one, shape (n,).
        n_items: How many items take part.
        decays: The decays of the blocks.
        window: How far apart two events may be.
        ahead: How much an item counts against the one an event before it, g above; 0 for the next item alone.
        weights: How much each event counts where it is the later one; ``None`` where each counts 1.

    Returns:
        Matrices of shape (n_items, n_items): rows came before, columns came next.
    """
    sums = [np.zeros(n_items * n_items, np.float32) for _ in decays]
    reach = [_reach(max(decay, ahead), window) for decay in decays]
    begin = np.append(np.flatnonzero(ages == 0), len(ages))
    for users in user_batches(begin, _EVENTS_AT_A_TIME):
        some = slice(begin[users.start], begin[users.stop])
        by_lag = _by_lag(codes[some], ages[some], n_items, max(reach), None if weights is None else weights[some])
        for pending in by_lag:
            for total, decay, far in zip(sums, decays, reach):
                _add(total, [(_weight(decay, ahead, each[0]), *each[1:]) for each in pending if each[0] <= far])
    return [total.reshape(n_items, n_items) for total in sums]


def _by_lag(
    codes: NDArray[Any], ages: NDArray[Any], n_items: int, reach: int, weights: NDArray[np.float32] | None
) -> Iterator[list[_Pairs]]:
    """The pairs of events up to so many places apart, in lists of about as many pairs as are counted at a time."""
    pending: list[_Pairs] = []
    for lag in range(1, reach + 1):
        later = np.flatnonzero(ages >= lag)
        before, after = codes[later - lag], codes[later]
        both = (before >= 0) & (after >= 0)
        worth = None if weights is None else weights[later][both]
        pending.append((lag, before[both].astype(np.int64) * n_items + after[both], worth))
        if lag == reach or sum(len(pairs) for _, pairs, _ in pending) >= _PAIRS_AT_A_TIME:
            yield pending
            pending = []


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


def set_products(sets: UserSets, *, graded: bool = True) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``X'X`` and ``X'Y`` of sets, shape (n_exact, n_exact) each."""
    size = len(sets.exact)
    products, sums = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    diagonal = np.arange(size)
    for some in sets:
        counts = some.ones.sum(axis=1).astype(np.int64)
        ones, worth = some.ones[counts > 1], some.worth[counts > 1]
        worth = worth if graded else np.sign(worth)
        counts = counts[counts > 1]
        scale = set_scale(counts - 1)
        each = (counts - 1).astype(np.float32) ** np.float32(-_ACTIVITY_POWER)
        square = scale * scale * each
        products += ones.T @ (ones * (square * (counts - 2))[:, None])
        products[diagonal, diagonal] += square @ ones
        together = ones.T @ (worth * (scale * each)[:, None])
        together[diagonal, diagonal] = 0
        sums += together
    return products, sums


def set_scale(sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """What the sum over a set of each size is multiplied by, so that long histories do not outweigh the profile."""
    scale: NDArray[np.float32] = np.maximum(sizes, 1).astype(np.float32) ** np.float32(-SET_POWER)
    return scale


def _weight(decay: float, ahead: float, lag: int) -> float:
    """What a feature and an item so many events after it count together, in all positions between them."""
    if decay == ahead:
        return lag * decay ** (lag - 1)
    return (decay**lag - ahead**lag) / (decay - ahead)


def _reach(decay: float, window: int) -> int:
    """How many events before the next one still count."""
    return 1 if decay == 0 else min(window, int(np.log(_FADED) / np.log(decay)) + 1)


def _add(
    total: NDArray[np.float32], weighted: list[tuple[float, NDArray[np.int64], NDArray[np.float32] | None]]
) -> None:
    if not weighted:
        return
    pairs = np.concatenate([each for _, each, _ in weighted])
    weights = np.repeat([weight for weight, _, _ in weighted], [len(each) for _, each, _ in weighted])
    worth = [each for _, _, each in weighted if each is not None]
    if worth:
        weights *= np.concatenate(worth)
    if len(pairs) * 8 < len(total):  # few pairs: a table of all that there could be would cost more than it saves
        np.add.at(total, pairs, weights.astype(np.float32))
    else:
        total += np.bincount(pairs, weights, len(total)).astype(np.float32)
