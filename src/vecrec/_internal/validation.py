"""Checks of arguments, made once at the edge: each returns the value as plain Python, or says what to give instead."""

from __future__ import annotations

import math
import numbers
import operator
import os
from collections.abc import Collection, Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import InvalidDataError, shown

__all__ = [
    "boolean_mask", "choice", "dimension", "flag", "instance", "integer", "json_scalar", "listed", "mapping", "number",
    "path_of", "sequence_of",
]  # fmt: skip

_T = TypeVar("_T")

MAX_DIM = 32_768
"""The longest vectors that the vector stores take."""


def integer(value: Any, name: str, *, low: int | None = None, high: int | None = None) -> int:
    """An int within bounds. NumPy integers are ints, bools are not.

    Raises:
        InvalidDataError: for anything that `operator.index` refuses, a bool, or a value out of bounds.
    """
    try:
        plain = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        plain = None
    if plain is None or (low is not None and plain < low) or (high is not None and plain > high):
        raise InvalidDataError(f"{name} is {shown(value)}", f"give an int{_bounds(low, high)}")
    return plain


def dimension(value: Any, name: str = "dim", *, low: int = 1) -> int:
    """The length of vectors: an int from ``low`` to 32,768, the most that vector stores take.

    Raises:
        InvalidDataError: as `integer`.
    """
    return integer(value, name, low=low, high=MAX_DIM)


def number(
    value: Any, name: str, *, low: float | None = None, high: float | None = None, above: float | None = None
) -> float:
    """A finite float within bounds. NumPy numbers and fractions are numbers, bools and texts are not.

    Args:
        value: What was given.
        name: How the message calls it.
        low: The least value allowed.
        high: The greatest value allowed.
        above: A bound that the value must exceed.

    Raises:
        InvalidDataError: for another type, NaN, infinity, or a value out of bounds.
    """
    plain = math.nan
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        try:
            plain = float(value)
        except OverflowError:
            plain = math.inf
    fits = math.isfinite(plain) and (low is None or plain >= low) and (high is None or plain <= high)
    if not fits or (above is not None and plain <= above):
        bounds = f" above {above:g}{'' if high is None else f', at most {high:g}'}" if above is not None else ""
        raise InvalidDataError(f"{name} is {shown(value)}", f"give a finite number{bounds or _bounds(low, high)}")
    return plain


def flag(value: Any, name: str) -> bool:
    """``True`` or ``False``, and nothing that merely counts as one of them.

    Raises:
        InvalidDataError: for anything else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidDataError(f"{name} is {shown(value)}", "give True or False")
    return bool(value)


def choice(value: Any, name: str, choices: Collection[str]) -> str:
    """One of some texts.

    Raises:
        InvalidDataError: for anything else.
    """
    if not isinstance(value, str) or value not in choices:
        raise InvalidDataError(f"{name} is {shown(value)}", f"give one of {', '.join(map(repr, choices))}")
    return value


def instance(value: Any, name: str, kind: type[_T], example: str = "") -> _T:
    """An instance of a class.

    Raises:
        InvalidDataError: for anything else, the class itself included.
    """
    if not isinstance(value, kind):
        raise InvalidDataError(
            f"{name} is {shown(value)}", f"give a {kind.__name__}{example and f', such as {example}'}"
        )
    return value


def path_of(value: Any, name: str) -> Path:
    """The path of a file or directory.

    Raises:
        InvalidDataError: for anything but a text or a path, and for one that is empty or no text in UTF-8.
    """
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidDataError(f"{name} is {shown(value)}", "give a path")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidDataError(f"{name} is {text!r}, which is not valid Unicode", "give a path") from error
    return value if isinstance(value, Path) else Path(text)


def mapping(value: Any, name: str) -> dict[Any, Any]:
    """A mapping as a dict; empty for ``None``.

    Raises:
        InvalidDataError: for anything else.
    """
    if value is not None and not isinstance(value, Mapping):
        raise InvalidDataError(f"{name} is {shown(value)}", "give a dict")
    return dict(value or {})


def boolean_mask(value: Any, name: str, length: int) -> NDArray[np.bool_]:
    """An array of booleans, shape (length,).

    Raises:
        InvalidDataError: for another shape or type.
    """
    try:
        mask = np.asarray(value)
    except (TypeError, ValueError, RecursionError):
        mask = np.empty(0)
    if mask.dtype != np.bool_ or mask.shape != (length,):
        raise InvalidDataError(
            f"{name} has the type {mask.dtype} and the shape {mask.shape}", f"give booleans of shape {(length,)}"
        )
    return mask


def listed(values: Any, name: str) -> list[Any]:
    """The values of an iterable that is neither a text nor a mapping.

    Raises:
        InvalidDataError: for anything else.
    """
    if isinstance(values, (str, bytes, dict)) or not isinstance(values, Iterable):
        raise InvalidDataError(f"expected {name}, got {shown(values)}", "put them into a list")
    return list(values)


def sequence_of(values: Any, kind: type[_T], *, one: bool = False) -> list[_T]:
    """The values of an iterable, each of which must be of a class.

    Args:
        values: Any iterable but a text or a mapping.
        kind: The class.
        one: Whether a single instance stands for a list of it.

    Raises:
        InvalidDataError: when it is not iterable, or one of the values is of another class.
    """
    name = kind.__name__
    if isinstance(values, kind):
        if one:
            return [values]
        raise InvalidDataError(f"expected {name}s, got {values!r}", "put it into a list")
    checked = listed(values, f"{name}s")
    for value in checked:
        if not isinstance(value, kind):
            raise InvalidDataError(
                f"expected {name}s, got {shown(value)} of type {type(value).__name__}",
                f"make a {name} of it, {name}(...)",
            )
    return checked


def json_scalar(value: Any) -> Any:
    """A date or a time as ISO text, a decimal as a float; any other value as it is, and NaT too."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, np.datetime64):
        return value if np.isnat(value) else str(np.datetime_as_string(value))
    if isinstance(value, (date, time)) and value == value:  # noqa: PLR0124 - NaT of pandas differs from itself
        return value.isoformat()
    return value


def _bounds(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    if low is not None:
        return f" of at least {_number(low)}"
    return f" of at most {_number(high)}" if high is not None else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
