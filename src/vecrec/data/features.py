"""The kinds of features and their valid values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from vecrec._internal.times import seconds
from vecrec._internal.validation import flag, integer
from vecrec.errors import InvalidDataError, shown
from vecrec.filters import FieldType, FilterType, check_field_name
from vecrec.records import JSON

__all__ = ["Categorical", "DType", "Date", "Embedding", "Feature", "MultiCategorical", "Numeric", "Text", "Value"]

DType: TypeAlias = Literal["string", "integer", "boolean"]
"""What the values of a categorical feature are."""

Value: TypeAlias = bool | int | str
"""A value of a categorical feature."""

MAX_EMBEDDING = 4096

_TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool}


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of several values, such as a gender.

    Raises:
        InvalidDataError: for a name or a list of values that cannot be used.
    """

    kind: ClassVar[Literal["categorical"]] = "categorical"
    name: str
    """The field in the record."""
    values: tuple[Value, ...] | None = None
    """All valid values, others are refused; ``None`` for an open list, where a new value counts as unknown."""
    dtype: DType = "string"
    """What the values are; taken from ``values`` where they are given."""
    filterable: bool = False
    """Whether a filter may use it (items only)."""
    _allowed: frozenset[Value] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        _check_name(self.name, self.filterable)
        _settle_values(self, ("string", "integer", "boolean"))

    @property
    def field_type(self) -> FieldType:
        """The type that a filter compares it with."""
        return self.dtype

    def check(self, value: JSON, owner: str) -> None:
        """Raise `InvalidDataError` if the field of ``owner``, such as ``"item 42"``, cannot hold ``value``."""
        _check_value(self, value, owner)


@dataclass(frozen=True, slots=True)
class MultiCategorical:
    """Any number of values, such as genres: a list of ``str`` or of ``int``.

    Raises:
        InvalidDataError: for a name or a list of values that cannot be used.
    """

    kind: ClassVar[Literal["multi_categorical"]] = "multi_categorical"
    name: str
    """The field in the record."""
    values: tuple[Value, ...] | None = None
    """All valid values, others are refused; ``None`` for an open list, where a new value counts as unknown."""
    dtype: DType = "string"
    """What the values are, ``"string"`` or ``"integer"``; taken from ``values`` where they are given."""
    filterable: bool = False
    """Whether a filter may use it (items only)."""
    _allowed: frozenset[Value] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        _check_name(self.name, self.filterable)
        _settle_values(self, ("string", "integer"))

    @property
    def field_type(self) -> FieldType:
        """The type that a filter compares it with."""
        return "integers" if self.dtype == "integer" else "strings"

    def check(self, value: JSON, owner: str) -> None:
        """Raise `InvalidDataError` if the field of ``owner``, such as ``"item 42"``, cannot hold ``value``."""
        if not isinstance(value, list):
            raise _unfit(self.name, owner, value, "give a list of values")
        for item in value:
            _check_value(self, item, owner)


@dataclass(frozen=True, slots=True)
class Numeric:
    """A number, such as a price or a year.

    Raises:
        InvalidDataError: for a name or a type that cannot be used.
    """

    kind: ClassVar[Literal["numeric"]] = "numeric"
    name: str
    """The field in the record."""
    dtype: Literal["number", "integer"] = "number"
    """Whether any number is allowed or whole ones only."""
    filterable: bool = False
    """Whether a filter may use it (items only)."""

    def __post_init__(self) -> None:
        _check_name(self.name, self.filterable)
        _check_dtype(self.name, self.dtype, ("number", "integer"))

    @property
    def field_type(self) -> FieldType:
        """The type that a filter compares it with."""
        return self.dtype

    def check(self, value: JSON, owner: str) -> None:
        """Raise `InvalidDataError` if the field of ``owner``, such as ``"item 42"``, cannot hold ``value``."""
        allowed = int if self.dtype == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            cure = "give a number" if self.dtype == "number" else "give a whole number as an int"
            raise _unfit(self.name, owner, value, cure)


@dataclass(frozen=True, slots=True)
class Date:
    """A date or a time, such as a release or a birthday: ISO text, or seconds since 1970; without a zone in UTC.

    Encoders read how long ago it is and the month of the year; a filter compares it with any time.

    Raises:
        InvalidDataError: for a name that cannot be used.
    """

    kind: ClassVar[Literal["date"]] = "date"
    dtype: ClassVar[str] = "time"
    name: str
    """The field in the record."""
    filterable: bool = False
    """Whether a filter may use it (items only)."""

    def __post_init__(self) -> None:
        _check_name(self.name, self.filterable)

    @property
    def field_type(self) -> FilterType:
        """The type that a filter compares it with."""
        return "time"

    def check(self, value: JSON, owner: str) -> None:
        """Raise `InvalidDataError` if the field of ``owner``, such as ``"item 42"``, cannot hold ``value``."""
        self.seconds(value, owner)

    def seconds(self, value: JSON, owner: str = "a record") -> float:
        """A value of the field in seconds since 1970.

        Raises:
            InvalidDataError: for a value that the field cannot hold.
        """
        if isinstance(value, (list, dict)):
            raise _unfit(self.name, owner, value, "give ISO text or seconds since 1970")
        return float(seconds(value, f"feature {self.name!r} of {owner}"))


