"""The operators of filters: the one table that the tree, the JSON form, the short texts and the engines read."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vecrec.errors import InvalidDataError

if TYPE_CHECKING:
    from vecrec.filters.fields import Field
    from vecrec.filters.tree import Filter

__all__ = ["COMPARISONS", "OPERATORS", "Operator"]


@dataclass(frozen=True, slots=True)
class Operator:
    """One way to compare a field with a value."""

    name: str
    """Its name in the JSON form, and in short texts where it has no sign."""
    method: str
    """The method of `Field` that builds the condition."""
    sign: str = ""
    """Its sign in short texts."""
    symbol: str = ""
    """Its symbol in a `Comparison`, which is Milvus's too."""
    holds: Callable[[Any, Any], bool] | None = None
    """Whether a comparison holds between a stored value and another one of a comparable type."""
    takes: Literal["one", "two", "many"] = "one"
    """How many values it takes: one, a list of the lowest and the highest, or a list of any length."""
    of_lists: bool = False
    """Whether it is for fields that hold a list of values."""

    def condition(self, column: Field, value: Any) -> Filter:
        """The condition on a field.

        Raises:
            InvalidDataError: for a list in place of one value, or the reverse.
        """
        if isinstance(value, list) != (self.takes != "one") or (self.takes == "two" and len(value) != 2):
            cure = {"one": "one value", "two": "a list of two values, [lowest, highest]", "many": "a list of values"}
            raise InvalidDataError(
                f"the condition on {column.name!r} has the operator {self.name!r} and the value {value!r:.80}",
                f"give {cure[self.takes]}",
            )
        values = value if self.takes == "two" else [value]
        where: Filter = getattr(column, self.method)(*values)
        return where


OPERATORS: Mapping[str, Operator] = {
    each.name: each
    for each in (
        Operator("eq", "__eq__", "=", "==", operator.eq),
        Operator("ne", "__ne__", "!=", "!=", operator.ne),
        Operator("lt", "__lt__", "<", "<", operator.lt),
        Operator("le", "__le__", "<=", "<=", operator.le),
        Operator("gt", "__gt__", ">", ">", operator.gt),
        Operator("ge", "__ge__", ">=", ">=", operator.ge),
        Operator("between", "between", takes="two"),
        Operator("in", "is_in", takes="many"),
        Operator("contains", "contains", ":", of_lists=True),
        Operator("contains_any", "contains_any", takes="many", of_lists=True),
    )
}
"""Every operator by its name."""

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    each.symbol: each.holds for each in OPERATORS.values() if each.holds is not None
}
"""The operators of a `Comparison` by symbol: whether they hold between a stored value and another one."""
