"""Exact scores, cosines, orders and ranks: what an index, a metric and a reference are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["best", "cosines", "ranks_of", "unit"]


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors scaled to length 1 along the last axis; zeros stay zeros. Tiny and huge vectors keep their direction.

    Args:
        vectors: Shape (..., dim), of a floating type, which the result has too.
    """
    largest = np.abs(vectors).max(axis=-1, keepdims=True, initial=0)
    scaled = vectors / np.where(largest > 0, largest, 1)  # so that no square is lost to underflow or overflow
    lengths = np.linalg.norm(scaled, axis=-1, keepdims=True)
    result: NDArray[Any] = (scaled / np.where(lengths > 0, lengths, 1)).astype(vectors.dtype, copy=False)
    return result


def cosines(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    """The cosines of each vector on the left with each on the right, shape (n, m), in [-1, 1]; 0 where one is zero.

    Args:
        left: Shape (n, dim).
        right: Shape (m, dim).
    """
    products: NDArray[np.float64] = unit(left.astype(np.float64)) @ unit(right.astype(np.float64)).T
    return products.clip(-1, 1)


def best(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    """The places of the k highest scores along the last axis, best first, of equal ones the earlier place first.

    Args:
        scores: Shape (..., n). Fewer than k places come where n is smaller.
        k: How many.
    """
    n = scores.shape[-1]
    if k < n // 4:  # a partition first; what ties with the last one is kept, so that the earlier place wins
        return _best_of_many(scores, k)
    return np.argsort(-scores, axis=-1, kind="stable")[..., :k]


def ranks_of(scores: NDArray[Any], targets: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The rank of one target in each row of scores, from 1; of equal scores the target comes last.

    Args:
        scores: Shape (n, m); ``-inf`` for what is left out.
        targets: A column in each row, shape (n,); -1 for a target that cannot be found.

    Returns:
        Shape (n,); 0 for a target that is left out or cannot be found.
    """
    own = scores[np.arange(len(scores)), targets]
    found = (targets >= 0) & ~np.isneginf(own)
    return np.where(found, (scores >= own[:, None]).sum(axis=1), 0).astype(np.int64)


def _best_of_many(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    flat = scores.reshape(-1, scores.shape[-1])
    found = np.empty((len(flat), k), np.int64)
    for row, values in enumerate(flat):
        floor = np.partition(values, -k)[-k] if k else np.inf
        places = np.flatnonzero(values >= floor)
        found[row] = places[np.argsort(-values[places], kind="stable")[:k]]
    return found.reshape(*scores.shape[:-1], k)
