"""Filters and lists of ids in Milvus's expression language, with exactly the meaning of `Filter.matches`.

Missing values are kept as a default beside a column that says so. A condition that the default does not meet needs no
look at that column; the others get it. So each condition is true or false for every row, and ``not`` negates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vecrec.filters import And, Comparison, Contains, ContainsAny, Filter, IsIn, Not, Or
from vecrec.filters.operators import COMPARISONS
from vecrec.ids import Id, encode_id
from vecrec.vector_stores.milvus.layout import ID, Column, Layout, escape

__all__ = ["ALWAYS", "NEVER", "Condition", "Inexpressible", "compile_filter", "id_in", "quote"]

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1

# Milvus Lite's parser descends eight calls for each parenthesis, and Python stops it at a thousand.
_MAX_DEPTH = 40

# A server's parser makes a tower of `a and b and c ...`, one storey for each part, and fails at some twenty of them.
_MAX_CHAIN = 8

# Both engines take every other character as it is, and Milvus Lite knows no other escape.
_QUOTES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Inexpressible(Exception):  # noqa: N818 - not an error: the search takes another way
    """The engine's language cannot say this."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression, or a constant."""

    text: str
    """The expression; empty for the constants."""
    loose: str = ""
    """``"and"`` or ``"or"`` where the text needs parentheses inside the other."""
    depth: int = 0
    """How deep parentheses are nested."""

    def within(self, context: str) -> Condition:
        """The same as an operand of ``and``, ``or`` or ``not``."""
        if not self.loose or self.loose == context:
            return self
        if self.depth >= _MAX_DEPTH:
            raise Inexpressible
        return Condition(f"({self.text})", "", self.depth + 1)


ALWAYS, NEVER = Condition("", "always"), Condition("", "never")
"""The conditions that hold for every row and for none."""


def quote(text: str) -> str:
    """A text as a literal. Nothing in it is read as a part of the expression."""
    return f'"{text.translate(_QUOTES)}"'


def id_in(ids: Iterable[Id]) -> str:
    """The condition that finds those ids. The engine's own way to pass ids does not escape them."""
    return f"{ID} in [{','.join(quote(encode_id(key)) for key in ids)}]"


def compile_filter(where: Filter | None, layout: Layout) -> Condition:
    """The filter as a condition on the columns.

    Raises:
        Inexpressible: when the engine cannot say it exactly.
    """
    return ALWAYS if where is None else _compile(where, layout)


def _compile(where: Filter, layout: Layout) -> Condition:
    if isinstance(where, Not):
        return _negate(_compile(where.operand, layout))
    if isinstance(where, (And, Or)):
        return _join(where, layout)
    if isinstance(where, Comparison):
        return _compare(layout.column(where.name), where)
    if isinstance(where, IsIn):
        return _is_in(layout.column(where.name), where)
    if isinstance(where, Contains):
        return _contains(layout.column(where.name), [where.value])
    if isinstance(where, ContainsAny):
        return _contains(layout.column(where.name), list(dict.fromkeys(where.values)))
    raise Inexpressible


def _negate(condition: Condition) -> Condition:
    if condition in (ALWAYS, NEVER):
        return NEVER if condition == ALWAYS else ALWAYS
    if condition.text.startswith("not (") and not condition.loose:
        return Condition(condition.text[5:-1], "or", condition.depth - 1)
    inner = Condition(condition.text, "or", condition.depth).within("not")
    return Condition(f"not {inner.text}", "", inner.depth)


def _join(where: And | Or, layout: Layout) -> Condition:
    word, absorbing = ("and", NEVER) if isinstance(where, And) else ("or", ALWAYS)
    neutral = ALWAYS if absorbing is NEVER else NEVER
    parts: list[Condition] = []
    # Chains are unrolled, since they may be hundreds of links long.
    stack: list[Filter] = [where]
    while stack:
        node = stack.pop()
        if type(node) is type(where):
            stack += (node.right, node.left)
            continue
        part = _compile(node, layout)
        if part == absorbing:
            return absorbing
        if part != neutral:
            parts.append(part.within(word))
    if not parts:
        return neutral
    return _chain(word, parts)


