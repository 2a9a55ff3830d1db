"""Exact search finds what a comparison in double precision finds, whatever the shapes, scales and ties."""

from __future__ import annotations

import numpy as np
import pytest

from vecrec._internal.exact import longest, nearest, unit


@pytest.mark.parametrize("count", [0, 1, 7, 500, 3000])
@pytest.mark.parametrize("share", [None, 0.0, 0.05, 0.6, 1.0])
@pytest.mark.parametrize("cosine", [False, True])
def test_the_best_are_found_in_order(count: int, share: float | None, cosine: bool) -> None:
    """Of equal scores the row whose key comes first, also where many tie with the last one that is found."""
    rng = np.random.default_rng(count + 1)
    matrix = rng.integers(-2, 3, (count, 6)).astype(np.float32)
    queries = rng.integers(-2, 3, (4, 6)).astype(np.float32)
    if cosine:
        matrix, queries = unit(matrix), unit(queries)
    allowed = None if share is None else rng.random(count) < share
    rows = range(count) if allowed is None else np.flatnonzero(allowed).tolist()
    for k in (1, 3, 50, 10_000):
        found = list(nearest(queries, matrix, k, length=longest(matrix), allowed=allowed, tie=lambda row: -row))
        for query, pairs in zip(queries.astype(np.float64), found):
            exact = {row: float(np.float32((matrix[row].astype(np.float64) * query).sum())) for row in rows}
            assert pairs == sorted(exact.items(), key=lambda pair: (-pair[1], -pair[0]))[:k]


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1.0, 1e15])
def test_equal_rows_have_equal_scores(scale: float) -> None:
    """Wherever they stand: a product of matrices alone would round by place."""
    rng = np.random.default_rng(2)
    row = (rng.standard_normal(67) * scale).astype(np.float32)
    matrix = np.tile(row, (1003, 1))
    query = rng.standard_normal((3, 67)).astype(np.float32)
    for pairs in nearest(query, matrix, 20, length=longest(matrix)):
        assert [place for place, _ in pairs] == list(range(20))
        assert len({score for _, score in pairs}) == 1


def test_the_longest_row_is_measured() -> None:
    """Zero for none, and without overflow for large ones."""
    assert longest(np.empty((0, 3), np.float32)) == 0
    assert longest(np.array([[3, 4], [0, 1]], np.float32)) == 5
    assert longest(np.array([[3e30, 4e30]], np.float32)) == pytest.approx(5e30)
