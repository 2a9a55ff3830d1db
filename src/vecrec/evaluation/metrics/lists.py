"""Metrics of the recommended lists: how varied, how surprising and how alike they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.exact import unit
from vecrec.errors import InvalidDataError

__all__ = ["coverage", "intra_list_diversity", "novelty", "overlap", "popularity_bias"]


def coverage(lists: NDArray[np.int64], n_items: int) -> float:
    """The share of the catalogue that is on at least one list: ``|union of the lists| / n_items``.

    *Catalogue coverage* of Ge, Delgado-Battenfeld and Jannach, *Beyond accuracy*, RecSys 2010. It grows with the
    number of lists, so compare it on equal users only.

    Args:
        lists: The codes of the recommended items, shape (n, k); -1 where a list is shorter.
        n_items: How many items could have been recommended.

    Returns:
        A value in [0, 1].
    """
    held = _check_lists(lists)
    return len(np.unique(lists[held])) / max(n_items, 1)


def overlap(lists: NDArray[np.int64]) -> float:
    """The share of a list that is on the list of another user too: ``mean of |A and B| / k over all pairs of users``.

    One minus the *personalisation* (inter-list diversity) of Zhou et al., PNAS 2010. Near 1, all users get one list.

    Args:
        lists: The codes of the recommended items, without repetition in a list, shape (n, k); -1 where one is shorter.

    Returns:
        A value in [0, 1]; 0 for fewer than two lists.
    """
    held = _check_lists(lists)
    n, k = lists.shape
    # An item on c lists is common to c (c - 1) ordered pairs: exact, and no pair is visited.
    counts = np.bincount(lists[held]).astype(np.float64) if held.any() else np.zeros(1)
    return float((counts * (counts - 1)).sum() / (n * (n - 1) * k)) if n > 1 and k else 0.0


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
    held = _check_lists(lists)
    directions = unit(vectors)
    counts = held.sum(axis=1)
    total, own = np.zeros(len(lists)), np.zeros(len(lists))
    # The sum over all pairs is the squared length of the sum, so no pair is visited.
    for start in range(0, len(lists), 1024):
        rows = slice(start, start + 1024)
        chosen = np.where(held[rows, :, None], directions[lists[rows]], 0).astype(np.float64)
        total[rows] = (chosen.sum(axis=1) ** 2).sum(axis=1)
        own[rows] = (chosen**2).sum(axis=(1, 2))
    pairs = counts * (counts - 1)
    return np.where(pairs > 0, 1 - (total - own) / np.maximum(pairs, 1), 0.0)


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
    held = _check_lists(lists)
    bits = -np.log2(np.minimum((popularity + 1) / (n_users + 1), 1.0))
    return np.asarray(np.where(held, bits[lists], 0.0).sum(axis=1) / np.maximum(held.sum(axis=1), 1))


def popularity_bias(lists: NDArray[np.int64], popularity: NDArray[np.int64], n_users: int) -> NDArray[np.float64]:
    """The mean share of the users who knew a list's items already: ``mean of events / n_users``.

    *Average recommendation popularity* of Yin et al., *Challenging the long tail recommendation*, VLDB 2012, as a share
    of the users. The popularity baseline has the largest value there can be.

    Args:
        lists: The codes of the recommended items, shape (n, k); -1 where a list is shorter.
        popularity: How many users knew each item before, shape (n_items,).
        n_users: How many users there were.

    Returns:
        A value in [0, 1] for each list, shape (n,), where no user has two events with one item; 0 for an empty list.
    """
    held = _check_lists(lists)
    shares = popularity / max(n_users, 1)
    return np.asarray(np.where(held, shares[lists], 0.0).sum(axis=1) / np.maximum(held.sum(axis=1), 1))


def _check_lists(lists: NDArray[Any]) -> NDArray[np.bool_]:
    """Which places of the lists hold an item, shape (n, k).

    Raises:
        InvalidDataError: for lists that are not integers of shape (n, k).
    """
    if lists.ndim != 2 or not np.issubdtype(lists.dtype, np.integer):
        raise InvalidDataError(f"expected item codes of shape (n, k), got {lists.dtype} of {lists.shape}")
    return np.asarray(lists >= 0)
