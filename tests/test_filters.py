"""Filters: what they mean, what they refuse, and that they combine as logic does."""

from __future__ import annotations

import copy
import enum
import functools
import operator
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrec import Filter, field
from vecrec.errors import InvalidDataError
from vecrec.filters import (
    And,
    Comparison,
    Contains,
    ContainsAny,
    Field,
    FieldType,
    IsIn,
    Not,
    Or,
    check_filter,
    value_type,
)
from vecrec.filters.fields import condition
from vecrec.filters.operators import OPERATORS
from vecrec.filters.text import parse_conditions
from vecrec.testing.data import FIELDS, HOSTILE_TEXTS, random_filter, random_rows

_SEEDS = st.integers(0, 2**32)
year, lang, flag, genres, codes = field("year"), field("lang"), field("flag"), field("genres"), field("codes")


class Genre(str, enum.Enum):
    CRIME = "crime"


def _row(seed: int) -> dict[str, Any]:
    return random_rows(np.random.default_rng(seed), 1)[0]


def _filter(seed: int) -> Filter:
    return random_filter(np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("where", "record", "matches"),
    [
        (year == 1990, {"year": 1990}, True),
        (year == 1990, {"year": 1991}, False),
        (year == 1990.0, {"year": 1990}, True),
        (year != 1990, {"year": 1991}, True),
        (year != 1990, {"year": 1990}, False),
        (year < 1990.5, {"year": 1990}, True),
        (year <= 1990, {"year": 1990}, True),
        (year > 1990, {"year": 1990}, False),
        (year >= 1990, {"year": 1990}, True),
        (year == 2**53 + 1, {"year": 2**53}, False),
        (year == 2.0**53, {"year": 2**53 + 1}, False),
        (field("price") == 3, {"price": 3.0}, True),
        (field("price") > 2, {"price": 2.5}, True),
        (lang == "en", {"lang": "en"}, True),
        (lang == "en", {"lang": "EN"}, False),
        (lang == "é", {"lang": "e\u0301"}, False),
        (lang < "b", {"lang": "a"}, True),
        (lang < "a", {"lang": "B"}, True),
        (lang > "\uffee", {"lang": "\U0001f3ac"}, True),
        (flag == True, {"flag": True}, True),  # noqa: E712 - it builds a filter
        (flag != True, {"flag": False}, True),  # noqa: E712
        (year.is_in([1, 2]), {"year": 2}, True),
        (year.is_in([1, 2]), {"year": 3}, False),
        (year.is_in([]), {"year": 3}, False),
        (year.is_in(n for n in (3,)), {"year": 3}, True),
        (genres.contains("a"), {"genres": ["b", "a"]}, True),
        (genres.contains("a"), {"genres": ("a",)}, True),
        (genres.contains("a"), {"genres": ["ab"]}, False),
        (genres.contains("a"), {"genres": []}, False),
        (codes.contains(1), {"codes": [1, 2]}, True),
        (year.between(1, 5), {"year": 1}, True),
        (year.between(1, 5), {"year": 5}, True),
        (year.between(1, 5), {"year": 6}, False),
        (year.between(0.5, 5), {"year": 0}, False),
        (lang.between("a", "b"), {"lang": "ab"}, True),
        (lang.between("a", "b"), {"lang": "ba"}, False),
        (genres.contains_any(["a", "c"]), {"genres": ["b", "c"]}, True),
        (genres.contains_any(["a", "c"]), {"genres": ("a",)}, True),
        (genres.contains_any(["a", "c"]), {"genres": ["ab"]}, False),
        (genres.contains_any(x for x in "a"), {"genres": ["a"]}, True),
        (genres.contains_any([]), {"genres": ["a"]}, False),
        (codes.contains_any([3, 2]), {"codes": [1, 2]}, True),
    ],
)
def test_conditions_mean_what_they_say(where: Filter, record: dict[str, Any], matches: bool) -> None:
    """Numbers compare by value, exactly; text by code point; lists by their members."""
    assert where.matches(record) is matches
    assert (~where).matches(record) is not matches


