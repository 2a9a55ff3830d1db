"""Vectors of users and items that a graph of neighbours can be searched by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["balanced", "moments"]

Array = NDArray[np.float32]

_RIDGE = 1e-6
"""What is added to second moments, against their mean: dimensions that nobody uses stay invertible."""


def balanced(users: Array, items: Array) -> tuple[Array, Array]:
    """Maps of both sides that leave every score what it is and give both the same diagonal second moments.

    Any invertible matrix on one side and its inverse on the other change no inner product. But an index that searches
    by a graph of neighbours depends on where items lie among themselves and beside users: where their lengths differ
    much from direction to direction, and otherwise than the users', its paths do not lead to what scores best.

    Args:
        users: Vectors of users, shape (n, d).
        items: Vectors of items, shape (m, d).

    Returns:
        Two matrices, shape (d, d) each, to multiply vectors of users and of items by from the right.
    """
    if not users.any() or not items.any():
        unchanged = np.eye(users.shape[1], dtype=np.float32)
        return unchanged, unchanged
    sizes, directions = np.linalg.eigh(moments(users))
    root = (directions * np.sqrt(sizes)) @ directions.T
    sizes, turned = np.linalg.eigh(root @ moments(items) @ root)
    quarter = sizes**0.25
    return (np.linalg.solve(root, turned) * quarter).astype(np.float32), (root @ turned / quarter).astype(np.float32)


def moments(vectors: Array) -> NDArray[np.float64]:
    """The mean of the outer products of vectors, shape (d, d), a little more on the diagonal so that it is positive."""
    width = vectors.shape[1]
    found: NDArray[np.float64] = vectors.T.astype(np.float64) @ vectors / len(vectors)
    found[np.diag_indices(width)] += _RIDGE * np.trace(found) / width + 1e-12
    return found
