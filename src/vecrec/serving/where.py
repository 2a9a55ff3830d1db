"""Filters from JSON and from short texts.

A condition is ``{"field": "year", "op": "ge", "value": 1990}``; ``{"all": [...]}``, ``{"any": [...]}`` and
``{"not": ...}`` combine conditions. A text, for a query's parameters, is a single one: ``year>=1990`` or
``genres:Comedy``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from vecrec.errors import InvalidDataError
from vecrec.filters import FieldType, Filter, field

__all__ = ["AllOf", "AnyOf", "Condition", "NotThat", "Where", "compile_text", "compile_where"]

_DEEPEST = 20

Value: TypeAlias = StrictBool | StrictInt | StrictFloat | Annotated[StrictStr, Field(max_length=4096)]
Op: TypeAlias = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "contains"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Part):
    """A condition on one field."""

    field: str = Field(max_length=64, pattern="^[A-Za-z_][A-Za-z0-9_]*$", examples=["year"])
    op: Op = Field(
        description="`contains` is for fields that hold a list, `in` takes a list of values.", examples=["ge"]
    )
    value: Value | Annotated[list[Value], Field(max_length=500)] = Field(examples=[1990])


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
    """The filter that a JSON value means.

    Raises:
        InvalidDataError: for a value that does not go with its operator, or too deep a nesting.
    """
    if where is None:
        return None
    if depth > _DEEPEST:
        raise InvalidDataError(f"the filter is nested deeper than {_DEEPEST} levels: make it flatter")
    if isinstance(where, Condition):
        return _condition(where)
    if isinstance(where, NotThat):
        inner = compile_where(where.not_, depth + 1)
        return None if inner is None else ~inner
    joined = where.all if isinstance(where, AllOf) else where.any
    parts = [part for each in joined if (part := compile_where(each, depth + 1)) is not None]
    return reduce(lambda left, right: left & right if isinstance(where, AllOf) else left | right, parts)


def compile_text(texts: Sequence[str], fields: Mapping[str, FieldType]) -> Filter | None:
    """The filter of short texts, all of which must hold; a value has the type of its field.

    Raises:
        InvalidDataError: for a text that is no condition, an unknown field, or a value of another type.
    """
    parts = [_text(text, fields) for text in texts]
    return reduce(lambda left, right: left & right, parts) if parts else None


_OPERATORS: Mapping[str, Callable[[Any, Any], Filter]] = {
    "eq": lambda name, value: name == value,
    "ne": lambda name, value: name != value,
    "lt": lambda name, value: name < value,
    "le": lambda name, value: name <= value,
    "gt": lambda name, value: name > value,
    "ge": lambda name, value: name >= value,
    "in": lambda name, value: name.is_in(value),
    "contains": lambda name, value: name.contains(value),
}

_SIGNS = {"<=": "le", ">=": "ge", "!=": "ne", "=": "eq", "<": "lt", ">": "gt"}
_TEXT = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63})(<=|>=|!=|=|<|>|:)(.*)", re.DOTALL)


def _condition(where: Condition) -> Filter:
    if isinstance(where.value, list) != (where.op == "in"):
        wanted = "a list of values" if where.op == "in" else "one value"
        raise InvalidDataError(f"the condition on {where.field!r} has the operator {where.op!r}: give {wanted}")
    return _OPERATORS[where.op](field(where.field), where.value)


def _text(text: str, fields: Mapping[str, FieldType]) -> Filter:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise InvalidDataError(f"{text!r} is no condition: write it like year>=1990 or genres:Comedy")
    name, sign, value = match.groups()
    if name not in fields:
        raise InvalidDataError(f"no filterable field {name!r}: there are {sorted(fields) or 'none'}")
    plural = fields[name] in ("strings", "integers")
    op = ("contains" if plural else "eq") if sign == ":" else _SIGNS[sign]
    return _OPERATORS[op](field(name), _typed(name, value, fields[name]))


def _typed(name: str, text: str, kind: FieldType) -> bool | int | float | str:
    try:
        if kind in ("integer", "integers"):
            return int(text)
        if kind == "number":
            return float(text)
        if kind == "boolean":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError) as error:
        raise InvalidDataError(f"the field {name!r} holds {kind}: it cannot be compared with {text!r}") from error
    return text