@pytest.mark.parametrize(
    "where",
    [year == 1, year != 1, year < 1, year >= 1, year.is_in([1, 0]), genres.contains("a"), ~~(year != 1)],
)
@pytest.mark.parametrize("record", [{}, {"year": None, "genres": None}, {"other": 1}])
def test_a_missing_value_meets_no_condition(where: Filter, record: dict[str, Any]) -> None:
    """``!=`` neither; ``~`` turns that round."""
    assert not where.matches(record)
    assert (~where).matches(record)


@pytest.mark.parametrize(
    ("where", "record"),
    [
        (year == 1, {"year": True}),
        (year != 1, {"year": True}),
        (year == 1, {"year": "1"}),
        (year != 1, {"year": "2"}),
        (year.is_in([1]), {"year": True}),
        (flag == True, {"flag": 1}),  # noqa: E712 - it builds a filter
        (flag != True, {"flag": 0}),  # noqa: E712
        (lang == "1", {"lang": 1}),
        (lang >= "", {"lang": ["a"]}),
        (year == 1, {"year": [1]}),
        (genres.contains("a"), {"genres": "a"}),
        (codes.contains(1), {"codes": [True]}),
        (codes.contains(1), {"codes": ["1"]}),
        (genres.contains_any(["a"]), {"genres": "a"}),
        (codes.contains_any([1]), {"codes": [True]}),
        (codes.contains_any([1]), {"codes": ["1", [1], None]}),
        (year.is_in([1]), {"year": [1]}),
        (flag.is_in([True]), {"flag": 1}),
        (year.between(0, 2), {"year": True}),
    ],
)
def test_a_value_of_another_type_meets_no_condition(where: Filter, record: dict[str, Any]) -> None:
    """A ``bool`` is no number, a text is no number, a list is no value: neither equal nor unequal."""
    assert not where.matches(record)


@given(_SEEDS, _SEEDS, _SEEDS)
def test_combinations_follow_logic(one: int, other: int, row: int) -> None:
    """And, or, not: also De Morgan, double negation, order and grouping."""
    a, b, record = _filter(one), _filter(other), _row(row)
    in_a, in_b = a.matches(record), b.matches(record)
    assert (a & b).matches(record) == (in_a and in_b)
    assert (a | b).matches(record) == (in_a or in_b)
    assert (~a).matches(record) == (not in_a)
    assert (~(a & b)).matches(record) == (~a | ~b).matches(record)
    assert (~(a | b)).matches(record) == (~a & ~b).matches(record)
    assert (~~a).matches(record) == in_a
    assert (b & a).matches(record) == (a & b).matches(record)
    assert (a & (a | b)).matches(record) == in_a
    assert not (a & ~a).matches(record)


@given(_SEEDS, st.integers(-5, 5), st.sampled_from(["year", "price"]))
def test_of_three_comparisons_one_holds(row: int, value: int, name: str) -> None:
    """A value that is there is less, equal or greater; ``!=``, ``<=`` and ``>=`` are the others together."""
    column, record = field(name), _row(row)
    less, equal, greater = (
        (column < value).matches(record),
        (column == value).matches(record),
        (column > value).matches(record),
    )
    assert less + equal + greater == (record.get(name) is not None)
    assert (column <= value).matches(record) == (less or equal)
    assert (column >= value).matches(record) == (greater or equal)
    assert (column != value).matches(record) == (less or greater)


@given(_SEEDS, st.lists(st.sampled_from(["en", "EN", "", "1"])))
def test_is_in_is_a_disjunction(row: int, values: list[str]) -> None:
    """``is_in`` is ``==`` with one of the values."""
    record = _row(row)
    assert lang.is_in(values).matches(record) == any((lang == value).matches(record) for value in values)


