"""Coverage: how much of the catalogue is ever recommended?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import check_lists

__all__ = ["coverage"]


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
    held = check_lists(lists)
    return len(np.unique(lists[held])) / max(n_items, 1)
