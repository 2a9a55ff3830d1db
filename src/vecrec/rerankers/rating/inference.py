"""The predicted rating in NumPy: what serves, and what is saved. Nothing here imports PaddlePaddle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.learning.preprocessor import SparseRows

__all__ = ["SHRINK_ITEM", "SHRINK_USER", "STATISTICS", "Head", "Scale", "Statistics", "past", "statistics"]

Floats: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]

STATISTICS = 5
"""How many plain numbers stand beside what is made of the user and of the item."""

SHRINK_USER, SHRINK_ITEM = 10.0, 10.0
"""As many ratings of the average user, and of the average item, are added to those that there are."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the numbers are measured in."""

    low: float
    """The smallest rating that can come: 0, or the lowest there is where that is below."""
    top: float
    """The largest rating that can come."""
    mean: float
    """The mean of all ratings."""
    users: float
    """The root mean square of the numbers in users' vectors."""
    items: float
    """Of those in items' vectors."""
    products: float
    """Of the inner products."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is known of items by their ratings, by row of the item table."""

    residuals: Floats
    """Their mean less the mean of all, shrunk towards 0, shape (n,)."""
    counts: Floats
    """How many there are, shape (n,)."""

    @classmethod
    def of(cls, rows: Rows, ratings: Floats, mean: float, size: int) -> Statistics:
        """The statistics of ratings, each of an item's row."""
        counts = np.bincount(rows, minlength=size).astype(np.float32)
        sums = np.bincount(rows, ratings - mean, minlength=size)
        return cls((sums / (counts + SHRINK_ITEM)).astype(np.float32), counts)


def past(rows: Rows, ratings: Floats, counts: Rows, known: Statistics, mean: float) -> tuple[SparseRows, Floats]:
    """Users' rated histories as sparse rows, and two numbers of each user.

    Args:
        rows: The item of each event, one user after the other, shape (e,).
        ratings: Of each event, shape (e,).
        counts: How many events each user has, shape (n,).
        known: What is known of the items.
        mean: Of all ratings.

    Returns:
        Rows of ``2 * items`` columns, n of them: how much better than others the user rated each item, and that they
        rated it, over the root of their count (the explicit and implicit feedback of Koren, *Factorization meets the
        neighborhood*, KDD 2008). Then their mean rating less that of others, shrunk, and the logarithm of their
        count, shape (n, 2).
    """
    size, owner = len(known.counts), np.repeat(np.arange(len(counts)), counts)
    better = ratings - np.float32(mean) - known.residuals[rows]
    share = (1 / np.sqrt(np.maximum(counts, 1))).astype(np.float32)[owner]
    columns = np.stack([rows, rows + size], axis=1).ravel()
    weights = np.stack([better * share, share], axis=1).ravel().astype(np.float32)
    starts = np.concatenate(([0], np.cumsum(2 * counts))).astype(np.int64)
    bias = np.bincount(owner, better, minlength=len(counts)) / (counts + SHRINK_USER)
    return SparseRows(starts, columns, weights), np.stack([bias, np.log1p(counts) / 5], axis=1).astype(np.float32)


def statistics(users: Floats, items: Rows, known: Statistics, products: Floats) -> Floats:
    """The plain numbers of pairs, shape (n, STATISTICS): of users (n, 2), rows of items, inner products by scale."""
    of_items = np.stack([known.residuals[items], np.log1p(known.counts[items]) / 5, products], axis=1)
    return np.concatenate([users, of_items], axis=1).astype(np.float32)


Array: TypeAlias = NDArray[np.float32]


class Head:
    """The network with trained weights. See `vecrec.rerankers.rating.network.RatingNetwork` for what it computes."""

    def __init__(self, weights: Mapping[str, Array], scale: Scale) -> None:
        self.weights = dict(weights)
        self.scale = scale

    def users(self, ids: Rows, profiles: SparseRows, histories: SparseRows, vectors: Array) -> Array:
        """What is made of users, shape (n, width)."""
        known = self._side("user", ids, profiles, vectors / np.float32(self.scale.users))
        result: Array = known + histories.times(self.weights["histories"])
        return result

    def items(self, ids: Rows, features: SparseRows, vectors: Array) -> Array:
        """What is made of items, shape (n, width)."""
        return self._side("item", ids, features, vectors / np.float32(self.scale.items))

    def ratings(self, users: Array, items: Array, numbers: Array) -> Array:
        """Predicted ratings of pairs, shape (n,), from (n, width) each and the plain numbers (n, STATISTICS)."""
        inputs = np.concatenate([users, items, users * items, numbers], axis=1)
        hidden, layer = inputs, 0
        while f"layer_{layer}" in self.weights:
            hidden = np.maximum(hidden @ self.weights[f"layer_{layer}"] + self.weights[f"bias_{layer}"], 0)
            layer += 1
        logits = inputs @ self.weights["straight"] + hidden @ self.weights["last"] + self.weights["constant"]
        span = self.scale.top - self.scale.low
        # The logistic function by the hyperbolic tangent, which does not overflow.
        result: Array = (self.scale.low + span * (0.5 + 0.5 * np.tanh(0.5 * logits[:, 0]))).astype(np.float32)
        return result

    def _side(self, side: str, ids: Rows, features: SparseRows, vectors: Array) -> Array:
        made: Array = self.weights[f"{side}_ids"][ids] + vectors @ self.weights[f"{side}_vectors"]
        if f"{side}_features" in self.weights:
            made = made + features.times(self.weights[f"{side}_features"])
        return made
