"""Values in batches, so that memory and messages stay bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["EVENTS_AT_A_TIME", "batched", "counts_of", "slices", "user_batches"]

EVENTS_AT_A_TIME = 1 << 22
"""Events whose intermediate results are held together."""

_T = TypeVar("_T")


def batched(values: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of ``size`` values, the last one shorter; nothing for no values."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part


def slices(count: int, size: int | None = None) -> Iterator[slice]:
    """``count`` places in slices of ``size``, the last one shorter; of `EVENTS_AT_A_TIME` by default."""
    step = EVENTS_AT_A_TIME if size is None else size
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def user_batches(offsets: NDArray[Any], size: int | None = None) -> Iterator[slice]:
    """Users in slices that have at most so many events together, or one user with more.

    Args:
        offsets: Where each user's events begin, shape (n_users + 1,).
        size: How many events; `EVENTS_AT_A_TIME` by default.
    """
    first, size = 0, EVENTS_AT_A_TIME if size is None else size
    while first < len(offsets) - 1:
        end = max(first + 1, int(np.searchsorted(offsets, offsets[first] + size, "right")) - 1)
        yield slice(first, end)
        first = end


def counts_of(codes: NDArray[Any], n: int, weights: NDArray[Any] | None = None) -> NDArray[Any]:
    """How often each of ``n`` codes occurs, or what its occurrences weigh, shape (n,)."""
    counts = np.zeros(n, np.int64 if weights is None else np.float64)
    for piece in slices(len(codes)):  # bincount makes 64 bits of every code
        counts += np.bincount(codes[piece], None if weights is None else weights[piece], n)
    return counts
