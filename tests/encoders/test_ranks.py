"""The exact rank of one target a row, against a plain count."""

from __future__ import annotations

import numpy as np
import pytest

from vecrec._internal.exact import ranks_of

NONE = -np.inf


@pytest.mark.parametrize(
    ("scores", "target", "rank"),
    [
        ([3.0, 2.0, 1.0], 0, 1),
        ([3.0, 2.0, 1.0], 2, 3),
        ([2.0, 2.0, 1.0], 0, 2),  # of equal scores the target comes last
        ([2.0, 2.0, 2.0], 1, 3),
        ([NONE, 2.0, 1.0], 1, 1),
        ([NONE, 2.0, 1.0], 0, 0),  # left out
        ([3.0, 2.0, 1.0], -1, 0),  # cannot be found
    ],
)
def test_the_rank_counts_what_scores_at_least_as_much(scores: list[float], target: int, rank: int) -> None:
    assert ranks_of(np.array([scores], np.float32), np.array([target])).tolist() == [rank]


def test_rows_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(0)
    scores, targets = rng.integers(0, 9, (50, 20)).astype(np.float32), rng.integers(-1, 20, 50)
    wanted = [0 if target < 0 else int((row >= row[target]).sum()) for row, target in zip(scores, targets)]
    assert ranks_of(scores, targets).tolist() == wanted
    assert ranks_of(scores[:0], targets[:0]).shape == (0,)
