"""Filters on item fields: ``field("year") >= 1990``, combined with ``&``, ``|`` and ``~``.

`Filter.matches` is the meaning. Each store compiles a filter into its engine's language, and the conformance kit holds
the answers against this evaluator on random filters and records.

A condition on a field holds only where the record has a value there (not ``None``), of the type that the condition
compares with; ``!=`` too. Integers and floats compare by value, a ``bool`` is neither, and text compares by code point.
``~`` is plain negation, so ``~(field("year") >= 1990)`` also finds the items without a year.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

import numpy as np
from typing_extensions import override

from vecrec.errors import InvalidDataError
from vecrec.ids import check_text

__all__ = [
    "And", "Comparison", "Contains", "Field", "FieldType", "Filter", "IsIn", "Not", "Or", "Scalar", "check_field_name",
    "check_filter", "field", "value_type",
]  # fmt: skip

FieldType: TypeAlias = Literal["boolean", "integer", "number", "string", "integers", "strings"]
"""What a filterable field holds; the plural ones hold a list of values."""

Scalar: TypeAlias = bool | int | float | str
"""A value to compare with."""

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_MAX_NODES = 500
_PARENTHESES = 'put each comparison into parentheses, (field("year") >= 1990) & (...)'


class Filter:
    """A condition on an item's fields. Build one from `field`."""

    __slots__ = ()

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a record meets the condition."""
        raise NotImplementedError  # a node without a meaning would be a bug in this file

    def leaves(self) -> Iterator[Comparison | IsIn | Contains]:
        """Every condition on a single field, from left to right."""
        for node in _nodes(self):
            if isinstance(node, (Comparison, IsIn, Contains)):
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
            "a filter has no truth value: combine filters with & | ~ instead of and/or/not, and write ranges as "
            '(field("year") >= 1990) & (field("year") < 2000)'
        )


@dataclass(frozen=True, slots=True)
class Comparison(Filter):
    """``field <op> value``, with one of ``== != < <= > >=``.

    Raises:
        InvalidDataError: for what is no field name, operator or value; ``bool`` values have no order.
    """

    name: str
    op: str
    value: Scalar

    def __post_init__(self) -> None:
        check_field_name(self.name)
        if self.op not in _OPERATORS:
            raise InvalidDataError(f"{self.op!r} is no operator of a filter: use one of {' '.join(_OPERATORS)}")
        object.__setattr__(self, "value", _scalar(self.value))
        if isinstance(self.value, bool) and self.op not in ("==", "!="):
            raise InvalidDataError(f"bool values have no order: use == {self.value} instead of {self.op}")

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        stored = record.get(self.name)
        return _comparable(stored, self.value) and _OPERATORS[self.op](stored, self.value)


@dataclass(frozen=True, slots=True)
class IsIn(Filter):
    """The field's value is one of ``values``; never true for an empty list.

    Raises:
        InvalidDataError: for what is no field name, or values that are no list of scalars.
    """

    name: str
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        check_field_name(self.name)
        object.__setattr__(self, "values", _scalars(self.values))

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        stored = record.get(self.name)
        return any(_comparable(stored, value) and stored == value for value in self.values)


@dataclass(frozen=True, slots=True)
class Contains(Filter):
    """The field's list of values has ``value`` among them.

    Raises:
        InvalidDataError: for what is no field name, or a value that is no ``int`` or ``str``.
    """

    name: str
    value: int | str

    def __post_init__(self) -> None:
        check_field_name(self.name)
        checked = _scalar(self.value)
        if isinstance(checked, (bool, float)):
            raise InvalidDataError(f"contains takes an int or a str, got {checked!r}: lists hold nothing else")
        object.__setattr__(self, "value", checked)

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        stored = record.get(self.name)
        return isinstance(stored, (list, tuple)) and any(
            _comparable(item, self.value) and item == self.value for item in stored
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


class Field:
    """A field of an item's record, to be compared with values."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == builds a filter, so a Field cannot be a key

    def __init__(self, name: str) -> None:
        self.name = check_field_name(name)

    def __repr__(self) -> str:
        return f"field({self.name!r})"

    def __eq__(self, value: Scalar) -> Filter:  # type: ignore[override]
        return Comparison(self.name, "==", value)

    def __ne__(self, value: Scalar) -> Filter:  # type: ignore[override]
        return Comparison(self.name, "!=", value)

    def __lt__(self, value: float | str) -> Filter:
        return Comparison(self.name, "<", value)

    def __le__(self, value: float | str) -> Filter:
        return Comparison(self.name, "<=", value)

    def __gt__(self, value: float | str) -> Filter:
        return Comparison(self.name, ">", value)

    def __ge__(self, value: float | str) -> Filter:
        return Comparison(self.name, ">=", value)

    def __contains__(self, value: Any) -> bool:
        raise InvalidDataError(f"write {self!r}.contains({value!r}) instead of {value!r} in {self!r}")

    def __and__(self, other: Any) -> NoReturn:
        # Without parentheses, & takes 1990 & field("year") out of the middle of two comparisons.
        raise InvalidDataError(f"{self!r} is no condition yet: {_PARENTHESES}")

    __or__ = __rand__ = __ror__ = __and__

    def __invert__(self) -> NoReturn:
        raise InvalidDataError(f"{self!r} is no condition yet: compare it with a value, such as ~({self!r} == 1)")

    def is_in(self, values: Iterable[Scalar]) -> Filter:
        """The field's value is one of ``values``."""
        return IsIn(self.name, values)  # type: ignore[arg-type]  # which makes a tuple of them

    def contains(self, value: int | str) -> Filter:
        """The field, a list of values such as genres, has ``value`` among them."""
        return Contains(self.name, value)


