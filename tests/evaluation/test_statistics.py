"""Intervals and tests that say no more than the figures do."""

from __future__ import annotations

import numpy as np
import pytest

from vecrec.errors import InvalidDataError
from vecrec.evaluation.statistics import bootstrap_interval, compare_paired


def test_the_interval_is_that_of_the_normal_approximation_for_many_users() -> None:
    values = np.random.default_rng(1).random(2_000)
    low, high = bootstrap_interval(values, resamples=4_000)
    half = 1.96 * values.std() / np.sqrt(2_000)
    assert low == pytest.approx(values.mean() - half, abs=half / 10)
    assert high == pytest.approx(values.mean() + half, abs=half / 10)


def test_the_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        low, high = bootstrap_interval(rng.random(200), level=0.9, resamples=300)
        held += low <= 0.5 <= high
    assert 0.85 <= held / 300 <= 0.95


def test_equal_seeds_give_equal_intervals_and_others_do_not() -> None:
    values = np.random.default_rng(1).random(100)
    assert (
        bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    )


def test_a_small_but_steady_difference_is_told_from_chance() -> None:
    rng = np.random.default_rng(3)
    base = rng.random(500)
    steady = compare_paired("x", ("a", base + 0.01 + 0.02 * rng.standard_normal(500)), ("b", base))
    assert steady.low > 0
    assert steady.p_value < 0.01
    chance = compare_paired("x", ("a", base + 0.2 * rng.standard_normal(500)), ("b", base))
    assert chance.low < 0 < chance.high
    assert chance.p_value > 0.05


def test_chance_alone_is_significant_as_often_as_it_may_be() -> None:
    rng = np.random.default_rng(4)
    found = [
        compare_paired("x", ("a", rng.random(60)), ("b", rng.random(60)), resamples=200).p_value for _ in range(300)
    ]
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.09


def test_equal_models_do_not_differ() -> None:
    values = np.ones(5)
    same = compare_paired("x", ("a", values), ("b", values))
    assert (same.difference, same.low, same.high, same.p_value, same.wins, same.losses) == (0, 0, 0, 1, 0, 0)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="same users"):
        compare_paired("x", ("a", np.ones(3)), ("b", np.ones(4)))
    with pytest.raises(InvalidDataError, match="cannot bootstrap"):
        bootstrap_interval(np.ones(0))
    with pytest.raises(InvalidDataError, match="level 1"):
        bootstrap_interval(np.ones(3), level=1)