@given(_SEEDS)
def test_filters_are_values(seed: int) -> None:
    """Equal ones are equal, may be keys, and travel."""
    where, again = _filter(seed), _filter(seed)
    assert (where == again) is True
    assert hash(where) == hash(again)
    assert pickle.loads(pickle.dumps(where)) == copy.deepcopy(where) == where
    assert check_filter(where, FIELDS) is where


def test_leaves_are_listed_from_left_to_right() -> None:
    """Every condition on a field, however the filter is nested."""
    where = ((year == 1) | ~(lang == "a")) & genres.contains("b")
    assert list(where.leaves()) == [year == 1, lang == "a", genres.contains("b")]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: (year == 1) and (lang == "a"),
        lambda: not lang == "a",  # noqa: SIM201
        lambda: 1990 <= year < 2000,
        lambda: (year == 1) & True,  # type: ignore[operator]
        lambda: True & (year == 1),
        lambda: (year == 1) | "lang",  # type: ignore[operator]
        lambda: "lang" | (year == 1),
        lambda: (year >= 1990) & lang,
        lambda: year & lang,
        lambda: year >= 1990 & lang == "a",
        lambda: year == 1 | lang == "a",
        lambda: ~year,
        lambda: "Comedy" in genres,
        lambda: And(year == 1, True),  # type: ignore[arg-type]
        lambda: Not(year),  # type: ignore[arg-type]
    ],
)
def test_usual_mistakes_are_told(wrong: Any) -> None:
    """``and``, ``not``, chains, missing parentheses, ``in``: each is an error that says what to write instead."""
    with pytest.raises(InvalidDataError, match=r"parenthes|combine|contains|not a condition yet"):
        wrong()


@pytest.mark.parametrize(
    "value", [None, [1], {1}, b"a", float("nan"), float("inf"), 2**63, "\ud800", object(), 1j, np.float32("nan")]
)
def test_values_that_nothing_equals_are_refused(value: Any) -> None:
    """Only finite numbers, booleans and text are compared with."""
    for wrong in (
        lambda: year == value,
        lambda: year < value,
        lambda: year.is_in([1, value]),
        lambda: genres.contains(value),
        lambda: genres.contains_any(["a", value]),
        lambda: year.between(1, value),
    ):
        with pytest.raises(InvalidDataError):
            wrong()


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_booleans_have_no_order(compare: Any) -> None:
    """``flag > False`` is refused."""
    with pytest.raises(InvalidDataError, match="no order"):
        compare(flag, False)


@pytest.mark.parametrize("values", ["abc", b"abc", 5, None])
def test_is_in_takes_a_list(values: Any) -> None:
    """One string is no list of its characters."""
    for method in (year.is_in, genres.contains_any):
        with pytest.raises(InvalidDataError, match="put it into a list"):
            method(values)


@pytest.mark.parametrize(("low", "high"), [(2, 1), ("b", "a"), (1, "2"), ("1", 2), (False, True), (1, True)])
def test_between_takes_two_bounds_in_order(low: Any, high: Any) -> None:
    """Bounds that no value lies between are a mistake, and the message shows them."""
    with pytest.raises(InvalidDataError, match=r"bounds|no order"):
        year.between(low, high)


@pytest.mark.parametrize("value", [True, 1.5, None, ["a"]])
def test_contains_takes_an_integer_or_a_text(value: Any) -> None:
    """Lists of values hold nothing else."""
    with pytest.raises(InvalidDataError):
        genres.contains(value)
    with pytest.raises(InvalidDataError):
        genres.contains_any([value])


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "é", "a" * 65, "a\n", "a.b", None, 3, "a'; DROP TABLE"])
def test_names_are_checked(name: Any) -> None:
    """A field's name may go into an engine's language, so only letters, digits and underscores are one."""
    for make in (
        field,
        lambda n: Comparison(n, "==", 1),
        lambda n: IsIn(n, (1,)),
        lambda n: Contains(n, 1),
        lambda n: ContainsAny(n, (1,)),
    ):
        with pytest.raises(InvalidDataError, match="not a valid name of a filterable field"):
            make(name)


