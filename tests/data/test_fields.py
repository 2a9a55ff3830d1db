"""Fields: for filters alone, dates, and vectors of one's own, from the frame to the feature."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest

from vecrec import Item, User, field
from vecrec.data import Categorical, Dataset, Date, Embedding, Numeric, Schema, Text
from vecrec.errors import InvalidDataError
from vecrec.filters import check_filter
from vecrec.learning.preprocessor import FeatureSpace
from vecrec.learning.tokens import references, tokens

SCHEMA = Schema(
    items=(
        Text("title"),
        Date("released", filterable=True),
        Embedding("picture", 3),
        Numeric("price", filterable=True),
    ),
    users=(Date("born"), Embedding("taste", 2)),
)


def test_a_schema_is_read_as_it_was_written() -> None:
    """Fields for filters alone take a later format, which an older version refuses instead of losing them."""
    only = SCHEMA.with_filter_only(["price"])
    for schema, version in ((SCHEMA, 1), (only, 2)):
        assert schema.to_json()["format"] == version
        assert Schema.from_json(schema.to_json()) == schema
    assert [f.name for f in only.items] == ["title", "released", "picture"]
    assert only.filters == (Numeric("price", filterable=True),)
    assert SCHEMA.filter_fields() == only.filter_fields() == {"released": "time", "price": "number"}
    assert only.with_filter_only("price") is only
    assert "filter" in str(only)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schema(filters=(Text("title"),)), "title"),
        (lambda: Schema(filters=(Embedding("picture", 3),)), "picture"),
        (lambda: Schema((Numeric("price"),), filters=(Numeric("price"),)), "twice"),
        (lambda: SCHEMA.with_filter_only(["prise"]), "prise"),
        (lambda: SCHEMA.with_filter_only(["title"]), "title"),
        (lambda: Embedding("picture", 1), "dim"),
        (lambda: Schema(users=(Date("born", filterable=True),)), "born"),
    ],
)
def test_a_schema_that_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        make()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("released", "yesterday"), ("released", True), ("released", 20200101), ("released", [1]),
        ("picture", [1.0, 2.0]), ("picture", [1, 2, True]), ("picture", "abc"), ("picture", [1, 2, None]),
        ("price", "dear"),
    ],
)  # fmt: skip
def test_a_value_that_a_field_cannot_hold_is_refused(name: str, value: Any) -> None:
    """Whether the field is a feature or for filters alone; as missing it does no harm."""
    for schema in (SCHEMA, SCHEMA.with_filter_only(["price"])):
        item = Item(1, {name: value, "title": "x"})
        with pytest.raises(InvalidDataError, match=name):
            schema.check_item(item)
        assert schema.drop_invalid_features(item).features == {"title": "x"}


def test_what_the_columns_suggest() -> None:
    """Dates by their type or as ISO text, vectors by one length; booleans; a filter of a name."""
    rows = {
        "item_id": [1, 2, 3],
        "day": [dt.date(2020, 1, 1), None, dt.date(2021, 5, 5)],
        "moment": ["2020-01-01T10:00:00Z", "2020-01-01 10:00", "2020-02-30"],
        "text": ["2020-01-01T10:00:00Z", "2020-01-01 10:00", "2020-02-28"],
        "picture": [[0.5, 1.0], [1.5, 2.0], None],
        "uneven": [[0.5, 1.0], [1.5], None],
        "sale": [True, False, None],
        "price": [1.5, 2.5, 3.5],
    }
    found = Schema.infer(rows, exclude=["item_id"], filter_only=["price"])
    kinds = {feature.name: feature for feature in found.items}
    assert kinds.pop("moment").kind in ("text", "categorical"), "there is no 30th of February"
    assert kinds == {
        "day": Date("day", filterable=True),
        "text": Date("text", filterable=True),
        "picture": Embedding("picture", 2),
        "sale": Categorical("sale", dtype="boolean", filterable=True),
    }
    data = Dataset({"user_id": [1], "item_id": [1]}, rows, filter_only=["price"], schema=None)
    assert [f.name for f in data.schema.filters] == ["price"]
    assert data.item(0).features["day"] == "2020-01-01"


@pytest.mark.parametrize(
    ("where", "hits"),
    [
        (field("released") >= dt.date(2020, 1, 1), {1, 2}),
        (field("released") == "2020-01-01", {1}),
        (field("released") > dt.datetime(2020, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))), {1, 2}),
        (field("released") < np.datetime64("2020-01-01"), {3}),
        (field("released").between(dt.date(2019, 1, 1), dt.datetime(2020, 1, 1, 12, tzinfo=dt.timezone.utc)), {1, 3}),
        (field("released").is_in([dt.date(2019, 6, 1), "2020-06-01T12:00:00Z"]), {2, 3}),
        (~(field("released") >= 1577836800.0), {3, 4}),
        ((field("released") != "2020-01-01") & (field("price") > 1), {2, 3}),
    ],
    ids=str,
)
def test_times_are_compared_as_times(where: Any, hits: set[int]) -> None:
    """By dates, datetimes, texts and numbers; without a zone in UTC."""
    days = {1: "2020-01-01", 2: "2020-06-01T14:00:00+02:00", 3: "2019-06-01", 4: None}
    items = [Item(key, {"released": day, "price": key}) for key, day in days.items()]
    plain = check_filter(where, SCHEMA.filter_fields())
    assert plain is not None
    assert {item.id for item in items if plain.matches(SCHEMA.attributes(item))} == hits


@pytest.mark.parametrize("value", ["soon", True, 20200101])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(InvalidDataError, match="released"):
        check_filter(field("released") == value, SCHEMA.filter_fields())


VECTORS: list[list[Any]] = [[1, 5, 1], [2, 10, 2], [9, 1, -9]]
RECORDS: list[dict[str, Any]] = [
    {"released": f"20{n:02d}-0{1 + n % 9}-01", "picture": [n, 1.0, -n], "title": "a b"} for n in range(1, 30)
]  # fmt: skip


def test_near_times_and_vectors_have_near_columns() -> None:
    """Age by nearness, season by month, pictures by direction; the space is the same after it was saved."""
    space = FeatureSpace.learn(SCHEMA.items, RECORDS)
    again = FeatureSpace.from_json(space.to_json(), SCHEMA.items)
    for each in (space, again):
        dense = each.rows([{"released": day} for day in ("2010-03-01", "2011-03-01", "2025-03-01", "2025-08-01")])
        rows = dense.times(np.eye(each.size, dtype=np.float32))
        near, far, other = rows[0] @ rows[1], rows[0] @ rows[2], rows[0] @ rows[3]
        assert near > far > other
        turned = each.rows([{"picture": v} for v in VECTORS])
        rows = turned.times(np.eye(each.size, dtype=np.float32))
        np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
        assert rows[0] @ rows[1] > rows[0] @ rows[2] + 1
    assert space.to_json() == again.to_json()


def test_tokens_of_times_and_vectors() -> None:
    """Those of an embedding have a length of 1, and are those of the direction alone."""
    fields = SCHEMA.items
    known = references("item", fields, lambda name: [record.get(name) for record in RECORDS])
    one = dict(tokens("item", fields, {"picture": [3, 4, 0]}, known))
    two = dict(tokens("item", fields, {"picture": [6, 8, 0]}, known))
    assert one == pytest.approx(two)
    assert sum(weight**2 for weight in one.values()) == pytest.approx(1)
    assert "item released month 7" in dict(tokens("item", fields, {"released": "2016-07-01"}, known))
    assert list(tokens("user", SCHEMA.users, User(1).features, {})) == []
