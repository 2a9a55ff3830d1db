"""Checks of numbers that callers give."""

from __future__ import annotations

import math
from typing import Any

from vecrec.errors import InvalidDataError

__all__ = ["check_integer", "check_number"]


def check_integer(name: str, value: Any, least: int) -> int:
    """The value, once it is certain that it is an int of at least ``least``, and no bool.

    Raises:
        InvalidDataError: when it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidDataError(f"{name} is {value!r}: give an int of at least {least}")
    return value


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Refuse what is no number from ``low`` to ``high``, or a bool.

    Raises:
        InvalidDataError: says what to give.
    """
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fine or not low <= value <= high:
        raise InvalidDataError(f"{name} is {value!r}: give a number from {low:g} to {high:g}")
