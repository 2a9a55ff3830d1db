"""Hit rate: was anything relevant among the first k?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import cut

__all__ = ["hit_rate"]


def hit_rate(relevant: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Whether one of the first k items is relevant: ``HR@k = [hits@k > 0]``.

    With one relevant item a user it equals recall (Deshpande and Karypis, *Item-based top-N recommendation algorithms*,
    ACM TOIS 2004).

    Args:
        relevant: Whether the item at each rank is relevant, shape (n, depth).
        n_relevant: How many items are relevant to each user, found or not, shape (n,).
        k: How deep to look.

    Returns:
        0 or 1 for each user, shape (n,).
    """
    del n_relevant  # the same arguments as every other metric of accuracy
    return np.asarray(cut(relevant, k).any(axis=1), np.float64)
