"""Checks of what a store is constructed with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from vecrec.errors import InvalidDataError

__all__ = ["MAX_EVENTS", "check_count", "check_seconds", "parts"]

MAX_EVENTS = 10_000_000
"""The most events a user may keep: what a history's count has room for."""

_T = TypeVar("_T")


def check_count(value: Any, what: str, most: int) -> int:
    """A whole number from 1 to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidDataError(f"{what} is {value!r}", f"give a whole number from 1 to {most}")
    return value


def check_seconds(value: Any, what: str) -> float:
    """A duration of more than nothing and less than a day."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 86_400:
        raise InvalidDataError(f"{what} is {value!r}", "give seconds, more than 0 and less than a day")
    return float(value)


def parts(values: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """The values in order, at most ``size`` at a time."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