def _chain(word: str, parts: list[Condition]) -> Condition:
    """The parts, joined by ``and`` or ``or``; more than some are grouped by parentheses, in a balanced tree."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) > _MAX_CHAIN:
        size = -(-len(parts) // _MAX_CHAIN)
        groups = [_chain(word, parts[start : start + size]) for start in range(0, len(parts), size)]
        parts = [group.within("") for group in groups]
    return Condition(f" {word} ".join(part.text for part in parts), word, max(part.depth for part in parts))


def _compare(column: Column, leaf: Comparison) -> Condition:
    if column.kind == "boolean":
        return _booleans(column, [value for value in (False, True) if COMPARISONS[leaf.op](value, leaf.value)])
    if column.kind == "integer":
        return _integer(column, leaf.op, leaf.value)
    if column.kind == "number":
        return _number(column, leaf.op, leaf.value)
    return _guarded(column, f"{column.name} {leaf.op} {quote(str(leaf.value))}", COMPARISONS[leaf.op]("", leaf.value))


def _integer(column: Column, op: str, value: Any) -> Condition:
    """A comparison of an integer column, with the constant made an integer."""
    if isinstance(value, float):
        if op in ("==", "!=") and not value.is_integer():
            return NEVER if op == "==" else _present(column)
        value = math.ceil(value) if op in ("<", ">=") else math.floor(value)
    if op == "!=":
        if not _LOWEST <= value <= _HIGHEST:
            return _present(column)
        return _chain("and", [_present(column), _negate(_range(column, value, value))])
    low = {"==": value, ">": value + 1, ">=": value}.get(op, _LOWEST)
    high = {"==": value, "<": value - 1, "<=": value}.get(op, _HIGHEST)
    return _range(column, max(low, _LOWEST), min(high, _HIGHEST))


def _range(column: Column, low: int, high: int) -> Condition:
    """The integers from ``low`` to ``high``. The lowest of all is never written: a server cannot read it."""
    if low > high:
        return NEVER
    if (low, high) == (_LOWEST, _HIGHEST):
        return _present(column)
    if low == high:
        text = f"{column.name} == {low}" if low > _LOWEST else f"{column.name} < {_LOWEST + 1}"
    elif high == _HIGHEST:
        text = f"{column.name} >= {low}"
    else:
        text = f"{column.name} <= {high}"
    return _guarded(column, text, low <= 0 <= high)


def _number(column: Column, op: str, value: Any) -> Condition:
    """A comparison of a column of doubles, with the constant made a double."""
    constant = float(value)
    if constant != value:
        # An integer between two doubles: nothing equals it, and the nearest double falls on one of its sides.
        if op in ("==", "!="):
            return NEVER if op == "==" else _present(column)
        below = constant < value
        op = ("<=" if below else "<") if op[0] == "<" else (">" if below else ">=")
    return _guarded(column, f"{column.name} {op} {_double(constant)}", COMPARISONS[op](0.0, constant))


def _is_in(column: Column, leaf: IsIn) -> Condition:
    if column.kind == "boolean":
        return _booleans(column, [value for value in (False, True) if value in leaf.values])
    if column.kind == "integer":
        whole = [int(value) for value in leaf.values if isinstance(value, int) or value.is_integer()]  # type: ignore[union-attr]
        return _members(column, {value for value in whole if _LOWEST <= value <= _HIGHEST})
    if column.kind == "number":
        return _members(column, {float(value) for value in leaf.values if float(value) == value})
    return _members(column, set(map(str, leaf.values)))


def _members(column: Column, values: set[Any]) -> Condition:
    """One of some values. Those that ``in`` cannot find are compared one by one."""
    # The lowest integer cannot be written, and Milvus Lite's `in` tells 0.0 from -0.0.
    single = [value for value in values if value == _LOWEST or (value == 0 and isinstance(value, float))]
    listed = sorted(values.difference(single))
    parts = [_compare(column, Comparison(column.field, "==", value)).within("or") for value in single]
    if listed:
        literals = ",".join(_literal(value) for value in listed)
        missing = column.default in listed
        parts.append(_guarded(column, f"{column.name} in [{literals}]", missing).within("or"))
    return _chain("or", parts) if parts else NEVER


def _contains(column: Column, values: list[int | str]) -> Condition:
    """A list that contains at least one of some values."""
    if not values:
        return NEVER
    if column.as_text:
        return _chain("or", [Condition(f"{column.name} like {quote(f'%|{escape(value)}|%')}") for value in values])
    if _LOWEST in values:
        raise Inexpressible
    if len(values) == 1:
        return Condition(f"array_contains({column.name}, {_literal(values[0])})")
    return Condition(f"array_contains_any({column.name}, [{','.join(map(_literal, values))}])")


def _booleans(column: Column, values: list[bool]) -> Condition:
    if not values:
        return NEVER
    if len(values) == 2:
        return _present(column)
    return _guarded(column, f"{column.name} == {str(values[0]).lower()}", not values[0])


def _guarded(column: Column, text: str, missing: bool) -> Condition:
    """A condition, with a look at whether there is a value where the default of a missing one would meet it."""
    return _chain("and", [_present(column), Condition(text)]) if missing else Condition(text)


def _present(column: Column) -> Condition:
    return Condition(f"{column.has} == true")


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    return _double(value) if isinstance(value, float) else str(value)


def _double(value: float) -> str:
    # Adding zero turns -0.0 into 0.0, which equals it.
    return repr(value + 0.0)
