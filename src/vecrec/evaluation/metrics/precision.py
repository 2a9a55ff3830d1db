"""Precision: how much of the first k is relevant?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import cut

__all__ = ["precision"]


def precision(relevant: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The share of the first k items that are relevant: ``hits@k / k``.

    The measure ``P_k`` of trec_eval; a list that is shorter than k counts as if it were filled up with misses.

    Args:
        relevant: Whether the item at each rank is relevant, shape (n, depth).
        n_relevant: How many items are relevant to each user, found or not, shape (n,).
        k: How deep to look.

    Returns:
        A value in [0, 1] for each user, shape (n,).
    """
    del n_relevant  # the same arguments as every other metric of accuracy
    return np.asarray(cut(relevant, k).sum(axis=1) / k)
