"""The closed form: ridge regression from what came before to what came next, in few dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec.encoders.linear_sequence.sums import feature_products, next_sums
from vecrec.learning.algebra import Factor, leading_vectors

__all__ = ["ClosedForm"]

_POPULARITY_POWER = 0.4
"""How much less a popular item's errors count in the approximation, each: by its events to the power of minus this."""


_HORIZONS = 4
"""How many times the horizon ahead items still count."""


class ClosedForm:
    """``B = (X'X + ridge I)^-1 X'Y`` for the features X and the later items Y of all positions, never written down.

    A position's features are the items before it in several blocks; see `vecrec.encoders.linear_sequence.sums`.
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
