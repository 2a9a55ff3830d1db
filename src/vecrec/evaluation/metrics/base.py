"""What the metrics share: the checks of their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import InvalidDataError

__all__ = ["check_lists", "cut"]


def cut(relevant: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """The first k columns of a table that says at which ranks the relevant items are.

    Raises:
        InvalidDataError: for a table that is none, or that is not k deep.
    """
    if relevant.ndim != 2 or relevant.dtype != np.bool_:
        raise InvalidDataError(f"expected booleans of shape (n, depth), got {relevant.dtype} of {relevant.shape}")
    if not 1 <= k <= relevant.shape[1]:
        raise InvalidDataError(f"k is {k!r}, but the lists are {relevant.shape[1]} deep", "ask for 1 to that many")
    return relevant[:, :k]


def check_lists(lists: NDArray[Any]) -> NDArray[np.bool_]:
    """Which places of the lists hold an item, shape (n, k).

    Raises:
        InvalidDataError: for something else than integers of shape (n, k).
    """
    if lists.ndim != 2 or not np.issubdtype(lists.dtype, np.integer):
        raise InvalidDataError(f"expected item codes of shape (n, k), got {lists.dtype} of {lists.shape}")
    return np.asarray(lists >= 0)
