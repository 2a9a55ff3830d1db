"""Novelty: how surprising are the recommended items?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import check_lists

__all__ = ["novelty"]


def novelty(lists: NDArray[np.int64], popularity: NDArray[np.int64], n_users: int) -> NDArray[np.float64]:
    """The mean self-information of a list's items in bits: ``mean of -log2((events + 1) / (n_users + 1))``.

    *Mean self-information* of Zhou et al., *Solving the apparent diversity-accuracy dilemma of recommender systems*,
    PNAS 2010, with one added so that an item without events is as surprising as possible and not infinitely so.

    Args:
        lists: The codes of the recommended items, shape (n, k); -1 where a list is shorter.
        popularity: How many users knew each item before, shape (n_items,).
        n_users: How many users there were.

    Returns:
        Bits for each list, shape (n,); 0 for an empty one.
    """
    held = check_lists(lists)
    bits = -np.log2(np.minimum((popularity + 1) / (n_users + 1), 1.0))
    return np.asarray(np.where(held, bits[lists], 0.0).sum(axis=1) / np.maximum(held.sum(axis=1), 1))
