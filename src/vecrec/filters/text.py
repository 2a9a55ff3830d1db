"""Filters as short texts, for command lines and for the parameters of a URL.

``year>=1990``, ``genres:Comedy``; and with several values ``year between 1990,1999``, ``lang in en,fr``,
``genres contains_any Comedy,Drama``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce

from vecrec.errors import InvalidDataError
from vecrec.filters.fields import condition, field
from vecrec.filters.operators import OPERATORS, Operator
from vecrec.filters.tree import Filter
from vecrec.filters.values import FilterType, Scalar

__all__ = ["parse_conditions"]

_BY_SIGN: Mapping[str, Operator] = {each.sign or each.name: each for each in OPERATORS.values()}
_SIGNS = "|".join(sorted((re.escape(each.sign) for each in OPERATORS.values() if each.sign), key=len, reverse=True))
_WORDS = "|".join(each.name for each in OPERATORS.values() if not each.sign)
_TEXT = re.compile(rf"([A-Za-z_][A-Za-z0-9_]{{0,63}})(?:({_SIGNS})|\s+({_WORDS})\s+)(.*)", re.DOTALL)


def parse_conditions(texts: Sequence[str], fields: Mapping[str, FilterType]) -> Filter | None:
    """Parse conditions that must all hold.

    Args:
        texts: A field, one of ``= != < <= > >=`` and a value; or a field, one of the words ``between``, ``in`` and
            ``contains_any``, and values with commas between them, which a value of these cannot contain. With ``:`` in
            the middle, a field that holds a list contains the value, and any other field is equal to it.
        fields: The filterable fields with their types, which are the types of the values.

    Returns:
        The filter; ``None`` without conditions.

    Raises:
        InvalidDataError: for a text that is not a condition, an unknown field, or a value of another type.
    """
    parts = [_parse(text, fields) for text in texts]
    return reduce(lambda left, right: left & right, parts) if parts else None


def _parse(text: str, fields: Mapping[str, FilterType]) -> Filter:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise InvalidDataError(
            f"{text!r} is not a condition", "write it like year>=1990, genres:Comedy or year between 1990,1999"
        )
    name, sign, word, value = match.groups()
    if name not in fields:
        raise InvalidDataError(f"no filterable field {name!r}", f"use one of {sorted(fields) or 'none'}")
    kind, operator = fields[name], _BY_SIGN[sign or word]
    if sign == ":" and kind not in ("strings", "integers"):
        operator = OPERATORS["eq"]
    if operator.takes == "one":
        return condition(field(name), operator, _typed(name, value, kind))
    return condition(field(name), operator, [_typed(name, part.strip(), kind) for part in value.split(",")])


def _typed(name: str, text: str, kind: FilterType) -> Scalar:
    try:
        if kind in ("integer", "integers"):
            return int(text)
        if kind == "number":
            return float(text)
        if kind == "boolean":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError) as error:
        raise InvalidDataError(
            f"the field {name!r} holds {kind} and cannot be compared with {text!r}",
            "compare it with a value of that type",
        ) from error
    return text
