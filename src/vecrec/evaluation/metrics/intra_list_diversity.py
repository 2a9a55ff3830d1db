"""Intra-list diversity: how different are the items of one list?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import check_lists

__all__ = ["intra_list_diversity"]


def intra_list_diversity(lists: NDArray[np.int64], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean distance of a list's pairs: ``mean of 1 - cos(v_i, v_j) over i != j``.

    Smyth and McClave, *Similarity vs. diversity*, ICCBR 2001; the complement of the intra-list similarity of Ziegler
    et al., WWW 2005.

    Args:
        lists: The codes of the recommended items, shape (n, k); -1 where a list is shorter.
        vectors: What describes each item, such as its genres, shape (n_items, d); equal for all models to be compared.

    Returns:
        A value in [0, 2] for each list, shape (n,); 0 for one with fewer than two items.
    """
    held = check_lists(lists)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    counts = held.sum(axis=1)
    total, own = np.zeros(len(lists)), np.zeros(len(lists))
    # The sum over all pairs is the squared length of the sum, so no pair is ever looked at.
    for start in range(0, len(lists), 1024):
        rows = slice(start, start + 1024)
        chosen = np.where(held[rows, :, None], unit[lists[rows]], 0).astype(np.float64)
        total[rows] = (chosen.sum(axis=1) ** 2).sum(axis=1)
        own[rows] = (chosen**2).sum(axis=(1, 2))
    pairs = counts * (counts - 1)
    return np.where(pairs > 0, 1 - (total - own) / np.maximum(pairs, 1), 0.0)
