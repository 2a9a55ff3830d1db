"""The check that a filter fits the fields of a collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecrec._internal.times import seconds
from vecrec.errors import InvalidDataError, shown
from vecrec.filters.tree import And, Comparison, Contains, ContainsAny, Filter, IsIn, Leaf, Not, Or, nodes
from vecrec.filters.values import COMPARABLE, FilterType, Scalar, value_type

__all__ = ["check_filter"]

_MAX_NODES = 500

_MAX_TEXT = 100_000


def check_filter(where: Any, fields: Mapping[str, FilterType]) -> Filter | None:
    """Check that each condition of a filter can hold for the type of its field.

    Args:
        where: A filter, or ``None`` for no condition.
        fields: The filterable fields with their types.

    Returns:
        The filter, in which times are seconds since 1970, as they are stored.

    Raises:
        InvalidDataError: for a value that is not a filter, an unknown field, a value of another type than the field's,
            a filter of more than 500 nodes, or one whose values take more than 100,000 characters as text.
    """
    if where is None:
        return None
    if not isinstance(where, Filter):
        raise InvalidDataError(f"{shown(where)} is not a filter", 'build it from fields, such as field("year") >= 1990')
    for count, _ in enumerate(nodes(where), 1):
        if count > _MAX_NODES:
            raise InvalidDataError(
                f"the filter has more than {_MAX_NODES} conditions", "use is_in for long lists of values"
            )
    left = _MAX_TEXT
    for leaf in where.leaves():
        left -= sum(len(str(value)) + 1 for value in _values(leaf))
        if left < 0:
            raise InvalidDataError(
                f"the values of the filter take more than {_MAX_TEXT:,} characters",
                "give fewer values, or use a field that groups them",
            )
        _check_leaf(leaf, fields)
    return _with_seconds(where, fields) if "time" in fields.values() else where


def _values(leaf: Leaf) -> tuple[Scalar, ...]:
    return leaf.values if isinstance(leaf, (IsIn, ContainsAny)) else (leaf.value,)


def _check_leaf(leaf: Leaf, fields: Mapping[str, FilterType]) -> None:
    if leaf.name not in fields:
        raise InvalidDataError(
            f"no filterable field {leaf.name!r}",
            f"use one of {sorted(fields) or 'none'}, or mark it filterable in the schema",
        )
    kind = fields[leaf.name]
    plural = kind in ("integers", "strings")
    if isinstance(leaf, (Contains, ContainsAny)) != plural:
        cure = "use .contains or .contains_any" if plural else "use ==, .between or .is_in"
        raise InvalidDataError(
            f"field {leaf.name!r} holds {'a list of values' if plural else 'one value'} ({kind})", cure
        )
    if kind == "time":
        for value in _values(leaf):
            _seconds(leaf.name, value)
        return
    for value in _values(leaf):
        wanted = kind[:-1] if plural else kind
        if value_type(value) not in COMPARABLE[wanted]:  # type: ignore[index]
            raise InvalidDataError(
                f"field {leaf.name!r} holds {kind} and cannot be compared with {value!r}",
                "compare it with a value of that type",
            )


def _seconds(name: str, value: Scalar) -> float:
    return float(seconds(value, f"the time that field {name!r} is compared with"))


def _with_seconds(where: Filter, fields: Mapping[str, FilterType]) -> Filter:
    """The filter with seconds in the conditions on times. As deep as the filter, whose size was checked."""
    if isinstance(where, Not):
        return Not(_with_seconds(where.operand, fields))
    if isinstance(where, (And, Or)):
        return type(where)(_with_seconds(where.left, fields), _with_seconds(where.right, fields))
    if isinstance(where, (Comparison, IsIn)) and fields[where.name] == "time":
        if isinstance(where, Comparison):
            return Comparison(where.name, where.op, _seconds(where.name, where.value))
        return IsIn(where.name, tuple(_seconds(where.name, value) for value in where.values))
    return where
