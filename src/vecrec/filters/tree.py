"""The tree of conditions that is a filter, and its meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from typing_extensions import override

from vecrec.errors import InvalidDataError, shown
from vecrec.filters.operators import COMPARISONS
from vecrec.filters.values import Scalar, are_comparable, check_field_name, plain_scalar, plain_scalars

__all__ = [
    "PARENTHESES",
    "And",
    "Comparison",
    "Contains",
    "ContainsAny",
    "Filter",
    "IsIn",
    "Leaf",
    "Not",
    "Or",
    "nodes",
]

PARENTHESES = 'put each comparison into parentheses, (field("year") >= 1990) & (...)'
"""The cure where Python has evaluated ``&`` before ``>=``."""


class Filter:
    """A condition on the fields of items. Build it from `vecrec.field`; combine filters with ``&``, ``|`` and ``~``."""

    __slots__ = ()

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a record meets the condition.

        Args:
            record: Values by field; a missing field and ``None`` have no value.
        """
        raise NotImplementedError  # each condition in this file implements it

    def leaves(self) -> Iterator[Leaf]:
        """Iterate over the conditions on single fields, from left to right."""
        for node in nodes(self):
            if isinstance(node, (Comparison, IsIn, Contains, ContainsAny)):
                yield node

    def __and__(self, other: Filter) -> Filter:
        return And(self, _filter(other))

    def __or__(self, other: Filter) -> Filter:
        return Or(self, _filter(other))

    def __rand__(self, other: Any) -> Filter:
        return And(_filter(other), self)

    def __ror__(self, other: Any) -> Filter:
        return Or(_filter(other), self)

    def __invert__(self) -> Filter:
        return Not(self)

    def __bool__(self) -> bool:
        raise InvalidDataError(
            "a filter has no truth value",
            "combine filters with & | ~ instead of and/or/not, and write ranges as "
            '(field("year") >= 1990) & (field("year") < 2000)',
        )


@dataclass(frozen=True, slots=True)
class Comparison(Filter):
    """``field <op> value``, with one of ``== != < <= > >=``.

    Raises:
        InvalidDataError: for an invalid field name, operator or value; ``bool`` values have no order.
    """

    name: str
    op: str
    value: Scalar

    def __post_init__(self) -> None:
        check_field_name(self.name)
        if self.op not in COMPARISONS:
            raise InvalidDataError(
                f"{self.op!r} is not a valid operator of a filter", f"use one of {' '.join(COMPARISONS)}"
            )
        object.__setattr__(self, "value", plain_scalar(self.value))
        if isinstance(self.value, bool) and self.op not in ("==", "!="):
            raise InvalidDataError("bool values have no order", f"use == {self.value} instead of {self.op}")

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        stored = record.get(self.name)
        return are_comparable(stored, self.value) and COMPARISONS[self.op](stored, self.value)


@dataclass(frozen=True, slots=True)
class IsIn(Filter):
    """The field's value is one of ``values``; never true for an empty list.

    Raises:
        InvalidDataError: for an invalid field name, or values that are not a list of scalars.
    """

    name: str
    values: tuple[Scalar, ...]
    _keys: frozenset[_Key] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_field_name(self.name)
        object.__setattr__(self, "values", plain_scalars(self.values, "is_in"))
        object.__setattr__(self, "_keys", frozenset(map(_key, self.values)))

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        stored = record.get(self.name)
        return isinstance(stored, (bool, int, float, str)) and _key(stored) in self._keys


@dataclass(frozen=True, slots=True)
class Contains(Filter):
    """The field's list of values contains ``value``.

    Raises:
        InvalidDataError: for an invalid field name, or a value that is not an ``int`` or ``str``.
    """

    name: str
    value: int | str

    def __post_init__(self) -> None:
        check_field_name(self.name)
        object.__setattr__(self, "value", _member(plain_scalar(self.value), "contains"))

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        stored = record.get(self.name)
        return isinstance(stored, (list, tuple)) and any(
            are_comparable(item, self.value) and item == self.value for item in stored
        )


@dataclass(frozen=True, slots=True)
class ContainsAny(Filter):
    """The field's list of values contains at least one of ``values``; never true for an empty list.

    Raises:
        InvalidDataError: for an invalid field name, or values that are not a list of ``int`` or ``str``.
    """

    name: str
    values: tuple[int | str, ...]
    _keys: frozenset[_Key] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_field_name(self.name)
        plain = plain_scalars(self.values, "contains_any")
        object.__setattr__(self, "values", tuple(_member(value, "contains_any") for value in plain))
        object.__setattr__(self, "_keys", frozenset(map(_key, self.values)))

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        stored = record.get(self.name)
        return isinstance(stored, (list, tuple)) and any(
            isinstance(item, (bool, int, float, str)) and _key(item) in self._keys for item in stored
        )


@dataclass(frozen=True, slots=True)
class And(Filter):
    """Both conditions hold."""

    left: Filter
    right: Filter

    def __post_init__(self) -> None:
        _filter(self.left)
        _filter(self.right)

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        return self.left.matches(record) and self.right.matches(record)


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """At least one condition holds."""

    left: Filter
    right: Filter

    def __post_init__(self) -> None:
        _filter(self.left)
        _filter(self.right)

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        return self.left.matches(record) or self.right.matches(record)


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """The condition does not hold."""

    operand: Filter

    def __post_init__(self) -> None:
        _filter(self.operand)

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        return not self.operand.matches(record)


def nodes(where: Filter) -> Iterator[Filter]:
    """Iterate over every part of a filter, itself first, without recursion: filters of callers may be deep."""
    stack = [where]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Not):
            stack.append(node.operand)
        elif isinstance(node, (And, Or)):
            stack += (node.right, node.left)


Leaf: TypeAlias = Comparison | IsIn | Contains | ContainsAny
"""A condition on a single field."""

_Key: TypeAlias = tuple[bool, Scalar]


def _key(value: Scalar) -> _Key:
    """Return a key that is equal for equal values of comparable types: ``True`` is not equal to a number."""
    return isinstance(value, bool), value


def _member(value: Scalar, name: str) -> int | str:
    if isinstance(value, (bool, float)):
        raise InvalidDataError(
            f"{name} compares with an int or a str, got {value!r}", "compare it with an int or a str"
        )
    return value


def _filter(value: Any) -> Filter:
    if not isinstance(value, Filter):
        raise InvalidDataError(f"only conditions combine, got {shown(value)}", PARENTHESES)
    return value
