"""Popularity bias: how well known are the recommended items already?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import check_lists

__all__ = ["popularity_bias"]


def popularity_bias(lists: NDArray[np.int64], popularity: NDArray[np.int64], n_users: int) -> NDArray[np.float64]:
    """The mean share of the users who knew a list's items already: ``mean of events / n_users``.

    *Average recommendation popularity* of Yin et al., *Challenging the long tail recommendation*, VLDB 2012, as a share
    of the users. The popularity baseline has the largest value there can be.

    Args:
        lists: The codes of the recommended items, shape (n, k); -1 where a list is shorter.
        popularity: How many users knew each item before, shape (n_items,).
        n_users: How many users there were.

    Returns:
        A value in [0, 1] for each list, shape (n,), where nobody has two events with one item; 0 for an empty list.
    """
    held = check_lists(lists)
    shares = popularity / max(n_users, 1)
    return np.asarray(np.where(held, shares[lists], 0.0).sum(axis=1) / np.maximum(held.sum(axis=1), 1))
