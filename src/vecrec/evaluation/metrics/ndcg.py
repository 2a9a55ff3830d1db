"""Normalised discounted cumulative gain: are the relevant items at the top of the list?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import cut

__all__ = ["ndcg"]


def ndcg(relevant: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Binary NDCG: ``DCG@k / IDCG@k``, where ``DCG@k`` is the sum of ``1 / log2(rank + 1)`` over the hits.

    The ideal list has its ``min(k, n_relevant)`` relevant items on top. With one relevant item this is
    ``1 / log2(rank + 1)`` (Järvelin and Kekäläinen, *Cumulated gain-based evaluation of IR techniques*, ACM TOIS 2002;
    ``ndcg_cut_k`` of trec_eval).

    Args:
        relevant: Whether the item at each rank is relevant, shape (n, depth).
        n_relevant: How many items are relevant to each user, found or not, shape (n,).
        k: How deep to look.

    Returns:
        A value in [0, 1] for each user, shape (n,); 0 for one with nothing relevant.
    """
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate(([0.0], np.cumsum(discounts)))[np.minimum(n_relevant, k)]
    return np.asarray((cut(relevant, k) @ discounts) / np.where(ideal > 0, ideal, 1.0))
