"""Filters from JSON.

A condition is ``{"field": "year", "op": "ge", "value": 1990}``; ``{"all": [...]}``, ``{"any": [...]}`` and
``{"not": ...}`` combine conditions.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from vecrec.errors import InvalidDataError
from vecrec.filters.fields import condition, field
from vecrec.filters.operators import OPERATORS
from vecrec.filters.tree import Filter

__all__ = ["AllOf", "AnyOf", "Condition", "NotThat", "Where", "compile_where"]

_DEEPEST = 20

Value: TypeAlias = StrictBool | StrictInt | StrictFloat | StrictStr
if TYPE_CHECKING:
    Op: TypeAlias = str
else:
    Op = Literal[tuple(OPERATORS)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Part):
    """A condition on one field."""

    field: str = Field(max_length=64, pattern="^[A-Za-z_][A-Za-z0-9_]*$", examples=["year"])
    op: Op = Field(
        description="`between` takes a list of the lowest and the highest value, `in` and `contains_any` a list of any "
        "length; `contains` and `contains_any` are for fields that hold a list.",
        examples=["ge"],
    )
    value: Value | list[Value] = Field(examples=[1990])


class AllOf(_Part):
    """All of the conditions hold."""

    all: Annotated[list[Where], Field(min_length=1, max_length=100)]


class AnyOf(_Part):
    """At least one of the conditions holds."""

    any: Annotated[list[Where], Field(min_length=1, max_length=100)]


class NotThat(_Part):
    """The condition does not hold."""

    not_: Where = Field(alias="not")


Where: TypeAlias = Condition | AllOf | AnyOf | NotThat
"""A filter as JSON."""

for _model in (AllOf, AnyOf, NotThat):
    _model.model_rebuild()


def compile_where(where: Where | None, depth: int = 0) -> Filter | None:
    """Compile a JSON value into a filter.

    Raises:
        InvalidDataError: for a value that does not fit its operator, or a filter that is nested too deeply.
    """
    if where is None:
        return None
    if depth > _DEEPEST:
        raise InvalidDataError(f"the filter is nested deeper than {_DEEPEST} levels", "nest it less")
    if isinstance(where, Condition):
        return condition(field(where.field), OPERATORS[where.op], where.value)
    if isinstance(where, NotThat):
        inner = compile_where(where.not_, depth + 1)
        return None if inner is None else ~inner
    joined = where.all if isinstance(where, AllOf) else where.any
    parts = [part for each in joined if (part := compile_where(each, depth + 1)) is not None]
    return reduce(lambda left, right: left & right if isinstance(where, AllOf) else left | right, parts)
