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
from vecrec.filters import And, Comparison, Contains, Field, FieldType, IsIn, Not, Or, check_filter, value_type
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
    with pytest.raises(InvalidDataError, match=r"parenthes|combine|contains|no condition yet"):
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
    with pytest.raises(InvalidDataError, match="put it into a list"):
        year.is_in(values)


@pytest.mark.parametrize("value", [True, 1.5, None, ["a"]])
def test_contains_takes_an_integer_or_a_text(value: Any) -> None:
    """Lists of values hold nothing else."""
    with pytest.raises(InvalidDataError):
        genres.contains(value)


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "é", "a" * 65, "a\n", "a.b", None, 3, "a'; DROP TABLE"])
def test_names_are_checked(name: Any) -> None:
    """A field's name may go into an engine's language, so only letters, digits and underscores are one."""
    for make in (field, lambda n: Comparison(n, "==", 1), lambda n: IsIn(n, (1,)), lambda n: Contains(n, 1)):
        with pytest.raises(InvalidDataError, match="no name of a filterable field"):
            make(name)


@pytest.mark.parametrize("op", ["", "=", "==  1 or 1 ==", "in", None, "<>"])
def test_operators_are_checked(op: Any) -> None:
    """A comparison made by hand cannot smuggle anything either."""
    with pytest.raises(InvalidDataError, match="no operator"):
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
        (genres == "a", "use .contains"),
        (genres.is_in(["a"]), "use .contains"),
        (lang.contains("a"), "use == or .is_in"),
        ("year > 1990", "built from fields"),
        (year, "built from fields"),
        (True, "built from fields"),
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
