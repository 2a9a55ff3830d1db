"""Logs with the shapes of public data are read right, in memory and from files of every format."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.data.shapes import SHAPES, Shape, Table, books, listening, retail, shop
from vecrec import FeedbackPolicy
from vecrec.data import Columns, Dataset, files
from vecrec.errors import InvalidDataError


def _rows(table: Table) -> list[dict[str, Any]]:
    columns = [np.asarray(values).tolist() for values in table.values()]
    return [dict(zip(table, row)) for row in zip(*columns)]


def _csv(table: Table, path: Path, delimiter: str = ",") -> Path:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(_rows(table))
    return path


def _json(table: Table, path: Path) -> Path:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in _rows(table))
    return path


def _parquet(table: Table, path: Path) -> Path:
    pq.write_table(pa.table(table), path, row_group_size=100)
    return path


def _directory(table: Table, path: Path) -> Path:
    path.mkdir()
    whole = pa.table(table)
    for part in range(3):
        start = part * len(whole) // 3
        pq.write_table(whole.slice(start, (part + 1) * len(whole) // 3 - start), path / f"{part}.parquet")
    return path


FILES: dict[str, Callable[[Table, Path], Path]] = {
    "csv": lambda table, path: _csv(table, path.with_suffix(".csv")),
    "tsv": lambda table, path: _csv(table, path.with_suffix(".tsv"), "\t"),
    "csv.gz": lambda table, path: _csv(table, path.with_suffix(".csv.gz")),
    "jsonl": lambda table, path: _json(table, path.with_suffix(".jsonl")),
    "jsonl.gz": lambda table, path: _json(table, path.with_suffix(".jsonl.gz")),
    "parquet": lambda table, path: _parquet(table, path.with_suffix(".parquet")),
    "directory": _directory,
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[request.param]()


def test_a_shape_is_read_right_without_a_word_about_its_columns(shape: Shape) -> None:
    data = Dataset(shape.log, shape.items)
    assert (data.order, data.kind_names) == (shape.order, shape.kinds)
    assert data.n_events == len(next(iter(shape.log.values())))
    assert (None if data.times is None else data.times.min()) == shape.first_second
    assert {type(value) for value in data.item_ids} == {shape.id_type}
    if shape.items is not None:
        assert None not in data.item_records
    assert any("taken as the item id" in str(each) for each in data.notices)


@pytest.mark.parametrize("form", FILES)
def test_a_shape_is_the_same_from_files(shape: Shape, form: str, tmp_path: Path) -> None:
    log = FILES[form](shape.log, tmp_path / "log")
    items = None if shape.items is None else FILES[form](shape.items, tmp_path / "items")
    assert Dataset(log, items).digest == Dataset(shape.log, shape.items).digest
    assert Dataset(str(log), items, ids="text").item_ids == [str(key) for key in sorted(Dataset(log).item_ids, key=str)]


def _as_dataclass(table: Table) -> Callable[[dict[str, Any]], Any]:
    kind = make_dataclass("Row", list(table))
    return lambda row: kind(**row)


ROWS: dict[str, Callable[[Table], Any]] = {
    "dicts": _rows,
    "generator": lambda table: (row for row in _rows(table)),
    "dataclasses": lambda table: list(map(_as_dataclass(table), _rows(table))),
    "lazy frame": lambda table: pl.DataFrame(_rows(table)).lazy(),
    "dataset": lambda table: ds.dataset(pa.table(table)),
    "relation": lambda table: duckdb.from_arrow(pa.table(table)),
}


@pytest.mark.parametrize("make", ROWS.values(), ids=ROWS)
def test_rows_and_lazy_tables_are_read(make: Callable[[Table], Any]) -> None:
    assert Dataset(make(shop().log), make(shop().items or {})).digest == Dataset(shop().log, shop().items).digest


def test_a_relation_may_have_any_names() -> None:
    names = Columns(user='the "user", or not', item="item's id")
    table = {str(names.user): [1, 2], str(names.item): [3, 4], "unused": ["a", "b"]}
    assert Dataset(duckdb.from_arrow(pa.table(table)), columns=names).item_ids == [3, 4]


# -- what kinds and ratings mean


def test_impressions_and_returns_are_no_popularity() -> None:
    log = retail().log
    data = Dataset(log, feedback=FeedbackPolicy(weights={"transaction": 5}, negative={"addtocart"}))
    kinds = np.array([event.kind for event in data.events()])
    signs = np.select([kinds == "impression", kinds == "addtocart"], [0, -1], 1)
    np.testing.assert_array_equal(data.signs, signs)
    assert data.weights is not None
    np.testing.assert_array_equal(data.weights, np.where(kinds == "transaction", 5, 1) * (signs > 0))
    np.testing.assert_array_equal(data.is_target, signs > 0)
    for code in range(data.n_items):
        people = {user.id for user in data.users(history=True) if _likes(data, user, data.item_ids[code])}
        assert data.popularity()[code] == len(people)


def _likes(data: Dataset, user: Any, item: Any) -> bool:
    assert data.feedback is not None
    return any(event.item_id == item for event in data.feedback.taste(user).user.history)


@pytest.mark.parametrize(
    "policy",
    [
        FeedbackPolicy(),
        FeedbackPolicy(negative_rating=2, rating_weights=((3, 0.5), (5, 1))),
        FeedbackPolicy(weights={"a": 2}, negative={"b"}, neutral={"c"}, targets={"a"}, negative_rating=1),
        FeedbackPolicy(negative_rating=None, negative={"a", "d"}),
    ],
)
@pytest.mark.parametrize("columns", [("kind",), ("rating",), ("kind", "rating"), ()])
def test_a_log_means_what_its_events_mean(policy: FeedbackPolicy, columns: tuple[str, ...]) -> None:
    """The arrays agree with the policy for each event, and `is_positive` with each user's taste."""
    rng = np.random.default_rng(4)
    table = {"user_id": rng.integers(0, 8, 300), "item_id": rng.integers(0, 9, 300), "time": rng.permutation(300)}
    more = {
        "kind": rng.choice(np.array(["a", "b", "c", None]), 300),
        "rating": rng.choice([1, 2, 3, 4, 5, np.nan], 300),
    }
    data = Dataset(table | {name: more[name] for name in columns}, feedback=policy)
    events = list(data.events())
    assert data.signs.tolist() == [policy.sign(event) for event in events]
    kinds, ratings = ([getattr(event, name) for event in events] for name in ("kind", "rating"))
    rated = np.array([np.nan if value is None else value for value in ratings])
    np.testing.assert_allclose(
        np.ones(300) if data.weights is None else data.weights, policy.event_weights(300, kinds, rated)
    )
    assert list(data.positive().events()) == [event for event, good in zip(events, data.is_positive) if good]
    assert data.is_target.tolist() == policy.is_target(300, kinds, rated).tolist()
    kept = [event for user in data.users(history=True) for event in policy.taste(user).user.history]
    assert [event for event, good in zip(events, data.is_positive) if good] == kept