def field(name: str) -> Field:
    """The field ``name`` of an item's record: ``field("genres").contains("Comedy") & (field("year") >= 1990)``."""
    return Field(name)


def check_field_name(name: Any) -> str:
    """A field's name: a letter or underscore, then letters, digits and underscores, 64 at most.

    Raises:
        InvalidDataError: for anything else.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidDataError(
            f"{name!r} is no name of a filterable field: use up to 64 ASCII letters, digits and underscores"
        )
    return name


def check_filter(where: Any, fields: Mapping[str, FieldType]) -> Filter | None:
    """The filter, if each of its conditions can hold for a field of the type that it names.

    Args:
        where: A filter, or ``None`` for no condition.
        fields: The filterable fields with their types.

    Raises:
        InvalidDataError: for something else than a filter, an unknown field, a value of another type than the field's,
            or a filter of more than 500 nodes.
    """
    if where is None:
        return None
    if not isinstance(where, Filter):
        raise InvalidDataError(f'a filter is built from fields, such as field("year") >= 1990; got {where!r}')
    for count, _ in enumerate(_nodes(where), 1):
        if count > _MAX_NODES:
            raise InvalidDataError(f"a filter of more than {_MAX_NODES} conditions: use is_in for long lists of values")
    for leaf in where.leaves():
        _check_leaf(leaf, fields)
    return where


def value_type(value: Scalar) -> FieldType:
    """The type of a scalar: a ``bool`` is no integer here."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"


_COMPARABLE: dict[FieldType, frozenset[FieldType]] = {
    "boolean": frozenset({"boolean"}),
    "integer": frozenset({"integer", "number"}),
    "number": frozenset({"integer", "number"}),
    "string": frozenset({"string"}),
}


def _check_leaf(leaf: Comparison | IsIn | Contains, fields: Mapping[str, FieldType]) -> None:
    if leaf.name not in fields:
        raise InvalidDataError(
            f"no filterable field {leaf.name!r}: there are {sorted(fields) or 'none'}; mark it filterable in the schema"
        )
    kind = fields[leaf.name]
    plural = kind in ("integers", "strings")
    if isinstance(leaf, Contains) != plural:
        cure = "use .contains" if plural else "use == or .is_in"
        raise InvalidDataError(
            f"field {leaf.name!r} holds {'a list of values' if plural else 'one value'} ({kind}): {cure}"
        )
    for value in leaf.values if isinstance(leaf, IsIn) else (leaf.value,):
        wanted = kind[:-1] if plural else kind
        if value_type(value) not in _COMPARABLE[wanted]:  # type: ignore[index]
            raise InvalidDataError(f"field {leaf.name!r} holds {kind}: it cannot be compared with {value!r}")


def _nodes(where: Filter) -> Iterator[Filter]:
    stack = [where]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Not):
            stack.append(node.operand)
        elif isinstance(node, (And, Or)):
            stack += (node.right, node.left)


def _comparable(stored: Any, value: Scalar) -> bool:
    if not isinstance(stored, (bool, int, float, str)):
        return False
    return value_type(value) in _COMPARABLE[value_type(stored)]


def _filter(value: Any) -> Filter:
    if not isinstance(value, Filter):
        raise InvalidDataError(f"only conditions combine, got {value!r}: {_PARENTHESES}")
    return value


def _scalars(values: Any) -> tuple[Scalar, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidDataError(f"is_in takes a list of values, got {values!r}: put it into a list")
    return tuple(map(_scalar, values))


def _scalar(value: Any) -> Scalar:
    """The plain Python value, without what it may be besides, such as the member of an enumeration."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(value, "a value of a filter")
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, (int, float)):
        raise InvalidDataError(f"a filter cannot compare with {value!r}: give a finite number of at most 64 bits")
    raise InvalidDataError(
        f"a filter compares with bool, int, float or str, not with {value!r} of type {type(value).__name__}"
    )
