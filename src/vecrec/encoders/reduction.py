"""Fewer dimensions for the same scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reduction", "reduce_scores"]

_POPULARITY_POWER = 0.4
"""How much less a popular item's errors count, each: by its events to the power of minus this."""

_RIDGE = 1e-6
"""What is added to the users' second moments, against their mean: dimensions that nobody uses stay invertible."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """Linear maps of users and items into fewer dimensions."""

    users: NDArray[np.float32]
    """Shape (dim, fewer)."""
    items: NDArray[np.float32]
    """Shape (dim, fewer)."""


def reduce_scores(
    users: NDArray[np.float32], items: Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]], dim: int
) -> Reduction:
    """The maps into ``dim`` dimensions after which the inner products of users and items change least.

    They minimise the sum over users u and items v of ``w_v (u v - u' v')^2``, where ``w_v`` falls with the item's
    events: a truncated singular value decomposition of the weighted scores (Eckart and Young, 1936), taken from the
    second moments of both sides, so that the scores themselves are never written down.

    Args:
        users: Vectors of users, shape (n, d), n >= 1, d >= dim.
        items: Blocks of vectors of items, shape (m, d), each with how many events the items have, shape (m,); items
            without any are left out.
        dim: How many dimensions are wanted, at least 1.
    """
    width = users.shape[1]
    moments = users.T.astype(np.float64) @ users / len(users)
    moments[np.diag_indices(width)] += _RIDGE * np.trace(moments) / width + 1e-12
    root = np.linalg.cholesky(moments)
    everything = np.zeros((width, width))
    for vectors, events in items:
        met = events > 0
        weights = events[met].astype(np.float64)[:, None] ** -_POPULARITY_POWER
        weighted = vectors[met] * weights
        everything += weighted.T @ weighted
    leading = np.linalg.eigh(root.T @ everything @ root)[1][:, : -dim - 1 : -1]
    to_users, to_items = np.linalg.solve(root.T, leading), root @ leading
    return Reduction(to_users.astype(np.float32), to_items.astype(np.float32))