def test_kinds_go_through_splits_and_parts() -> None:
    data = Dataset(retail().log)
    part = data.select_events(data.user_codes < 5)
    assert [event.kind for event in part.events()] == [event.kind for event in data.events()][: part.n_events]
    assert part.only_active().kind_names == data.kind_names
    assert part.with_feedback(FeedbackPolicy(negative={"view"})).popularity().sum() < part.popularity().sum()
    assert Dataset(retail().log | {"event": ["view"] * data.n_events}).digest != data.digest


def test_a_negative_decides_where_the_order_is_unknown() -> None:
    data = Dataset({"user_id": [1, 1], "item_id": [5, 5], "kind": ["like", "dislike"]})
    assert data.is_positive.tolist() == [False, False]
    timed = Dataset({"user_id": [1, 1], "item_id": [5, 5], "kind": ["like", "dislike"], "time": [2, 1]})
    assert timed.is_positive.tolist() == [False, True]


@pytest.mark.parametrize("unrated", [0, -1])
def test_not_rated_as_a_number_is_noticed(unrated: int) -> None:
    log = books().log
    log["Book-Rating"] = np.where(log["Book-Rating"] == 0, unrated, log["Book-Rating"])
    found = [each for each in Dataset(log).warnings if "dislikes" in each.problem]
    assert len(found) == 1
    assert "not rated" in found[0].cure
    assert "negative_rating=None" in found[0].cure
    for declared in (FeedbackPolicy(negative_rating=None), FeedbackPolicy(negative_rating=0)):
        assert not any("dislikes" in each.problem for each in Dataset(log, feedback=declared).warnings)


# -- ids


def _csv_of(path: Path, ids: Iterable[str], name: str = "item_id", **more: Any) -> Path:
    columns = {name: list(ids)}
    return _csv(columns | {key: [value] * len(columns[name]) for key, value in more.items()}, path)


