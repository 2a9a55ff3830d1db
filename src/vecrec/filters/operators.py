"""The operators of filters: one table for the tree, the JSON form, the short texts and the engines."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["COMPARISONS", "OPERATORS", "Operator"]


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator that compares a field with a value."""

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
