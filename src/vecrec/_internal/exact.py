"""Exact scores, cosines, orders and ranks: what an index, a metric and a reference are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["best", "cosines", "nearest", "unit"]


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


def _best_of_many(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    flat = scores.reshape(-1, scores.shape[-1])
    found = np.empty((len(flat), k), np.int64)
    for row, values in enumerate(flat):
        floor = np.partition(values, -k)[-k] if k else np.inf
        places = np.flatnonzero(values >= floor)
        found[row] = places[np.argsort(-values[places], kind="stable")[:k]]
    return found.reshape(*scores.shape[:-1], k)


def nearest(
    queries: NDArray[np.float32], matrix: NDArray[np.float32], k: int, *, cosine: bool = False
) -> Iterator[tuple[list[int], list[float]]]:
    """For each query, the rows with the k highest inner products, best first, of equal ones the earlier row first.

    Equal rows get equal scores: the product of the whole matrix, which rounds by place, only tells the candidates.

    Args:
        queries: Shape (n, dim).
        matrix: Shape (m, dim). For cosines its rows must have length 1 already or be zero; see `unit`.
        k: How many.
        cosine: Whether the queries are scaled to length 1 first.
    """
    if not len(matrix):
        yield from (([], []) for _ in queries)
        return
    longest = float(np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64).max()))
    for query in unit(queries) if cosine else queries:
        places = _candidates(matrix @ query, query, longest, k)
        rows, wide = matrix[places].astype(np.float64), query.astype(np.float64)
        scores = (rows * wide).sum(axis=1).astype(np.float32)
        order = best(scores, k)
        yield places[order].tolist(), scores[order].tolist()


def _candidates(rough: NDArray[Any], query: NDArray[Any], longest: float, k: int) -> NDArray[np.int64]:
    if k >= len(rough):
        return np.arange(len(rough))
    # What a sum of products in single precision is off by at most.
    slack = 2 * len(query) * float(np.finfo(np.float32).eps) * longest * float(np.linalg.norm(query.astype(np.float64)))
    floor = float(np.partition(rough, -k)[-k]) - slack
    return np.flatnonzero(rough >= floor)