@pytest.mark.parametrize("op", ["", "=", "==  1 or 1 ==", "in", None, "<>"])
def test_operators_are_checked(op: Any) -> None:
    """A comparison made by hand cannot smuggle anything either."""
    with pytest.raises(InvalidDataError, match="not a valid operator"):
        Comparison("year", op, 1)


@pytest.mark.parametrize(
    ("value", "plain"),
    [(np.int64(5), 5), (np.float64(0.5), 0.5), (np.bool_(True), True), (np.str_("a"), "a"), (Genre.CRIME, "crime")],
)
def test_values_become_plain(value: Any, plain: Any) -> None:
    """NumPy scalars and members of enumerations become plain values, which every engine knows how to write."""
    where = year == value
    assert isinstance(where, Comparison)
    assert where.value == plain
    assert type(where.value) is type(plain)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (field("unknown") == 1, "no filterable field 'unknown'"),
        ((year == 1) | ~(field("unknown") == 1), "no filterable field 'unknown'"),
        (year == "1", "cannot be compared"),
        (year == True, "cannot be compared"),  # noqa: E712 - it builds a filter
        (lang == 1, "cannot be compared"),
        (flag == 1, "cannot be compared"),
        (year.is_in([1, "1"]), "cannot be compared"),
        (codes.contains("1"), "cannot be compared"),
        (genres.contains(1), "cannot be compared"),
        (genres.contains_any(["a", 1]), "cannot be compared"),
        (year.between("1", "2"), "cannot be compared"),
        (lang.contains_any(["a"]), "use ==, .between or .is_in"),
        (genres == "a", "use .contains"),
        (genres.is_in(["a"]), "use .contains"),
        (lang.contains("a"), "use ==, .between or .is_in"),
        ("year > 1990", "build it from fields"),
        (year, "build it from fields"),
        (True, "build it from fields"),
    ],
)
def test_filters_fit_their_fields(where: Any, message: str) -> None:
    """A filter that can never hold is a mistake, and the message says which condition and why."""
    with pytest.raises(InvalidDataError, match=message):
        check_filter(where, FIELDS)


def test_no_filter_is_no_condition() -> None:
    """``None`` passes through."""
    assert check_filter(None, {}) is None


def test_the_size_of_a_filter_is_limited() -> None:
    """500 parts are enough; a program that makes a million gets a message, and no overflow of the stack."""
    some = functools.reduce(operator.or_, [year == n for n in range(250)])
    assert check_filter(some, FIELDS) is some
    assert some.matches({"year": 249})
    many = functools.reduce(operator.or_, [year == n for n in range(100_000)])
    with pytest.raises(InvalidDataError, match="more than 500"):
        check_filter(many, FIELDS)
    deep: Filter = year == 1
    for _ in range(100_000):
        deep = Not(deep)
    with pytest.raises(InvalidDataError, match="more than 500"):
        check_filter(deep, FIELDS)


@pytest.mark.parametrize(
    "where",
    [
        year.is_in(range(30_000)),
        functools.reduce(operator.or_, [year.is_in(range(n, n + 500)) for n in range(0, 25_000, 500)]),
        genres.contains_any([f"genre {n}" for n in range(10_000)]),
        lang == "a" * 100_001,
        (lang == "a" * 60_000) | ~(lang < "b" * 60_000),
    ],
    ids=["one list", "many lists", "a list of texts", "a long text", "two long texts"],
)
def test_the_values_of_a_filter_are_limited_together(where: Filter) -> None:
    """One bound holds for all values of a filter, however they are spread over its conditions."""
    with pytest.raises(InvalidDataError, match="100,000 characters"):
        check_filter(where, FIELDS)
    assert check_filter(year.is_in(range(10_000)), FIELDS) is not None


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=repr)
def test_hostile_text_is_only_text(text: str) -> None:
    """It equals itself and nothing else."""
    others = [other for other in HOSTILE_TEXTS if other != text]
    assert (lang == text).matches({"lang": text})
    assert not any((lang == text).matches({"lang": other}) for other in others)
    assert genres.contains(text).matches({"genres": [*others, text]})


