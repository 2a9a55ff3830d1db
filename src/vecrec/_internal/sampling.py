"""A sample without chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["evenly_spaced"]


def evenly_spaced(count: int, most: int) -> NDArray[np.int64]:
    """At most so many places of ``count``, evenly spread from the first to the last, ascending."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)
