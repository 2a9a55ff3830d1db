"""How certain a figure is: bootstrap intervals, and the paired comparison of two models.

Not by `scipy.stats`: the base install has no SciPy, and `scipy.stats.bootstrap` draws every value of every resample
where a multinomial draw of the few different values suffices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import InvalidDataError

__all__ = ["Comparison", "bootstrap_interval", "compare_paired"]

_CELLS_AT_A_TIME = 1 << 22


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same users."""

    metric: str
    """What was compared, such as ``"ndcg@10"``."""
    first: str
    """The first model."""
    second: str
    """The second model."""
    difference: float
    """Mean of the first less mean of the second."""
    low: float
    """The lower end of the difference's interval."""
    high: float
    """The upper end of the difference's interval."""
    level: float
    """How often such an interval holds the true difference."""
    p_value: float
    """How often chance alone makes a difference of this size or more, if the models are equally good."""
    wins: int
    """The number of users for whom the first is better."""
    losses: int
    """The number of users for whom the second is better."""

    def __str__(self) -> str:
        return (
            f"{self.metric}: {self.first} less {self.second} = {self.difference:+.4f} "
            f"({self.level:.0%} interval {self.low:+.4f} to {self.high:+.4f}, p = {self.p_value:.4f}; "
            f"better for {self.wins:,} users, worse for {self.losses:,})"
        )


def bootstrap_interval(
    values: NDArray[np.float64], *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean (Efron, *Bootstrap methods*, 1979).

    Args:
        values: One value a user, shape (n,).
        level: How often such an interval is to hold the true mean, in (0, 1).
        resamples: How many samples of n users, drawn with replacement, to take the mean of.
        seed: Equal seeds give equal intervals.

    Raises:
        InvalidDataError: for no values, a level outside (0, 1) or no resamples.
    """
    if values.ndim != 1 or not len(values) or not 0 < level < 1 or resamples < 1:
        raise InvalidDataError(
            f"cannot bootstrap values of shape {values.shape} at level {level!r} with {resamples!r} resamples",
            "give one value a user, a level in (0, 1) and at least one resample",
        )
    rng = np.random.default_rng(seed)
    # Most metrics have few different values: the counts of those are drawn, not single users.
    different, counts = np.unique(values, return_counts=True)
    draws = rng.multinomial(len(values), counts / len(values), size=resamples)
    low, high = np.quantile(draws @ different / len(values), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def compare_paired(
    metric: str,
    first: tuple[str, NDArray[np.float64]],
    second: tuple[str, NDArray[np.float64]],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two models user by user: a bootstrap interval and a randomisation test of the mean difference.

    The test swaps the two models' values of a random half of the users many times (Smucker, Allan and Carterette,
    *A comparison of statistical significance tests for information retrieval evaluation*, CIKM 2007).

    Args:
        metric: What the values are.
        first: A model's name and one value a user, shape (n,).
        second: The other model's, for the same users in the same order.
        level: As for `bootstrap_interval`.
        resamples: How many resamples and how many random swaps.
        seed: Equal seeds give equal results.

    Raises:
        InvalidDataError: when the values are not of the same users.
    """
    if first[1].shape != second[1].shape:
        raise InvalidDataError(f"values of shape {first[1].shape} and {second[1].shape}", "compare the same users")
    differences = first[1] - second[1]
    low, high = bootstrap_interval(differences, level=level, resamples=resamples, seed=seed)
    mean = float(differences.mean())
    decided = differences[differences != 0]
    extreme = sum(
        int((np.abs(signs @ decided) >= abs(differences.sum()) - 1e-9).sum())
        for signs in _signs(len(decided), resamples, seed)
    )
    return Comparison(
        metric=metric,
        first=first[0],
        second=second[0],
        difference=mean,
        low=low,
        high=high,
        level=level,
        p_value=(extreme + 1) / (resamples + 1),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
    )


def _signs(size: int, count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Random signs, shape (some, size), ``count`` rows in all."""
    rng = np.random.default_rng(seed + 1)
    step = max(1, _CELLS_AT_A_TIME // max(size, 1))
    for start in range(0, count, step):
        rows = min(step, count - start)
        yield 1.0 - 2.0 * rng.integers(0, 2, (rows, size), np.int8)
