"""Fields, whose comparisons are filters."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, NoReturn, TypeAlias

from vecrec.errors import InvalidDataError
from vecrec.filters.operators import Operator
from vecrec.filters.tree import PARENTHESES, Comparison, Contains, ContainsAny, Filter, IsIn
from vecrec.filters.values import Scalar, are_comparable, check_field_name, plain_scalar

__all__ = ["Field", "condition", "field"]

Ordered: TypeAlias = float | str | date
"""A value that has an order."""


class Field:
    """A field of an item's record. Its comparisons with values are filters. Create one with `vecrec.field`."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]  # == builds a filter, so a Field cannot be a key

    def __init__(self, name: str) -> None:
        self.name = check_field_name(name)

    def __repr__(self) -> str:
        return f"field({self.name!r})"

    def __eq__(self, value: Scalar | date) -> Filter:  # type: ignore[override]
        return Comparison(self.name, "==", plain_scalar(value))

    def __ne__(self, value: Scalar | date) -> Filter:  # type: ignore[override]
        return Comparison(self.name, "!=", plain_scalar(value))

    def __lt__(self, value: Ordered) -> Filter:
        return Comparison(self.name, "<", plain_scalar(value))

    def __le__(self, value: Ordered) -> Filter:
        return Comparison(self.name, "<=", plain_scalar(value))

    def __gt__(self, value: Ordered) -> Filter:
        return Comparison(self.name, ">", plain_scalar(value))

    def __ge__(self, value: Ordered) -> Filter:
        return Comparison(self.name, ">=", plain_scalar(value))

    def __contains__(self, value: Any) -> bool:
        raise InvalidDataError(f"`{value!r} in {self!r}` is not a condition", f"write {self!r}.contains({value!r})")

    def __and__(self, other: Any) -> NoReturn:
        # Without parentheses, & binds first: 1990 & field("year").
        raise InvalidDataError(f"{self!r} is not a condition yet", PARENTHESES)

    __or__ = __rand__ = __ror__ = __and__

    def __invert__(self) -> NoReturn:
        raise InvalidDataError(f"{self!r} is not a condition yet", f"compare it with a value, such as ~({self!r} == 1)")

    def is_in(self, values: Iterable[Scalar | date]) -> Filter:
        """Return the condition that the field's value is one of ``values``.

        Raises:
            InvalidDataError: for a value that is not a list of scalars.
        """
        return IsIn(self.name, values)  # type: ignore[arg-type]  # which makes a tuple of them

    def between(self, low: Ordered, high: Ordered) -> Filter:
        """Return the condition that the field's value is from ``low`` to ``high``, both included.

        Raises:
            InvalidDataError: for bounds of different types, or a ``low`` above ``high``.

        Example:
            >>> field("price").between(1, 5)
        """
        lowest, highest = plain_scalar(low), plain_scalar(high)
        if not are_comparable(lowest, highest):
            raise InvalidDataError(f"between has the bounds {low!r} and {high!r}", "give two numbers or two texts")
        if lowest > highest:  # type: ignore[operator]  # of one type
            raise InvalidDataError(f"between has the bounds {low!r} and {high!r}", "give the lower one first")
        return Comparison(self.name, ">=", lowest) & Comparison(self.name, "<=", highest)

    def contains(self, value: int | str) -> Filter:
        """Return the condition that the field, a list such as genres, contains ``value``.

        Raises:
            InvalidDataError: for a value that is not an ``int`` or ``str``.
        """
        return Contains(self.name, value)

    def contains_any(self, values: Iterable[int | str]) -> Filter:
        """Return the condition that the field, a list such as genres, contains at least one of ``values``.

        Raises:
            InvalidDataError: for values that are not a list of ``int`` or ``str``.
        """
        return ContainsAny(self.name, values)  # type: ignore[arg-type]  # which makes a tuple of them


def field(name: str) -> Field:
    """Return the field ``name`` of an item's record, whose comparisons are filters.

    Raises:
        InvalidDataError: for a name that is not valid.

    Example:
        >>> field("genres").contains("Comedy") & (field("year") >= 1990)
    """
    return Field(name)


def condition(column: Field, operator: Operator, value: Any) -> Filter:
    """Build the condition of a field, an operator and a value.

    Raises:
        InvalidDataError: for a list in place of one value, or the reverse.
    """
    if isinstance(value, list) != (operator.takes != "one") or (operator.takes == "two" and len(value) != 2):
        cure = {"one": "one value", "two": "a list of two values, [lowest, highest]", "many": "a list of values"}
        raise InvalidDataError(
            f"the condition on {column.name!r} has the operator {operator.name!r} and the value {value!r:.80}",
            f"give {cure[operator.takes]}",
        )
    values = value if operator.takes == "two" else [value]
    where: Filter = getattr(column, operator.method)(*values)
    return where
