"""Balanced vectors: every score stays, and both sides are of one shape."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec.learning.algebra import balanced


def _random(rows: int, columns: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, columns), np.float32)


def test_both_sides_have_equal_moments_and_the_same_scores() -> None:
    """Sides of very different shapes, and a direction that no item uses."""
    users, items = _random(500, 12, 0) * np.geomspace(10, 0.1, 12, dtype=np.float32), _random(300, 12, 1)
    items = items @ _random(12, 12, 2)
    items[:, 3] = 0
    of_users, of_items = balanced(users, items)
    u, v = users @ of_users, items @ of_items
    scores = users @ items.T
    np.testing.assert_allclose(u @ v.T, scores, atol=1e-4 * scores.std())
    one, other = (each.T @ each / len(each) for each in (u, v))
    np.testing.assert_allclose(one, np.diag(np.diag(one)), atol=1e-3 * one.max())
    np.testing.assert_allclose(one, other, atol=1e-3 * one.max())


@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_is_done_to_vectors_that_say_nothing(rows: int) -> None:
    users, items = np.zeros((rows, 4), np.float32), _random(5, 4, 0)
    for maps in (balanced(users, items), balanced(items, users)):
        for each in maps:
            np.testing.assert_array_equal(each, np.eye(4))


def test_one_vector_a_side_is_enough() -> None:
    users, items = _random(1, 6, 0), _random(1, 6, 1)
    of_users, of_items = balanced(users, items)
    np.testing.assert_allclose((users @ of_users) @ (items @ of_items).T, users @ items.T, rtol=1e-3)
