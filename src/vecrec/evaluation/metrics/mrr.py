"""Mean reciprocal rank: how far down is the first relevant item?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import cut

__all__ = ["mrr"]


def mrr(relevant: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """One over the rank of the first relevant item, 0 where it is not among the first k.

    The measure ``recip_rank`` of trec_eval on lists of length k (Voorhees, *The TREC-8 question answering track
    report*, 1999).

    Args:
        relevant: Whether the item at each rank is relevant, shape (n, depth).
        n_relevant: How many items are relevant to each user, found or not, shape (n,).
        k: How deep to look.

    Returns:
        A value in [0, 1] for each user, shape (n,).
    """
    del n_relevant  # the same arguments as every other metric of accuracy
    first = cut(relevant, k)
    return np.where(first.any(axis=1), 1.0 / (first.argmax(axis=1) + 1.0), 0.0)
