"""Values in batches, so that memory and messages stay bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

__all__ = ["batched"]

_T = TypeVar("_T")


def batched(values: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of ``size`` values, the last one shorter; nothing for no values."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part
