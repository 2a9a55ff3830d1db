"""Schemas: what they refuse, what they pass, and what they infer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vecrec.data import Categorical, Feature, MultiCategorical, Numeric, Schema, Text
from vecrec.errors import InvalidDataError
from vecrec.types import Item, User

MOVIES = Schema(
    items=(
        Text("title"),
        MultiCategorical("genres", filterable=True),
        MultiCategorical("studios", dtype="integer", filterable=True),
        Numeric("year", "integer", filterable=True),
        Numeric("price", filterable=True),
        Categorical("language", filterable=True),
        Categorical("rated", values=(0, 6, 12), filterable=True),
        Categorical("colour", dtype="boolean", filterable=True),
    ),
    users=(Categorical("gender", values=("F", "M")), Numeric("age")),
)

GOOD: list[dict[str, Any]] = [
    {},
    {"title": None, "genres": None, "year": None},
    {"title": "", "genres": [], "studios": [1, 2], "year": 1990, "price": 1, "rated": 6, "colour": False},
    {"price": 1.5, "language": "nobody has seen it", "other": {"anything": [1, "a"]}},
]
BAD: list[tuple[str, Any]] = [
    ("title", 1),
    ("title", ["a"]),
    ("genres", "Comedy"),
    ("genres", ["Comedy", 1]),
    ("genres", [None]),
    ("genres", [["Comedy"]]),
    ("studios", ["1"]),
    ("studios", [True]),
    ("year", 1990.0),
    ("year", "1990"),
    ("year", True),
    ("price", "cheap"),
    ("price", False),
    ("language", 1),
    ("language", ["de"]),
    ("rated", 7),
    ("rated", "6"),
    ("rated", 6.0),
    ("rated", False),
    ("colour", 1),
    ("colour", "yes"),
]


@pytest.mark.parametrize("record", GOOD)
def test_what_the_schema_allows_passes(record: dict[str, Any]) -> None:
    MOVIES.check_item(Item(1, record))


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_it_does_not_allow_is_refused_with_name_value_and_owner(name: str, value: Any) -> None:
    with pytest.raises(InvalidDataError) as caught:
        MOVIES.check_item(Item("m7", {name: value}))
    bad = value[-1] if name in ("genres", "studios") and isinstance(value, list) else value
    assert all(part in str(caught.value) for part in (repr(name), repr(bad), "item 'm7'"))


def test_users_are_checked_by_their_own_features() -> None:
    MOVIES.check_user(User(1, {"gender": "F", "year": "not of users"}))
    with pytest.raises(InvalidDataError, match=r"'gender' of user 1 is 'X'.*'F', 'M'"):
        MOVIES.check_user(User(1, {"gender": "X"}))


def test_a_visitor_is_named_without_an_id() -> None:
    with pytest.raises(InvalidDataError, match="of user is"):
        MOVIES.check_user(User(features={"gender": "X"}))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Text(""),
        lambda: Text(5),  # type: ignore[arg-type]
        lambda: Categorical("a", values=()),
        lambda: Categorical("a", values="FM"),  # type: ignore[arg-type]
        lambda: Categorical("a", values=(1, "a")),
        lambda: Categorical("a", values=(1, True)),
        lambda: Categorical("a", values=("a", "a")),
        lambda: Categorical("a", values=(1.5,)),  # type: ignore[arg-type]
        lambda: Categorical("a", values=("x",), dtype="integer"),
        lambda: Categorical("a", dtype="float"),  # type: ignore[arg-type]
        lambda: MultiCategorical("a", dtype="boolean"),
        lambda: Numeric("a", "float"),  # type: ignore[arg-type]
        lambda: Numeric("two words", filterable=True),
        lambda: Numeric("_id", filterable=True),
        lambda: Numeric("a", filterable="yes"),  # type: ignore[arg-type]
        lambda: Schema(items=(Text("a"), Numeric("a"))),
        lambda: Schema(items=("title",)),  # type: ignore[arg-type]
        lambda: Schema(items="title"),  # type: ignore[arg-type]
        lambda: Schema(users=(Numeric("age", filterable=True),)),
    ],
)
def test_a_schema_that_makes_no_sense_is_refused(make: Any) -> None:
    with pytest.raises(InvalidDataError):
        make()


def test_names_of_other_features_may_be_anything() -> None:
    assert Schema(items=(Text("_title"), Numeric("two words"))).filter_fields() == {}


def test_filter_fields_have_the_types_that_filters_compare_with() -> None:
    assert MOVIES.filter_fields() == {
        "genres": "strings",
        "studios": "integers",
        "year": "integer",
        "price": "number",
        "language": "string",
        "rated": "integer",
        "colour": "boolean",
    }


def test_attributes_are_the_filterable_values_that_are_there() -> None:
    item = Item(1, {"title": "x", "genres": ["a"], "year": None, "colour": False, "other": 1})
    assert MOVIES.attributes(item) == {"genres": ["a"], "colour": False}


def test_json_brings_the_schema_back() -> None:
    assert Schema.from_json(json.loads(json.dumps(MOVIES.to_json()))) == MOVIES


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        {},
        [],
        {"format": 3, "items": [], "users": []},
        {"format": 2, "items": [], "users": [], "filters": [{"kind": "text", "name": "a"}]},
        {"format": 1, "items": None, "users": []},
        {"format": 1, "items": [{"kind": "other", "name": "a"}], "users": []},
        {"format": 1, "items": [{"kind": "text", "name": "a", "more": 1}], "users": []},
        {"format": 1, "items": [{"kind": ["text"], "name": "a"}], "users": []},
        {"format": 1, "items": [{"kind": "numeric", "name": "a", "dtype": ["number"]}], "users": []},
        {"format": 1, "items": [{"kind": "categorical", "name": "a", "values": [[1]]}], "users": []},
    ],
)
def test_damaged_json_is_refused(damaged: Any) -> None:
    with pytest.raises(InvalidDataError):
        Schema.from_json(damaged)


def test_it_reads_well_and_escapes_names() -> None:
    schema = Schema(items=(Numeric("<b>"), Categorical("c", values=tuple("abcdefghij"))))
    assert "a, b, c, d, e, f, g, h, ... (10 in all)" in str(schema)
    assert "&lt;b&gt;" in schema._repr_html_()
    assert str(Schema()) == "Schema without features"


COLUMNS: dict[str, tuple[list[Any], Feature | None]] = {
    "id": ([1, 2, 3, 4], None),
    "kind": (["a", "b", "a", "b"], Categorical("kind", filterable=True)),
    "title": (["w", "x", "y", "x"], Text("title")),
    "plot": (["long" * 20] * 4, Text("plot")),
    "count": ([1, 2, None, 4], Numeric("count", "integer", filterable=True)),
    "price": ([1, 2.5, float("nan"), 4], Numeric("price", filterable=True)),
    "good": ([True, None, False, True], Categorical("good", dtype="boolean", filterable=True)),
    "tags": ([["a"], [], None, ["b", "c"]], MultiCategorical("tags", filterable=True)),
    "codes": ([[1], [], None, [2]], MultiCategorical("codes", dtype="integer", filterable=True)),
    "two words": ([1, 2, 3, 4], Numeric("two words", "integer")),
    "_hidden": ([1, 2, 3, 4], Numeric("_hidden", "integer")),
    "shares": ([[0.5], [], None, [2.5]], None),
    "empty": ([None] * 4, None),
    "mixed": ([1, "a", None, [2]], None),
    "object": ([{"a": 1}, None, {}, {"b": 2}], None),
}


def test_inference_follows_its_table() -> None:
    frame = {name: values for name, (values, _) in COLUMNS.items()}
    inferred = Schema.infer(frame, exclude=["id"])
    assert inferred.items == tuple(feature for _, feature in COLUMNS.values() if feature is not None)


def test_inferred_features_of_users_are_not_filterable() -> None:
    assert Schema.infer(users={"age": [1, 2]}).users == (Numeric("age", "integer"),)
    assert Schema.infer() == Schema()
