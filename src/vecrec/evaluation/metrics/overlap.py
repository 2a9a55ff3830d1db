"""Overlap: how much do the lists of two users have in common?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import check_lists

__all__ = ["overlap"]


def overlap(lists: NDArray[np.int64]) -> float:
    """The share of a list that is on the list of another user too: ``mean of |A and B| / k over all pairs of users``.

    One minus the *personalisation* (inter-list diversity) of Zhou et al., PNAS 2010. Near 1, everybody gets the same.

    Args:
        lists: The codes of the recommended items, without repetition in a list, shape (n, k); -1 where one is shorter.

    Returns:
        A value in [0, 1]; 0 for fewer than two lists.
    """
    held = check_lists(lists)
    n, k = lists.shape
    # An item on c lists is common to c (c - 1) ordered pairs: exact, and no pair is ever looked at.
    counts = np.bincount(lists[held]).astype(np.float64) if held.any() else np.zeros(1)
    return float((counts * (counts - 1)).sum() / (n * (n - 1) * k)) if n > 1 and k else 0.0
