"""Fewer dimensions: nothing is lost where that is possible, and otherwise the heads of the lists stay."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec.encoders.combined.reduction import Reduction, reduce_scores
from vecrec.progress import Step


def _silent(step: Step) -> None:
    """No progress."""


def _reduce(users: NDArray[np.float32], items: NDArray[np.float32], dim: int, events: int = 5) -> Reduction:
    seen = [np.zeros(0, np.int64)] * len(users)
    return reduce_scores(users, items, np.full(len(items), events), seen, dim=dim, progress=_silent)


def _random(rows: int, columns: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, columns), np.float32)


def _heads(scores: NDArray[np.float32], count: int = 10) -> NDArray[np.int64]:
    return np.argsort(-scores, axis=1)[:, :count]


def test_where_nothing_need_be_lost_the_scores_stay() -> None:
    """Forty dimensions of which six are used: six are enough."""
    users, items = _random(300, 6, 0) @ _random(6, 40, 1), _random(200, 40, 2)
    maps = _reduce(users, items, 6)
    assert maps.users.shape == maps.items.shape == (40, 6)
    scores = users @ items.T
    np.testing.assert_allclose((users @ maps.users) @ (items @ maps.items).T, scores, atol=1e-2 * scores.std())


def test_the_heads_of_the_lists_are_kept_better_than_by_least_squares() -> None:
    """Half of the items are in nobody's list, but differ more: least squares keeps how."""
    users, items = _random(400, 17, 3), _random(300, 17, 4)
    users[:, 16] = 1
    items[:150] *= 2
    items[:150, 8:], items[150:, :8] = 0, 0
    items[:, 16] = np.repeat([-30, 0], 150)
    scores = users @ items.T
    maps = _reduce(users, items, 8)
    u, s, vt = np.linalg.svd(scores, full_matrices=False)
    both = (users @ maps.users) @ (items @ maps.items).T, (u[:, :8] * s[:8]) @ vt[:8]
    kept = [np.mean([len({*one} & {*other}) for one, other in zip(_heads(scores), _heads(each))]) for each in both]
    assert kept[0] > 1.4 * kept[1]


@pytest.mark.parametrize("dim", [4, 9])
def test_what_is_mapped_is_balanced(dim: int) -> None:
    users, items = _random(300, 9, 0) * np.float32(3), _random(200, 9, 1) @ _random(9, 9, 2)
    maps = _reduce(users, items, dim)
    one, other = (each.T @ each / len(each) for each in (users @ maps.users, items @ maps.items))
    np.testing.assert_allclose(one, other, atol=1e-3 * one.max())
    np.testing.assert_allclose(one, np.diag(np.diag(one)), atol=1e-3 * one.max())


def test_what_users_have_seen_does_not_count() -> None:
    """One half of the items is only ever seen: the few dimensions go to the lists of the other half."""
    users, items = _random(300, 16, 5), _random(100, 16, 6)
    items[:50, 8:] = 0
    items[50:, :8] = 0
    items[:50] *= 3  # which least squares takes for more important
    found = {}
    for name, seen in (("all", np.zeros(0, np.int64)), ("half", np.arange(50))):
        maps = reduce_scores(users, items, np.full(100, 5), [seen] * 300, dim=8, progress=_silent)
        scores, after = users @ items[50:].T, (users @ maps.users) @ (items[50:] @ maps.items).T
        found[name] = np.mean([len({*one} & {*other}) for one, other in zip(_heads(scores), _heads(after))])
    assert found["half"] > found["all"] + 1


@pytest.mark.parametrize(("n_users", "n_items"), [(1, 1), (1, 30), (30, 1), (2, 2)])
def test_few_users_and_items_are_enough(n_users: int, n_items: int) -> None:
    users, items = _random(n_users, 5, 7), _random(n_items, 5, 8)
    maps = _reduce(users, items, 2)
    assert np.isfinite(maps.users).all()
    assert np.isfinite(maps.items).all()


def test_vectors_of_zeros_and_users_who_have_seen_everything_do_no_harm() -> None:
    users, items = _random(20, 6, 9), _random(15, 6, 10)
    users[::2], items[3] = 0, 0
    seen = [np.arange(15)] * 20
    maps = reduce_scores(users, items, np.ones(15, np.int64), seen, dim=3, progress=_silent)
    assert np.isfinite(maps.users).all()
    for other in (np.zeros_like(users), users):
        maps = reduce_scores(other, 0 * items, np.ones(15, np.int64), seen, dim=3, progress=_silent)
        assert np.isfinite(other @ maps.users).all()


def test_it_is_the_same_every_time_and_says_how_far_it_is() -> None:
    users, items, steps = _random(60, 12, 11), _random(40, 12, 12), list[Step]()
    seen = [np.arange(3)] * 60
    one, other = (
        reduce_scores(users, items, np.ones(40, np.int64), seen, dim=4, progress=steps.append) for _ in range(2)
    )
    assert (one.users == other.users).all()
    assert (one.items == other.items).all()
    assert steps[-1].done == steps[-1].total
