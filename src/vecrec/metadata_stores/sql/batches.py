"""How many ids or rows go into a statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

__all__ = ["BATCH", "bounded", "padded"]

_T = TypeVar("_T")

BATCH = 512
"""The most ids or rows of a statement."""


def bounded(
    values: Iterable[_T], size: Callable[[_T], int], most_bytes: int, most_values: int = BATCH
) -> Iterator[list[_T]]:
    """The values in order, in batches that are small enough. A value that is too large for any has one of its own."""
    batch: list[_T] = []
    taken = 0
    for value in values:
        bytes_of_value = size(value)
        if batch and (len(batch) == most_values or taken + bytes_of_value > most_bytes):
            yield batch
            batch, taken = [], 0
        batch.append(value)
        taken += bytes_of_value
    if batch:
        yield batch


def padded(keys: Sequence[_T]) -> Sequence[_T]:
    """The keys, the last one repeated up to one of a few lengths, so that statements have few different texts."""
    count = len(keys)
    step = 1 if count <= 16 else 16 if count <= 128 else 128
    missing = -count % step
    return [*keys, *[keys[-1]] * missing] if missing else keys
