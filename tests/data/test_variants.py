"""Variants of columns, ids and files: each is read right, or refused with an `InvalidDataError`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vecrec.data import Dataset
from vecrec.doctor import diagnose_data
from vecrec.errors import InvalidDataError
from vecrec.types import Event

JANUARY = 1704067200.0


def _log(**columns: Any) -> Dataset:
    return Dataset({"user_id": [1, 1], "item_id": [1, 2], **columns})


@pytest.mark.parametrize(
    "times",
    [
        ["2024-01-01 00:00:00 UTC", "2024-01-01 00:01:00 UTC"],
        ["202401010000", "202401010001"],
        [202401010000, 202401010001],
        ["1704067200", "1704067260"],
        ["1704067200000", "1704067260000"],
        pa.array(["1704067200000", "1704067260000"]),
    ],
)
def test_times_of_more_forms_are_read(times: Any) -> None:
    assert _log(time=times).times == pytest.approx([JANUARY, JANUARY + 60])


def test_categories_of_periods_are_their_starts() -> None:
    months = pd.Series(pd.period_range("2024-01", periods=2, freq="M")).astype("category")
    assert _log(time=months).times == pytest.approx([JANUARY, JANUARY + 31 * 86_400])
    items = pd.DataFrame({"item_id": [1, 2], "x": months})
    assert Dataset({"user_id": [1], "item_id": [1]}, items).item_features("x")[0] == "2024-01-01T00:00:00"


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["1704067200", "1704067200000"], "one unit"),
        (pl.Series([1, 2], dtype=pl.Int128), "cannot be read"),
        (["01/02/2024", "02/02/2024"], "ISO"),
    ],
)
def test_times_that_are_not_certain_are_refused(times: Any, said: str) -> None:
    with pytest.raises(InvalidDataError, match=said):
        _log(time=times)


def test_digits_that_may_be_a_date_or_milliseconds_are_refused_alone() -> None:
    with pytest.raises(InvalidDataError, match="may be a date or a number of milliseconds"):
        Event(1, 1, 202401011230)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([Decimal(7), Decimal(8)], pa.decimal128(38, 0)), [7, 8]),
        (pd.Series([3, "a"], dtype="category"), [3, "a"]),
    ],
)
def test_ids_of_more_types_are_read(ids: Any, expected: list[Any]) -> None:
    assert Dataset({"user_id": ids, "item_id": [1, 2]}).user_ids == expected


def test_whole_decimals_beyond_64_bits_and_wide_integers_are_refused_as_ids() -> None:
    for ids in (pa.array([Decimal(98765432109876543210)] * 2), pl.Series([1, 2], dtype=pl.Int128)):
        with pytest.raises(InvalidDataError, match="text"):
            Dataset({"user_id": ids, "item_id": [1, 2]})


def test_an_empty_column_has_no_wrong_type() -> None:
    assert Dataset({"user_id": np.array([]), "item_id": np.array([])}).n_events == 0


@pytest.mark.parametrize(
    ("log", "items"),
    [
        ([1, 2, 3], ["1", "2", 3]),
        (["1.0"], ["1"]),
        ([1], ["1.0"]),
        (["\u00e9"], ["e\u0301"]),
        (["978-3-16"], ["978316"]),
        (["a\u200b"], ["a"]),
    ],
)
def test_sides_of_which_more_ids_differ_in_form_than_join_are_refused(log: list[Any], items: list[Any]) -> None:
    with pytest.raises(InvalidDataError, match="differ in nothing but"):
        Dataset({"user_id": [1] * len(log), "item_id": log}, {"item_id": items, "x": [1] * len(items)})


def test_a_few_ids_that_differ_in_case_are_two_items() -> None:
    data = Dataset({"user_id": [1] * 3, "item_id": ["a", "A", "b"]}, {"item_id": ["a", "b"], "x": [1, 2]})
    assert data.n_items == 3


@pytest.mark.parametrize(
    ("users", "said"),
    [
        (["1", "nan"], "missing values: 'nan'"),
        (["", "1"], "missing values: ''"),
        (["NULL", "a"], "missing values: 'NULL'"),
        (["1.0", "2.0"], "became floats"),
    ],
)
def test_ids_that_are_missing_values_or_floats_as_text_are_noticed(users: list[str], said: str) -> None:
    data = Dataset({"user_id": users, "item_id": [1, 2]})
    assert any(said in each.problem for each in data.warnings)
    assert any(said in each.problem and each.severity == "error" for each in diagnose_data(data))


def test_each_value_for_not_rated_is_noticed() -> None:
    said = [each.problem for each in _log_of_ratings([0, 0, -1, -1, 5, 5]).warnings]
    assert [text[:3] for text in said if "dislikes" in text] == ["33%", "33%"]


def _log_of_ratings(ratings: list[float]) -> Dataset:
    places = list(range(len(ratings)))
    return Dataset({"user_id": [1] * len(ratings), "item_id": places, "time": places, "rating": ratings})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([Decimal("sNaN"), Decimal("1.5")], [None, 1.5]),
        ([Decimal(3), Decimal(4)], [3, 4]),
        ([{"a": Decimal("2.5")}, [Decimal("1.5")]], [{"a": 2.5}, [1.5]]),
        ([pd.NA, 1], [None, 1]),
        ([["a", pd.NA], ["b"]], [["a"], ["b"]]),
        ([np.array(["a", None], object), np.array(["b"])], [["a"], ["b"]]),
        ([np.array([1.0, np.nan]), np.array([2.0])], [[1.0], [2.0]]),
        ([np.datetime64("2024-01-01"), np.datetime64("NaT")], ["2024-01-01", None]),
        (pa.array([{"a": Decimal("1.5")}, None]), [{"a": 1.5}, None]),
        (pd.Series(["a", 1], dtype="category"), ["a", 1]),
    ],
)
def test_values_of_records_are_read(values: Any, expected: list[Any]) -> None:
    data = Dataset({"user_id": [1], "item_id": [1]}, {"item_id": [1, 2], "x": values})
    assert data.item_features("x") == expected


def test_a_date_that_python_cannot_hold_is_refused() -> None:
    values = pa.array([253_402_300_800, None], pa.timestamp("s"))
    with pytest.raises(InvalidDataError, match="'x' of items"):
        Dataset({"user_id": [1], "item_id": [1]}, {"item_id": [1, 2], "x": values})


# -- files


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("zip", ["00123", "01234"], ["00123", "01234"]),
        ("ean", ["98765432109876543210", "98765432109876543211"], ["98765432109876543210", "98765432109876543211"]),
        ("zip", ["00123", ""], ["00123", None]),
        ("year", ["1990", ""], [1990, None]),
        ("price", ["0.5", "0"], [0.5, 0.0]),
    ],
)
def test_features_of_a_csv_file_keep_their_digits(
    column: str, values: list[str], expected: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"item_id,{column},title\n" + "".join(f"{n},{v},t\n" for n, v in enumerate(values)))
    assert Dataset({"user_id": [1], "item_id": [1]}, path).item_features(column) == expected


def test_codes_of_kinds_in_a_csv_file_are_text(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,kind\n1,1,1\n1,2,2\n")
    assert Dataset(tmp_path / "log.csv").kind_names == ("1", "2")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("log.csv", b"user_id;item_id\n1;2\n", "separated by ';'"),
        ("log.csv", b"user_id\titem_id\n1\t2\n", "separated by"),
        ("log.tsv", b"user_id,item_id\n1,2\n", "separated by ','"),
        ("log.csv", "user_id,item_id,Caf\u00e9\n1,2,3\n".encode("latin-1"), "UTF-8"),
    ],
)
def test_files_of_another_form_say_so(name: str, text: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(InvalidDataError, match=said):
        Dataset(tmp_path / name)


@pytest.mark.parametrize("path", ["no.csv", "no.jsonl", "no.parquet", "a\0.csv", "a\udc80.csv", "a" * 5000 + ".csv"])
def test_a_missing_file_says_so(path: str) -> None:
    with pytest.raises(InvalidDataError, match="no file"):
        Dataset(path)


def _directory(path: Path, *tables: dict[str, Any]) -> Path:
    path.mkdir()
    for at, table in enumerate(tables):
        pq.write_table(pa.table(table), path / f"{at}.parquet")
    return path


def test_columns_of_any_file_of_a_directory_count(tmp_path: Path) -> None:
    first: dict[str, Any] = {"user_id": pa.array([1], pa.int32()), "item_id": ["a"], "time": [5]}
    second = {"user_id": [2**40], "item_id": ["b"], "time": [1.5], "kind": ["view"]}
    data = Dataset(_directory(tmp_path / "log", first, second))
    assert list(data.events()) == [Event(1, "a", 5.0), Event(2**40, "b", 1.5, kind="view")]


def test_files_of_a_directory_must_go_together(tmp_path: Path) -> None:
    tables: list[dict[str, Any]] = [{"user_id": [1], "item_id": ["a"]}, {"user_id": ["x"], "item_id": ["a"]}]
    with pytest.raises(InvalidDataError, match="do not go together"):
        Dataset(_directory(tmp_path / "log", *tables))


def test_ids_in_the_names_of_directories_are_refused(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    _directory(tmp_path / "log" / "user_id=007", {"item_id": ["a"]})
    with pytest.raises(InvalidDataError, match="no types"):
        Dataset(tmp_path / "log")
