"""Parts that break one promise each, and the test of the kit that has to catch them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T", bound=type)

CAUGHT_BY: dict[type, str] = {}
"""Every wrong part, with the name of the test that catches it."""


def caught_by(test: str) -> Callable[[_T], _T]:
    """Register a wrong part."""

    def register(part: _T) -> _T:
        CAUGHT_BY[part] = test
        return part

    return register
