"""Recommendations as tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from vecrec.errors import InvalidDataError
from vecrec.recommendations import Recommendation, Recommendations


def _list(*rows: tuple[Any, dict[str, Any]], **more: Any) -> Recommendations:
    items = tuple(Recommendation(rank, item, 1 / rank, record) for rank, (item, record) in enumerate(rows, 1))
    return Recommendations(items, more.pop("user_id", 42), "r1", "vectors", "q", **more)


def test_each_field_is_a_column() -> None:
    table = _list((1, {"title": "a", "genres": ["x"]}), (2, {"year": 1990, "genres": []})).to_arrow()
    assert table.to_pydict() == {
        "rank": [1, 2],
        "item_id": [1, 2],
        "score": [1.0, 0.5],
        "title": ["a", None],
        "genres": [["x"], []],
        "year": [None, 1990],
    }
    assert table.schema.field("year").type == pa.int64()


def test_ids_come_in_the_order_of_the_list() -> None:
    assert _list((3, {}), ("a", {}), (1, {})).item_ids == [3, "a", 1]
    assert _list().item_ids == []


def test_a_field_is_read_as_a_value_of_a_type() -> None:
    """A whole number is a float too; `True` is not a number, and what is not there is told."""
    (film,) = _list((7, {"title": "a", "year": 1990, "new": True, "genres": ["x"]}))
    assert film.value("year", int) + 1 == 1991
    assert (film.value("year", float), film.value("title", str).upper()) == (1990.0, "A")
    assert (film.value("new", bool), film.value("genres", list)) == (True, ["x"])
    for name, kind in (("new", int), ("title", int), ("price", float), ("year", str)):
        with pytest.raises(InvalidDataError, match=f"'{name}' of item 7 is"):
            film.value(name, kind)


def test_mixed_ids_become_text() -> None:
    assert _list((1, {}), ("a", {})).to_arrow()["item_id"].to_pylist() == ["1", "a"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5], [1.0, 2.5]),
        ([1, "a"], ["1", "a"]),
        ([True, 1], ["true", "1"]),
        ([["a"], "a"], ['["a"]', "a"]),
        ([["a"], [1]], ['["a"]', "[1]"]),
        ([["a", 1], []], ['["a", 1]', "[]"]),
        ([{"a": 1}, {"b": "é"}], ['{"a":1}', '{"b":"é"}']),
        ([[{"a": 1}], [{"b": 2}]], ['[{"a": 1}]', '[{"b": 2}]']),
        ([[], []], [[], []]),
        ([None, None], [None, None]),
        ([True, None], [True, None]),
    ],
)
def test_fields_of_several_types_become_text(values: list[Any], expected: list[Any]) -> None:
    table = _list(*((at, {"field": value}) for at, value in enumerate(values))).to_arrow()
    assert table["field"].to_pylist() == expected


def test_fields_called_like_our_columns_keep_apart() -> None:
    table = _list((1, {"rank": "first", "score": 9})).to_arrow()
    assert table.column_names == ["rank", "item_id", "score", "record.rank", "record.score"]
    assert table["rank"].to_pylist() == [1]


def test_an_empty_list_has_its_columns_and_pandas_gets_the_same() -> None:
    assert _list().to_arrow().column_names == ["rank", "item_id", "score"]
    assert _list((1, {"a": "x"})).to_pandas()["a"].tolist() == ["x"]


def test_the_notebook_view_is_escaped_and_complete() -> None:
    shown = _list(
        (1, {"title": "<script>", "genres": ["<a>", "b"], "plot": "word " * 100}),
        ("<i>", {"<th>": None, "more": {"a": "<"}}),
        user_id="<u>",
        shortfall="only 2 <match>",
        missing=("<m>",),
        notes=("<note>",),
    )._repr_html_()
    for raw in ("<script>", "<a>", "<i>", "<th><td", "<th><th", "<u>", "<match>", "<m>", "<note>"):
        assert raw not in shown
    for part in ("&lt;script&gt;", "&lt;a&gt;, b", "&lt;note&gt;", "left out", "…", "1.0000", "release r1"):
        assert part in shown


def test_a_visitors_list_names_nobody() -> None:
    assert "1 recommendation, served by vectors" in _list((1, {}), user_id=None)._repr_html_()