@pytest.mark.parametrize(
    ("value", "kind"), [(True, "boolean"), (1, "integer"), (1.0, "number"), ("1", "string"), (False, "boolean")]
)
def test_values_have_one_type(value: Any, kind: FieldType) -> None:
    """A ``bool`` is no integer here."""
    assert value_type(value) == kind


def test_filters_show_what_they_are() -> None:
    """The text of a field can be pasted back, and that of a filter names field, operator and value."""
    assert repr(year) == "field('year')"
    assert repr(Or(year == 1, Not(lang == "a"))) == (
        "Or(left=Comparison(name='year', op='==', value=1), "
        "right=Not(operand=Comparison(name='lang', op='==', value='a')))"
    )
    with pytest.raises(TypeError, match="unhashable"):
        hash(Field("year"))


@pytest.mark.parametrize(
    ("name", "value", "text", "where"),
    [
        ("eq", 1990, "year=1990", year == 1990),
        ("ne", 1990, "year!=1990", year != 1990),
        ("lt", 1990, "year<1990", year < 1990),
        ("le", 1990, "year<=1990", year <= 1990),
        ("gt", 1990, "year>1990", year > 1990),
        ("ge", 1990, "year>=1990", year >= 1990),
        ("between", [1990, 1999], "year between 1990,1999", year.between(1990, 1999)),
        ("in", [1990, 1995], "year in 1990, 1995", year.is_in([1990, 1995])),
        ("contains", "a b", "genres:a b", genres.contains("a b")),
        ("contains_any", ["a", "b c"], "genres contains_any a,b c", genres.contains_any(["a", "b c"])),
    ],
)
def test_every_operator_has_every_form(name: str, value: Any, text: str, where: Filter) -> None:
    """The method of a field, the JSON of the service and the short text of a command line mean the same condition."""
    pydantic = pytest.importorskip("pydantic")
    from vecrec.filters.json import Where, compile_where

    column = "genres" if "contains" in name else "year"
    posted = pydantic.TypeAdapter(Where).validate_python({"field": column, "op": name, "value": value})
    assert compile_where(posted) == parse_conditions([text], FIELDS) == where


def test_the_forms_are_all_tested() -> None:
    """The table above names each operator that there is."""
    (mark,) = test_every_operator_has_every_form.pytestmark
    assert [case[0] for case in mark.args[1]] == list(OPERATORS)


@pytest.mark.parametrize(
    "text",
    ["year", "year ~ 3", "year between 1990", "year between 1,2,3", "year between 2,1", "year in", "year in 1,x",
     "lang contains_any a", "genres in a,b", "year:x", "flag=2", "nothing=1", "year betweens 1,2", "=1"],
)  # fmt: skip
def test_bad_texts_are_refused(text: str) -> None:
    """A text that is not a condition on one of the fields is refused with an example or the fields that there are."""
    with pytest.raises(InvalidDataError):
        check_filter(parse_conditions([text], FIELDS), FIELDS)


@pytest.mark.parametrize(
    ("op", "value"),
    [("eq", [1]), ("in", 1), ("between", [1]), ("between", 3), ("between", [1, 2, 3]), ("contains", [1])],
)
def test_an_operator_takes_its_number_of_values(op: str, value: Any) -> None:
    """One value, two or a list: the message says which."""
    with pytest.raises(InvalidDataError, match=r"give (one value|a list)"):
        condition(year, OPERATORS[op], value)
