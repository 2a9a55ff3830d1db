"""The input of the kits: ids and texts that break careless stores, and random but repeatable data."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec.filters import FieldType, Filter, Scalar, field
from vecrec.ids import MAX_ID_BYTES, Id

__all__ = ["BAD_IDS", "DIM", "FIELDS", "HOSTILE_IDS", "HOSTILE_TEXTS", "axis", "random_filter", "random_rows", "whole"]

DIM = 16

FIELDS: Mapping[str, FieldType] = {
    "flag": "boolean",
    "year": "integer",
    "price": "number",
    "lang": "string",
    "genres": "strings",
    "codes": "integers",
}

HOSTILE_TEXTS: tuple[str, ...] = (
    "",
    " ",
    "abc",
    "ABC",
    "abc ",
    " abc",
    "1",
    "None",
    "null",
    "true",
    "'",
    '"',
    "`",
    "\\",
    "\\\\",
    "\\n",
    "\n",
    "\r\n",
    "\t",
    "\x00",
    "a\x00b",
    "\x1b[31m",
    "\x7f",
    "\ufeff",
    "\u2028",
    "é",
    "e\u0301",
    "ß",
    "ss",
    "\uff21\uff22\uff23",
    "日本語",
    "\U0001f3ac",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u202eabc",
    "%",
    "_",
    "a%",
    "*",
    "?",
    "[a-z]",
    "{tag}",
    "a:b",
    ":id",
    "%s",
    "{0}",
    "$1",
    "i1",
    "s1",
    "../../etc/passwd",
    "'; DROP TABLE items; --",
    "' OR '1'='1",
    '" or id != "',
    "zz'] or id != 'zz' or id in ['zz",
    'zz"] or id != "zz" or id in ["zz',
    "zz\\'] or id != \\'zz",
    'zz\\"] or id != \\"',
    "*) | (FLUSHALL",
    "\r\nFLUSHALL\r\n",
)
"""Texts that a store may confuse with each other or with its own language."""

HOSTILE_IDS: tuple[Id, ...] = (
    *HOSTILE_TEXTS,
    "a" * MAX_ID_BYTES,
    "a" * (MAX_ID_BYTES - 1) + "b",
    "é" * (MAX_ID_BYTES // 2),
    "\U0001f3ac" * (MAX_ID_BYTES // 4),
    0,
    1,
    -1,
    10,
    2**31,
    2**53,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
)
"""Ids that have to stay apart."""

BAD_IDS: tuple[Any, ...] = (
    None, True, 1.0, float("nan"), b"1", (1,), 2**63, -(2**63) - 1, "\ud800", "a" * (MAX_ID_BYTES + 1),
    np.float32(1), np.bool_(True),
)  # fmt: skip
"""Values that are not valid ids."""

_VALUES: Mapping[str, tuple[Scalar, ...]] = {
    "flag": (True, False),
    "year": (-3, 0, 1, 2, 1990, 2**53 + 1, 2**63 - 1, -(2**63)),
    "price": (0.0, 0.5, -1.25, 3.0, 1e-3, 1e12),
    "lang": ("en", "EN", "en ", "", "d'oh", 'q"q', "a\\b", "日本語", "\U0001f3ac", "1", "%"),
    "genres": ("Comedy", "comedy", "Comedy ", "Sci-Fi", "it's", 'q"q', "日本語", ""),
    "codes": (0, 1, -1, 7, 2**53 + 1),
}

# Constants of the other numeric type, which may be compared with a field but not stored in it.
_FOREIGN: Mapping[str, tuple[Scalar, ...]] = {"year": (0.5, 1990.0), "price": (0, 3)}
_COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)


def axis(position: int, length: float = 1.0) -> NDArray[np.float32]:
    """A vector along one axis, whose products no rounding can touch."""
    vector = np.zeros(DIM, np.float32)
    vector[position % DIM] = length
    return vector


def whole(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Vectors of small whole numbers: their products are exact in whatever order an engine adds, so ties are true."""
    return rng.integers(-4, 5, (count, DIM)).astype(np.float32)


def random_rows(rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Attributes for the `FIELDS`, some of them ``None``, some of them missing."""
    return [_random_row(rng) for _ in range(count)]


def random_filter(rng: np.random.Generator, depth: int = 3) -> Filter:
    """A filter on the `FIELDS`, of any shape."""
    shape = rng.integers(0, 6) if depth else 0
    if shape < 3:
        return _random_leaf(rng)
    if shape == 3:
        return ~random_filter(rng, depth - 1)
    left, right = random_filter(rng, depth - 1), random_filter(rng, depth - 1)
    return left & right if shape == 4 else left | right


def _random_row(rng: np.random.Generator) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, values in _VALUES.items():
        fate = rng.random()
        if fate < 0.1:
            row[name] = None
        elif fate < 0.8:
            row[name] = _pick(rng, values) if FIELDS[name][-1] != "s" else _some(rng, values, 0, 3)
    return row


def _random_leaf(rng: np.random.Generator) -> Filter:
    name = _pick(rng, tuple(FIELDS))
    values, column = _VALUES[name] + _FOREIGN.get(name, ()), field(name)
    several = rng.random() < 0.2
    if name in ("genres", "codes"):
        return column.contains_any(_some(rng, values, 0, 3)) if several else column.contains(_pick(rng, values))
    if several:
        return column.is_in(_some(rng, values, 0, 4))
    if name != "flag" and rng.random() < 0.2:
        return column.between(*sorted([_pick(rng, values), _pick(rng, values)]))
    compare = _pick(rng, _COMPARISONS[:2] if name == "flag" else _COMPARISONS)
    result: Filter = compare(column, _pick(rng, values))
    return result


def _pick(rng: np.random.Generator, values: tuple[Any, ...]) -> Any:
    return values[rng.integers(len(values))]


def _some(rng: np.random.Generator, values: tuple[Any, ...], least: int, most: int) -> list[Any]:
    return [_pick(rng, values) for _ in range(rng.integers(least, most + 1))]
