"""What every vector store checks in the same way before its engine sees a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import DimensionMismatchError, InvalidDataError
from vecrec.filters import FieldType, Scalar
from vecrec.ids import Id

__all__ = ["Attributes", "Vectors", "check_attributes", "check_collection", "check_vectors"]

Vectors: TypeAlias = NDArray[np.float32]
"""A float32 array of shape (n, dim)."""

Attributes: TypeAlias = "dict[str, Scalar | list[int] | list[str]]"
"""An item's values of the filterable fields; a field without a value is left out."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}\Z")


def check_vectors(vectors: Any, dim: int, what: str) -> Vectors:
    """A float32 copy of shape (n, dim).

    Raises:
        DimensionMismatchError: for another number of columns.
        InvalidDataError: for anything but a matrix of real numbers that float32 can hold, NaN and infinity excluded.
    """
    try:
        given = np.asarray(vectors)
        if given.dtype.kind not in "fiu" and given.size:
            raise TypeError(f"of type {given.dtype}")
        with np.errstate(over="ignore"):
            matrix = np.array(given, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"{what} are a {type(vectors).__name__} ({error})", f"give a matrix of real numbers, of shape (n, {dim})"
        ) from error
    if matrix.size == 0 and matrix.ndim <= 2 and len(matrix) == 0:
        return matrix.reshape(0, dim)
    if matrix.ndim != 2:
        raise InvalidDataError(f"{what} have the shape {matrix.shape}", f"give a matrix of shape (n, {dim})")
    if matrix.shape[1] != dim:
        raise DimensionMismatchError(
            f"{what} have {matrix.shape[1]} dimensions, the collection has {dim}",
            "are they from the encoder that filled it?",
        )
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if bad.size:
        raise InvalidDataError(
            f"row {bad[0]} of the {what} holds NaN, infinity or a value beyond float32 ({bad.size} such rows)"
        )
    return matrix


def check_attributes(row: Any, fields: Mapping[str, FieldType], key: Id) -> Attributes:
    """A plain copy of an item's attributes without the missing ones.

    Raises:
        InvalidDataError: for an unknown field or a value of another type than its field.
    """
    if not isinstance(row, Mapping):
        raise InvalidDataError(f"the attributes of item {key!r} are {row!r}", "give a mapping of field names to values")
    unknown = row.keys() - fields.keys()
    if unknown:
        raise InvalidDataError(
            f"item {key!r} has the unknown fields {sorted(map(str, unknown))}", f"the collection has {sorted(fields)}"
        )
    return {name: _check_attribute(value, fields[name], name, key) for name, value in row.items() if value is not None}


def check_collection(collection: Any) -> str:
    """A collection's name.

    Raises:
        InvalidDataError: for anything but a letter or underscore and up to 199 letters, digits and underscores.
    """
    if not isinstance(collection, str) or not _NAME.match(collection):
        raise InvalidDataError(
            f"{collection!r} is not a valid name of a collection",
            "use a letter or underscore, then up to 199 ASCII letters, digits and underscores",
        )
    return collection


def _check_attribute(value: Any, kind: FieldType, name: str, key: Id) -> Any:
    """A plain copy of one attribute's value; an ``int`` for a ``number`` field becomes a ``float``."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    many = kind in {"integers", "strings"}
    fits = _FITS[kind[:-1] if many else kind]
    if many and isinstance(value, (list, tuple)) and all(fits(one) for one in value):
        return list(value)
    if not many and fits(value):
        return float(value) if kind == "number" else value
    raise InvalidDataError(
        f"field {name!r} of item {key!r} is {value!r} of type {type(value).__name__}", f"the field holds {kind}"
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and bool(np.isfinite(value)))


def _is_text(value: Any) -> bool:
    # Text with lone surrogates loses them here, and no engine takes it.
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


_FITS: dict[str, Callable[[Any], bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "number": _is_number,
    "string": _is_text,
}
