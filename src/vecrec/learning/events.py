"""How far ahead the event lies that an encoder learns to predict."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["horizon_offsets"]


def horizon_offsets(horizon: int, shape: int | tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    """How many events are left out before the one that is predicted, at random by a geometric distribution.

    Args:
        horizon: 1 for always the next event; the mean of what is left out is one less.
        shape: Of the result.
        rng: Where chance comes from.
    """
    return rng.geometric(1 / horizon, shape) - 1
