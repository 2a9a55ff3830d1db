"""Records survive JSON unchanged, or are refused with the path of what does not."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrec.errors import InvalidDataError
from vecrec.records import check_record, dump_record, record_digest
from vecrec.testing.base import same

_TEXT = st.text(st.characters(codec="utf-8"))
_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
_RECORDS = st.dictionaries(
    _TEXT, st.recursive(_SCALARS | _TEXT, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner), max_leaves=10)
)


class Genre(str, enum.Enum):
    CRIME = "crime"


class Slot(enum.IntEnum):
    FIRST = 1


@given(_RECORDS)
def test_records_survive(record: dict[str, Any]) -> None:
    """A record of plain values is its own copy, and comes back from its text with every type."""
    plain = check_record(record)
    assert same(plain, record)
    assert same(json.loads(dump_record(plain)), record)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2.0,)), [1, [2.0]]),
        (np.arange(3), [0, 1, 2]),
        (np.array([[True], [False]]), [[True], [False]]),
        (np.array(5), 5),
        (np.array(["a", "é"]), ["a", "é"]),
        (np.float32(0.5), 0.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (Genre.CRIME, "crime"),
        (Slot.FIRST, 1),
        ({"a": ({"b": np.float64(1)},)}, {"a": [{"b": 1.0}]}),
    ],
)
def test_values_become_plain(value: Any, plain: Any) -> None:
    """Tuples and arrays become lists, NumPy scalars and members of enumerations their values."""
    assert same(check_record({"x": value}), {"x": plain})


@pytest.mark.parametrize(
    "value",
    [
        math.nan, math.inf, np.float32("nan"), np.array([1.0, np.inf]), b"x", {1, 2}, object, 1j, 2**63, -(2**63) - 1,
        dt.date(2000, 1, 1), dt.timedelta(1), np.datetime64("2000-01-01"), decimal.Decimal(1), "\ud800", range(3),
        np.longdouble(1) * np.longdouble("inf"),
    ],
    ids=lambda value: f"{value!r:.30}",
)  # fmt: skip
@pytest.mark.parametrize("path", ["x", "deep"])
def test_what_json_cannot_carry_is_refused(value: Any, path: str) -> None:
    """The message names the path to the value."""
    record = {"x": value} if path == "x" else {"deep": [0, {"y": value}]}
    where = r"item 7\['x'\]" if path == "x" else r"item 7\['deep'\]\[1\]\['y'\]"
    with pytest.raises(InvalidDataError, match=where):
        check_record(record, "item 7")


@pytest.mark.parametrize("record", [None, "x", 1, ["x"], [("x", 1)]])
def test_a_record_is_a_mapping(record: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidDataError, match="must be a mapping"):
        check_record(record)


@pytest.mark.parametrize("key", [1, None, True, b"a", ("a",), "\ud800"])
def test_keys_are_text(key: Any) -> None:
    """Keys that JSON would turn into text are refused, since they would come back as something else."""
    with pytest.raises(InvalidDataError, match="key"):
        check_record({"x": {key: 1}})


def test_depth_has_a_limit() -> None:
    """Nesting beyond 32 levels is refused, itself within itself included, and not the fault of Python's stack."""

    def nested(depth: int) -> Any:
        return [nested(depth - 1)] if depth else 1

    assert check_record({"x": nested(32)})
    for bad in (nested(33), nested(200)):
        with pytest.raises(InvalidDataError, match="nested deeper than 32"):
            check_record({"x": bad})
    endless: dict[str, Any] = {}
    endless["x"] = endless
    with pytest.raises(InvalidDataError, match="nested deeper than 32"):
        check_record(endless)


def test_a_record_is_copied_deeply() -> None:
    """Neither side sees what the other does later."""
    given_record: dict[str, Any] = {"a": [1, {"b": [2]}]}
    plain = check_record(given_record)
    given_record["a"][1]["b"].append(3)
    assert plain == {"a": [1, {"b": [2]}]}


def test_the_digest_is_of_the_values() -> None:
    """The order of the keys does not matter, everything else does: a type, a digit, a missing key."""
    digest = record_digest({"a": 1, "b": [1, {"c": None, "d": "é"}]})
    assert digest == record_digest({"b": [1, {"d": "é", "c": None}], "a": 1})
    assert digest == "ffdacecf0359ae917ee85f96d796c6fc"  # stored by earlier versions, so it must not change
    others: list[dict[str, Any]] = [
        {"a": 1.0, "b": [1, {"c": None, "d": "é"}]},
        {"a": True, "b": [1, {"c": None, "d": "é"}]},
        {"a": "1", "b": [1, {"c": None, "d": "é"}]},
        {"a": 1, "b": [1, {"d": "é"}]},
        {"a": 1, "b": [{"c": None, "d": "é"}, 1]},
        {"a": 1, "b": [1, {"c": None, "d": "e\u0301"}]},
        {},
    ]
    assert len({digest, *map(record_digest, others)}) == len(others) + 1
