"""The types of fields, and the values that they compare with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date, datetime, timezone
from typing import Any, Literal, TypeAlias

import numpy as np

from vecrec._internal.validation import json_scalar
from vecrec.errors import InvalidDataError, shown
from vecrec.ids import check_text

__all__ = [
    "COMPARABLE", "FieldType", "FilterType", "Scalar", "are_comparable", "check_field_name", "plain_scalar",
    "plain_scalars", "value_type",
]  # fmt: skip

FieldType: TypeAlias = Literal["boolean", "integer", "number", "string", "integers", "strings"]
"""The type of a filterable field; the plural types hold a list of values."""

FilterType: TypeAlias = FieldType | Literal["time"]
"""The type of a field as a caller filters by it: a time is stored as the number of its seconds since 1970."""

Scalar: TypeAlias = bool | int | float | str
"""A value to compare with."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")

COMPARABLE: dict[FieldType, frozenset[FieldType]] = {
    "boolean": frozenset({"boolean"}),
    "integer": frozenset({"integer", "number"}),
    "number": frozenset({"integer", "number"}),
    "string": frozenset({"string"}),
}
"""For each type of a stored value, the types of values that it may be compared with."""


def check_field_name(name: Any) -> str:
    """Check the name of a field: a letter or underscore, then letters, digits and underscores, at most 64 in all.

    Raises:
        InvalidDataError: for any other name.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidDataError(
            f"{shown(name)} is not a valid name of a filterable field",
            "use up to 64 ASCII letters, digits and underscores",
        )
    return name


def value_type(value: Scalar) -> FieldType:
    """Return the type of a scalar. A ``bool`` is not an integer."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"


def are_comparable(stored: Any, value: Scalar) -> bool:
    """Whether a stored value is a scalar of a type that ``value`` may be compared with."""
    if not isinstance(stored, (bool, int, float, str)):
        return False
    return value_type(value) in COMPARABLE[value_type(stored)]


def plain_scalars(values: Any, name: str) -> tuple[Scalar, ...]:
    """Return each value of a list as `plain_scalar` returns it.

    Args:
        values: Any iterable but a text.
        name: The method that takes them.

    Raises:
        InvalidDataError: for a value that is not a list, or an element that is not a scalar.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidDataError(f"{name} takes a list of values, got {shown(values)}", "put it into a list")
    return tuple(map(plain_scalar, values))


def plain_scalar(value: Any) -> Scalar:
    """Return the plain Python value, such as the ``str`` of a member of an enumeration, and ISO text for a date.

    Raises:
        InvalidDataError: for a value that no field can hold.
    """
    if isinstance(value, (date, np.generic)):
        value = _plain(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(value, "a value of a filter")
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, (int, float)):
        raise InvalidDataError(
            f"a filter cannot compare with {shown(value)}", "give a finite number of at most 64 bits"
        )
    raise InvalidDataError(
        f"a filter cannot compare with {shown(value)} of type {type(value).__name__}",
        "give a bool, int, float, str or date",
    )


def _plain(value: date | np.generic) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(timezone.utc)  # so that texts of times compare as the times do
    plain = json_scalar(value)
    return plain.item() if isinstance(plain, np.generic) else plain
