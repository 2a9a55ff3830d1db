"""Values that no caller should pass, each made when it is asked for, and what happens to a call that gets them."""

from __future__ import annotations

import decimal
import fractions
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vecrec import Item, Recommender, User, VecrecError, field

__all__ = ["HOSTILE", "complaint", "nested"]


def nested(depth: int, *, mapping: bool = False) -> Any:
    """A list in a list, or a dict in a dict, so many levels deep."""
    value: Any = {} if mapping else []
    for _ in range(depth):
        value = {"a": value} if mapping else [value]
    return value


def _circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _deep_filter() -> Any:
    where = field("year") >= 1
    for _ in range(2_000):
        where = ~where
    return where


def _endless() -> Iterator[int]:
    yield from range(5)


_DEEP = nested(2_000), nested(2_000, mapping=True), _deep_filter()
_FRAME = pd.DataFrame({"a": [1]})

HOSTILE: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "0": lambda: 0,
    "-1": lambda: -1,
    "2**63": lambda: 2**63,
    "10**5000": lambda: 10**5000,
    "1e308": lambda: 1e308,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "1j": lambda: 1j,
    "decimal": lambda: decimal.Decimal("NaN"),
    "fraction": lambda: fractions.Fraction(10**400, 3),
    "empty text": lambda: "",
    "long text": lambda: "x" * 100_000,
    "NUL": lambda: "a\0b",
    "surrogate": lambda: "\ud800",
    "path up": lambda: "../../etc",
    "bytes": lambda: b"\xff",
    "empty list": list,
    "list of None": lambda: [None],
    "list of lists": lambda: [[1], [1, 2]],
    "deep list": lambda: _DEEP[0],
    "deep dict": lambda: _DEEP[1],
    "circular": _circular,
    "dict of ints": lambda: {1: 2},
    "set": lambda: {1, "a"},
    "range": lambda: range(3),
    "generator": _endless,
    "array": lambda: np.array([1.5, 2.5]),
    "NaN array": lambda: np.array([[math.nan]]),
    "object array": lambda: np.array([None, "a", {}], dtype=object),
    "numpy date": lambda: np.datetime64("NaT"),
    "NA": lambda: pd.NA,
    "frame": lambda: _FRAME,
    "last moment": lambda: datetime.max,  # noqa: DTZ901 - one without a zone
    "longest time": lambda: timedelta.max,
    "no such path": lambda: Path("/nowhere/at/all"),
    "a directory": Path,
    "object": object,
    "class": lambda: Recommender,
    "function": lambda: len,
    "user": lambda: User(1),
    "items": lambda: [Item(1)],
    "deep filter": lambda: _DEEP[2],
    "field": lambda: field("year"),
}
"""By name, since some cannot be shown."""


def complaint(call: Callable[[], Any]) -> str | None:
    """What left a call, where it was neither an answer nor an error of vecrec; ``None`` where all is well.

    An iterator that is returned is read, as its caller would.
    """
    try:
        answer = call()
        if isinstance(answer, Iterator):
            list(islice(answer, 100))
    except VecrecError as error:
        return None if len(str(error)) > 10 else f"{type(error).__name__} says nothing: {error}"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return f"{type(error).__name__}: {str(error)[:80]}"
    return None
