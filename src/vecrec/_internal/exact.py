"""Exact scores, cosines, orders and ranks: what an index, a metric and a reference are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["best", "cosines", "longest", "nearest", "unit"]

_SCORES = 4_000_000


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


def longest(vectors: NDArray[Any]) -> float:
    """The length of the longest vector, 0 for none. Shape (n, dim)."""
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).max(initial=0.0)))


def nearest(
    queries: NDArray[np.float32],
    matrix: NDArray[np.float32],
    k: int,
    *,
    length: float,
    allowed: NDArray[np.bool_] | None = None,
    tie: Callable[[int], Any] = int,
) -> Iterator[list[tuple[int, float]]]:
    """For each query, the rows with the k highest inner products and their scores, best first.

    Equal rows get equal scores: the product of whole matrices, which rounds by place, only finds the candidates, and
    their scores are sums in double precision.

    Args:
        queries: Shape (n, dim). For cosines, these and the rows have length 1 or are zero; see `unit`.
        matrix: Shape (m, dim).
        k: How many.
        length: The length of the longest row; see `longest`.
        allowed: Shape (m,): the rows that may be found; all by default.
        tie: The sort key of a row among equal scores; its place by default.
    """
    places = np.arange(len(matrix)) if allowed is None else np.flatnonzero(allowed)
    if len(places) < len(matrix) // 8:  # few rows are cheaper to copy than many to compare
        matrix, places, original = matrix[places], np.arange(len(places)), places
    else:
        original = np.arange(len(matrix))
    step = max(1, _SCORES // max(1, len(matrix)))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        # A product of a matrix and one vector is faster than that of two matrices, one of which has a single row.
        rough = (matrix @ block[0])[np.newaxis] if len(block) == 1 else block @ matrix.T
        for query, scores in zip(block, rough):
            found = places if k >= len(places) else _candidates(scores, places, query, length, k)
            exact = (matrix[found] * query.astype(np.float64)).sum(axis=1).astype(np.float32).tolist()
            named = zip(original[found].tolist(), exact)
            yield sorted(named, key=lambda pair: (-pair[1], tie(pair[0])))[:k]


def _candidates(
    rough: NDArray[Any], places: NDArray[np.int64], query: NDArray[Any], length: float, k: int
) -> NDArray[np.int64]:
    scores = rough if len(places) == len(rough) else rough[places]
    # What a sum of products in single precision is off by at most, on both sides of the comparison.
    size = length * float(np.linalg.norm(query.astype(np.float64)))
    slack = 2 * len(query) * float(np.finfo(np.float32).eps) * size
    found: NDArray[np.int64] = places[scores >= np.partition(scores, -k)[-k] - slack]
    return found