@dataclass(frozen=True, slots=True)
class Embedding:
    """A vector from a model of your own, such as of a picture or a text: a list of numbers of one length.

    Not filterable. Encoders read its direction from the mean of all, not its length.

    Raises:
        InvalidDataError: for a name or a length that cannot be used.
    """

    kind: ClassVar[Literal["embedding"]] = "embedding"
    filterable: ClassVar[bool] = False
    name: str
    """The field in the record."""
    dim: int
    """The length of each vector, 2 to 4,096."""

    def __post_init__(self) -> None:
        _check_name(self.name, False)
        size = integer(self.dim, f"dim of feature {self.name!r}", low=2, high=MAX_EMBEDDING)
        object.__setattr__(self, "dim", size)

    def check(self, value: JSON, owner: str) -> None:
        """Raise `InvalidDataError` if the field of ``owner``, such as ``"item 42"``, cannot hold ``value``."""
        if not isinstance(value, list) or len(value) != self.dim or not all(map(_is_number, value)):
            raise _unfit(self.name, owner, value, f"give a list of {self.dim} numbers")


@dataclass(frozen=True, slots=True)
class Text:
    """Words, such as a title. Not filterable.

    Raises:
        InvalidDataError: for a name that cannot be used.
    """

    kind: ClassVar[Literal["text"]] = "text"
    filterable: ClassVar[bool] = False
    name: str
    """The field in the record."""

    def __post_init__(self) -> None:
        _check_name(self.name, False)

    def check(self, value: JSON, owner: str) -> None:
        """Raise `InvalidDataError` if the field of ``owner``, such as ``"item 42"``, cannot hold ``value``."""
        if not isinstance(value, str):
            raise _unfit(self.name, owner, value, "give a str")


Feature: TypeAlias = Categorical | MultiCategorical | Numeric | Date | Embedding | Text
"""One of the kinds of features."""


def _is_number(value: Any) -> bool:
    return type(value) in (float, int) and math.isfinite(value)


def _check_name(name: Any, filterable: Any) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidDataError(f"a feature's name must be a str that is not empty, got {shown(name)}", "name its field")
    if flag(filterable, f"filterable of feature {name!r}") and check_field_name(name).startswith("_"):
        raise InvalidDataError(f"{name!r} cannot be filterable", "names that begin with an underscore are reserved")


def _check_dtype(name: str, dtype: Any, allowed: tuple[str, ...]) -> None:
    if not isinstance(dtype, str) or dtype not in allowed:
        raise InvalidDataError(
            f"dtype of feature {shown(name)} is {shown(dtype)}", f"use one of {', '.join(map(repr, allowed))}"
        )


def _settle_values(feature: Categorical | MultiCategorical, dtypes: tuple[DType, ...]) -> None:
    """Take the dtype from the values, and keep them as a tuple and, for quick checks, as a set."""
    _check_dtype(feature.name, feature.dtype, dtypes)
    if feature.values is None:
        return
    values = _as_tuple(feature.name, feature.values)
    dtype = _common_dtype(feature.name, values, dtypes)
    # "string" is the default, so it says nothing about what was wanted.
    if feature.dtype not in ("string", dtype):
        problem = f"feature {feature.name!r} has dtype {feature.dtype!r} and {dtype} values, {values!r}"
        raise InvalidDataError(problem, "leave the dtype out, or correct the values")
    object.__setattr__(feature, "values", values)
    object.__setattr__(feature, "dtype", dtype)
    object.__setattr__(feature, "_allowed", frozenset(values))


def _as_tuple(name: str, values: Any) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidDataError(
            f"values of feature {shown(name)} must be a list, got {shown(values)}", "put them into a list"
        )
    listed = tuple(values)
    if not listed:
        raise InvalidDataError(f"values of feature {name!r} are empty", "name them, or leave them out for an open list")
    return listed


def _common_dtype(name: str, values: tuple[Any, ...], dtypes: tuple[DType, ...]) -> DType:
    for dtype in dtypes:
        if all(type(value) is _TYPES[dtype] for value in values):
            if len(set(values)) < len(values):
                problem = f"values of feature {name!r} name one of them twice, {values!r}"
                raise InvalidDataError(problem, "name each once")
            return dtype
    raise InvalidDataError(
        f"values of feature {shown(name)} are {shown(values)}",
        f"they must all be of one type, {' or '.join(_TYPES[d].__name__ for d in dtypes)}",
    )


def _check_value(feature: Categorical | MultiCategorical, value: JSON, owner: str) -> None:
    expected = _TYPES[feature.dtype]
    # Not isinstance: True is an int to Python, and not an integer category.
    if type(value) is not expected:
        raise _unfit(feature.name, owner, value, f"give {_article(expected.__name__)}")
    allowed = feature._allowed  # noqa: SLF001 - the function is the two classes' own
    if allowed is not None and value not in allowed:
        raise InvalidDataError(
            f"feature {feature.name!r} of {owner} is {value!r}", f"it must be one of {_short(feature.values)}"
        )


def _unfit(name: str, owner: str, value: JSON, cure: str) -> InvalidDataError:
    shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
    problem = f"feature {name!r} of {owner} is {shown} of type {type(value).__name__}"
    return InvalidDataError(problem, f"{cure}, or leave it out")


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _short(values: tuple[Value, ...] | None) -> str:
    shown = [repr(value) for value in (values or ())]
    return ", ".join(shown[:30]) + (", ..." if len(shown) > 30 else "")
