"""Filters as short texts, for command lines and for the parameters of a URL: ``year>=1990``, ``genres:Comedy``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

from vecrec.errors import InvalidDataError
from vecrec.filters import FieldType, Filter, field

__all__ = ["parse_conditions"]

_OPERATORS: Mapping[str, Callable[[Any, Any], Filter]] = {
    "=": lambda name, value: name == value,
    "!=": lambda name, value: name != value,
    "<": lambda name, value: name < value,
    "<=": lambda name, value: name <= value,
    ">": lambda name, value: name > value,
    ">=": lambda name, value: name >= value,
}
_TEXT = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63})(<=|>=|!=|=|<|>|:)(.*)", re.DOTALL)


def parse_conditions(texts: Sequence[str], fields: Mapping[str, FieldType]) -> Filter | None:
    """The filter of conditions that must all hold; ``None`` for none.

    Args:
        texts: A field, one of ``= != < <= > >=`` and a value. With ``:`` in the middle, a field that holds a list has
            the value among others, and any other field is equal to it.
        fields: The filterable fields with their types, which are the types of the values.

    Raises:
        InvalidDataError: for a text that is no condition, an unknown field, or a value of another type.
    """
    parts = [_parse(text, fields) for text in texts]
    return reduce(lambda left, right: left & right, parts) if parts else None


def _parse(text: str, fields: Mapping[str, FieldType]) -> Filter:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise InvalidDataError(f"{text!r} is no condition", "write it like year>=1990 or genres:Comedy")
    name, sign, value = match.groups()
    if name not in fields:
        raise InvalidDataError(f"no filterable field {name!r}", f"there are {sorted(fields) or 'none'}")
    typed = _typed(name, value, fields[name])
    if sign == ":" and fields[name] in ("strings", "integers"):
        return field(name).contains(typed)  # type: ignore[arg-type]  # _typed has made it an int or a str
    return _OPERATORS["=" if sign == ":" else sign](field(name), typed)


def _typed(name: str, text: str, kind: FieldType) -> bool | int | float | str:
    try:
        if kind in ("integer", "integers"):
            return int(text)
        if kind == "number":
            return float(text)
        if kind == "boolean":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError) as error:
        raise InvalidDataError(f"the field {name!r} holds {kind}", f"it cannot be compared with {text!r}") from error
    return text
