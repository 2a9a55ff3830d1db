"""Exact scores, cosines, orders and ranks: what an index, a metric and a reference are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["best", "cosines", "count_reaching", "longest", "nearest", "ranks_of", "target_ranks", "top_columns", "unit"]

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
    return np.where(found, count_reaching(scores, own), 0).astype(np.int64)


def _best_of_many(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    flat = scores.reshape(-1, scores.shape[-1])
    found = np.empty((len(flat), k), np.int64)
    for row, values in enumerate(flat):
        floor = np.partition(values, -k)[-k] if k else np.inf
        places = np.flatnonzero(values >= floor)
        found[row] = places[np.argsort(-values[places], kind="stable")[:k]]
    return found.reshape(*scores.shape[:-1], k)


def top_columns(scores: NDArray[Any], top: int) -> NDArray[np.int64]:
    """The columns of the best scores of each row, best first, equal ones by column; -1 where a row has fewer.

    Args:
        scores: Shape (n, m); ``-inf`` for items that are left out.
        top: The length of the lists.

    Returns:
        Shape (n, top).
    """
    found = np.full((len(scores), top), -1, np.int64)
    columns = best(scores, top)
    left_out = np.isneginf(np.take_along_axis(scores, columns, axis=1))
    found[:, : columns.shape[1]] = np.where(left_out, -1, columns)
    return found


def count_reaching(scores: NDArray[Any], floors: NDArray[Any]) -> NDArray[np.int64]:
    """The number of scores in each row that are at least the floor of the row: higher ones and equal ones.

    Over a row that contains the floor's own item this is the item's rank, of equal scores the worst case: one, plus
    the higher scores, plus the other equal ones.

    Args:
        scores: Shape (n, m); ``-inf`` for items that are left out.
        floors: Shape (n,).
    """
    return np.asarray((scores >= floors[:, None]).sum(axis=1), np.int64)


def target_ranks(
    scores: NDArray[np.float32], targets: NDArray[np.int32], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The rank of each target in the scores of its user: one, plus the higher scores, plus the other equal ones.

    Targets of one user do not push each other down: among themselves they stand in the order of their scores.

    Args:
        scores: Shape (n, m); ``-inf`` for items that are left out.
        targets: Columns of the targets, -1 for a target that cannot be ranked, shape (t,).
        offsets: The targets of row ``n`` are ``offsets[n]:offsets[n + 1]``, shape (n + 1,).

    Returns:
        Ranks from 1, 0 for a target that cannot be ranked, shape (t,).
    """
    rows = np.repeat(np.arange(len(scores)), np.diff(offsets))
    own = np.where(targets < 0, np.float32(-np.inf), scores[rows, targets])
    if len(targets) == len(scores) and (np.diff(offsets) == 1).all():
        return ranks_of(scores, targets)
    ranks = _ranks_of_many(scores, targets, own, offsets)
    return np.where(np.isneginf(own), 0, ranks).astype(np.int64)


def _ranks_of_many(
    scores: NDArray[np.float32], targets: NDArray[np.int32], own: NDArray[np.float32], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    ranks = np.zeros(len(targets), np.int64)
    for row in range(len(scores)):
        part = slice(offsets[row], offsets[row + 1])
        mine = own[part]
        others = scores[row].copy()
        others[targets[part][targets[part] >= 0]] = -np.inf
        others.sort()
        # Of two targets with equal scores either may come first: the metrics are the same.
        among = np.empty(len(mine), np.int64)
        among[np.argsort(-mine, kind="stable")] = np.arange(1, len(mine) + 1)
        ranks[part] = among + len(others) - np.searchsorted(others, mine, side="left")
    return ranks


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
