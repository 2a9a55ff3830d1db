"""Metrics of accuracy: functions of the ranks at which the relevant items of each user stand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import InvalidDataError

__all__ = ["average_precision", "hit_rate", "mrr", "ndcg", "precision", "recall"]


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
    return np.asarray(_cut(relevant, k).any(axis=1), np.float64)


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
    return np.asarray(_cut(relevant, k).sum(axis=1) / np.maximum(n_relevant, 1))


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
    return np.asarray(_cut(relevant, k).sum(axis=1) / k)


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
    first = _cut(relevant, k)
    return np.where(first.any(axis=1), 1.0 / (first.argmax(axis=1) + 1.0), 0.0)


def average_precision(relevant: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The mean of the precisions at the ranks of the hits: ``sum of P@r over the hits r <= k, / n_relevant``.

    The measure ``map_cut_k`` of trec_eval, which divides by all that is relevant; others divide by
    ``min(k, n_relevant)``. Its mean over the users is MAP (Buckley and Voorhees, *Evaluating evaluation measure
    stability*, SIGIR 2000).

    Args:
        relevant: Whether the item at each rank is relevant, shape (n, depth).
        n_relevant: How many items are relevant to each user, found or not, shape (n,).
        k: How deep to look.

    Returns:
        A value in [0, 1] for each user, shape (n,); 0 for one with nothing relevant.
    """
    found = _cut(relevant, k)
    precisions = np.cumsum(found, axis=1) / np.arange(1, k + 1)
    return np.asarray((precisions * found).sum(axis=1) / np.maximum(n_relevant, 1))


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
    return np.asarray((_cut(relevant, k) @ discounts) / np.where(ideal > 0, ideal, 1.0))


def _cut(relevant: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """The first k columns of a table that says at which ranks the relevant items are.

    Raises:
        InvalidDataError: for an invalid table, or one that is not k deep.
    """
    if relevant.ndim != 2 or relevant.dtype != np.bool_:
        raise InvalidDataError(f"expected booleans of shape (n, depth), got {relevant.dtype} of {relevant.shape}")
    if not 1 <= k <= relevant.shape[1]:
        raise InvalidDataError(f"k is {k!r}, but the lists are {relevant.shape[1]} deep", "ask for 1 to that many")
    return relevant[:, :k]
