"""Recall: how much of what is relevant is among the first k?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import cut

__all__ = ["recall"]


def recall(relevant: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The share of the relevant items that are among the first k: ``hits@k / n_relevant``.

    The measure ``recall_k`` of trec_eval; divided by all that is relevant, also where that is more than k.

    Args:
        relevant: Whether the item at each rank is relevant, shape (n, depth).
        n_relevant: How many items are relevant to each user, found or not, shape (n,).
        k: How deep to look.

    Returns:
        A value in [0, 1] for each user, shape (n,); 0 for one with nothing relevant.
    """
    return np.asarray(cut(relevant, k).sum(axis=1) / np.maximum(n_relevant, 1))