@pytest.mark.parametrize(
    ("log", "items", "expected"),
    [
        (["1", "20"], ["1"], [1, 20]),
        (["1", "020"], ["1"], ["020", "1"]),
        (["1", "20"], ["03"], ["03", "1", "20"]),  # one rule for all files of a data set
        (["-5", "7"], ["7"], [-5, 7]),
        (["+5", "7"], ["7"], ["+5", "7"]),
        (["98765432109876543210", "1"], ["1"], ["1", "98765432109876543210"]),
        (["9223372036854775807", "1"], ["1"], [1, 2**63 - 1]),
        (["1e5", "7"], ["7"], ["1e5", "7"]),
        (["1.0", "7"], ["7"], ["1.0", "7"]),
    ],
)
def test_ids_of_csv_files_are_integers_only_if_all_of_them_are(
    log: list[str], items: list[str], expected: list[Any], tmp_path: Path
) -> None:
    paths = _csv_of(tmp_path / "log.csv", log, user_id="u"), _csv_of(tmp_path / "items.csv", items, title="t")
    assert Dataset(*paths).item_ids == expected
    assert Dataset(*paths, ids="text").item_ids == sorted({*log, *items})


def test_ids_of_a_csv_file_take_the_type_of_the_typed_table(tmp_path: Path) -> None:
    log = _csv_of(tmp_path / "log.csv", ["1", "2"], user_id="u")
    assert Dataset(log, {"item_id": ["1", "2"]}).item_ids == ["1", "2"]
    assert Dataset(log, {"item_id": [1, 2]}).item_ids == [1, 2]
    with pytest.raises(InvalidDataError, match="'u' is not an integer"):
        Dataset(log, {"item_id": [1, 2]}, ids="integer")


@pytest.mark.parametrize(
    ("log", "items"), [([10, 11], ["10", "11"]), (["a", "b"], ["A", "B"]), (["007"], ["7"]), (["x "], ["x"])]
)
def test_sides_that_do_not_join_say_why(log: list[Any], items: list[Any]) -> None:
    with pytest.raises(InvalidDataError, match="type, case, blanks or leading zeros"):
        Dataset({"user_id": [1] * len(log), "item_id": log}, {"item_id": items, "title": ["t"] * len(items)})
    assert Dataset({"user_id": [1], "item_id": ["other"]}, {"item_id": items}).n_items == 1 + len(items)


def test_an_empty_id_in_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="empty in row 1"):
        Dataset(_csv_of(tmp_path / "log.csv", ["1", "", "2"], user_id="u"))


def test_the_key_may_have_another_name_in_its_own_table() -> None:
    items = {"id": [1], "sku": ["x"]}
    log = {"user_id": [1], "item": ["x"]}
    assert Dataset(log, items, columns=Columns(item_key="sku")).item_records == [{"id": 1}]
    assert Dataset({"user_id": [1], "item": [1]}, {"id": [1], "name": ["n"]}).item_records == [{"name": "n"}]


# -- values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pl.Series([["a"], ["b", None]], dtype=pl.List(pl.Categorical)), [["a"], ["b"]]),
        (pa.array([["a", None], ["b"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))), [["a"], ["b"]]),
        (pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["a"])), ["a", "a"]),
        ([[1, None, 2], [None]], [[1, 2], []]),
        ([("a", None), ["b"]], [["a"], ["b"]]),
    ],
)
def test_values_of_unusual_columns_are_read(values: Any, expected: list[Any]) -> None:
    data = Dataset({"user_id": [1, 2], "item_id": [1, 2]}, {"item_id": [1, 2], "x": values})
    assert data.item_features("x") == expected


