"""Filters become expressions without a value that an engine could misread. What they mean is tested on the engines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from vecrec.filters import Filter, field
from vecrec.vector_stores import CollectionSpec
from vecrec.vector_stores.milvus import Flat
from vecrec.vector_stores.milvus.filters import ALWAYS, NEVER, Inexpressible, compile_filter, id_in
from vecrec.vector_stores.milvus.layout import Layout, dump_list

FIELDS: Any = {
    "flag": "boolean", "year": "integer", "price": "number", "lang": "string", "genres": "strings", "codes": "integers",
}  # fmt: skip
SERVER = Layout(CollectionSpec(2, "ip", FIELDS), Flat(), arrays=True)
LITE = Layout(CollectionSpec(2, "ip", FIELDS), Flat(), arrays=False)
LOW, HIGH = -(2**63), 2**63 - 1

flag, year, price, lang, genres, codes = map(field, FIELDS)


def text(where: Filter, layout: Layout = SERVER) -> str:
    """The expression of a filter."""
    return compile_filter(where, layout).text


@pytest.mark.parametrize(
    ("where", "expression"),
    [
        (year >= 1990, "f_year >= 1990"),
        (year < 1990, "h_year == true and f_year <= 1989"),
        (year == 0, "h_year == true and f_year == 0"),
        (year != 3, "h_year == true and not (f_year == 3)"),
        (year >= 1989.5, "f_year >= 1990"),
        (year == LOW, "f_year < -9223372036854775807"),
        (year <= LOW, "f_year < -9223372036854775807"),
        (year > LOW, "h_year == true and f_year >= -9223372036854775807"),
        (year <= HIGH, "h_year == true"),
        (year < 1e300, "h_year == true"),
        (year.is_in([3, 1, LOW, 2.0, 2.5]), "f_year < -9223372036854775807 or f_year in [1,2,3]"),
        (price > 2, "f_price > 2.0"),
        (price > 2**53 + 1, "f_price > 9007199254740992.0"),
        (price < 2**53 + 1, "h_price == true and f_price <= 9007199254740992.0"),
        (price != 2**53 + 1, "h_price == true"),
        (price == -0.0, "h_price == true and f_price == 0.0"),
        (price.is_in([0, 1]), "(h_price == true and f_price == 0.0) or f_price in [1.0]"),
        (lang == "", 'h_lang == true and f_lang == ""'),
        (lang == 'a"\\\n', 'f_lang == "a\\"\\\\\\n"'),
        (flag == True, "f_flag == true"),  # noqa: E712 - it builds a filter
        (flag.is_in([True, False]), "h_flag == true"),
        (genres.contains("a"), 'array_contains(f_genres, "a")'),
        (genres.contains_any(["a", "b", "a"]), 'array_contains_any(f_genres, ["a","b"])'),
        (genres.contains_any(["a"]), 'array_contains(f_genres, "a")'),
        (year.between(5, 9), "f_year >= 5 and h_year == true and f_year <= 9"),
        (~(year >= 5), "not (f_year >= 5)"),
        (~~(year >= 5), "f_year >= 5"),
        ((year >= 5) & ((price > 1) | (lang == "a")), 'f_year >= 5 and (f_price > 1.0 or f_lang == "a")'),
        ((year >= 5) & (price > 1) & (lang == "a"), 'f_year >= 5 and f_price > 1.0 and f_lang == "a"'),
    ],
)
def test_a_filter_becomes_an_expression(where: Filter, expression: str) -> None:
    """Constants have the column's type; missing values are looked at where their default would meet the condition."""
    assert text(where) == expression


@pytest.mark.parametrize(
    "where",
    [
        year == 1.5,
        year.is_in([]),
        genres.contains_any([]),
        year > HIGH,
        year < LOW,
        year == 1e300,
        price == 2**53 + 1,
        price.is_in([2**53 + 1]),
    ],
)
def test_what_no_value_meets_is_asked_of_no_engine(where: Filter) -> None:
    """Such a condition is a constant, and so is what it decides."""
    assert compile_filter(where, SERVER) == NEVER
    assert compile_filter(where & (year >= 5), SERVER) == NEVER
    assert compile_filter(~where, SERVER) == ALWAYS
    assert compile_filter(~where | (year >= 5), SERVER) == ALWAYS
    assert text(where | (year >= 5)) == "f_year >= 5"


def test_a_list_on_lite_is_a_text_without_patterns() -> None:
    """What LIKE could read as a pattern, and the delimiter, are escaped in the column and in the condition alike."""
    assert dump_list(["100%", "a_b", "x|y", "\\", "~"]) == "|100~25|a~5fb|x~7cy|~5c|~7e|"
    assert text(genres.contains("100%"), LITE) == 'f_genres like "%|100~25|%"'
    assert text(codes.contains(-3), LITE) == 'f_codes like "%|-3|%"'
    assert text(codes.contains_any([7, 8]), LITE) == 'f_codes like "%|7|%" or f_codes like "%|8|%"'


def test_an_id_cannot_leave_its_quotes() -> None:
    """The injections that empty a collection through pymilvus's own ``delete(ids=...)`` stay texts."""
    assert id_in(["zz'] or id != 'zz", 'x"] or id != "x', 7]) == (
        'id in ["szz\'] or id != \'zz","sx\\"] or id != \\"x","i7"]'
    )


@pytest.mark.parametrize("count", [2, 8, 9, 24, 50, 64, 65, 250])
def test_long_chains_are_balanced(count: int) -> None:
    """Any number of conditions in a row becomes a tree with few parts at each level, however they are nested."""
    left = right = year == 1
    for number in range(2, count + 1):
        left, right = left | (year == number), (year == number) | right
    for where in (left, right):
        expression, deepest = text(where), (0, 1, 2, 3)[(count > 8) + (count > 64)]
        assert expression.count("(") == expression.count(")")
        assert max(_depths(expression)) == deepest
        assert sorted(re.findall(r"f_year == \d+", expression)) == sorted(f"f_year == {n}" for n in range(1, count + 1))
        assert all(level.count(" or ") < 8 for level in re.findall(r"[^()]+", re.sub(r"\([^()]*\)", "x", expression)))


def _depths(expression: str) -> Iterator[int]:
    depth = 0
    for character in expression:
        depth += (character == "(") - (character == ")")
        yield depth


def test_what_the_engine_cannot_say_is_told() -> None:
    """Nesting that its parser does not survive, and an integer in a list that it cannot read."""
    deep: Filter = year == 1
    for _ in range(60):
        deep = (deep & (price > 1)) | (lang == "a")
    for where in (deep, codes.contains(LOW)):
        with pytest.raises(Inexpressible):
            compile_filter(where, SERVER)
