"""Frames of every make say the same, and those that cannot be read say why."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecrec.data import Columns, Dataset, Numeric, Schema
from vecrec.errors import InvalidDataError
from vecrec.records import Record
from vecrec.types import Event, Item, User

Table = dict[str, list[Any]]


def _arrow(table: Table) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in table.items()})


def _duckdb(table: Table) -> Any:
    arrow = _arrow(table)
    return duckdb.connect().from_arrow(arrow)


def _batches(table: Table) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(_arrow(table).schema, _arrow(table).to_batches(max_chunksize=2))


def _numpy(table: Table) -> dict[str, Any]:
    # Missing values and lists make an array of objects, as they do for anybody.
    return {name: np.array(values) if _is_plain(values) else _objects(values) for name, values in table.items()}


def _is_plain(values: list[Any]) -> bool:
    return len(set(map(type, values))) == 1 and not isinstance(values[0], list)


def _objects(values: list[Any]) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


MAKES: dict[str, Callable[[Table], Any]] = {
    "python": lambda table: table,
    "tuples": lambda table: {name: tuple(values) for name, values in table.items()},
    "numpy": _numpy,
    "pandas": pd.DataFrame,
    "pandas of Arrow": lambda table: _arrow(table).to_pandas(types_mapper=pd.ArrowDtype),
    "pandas by id": lambda table: pd.DataFrame(table).set_index(next(iter(table))),
    "polars": pl.DataFrame,
    "arrow": _arrow,
    "chunks": lambda table: pa.concat_tables([_arrow(table).slice(0, 1), _arrow(table).slice(1)]),
    "stream": _batches,
    "duckdb": _duckdb,
    "arrow arrays": lambda table: {name: pa.array(values) for name, values in table.items()},
    "series": lambda table: {name: pl.Series(values) for name, values in table.items()},
    "pandas series": lambda table: {name: pd.Series(values) for name, values in table.items()},
}

EVENTS: Table = {
    "user_id": ["v", "u", "v", "u"],
    "item_id": [3, 1, 1, 2],
    "time": [20.5, 30.0, 10.0, 30.0],
    "rating": [5.0, None, 4.5, 1.0],
}
ITEMS: Table = {
    "item_id": [2, 1, 9],
    "title": ["é", None, "<b>"],
    "genres": [["a", "b"], [], None],
    "price": [1.5, None, 2.0],
    "new": [True, False, None],
}


@pytest.fixture(params=MAKES)
def make(request: pytest.FixtureRequest) -> Callable[[Table], Any]:
    return MAKES[request.param]


def test_every_make_of_frame_gives_the_same_data_set(make: Callable[[Table], Any]) -> None:
    users: Table = {"user_id": ["u", "x"], "age": [30, 40]}
    data = Dataset(make(EVENTS), make(ITEMS), make(users), order="rows")
    assert data.digest == Dataset(EVENTS, ITEMS, users, order="rows").digest
    assert list(data.events()) == [
        Event("u", 1, 30.0), Event("u", 2, 30.0, 1.0), Event("v", 1, 10.0, 4.5), Event("v", 3, 20.5, 5.0),
    ]  # fmt: skip
    assert list(data.items()) == [
        Item(1, {"genres": [], "new": False}),
        Item(2, {"title": "é", "genres": ["a", "b"], "price": 1.5, "new": True}),
        Item(3),
        Item(9, {"title": "<b>", "price": 2.0}),
    ]
    assert list(data.users()) == [User("u", {"age": 30}), User("v"), User("x", {"age": 40})]


def test_a_parquet_file_is_read_by_its_path(tmp_path: Path) -> None:
    pq.write_table(_arrow(EVENTS), tmp_path / "events.parquet")
    expected = Dataset(EVENTS).digest
    assert Dataset(tmp_path / "events.parquet").digest == Dataset(str(tmp_path / "events.parquet")).digest == expected


IDS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20),
    st.lists(st.text(max_size=20), min_size=1, max_size=20),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=IDS, seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("name", ["python", "pandas", "polars", "arrow", "numpy", "duckdb"])
def test_any_ids_come_back_with_their_types(name: str, ids: list[Any], seed: int) -> None:
    # NumPy drops NULs at the end of text, and DuckDB stops at them: theirs to lose, before vecrec sees them.
    if name in ("numpy", "duckdb") and any(isinstance(value, str) and "\0" in value for value in ids):
        return
    users = np.random.default_rng(seed).integers(0, 3, len(ids)).tolist()
    data = Dataset(MAKES[name]({"user_id": users, "item_id": ids}), order="rows")
    assert data.item_ids == sorted(set(ids))
    assert [type(value) for value in data.item_ids] == [type(ids[0])] * data.n_items
    expected = [item for user in sorted(set(users)) for u, item in zip(users, ids) if u == user]
    assert [event.item_id for event in data.events()] == expected


def test_mixed_ids_stay_apart_and_integers_come_first() -> None:
    data = Dataset({"user_id": [1, "1", 1], "item_id": pd.Series(["b", 2, 1], dtype=object)})
    assert (data.user_ids, data.item_ids) == ([1, "1"], [1, 2, "b"])
    assert Dataset(pd.DataFrame({"user_id": [1, "1"], "item_id": [1, 2]})).user_ids == [1, "1"]


BAD_IDS: list[tuple[Any, str]] = [
    ([1, None], "missing|None"),
    ([1, True], "True"),
    ([True, False], "bool"),
    ([1.0, 2.0], "float"),
    ([1, 2.0], "2.0"),
    ([b"a", b"b"], "bytes|binary"),
    ([1, 2**63], "64 bits"),
    (["a", "x" * 600], "512"),
    (["a", "\ud800"], "surrogates"),
    ([(1,), (2,)], "tuple"),
    (np.array([1.0, np.nan]), "missing"),
    (np.array([1, 2], "uint64") * np.uint64(2**62) * np.uint64(2), "64 bits|double"),
    (np.array([True, False]), "bool"),
    (np.array([[1], [2]]), "shape"),
    (np.array(["2020-01-01"] * 2, "datetime64[s]"), "timestamp"),
    (pd.Series([1, None]), r"pandas.*astype\('int64'\)"),
    (pd.Series(["a", None]), "missing"),
    (pd.Series([1, None], dtype="Int64"), "missing"),
    (pl.Series([1, None]), "row 1"),
    (pa.array([1, None]), "row 1"),
    (pa.array([Decimal("1.5"), Decimal(2)]), "float"),
    ("ab", "'ab'"),
    (5, "5"),
    (None, "None"),
]


@pytest.mark.parametrize(("ids", "said"), BAD_IDS)
@pytest.mark.parametrize("side", ["item_id", "user_id"])
def test_ids_that_are_none_are_refused(ids: Any, said: str, side: str) -> None:
    other = "user_id" if side == "item_id" else "item_id"
    with pytest.raises(InvalidDataError, match=said) as caught:
        Dataset({side: ids, other: [1, 2]})
    assert side in str(caught.value)


BAD_TIMES: list[tuple[Any, str]] = [
    ([1.0, None], "row 1"),
    ([1.0, math.nan], "row 1"),
    ([math.inf, 1.0], "inf in row 0"),
    (["2020-01-01", "01/02/2020"], "row 1 is '01/02/2020'.*ISO"),
    ([1.7e9, 1.7e12], "row 0.*row 1.*one unit"),
    ([1e30, 1e30], "one unit"),
    ([True, False], "bool"),
    ([1, "a"], "row 1 is 'a'"),
    ([1, [2]], "row 1 .*list"),
    (pd.Series([pd.Timestamp("2020-01-01"), pd.NaT]), "row 1"),
    (pl.Series([1.0, math.nan]), "nan in row 1"),
]


@pytest.mark.parametrize(("times", "said"), BAD_TIMES)
def test_times_that_are_none_are_refused(times: Any, said: str) -> None:
    with pytest.raises(InvalidDataError, match=said) as caught:
        Dataset({"user_id": [1, 2], "item_id": [1, 2], "time": times})
    assert "'time'" in str(caught.value)


NEW_YEAR = datetime(2020, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "times",
    [
        [NEW_YEAR],
        [NEW_YEAR.replace(tzinfo=None)],
        [date(2020, 1, 1)],
        np.array(["2020-01-01"], "datetime64[D]"),
        np.array(["2020-01-01"], "datetime64[ns]"),
        pd.Series(pd.to_datetime(["2020-01-01T01:00+01:00"])),
        pl.Series([NEW_YEAR]).dt.cast_time_unit("ms"),
        pa.array([NEW_YEAR], pa.timestamp("s", "Europe/Berlin")),
        [1577836800],
        [1577836800000],
        [1577836800000000],
        np.array([1577836800000000000]),
        [20200101],
        [20200101.0],
        ["20200101"],
        [20200101000000],
        ["2020-01-01"],
        ["2020-01-01T00:00:00Z"],
        ["2020-01-01T01:00:00+01:00"],
        ["2020-01-01 00:00:00.000"],
        ["1577836800"],
        [np.datetime64("2020-01-01")],
        [pd.Timestamp("2020-01-01T01:00+01:00")],
        [pd.Period("2020-01", "M")],
        [Decimal(1577836800)],
        pd.Series(pd.period_range("2020-01", periods=1, freq="M")),
        pd.Series(["2020-01-01T00:00:00Z"]),
        pl.Series(["2020-01-01"]),
        pl.Series([1577836800000]),
    ],
)
def test_timestamps_become_seconds(times: Any) -> None:
    assert Dataset({"user_id": [1], "item_id": [1], "time": times}).times == [1577836800.0]
    if isinstance(times, list):
        one: Any = "20200101" if times[0] == 20200101 else times[0]  # alone, the number may be seconds
        assert Event(1, 1, one).time == 1577836800.0


@pytest.mark.parametrize("ratings", [["good"], [math.inf], [1e300], [True], [[1]]])
def test_ratings_that_are_none_are_refused(ratings: Any) -> None:
    with pytest.raises(InvalidDataError, match="'rating'"):
        Dataset({"user_id": [1], "item_id": [1], "rating": ratings})


def test_a_rating_that_nobody_gave_is_none() -> None:
    assert Dataset({"user_id": [1], "item_id": [1], "rating": [None]}).ratings is None
    assert Dataset({"user_id": [1], "item_id": [1], "rating": [math.nan]}).ratings is None


def test_text_that_is_no_unicode_is_refused() -> None:
    text = pa.array([b"\xff\xfe"]).view(pa.string())
    with pytest.raises(InvalidDataError, match="'title' of items"):
        Dataset(EVENTS, pa.table({"item_id": [1], "title": text}))


class Broken:
    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise TypeError("no stream today")


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (
            {"who": [1], "item_id": [1]},
            r"of the user id \('user_id'\); there are 'who', 'item_id': use Columns",
        ),
        ({"user_id": [1]}, "no column of the item id"),
        ({"a": [1], "b": [2]}, r"the user id \('user_id'\) and the item id \('item_id'\).*user=\.\.\., item=\.\.\."),
        ({"user_id": [1], "isbn": [2], "ean": [3]}, "several columns that may be the item id: 'isbn', 'ean'"),
        ({"user_id": [1, 2], "item_id": [1]}, r"differ in length: \{'user_id': 2, 'item_id': 1\}"),
        ({}, "no columns"),
        (pd.DataFrame(), "no columns"),
        ({1: [1]}, "column named 1"),
        (None, "NoneType"),
        (5, "int"),
        ([1, 2], "list"),
        ([Event(1, 1), Item(1)], "list"),
        ([{"user_id": 1, "item_id": 1}, 5], "list"),
        ("missing.parquet", "missing.parquet"),
        (pd.DataFrame([[1, 2]], columns=["user_id", "user_id"]), "several columns named 'user_id'"),
        (pa.table([pa.array([1]), pa.array([2])], names=["user_id", "user_id"]), "several columns"),
        (pa.array([1, 2]), "table"),
        (Broken(), "no stream today"),
        ({"user_id": object(), "item_id": [1]}, "'user_id'"),
    ],
)
def test_frames_that_cannot_be_read_say_why(frame: Any, said: str) -> None:
    with pytest.raises(InvalidDataError, match=said):
        Dataset(frame)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(InvalidDataError, match="Parquet"):
        Dataset(tmp_path / "x.parquet")


BAD_ITEMS: list[tuple[Any, str]] = [
    ({"item_id": [1, 1], "a": [1, 2]}, "2 rows for 1 ids, 1 more than once"),
    ({"item_id": [1], "a": [b"x"]}, r"item 1\['a'\]"),
    ({"item_id": [1], "a": [math.inf]}, "inf"),
    ({"item_id": [1], "a": [{1, 2}]}, "set"),
    ({"item_id": [1], "a": [{"b": math.nan}]}, r"\['a'\]\['b'\]"),
    ({"item_id": [1], "a": ["\ud800"]}, "surrogates"),
    ({"item_id": [1], "a": [2**64]}, "64 bits"),
    ({"item_id": [1, None], "a": [1, 2]}, "item id None"),
    ({"a": [1]}, "items have no column of the item id"),
    ([Item(1, {"item_id": 2})], "'item_id'"),
    ([Item(1), Item(1)], "more than once"),
    ([Item(None)], "item id None"),
]


@pytest.mark.parametrize(("items", "said"), BAD_ITEMS)
def test_items_that_cannot_be_records_are_refused(items: Any, said: str) -> None:
    with pytest.raises(InvalidDataError, match=said):
        Dataset({"user_id": [1], "item_id": [1]}, items)


def test_a_value_outside_the_schema_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="'year' of item 7 is 'late'"):
        Dataset(EVENTS, {"item_id": [7], "year": ["late"]}, schema=Schema((Numeric("year"),)))
    with pytest.raises(InvalidDataError, match="give a Schema"):
        Dataset(EVENTS, schema={"year": "number"})  # type: ignore[arg-type]


def test_integers_that_pandas_made_floats_become_integers_where_the_schema_says_so() -> None:
    items = pd.DataFrame({"item_id": [1, 2], "year": [1990, None], "price": [2, None]})
    schema = Schema((Numeric("year", "integer"), Numeric("price")))
    data = Dataset(EVENTS, items, schema=schema)
    assert repr(data.item_features("year")) == "[1990, None, None]"
    assert repr(data.item_features("price")) == "[2.0, None, None]"


def test_a_half_year_is_no_integer() -> None:
    with pytest.raises(InvalidDataError, match=r"1990\.5"):
        Dataset(EVENTS, {"item_id": [1], "year": [1990.5]}, schema=Schema((Numeric("year", "integer"),)))


def test_what_is_no_json_is_turned_into_it_where_that_is_plain() -> None:
    frame = pl.DataFrame(
        {
            "item_id": [1],
            "day": [date(2020, 1, 2)],
            "price": [Decimal("1.50")],
            "colour": pl.Series(["red"], dtype=pl.Categorical),
            "parts": [{"x": 1, "y": None}],
        }
    )
    expected: Record = {"day": "2020-01-02", "price": 1.5, "colour": "red", "parts": {"x": 1, "y": None}}
    assert Dataset(EVENTS, frame).item(0) == Item(1, expected)


def test_objects_in_plain_columns_stay_as_they_are() -> None:
    values = [{"a": 1}, {"b": [1, "x"]}, 5, "text"]
    items = {"item_id": [1, 2, 3, 4], "extra": values}
    assert Dataset(EVENTS, items).item_features("extra") == values
    assert Dataset(EVENTS, pd.DataFrame(items)).item_features("extra") == values


def test_columns_can_have_other_names_but_must_be_there_then() -> None:
    table = {"who": [1, 1], "what": [5, 6], "ts": [2, 1], "stars": [3, 4]}
    data = Dataset(table, columns=Columns("who", "what", "ts", "stars"))
    assert list(data.events()) == [Event(1, 6, 1.0, 4.0), Event(1, 5, 2.0, 3.0)]
    assert data.warnings == []
    with pytest.raises(InvalidDataError, match="no column of the time \\('when'\\)"):
        Dataset(table, columns=Columns("who", "what", "when"))
    with pytest.raises(InvalidDataError, match="different"):
        Columns("a", "a")
    with pytest.raises(InvalidDataError, match="column of user is 5"):
        Columns(user=5)  # type: ignore[arg-type]


def test_the_callers_arrays_are_neither_kept_nor_changed() -> None:
    users, items, times = np.array([2, 1]), np.array([1, 2]), np.array([1.0, 2.0])
    data = Dataset({"user_id": users, "item_id": items, "time": times})
    before = data.digest
    times[:] = 7.0
    users[:] = 9
    assert data.times is not None
    assert data.times.tolist() == [2.0, 1.0]
    assert Dataset({"user_id": [2, 1], "item_id": [1, 2], "time": [1.0, 2.0]}).digest == before