def test_sparse_columns_and_categories_without_rows_are_read() -> None:
    import pandas as pd

    sparse = pd.DataFrame({"item_id": [1, 2], "x": pd.arrays.SparseArray([0.0, 1.5])})
    assert Dataset({"user_id": [1], "item_id": [1]}, sparse).item_features("x") == [0.0, 1.5]
    users = pd.Series(["b", "a"], dtype=pd.CategoricalDtype(["a", "b", "never"]))
    assert Dataset(pd.DataFrame({"user_id": users, "item_id": [1, 2]})).user_ids == ["a", "b"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_file_that_is_not_utf8_says_so(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"items{suffix}"
    text = {".csv": "item_id,title\n1,Café\n", ".tsv": "item_id\ttitle\n1\tCafé\n"}
    path.write_bytes(text.get(suffix, '{"item_id": 1, "title": "Café"}\n').encode("latin-1"))
    with pytest.raises(InvalidDataError, match="UTF-8"):
        Dataset({"user_id": [1], "item_id": [1]}, path)


def test_periods_in_a_file_are_refused(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"user_id": [1], "item_id": [1], "time": pd.period_range("2024-01", periods=1, freq="M")})
    frame.to_parquet(tmp_path / "log.parquet")
    with pytest.raises(InvalidDataError, match=r"pandas\.period.*to_timestamp"):
        Dataset(tmp_path / "log.parquet")


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_only_the_columns_of_a_file_that_are_needed_are_read(form: str, tmp_path: Path) -> None:
    """A wide file takes the memory of its needed columns; the rest is named as not used."""
    table = {"user_id": np.arange(150_000) % 500, "item_id": np.arange(150_000) % 90, "time": np.arange(150_000)}
    text = [f"a long text that a recommender does not need: {n}" * 4 for n in range(150_000)]
    path = FILES[form](table | {f"note{n}": text for n in range(8)}, tmp_path / "wide")
    script = (
        "import sys, pyarrow as pa; from vecrec.data import Dataset; data = Dataset(sys.argv[1]);"
        "print(data.n_events, pa.default_memory_pool().max_memory())"
    )
    out = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True).stdout
    n_events, peak = map(int, out.split())
    assert n_events == 150_000
    # How many pieces of a text are in memory at a time depends on how many cores are free.
    assert peak < (30e6 if form == "parquet" else 160e6) < 0.7 * 8 * sum(map(len, text))


LATE: dict[str, list[dict[str, Any]]] = {
    "a fraction": [{"time": 2_000_000 + n} for n in range(99)] + [{"time": 7.5}],
    "a text": [{"time": 1.7e9 + n} for n in range(99)] + [{"time": "2024-01-02"}],
    "a column": [{"time": n} for n in range(50)] + [{"time": 50 + n, "kind": "view"} for n in range(50)],
    "a value": [{"time": n, "kind": None} for n in range(99)] + [{"time": 99, "kind": "view"}],
    "a zero": [{"time": n, "item_id": str(n)} for n in range(99)] + [{"time": 99, "item_id": "007"}],
}


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "jsonl", "jsonl.gz"])
@pytest.mark.parametrize("rows", LATE.values(), ids=LATE)
def test_what_comes_late_in_a_file_counts(
    form: str, rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is read in pieces gives what it gives as a whole, or is refused alike."""
    names = dict.fromkeys(name for row in rows for name in ("user_id", "item_id", *row))
    every = [{"user_id": n % 7, "item_id": n % 11} | row for n, row in enumerate(rows)]
    path = FILES[form]({name: [row.get(name) for row in every] for name in names}, tmp_path / "log")
    whole = _read(path)
    monkeypatch.setattr(files, "_BLOCK", 400)
    assert _read(path) == whole
    assert "Error" not in whole or form.startswith("jsonl")


def _read(path: Path) -> str:
    try:
        return Dataset(path).digest
    except InvalidDataError:
        return "InvalidDataError"


# -- the moment, and the digest of the events


def test_a_data_set_is_of_a_moment() -> None:
    data = Dataset(retail().log, as_of="2026-01-01T00:00:00Z")
    assert data.as_of == 1_767_225_600.0
    assert data.select_events(data.user_codes == 1).only_active().as_of == data.as_of
    assert Dataset(retail().log).as_of > data.as_of


def test_the_digest_of_the_events_knows_the_events_alone() -> None:
    log = shop().log
    data = Dataset(log, shop().items)
    half = data.select_events(np.arange(data.n_events) < 100)
    assert Dataset(log).events_digest == data.events_digest != half.events_digest
    assert half.events_digest == half.only_active().events_digest
    assert half.events_digest == Dataset(list(half.events())).events_digest


def test_plays_are_not_mistaken_for_a_rating() -> None:
    data = Dataset(listening().log)
    assert data.ratings is None
    assert any("'plays'" in each.problem for each in data.warnings)


@pytest.mark.parametrize(("name", "values"), [("action", [1, 2]), ("score", ["good", "bad"])])
def test_a_column_that_is_only_named_so_is_left_out_with_a_notice(name: str, values: list[Any]) -> None:
    data = Dataset({"user_id": [1, 2], "item_id": [1, 2], name: values})
    assert data.kind_codes is None
    assert data.ratings is None
    assert any(f"{name!r} of interactions is not used" in each.problem for each in data.notices)
