"""A log that is read by piece, kept in files and sorted in batches gives the data set of one that is read at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from vecrec import FeedbackPolicy
from vecrec._internal import batching
from vecrec._internal.times import SecondsByPiece, seconds
from vecrec.data import Dataset, columns, engines, files, intake, room
from vecrec.data.columns import sort_ids, unite
from vecrec.errors import InvalidDataError
from vecrec.ids import id_order

N = 200
POLICY = FeedbackPolicy(weights={"buy": 3}, negative={"return"}, negative_rating=1, rating_weights=((2, 0.5), (5, 1)))


def _folder(table: pa.Table, folder: Path) -> Path:
    folder.mkdir()
    for number in range(4):
        part = table.slice(50 * number, 50)
        pq.write_table(part, folder / f"part-{number}.parquet", row_group_size=9)
    return folder


PIECES: dict[str, Any] = {
    "folder": _folder,
    "dataset": lambda table, folder: ds.dataset(_folder(table, folder)),
    "stream": lambda table, folder: pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7)),
    "polars, lazy": lambda table, folder: pl.from_arrow(table).lazy(),
    "polars": lambda table, folder: pl.from_arrow(table),
    "duckdb": lambda table, folder: duckdb.connect().from_arrow(table),
    "dask": lambda table, folder: dd.from_pandas(table.to_pandas(types_mapper=pd.ArrowDtype), npartitions=9),
}


def _log(seed: int = 0) -> dict[str, list[Any]]:
    """Events with repeated pairs and equal times, some without a kind or rating, by users and items of any order."""
    rng = np.random.default_rng(seed)
    kinds, ratings = np.array(["view", "buy", "return", None]), rng.integers(0, 6, N).astype(float)
    return {
        "user_id": rng.integers(0, 30, N).tolist(),
        "item_id": [f"i{n}" for n in rng.integers(0, 15, N)],
        "time": rng.integers(1_000, 1_040, N).astype(float).tolist(),
        "rating": [None if value == 0 else float(value) for value in ratings],
        "kind": kinds[rng.integers(0, 4, N)].tolist(),
    }


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything goes by a few rows at a time, and each column into a file where there is a folder."""
    monkeypatch.setattr(files, "ROWS", 7)
    monkeypatch.setattr(engines, "ROWS", 7)
    monkeypatch.setattr(batching, "EVENTS_AT_A_TIME", 11)
    monkeypatch.setattr(intake, "_ROWS", 17)
    monkeypatch.setattr(room, "_IN_MEMORY", 0)


def _figures(data: Dataset) -> dict[str, Any]:
    found = {"events": list(data.events()), "popularity": data.popularity().tolist(), "digest": data.digest}
    arrays = {"signs": data.signs, "weights": data.weights, "positive": data.is_positive, "target": data.is_target}
    return found | {name: None if each is None else each.tolist() for name, each in arrays.items()}


@pytest.mark.parametrize("make", PIECES)
@pytest.mark.parametrize("order", [None, "rows"])
@pytest.mark.parametrize("columns", [("time", "rating", "kind"), ("time",), ("kind",), ()])
def test_pieces_give_the_data_set_of_the_whole(
    make: str, order: Any, columns: tuple[str, ...], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Codes, order, ties, meanings and counts are those of the same rows in memory."""
    log = _log()
    table = {name: values for name, values in log.items() if name.endswith("_id") or name in columns}
    expected = _figures(Dataset(table, feedback=POLICY, order=order))
    request.getfixturevalue("small")
    source = PIECES[make](pa.table(table), tmp_path / "log")
    (tmp_path / "work").mkdir()
    data = Dataset(source, feedback=POLICY, order=order, folder=tmp_path / "work")
    assert _figures(data) == expected
    assert not list((tmp_path / "work").iterdir())  # the files have no names


@pytest.mark.parametrize("make", PIECES)
def test_a_log_without_rows_is_a_data_set_without_events(make: str, tmp_path: Path) -> None:
    """Whatever makes the pieces, of which there are none."""
    table = pa.table(_log())
    assert Dataset(PIECES[make](table[:0], tmp_path / "log")).n_events == 0


@pytest.mark.parametrize("many", [0, 1000])
@pytest.mark.parametrize("kinds", [(int,), (str,), (int, str)])
def test_ids_are_numbered_and_sorted_as_python_does_it(
    kinds: tuple[type, ...], many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Arrow where they are many of one type, else in a dictionary; among them ids of all planes of Unicode."""
    monkeypatch.setattr(columns, "_MANY", many)
    rng = np.random.default_rng(3)
    texts = ["", "é", "Z", "z", "\uffff", "\U0001f600", *map(str, range(9))]
    numbers = [-(2**63), 2**63 - 1, -1, 0, *range(5, 9)]
    pool: list[Any] = [value for value in [*texts, *numbers] if isinstance(value, kinds)]
    parts = [[pool[place] for place in rng.integers(0, len(pool), n).tolist()] for n in (5, 0, 40)]
    flat = [value for part in parts for value in part]
    first_seen = list(dict.fromkeys(flat))
    found, places = unite(list(parts))
    assert (found if isinstance(found, list) else found.to_pylist()) == first_seen
    assert [first_seen[place] for place in places.tolist()] == flat
    ids, places = sort_ids(flat)
    assert ids == sorted(first_seen, key=id_order)
    assert [ids[place] for place in places.tolist()] == flat


def test_a_dictionary_may_hold_a_value_twice() -> None:
    """In the events as in the items, and one that no row has."""
    ids = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0]), pa.array(["a", "b", "a", "c"]))
    events = pa.table({"user_id": [1, 1, 2, 2], "item_id": ids})
    data = Dataset(events, pa.table({"item_id": ids[:2], "year": [1, 2]}), order="rows")
    assert (data.item_ids, data.item_codes.tolist()) == (["a", "b"], [0, 1, 0, 0])
    with pytest.raises(InvalidDataError, match="'a' more than once"):
        Dataset(events, pa.table({"item_id": ids[:3], "year": [1, 2, 3]}))


@pytest.mark.parametrize("ids", [pa.array([1, None]), pa.array([2**64 - 1], pa.uint64()), pa.array(["é" * 257])])
def test_an_array_with_an_invalid_id_is_refused(ids: pa.Array) -> None:
    """Whatever makes it so: a gap, a number of more than 64 bits, a long text."""
    with pytest.raises(InvalidDataError, match="item_id"):
        Dataset({"user_id": [1] * len(ids), "item_id": ids})


@pytest.mark.usefixtures("small")
def test_columns_of_a_folder_are_mapped_files(tmp_path: Path) -> None:
    """They are read-only, and a selection lies there too."""
    log = _log()
    data = Dataset(log, folder=tmp_path)
    some = data.select_events(np.arange(N) % 3 > 0)
    assert list(some.events()) == [event for row, event in enumerate(data.events()) if row % 3]
    for each in (data.user_codes, data.times, some.item_codes, some.ratings):
        assert each is not None
        assert isinstance(each.base, np.memmap)
        assert not each.flags.writeable
    assert Dataset(log).digest == data.digest


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(InvalidDataError, match="is not a folder"):
        Dataset("nothing.parquet", folder=tmp_path / "missing")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("user_id", None, "column 'user_id' of interactions in 'part-2.parquet' has 1 missing values, .* row 23"),
        ("time", None, "column 'time' of interactions in 'part-2.parquet' has 1 missing values, .* row 23"),
        ("time", math.inf, "column 'time' of interactions in 'part-2.parquet' is inf in row 23"),
        ("rating", math.inf, "column 'rating' of interactions in 'part-2.parquet' is inf in row 23"),
        ("kind", "k" * 70, "column 'kind' of interactions in 'part-2.parquet'"),
    ],
)
@pytest.mark.usefixtures("small")
def test_a_bad_row_is_named_with_its_file(column: str, value: Any, said: str, tmp_path: Path) -> None:
    """The row is counted within the file."""
    log = _log()
    log[column][123] = value
    with pytest.raises(InvalidDataError, match=said):
        Dataset(_folder(pa.table(log), tmp_path / "log"))


TIMES: list[Any] = [
    [1_700_000_000_000 + n for n in range(40)],  # milliseconds
    [1_700_000_000 + n for n in range(39)] + [1_700_000_000_000],  # no unit fits all
    [20_170_101 + n % 20 for n in range(40)],  # digits of dates
    [20_170_101] * 39 + [20_179_999],  # which one is not
    [f"2026-01-{1 + n % 20:02}T10:00:00" for n in range(40)],
    [f"{1_700_000_000 + n}" for n in range(40)],
    ["2026-01-01"] * 20 + ["2026-01-02T10:00:00Z"] * 20,
    ["2026-01-01"] * 30 + [f"{1_700_000_000 + n}" for n in range(10)],
    ["2026-01-01"] * 39 + ["soon"],
    [date(2026, 1, 1 + n % 30) for n in range(40)],
    [],
]


def _refusal(read: Callable[[], Any]) -> str:
    """What is said against a column, without the row."""
    try:
        read()
    except InvalidDataError as error:
        return error.problem.split(" in row")[0]
    return ""


@pytest.mark.parametrize("times", TIMES, ids=range(len(TIMES)))
def test_times_by_piece_are_those_of_the_whole_column(times: list[Any]) -> None:
    """What stands for what follows from all values."""
    array, kept = pa.array(times), list[Any]()
    pieces = SecondsByPiece(kept.append)

    def by_piece() -> Any:
        for start in range(0, len(array), 7):
            pieces.add(array[start : start + 7], "t", start)
        return pieces.whole(np.concatenate([np.zeros(0), *kept]), "t")

    if said := _refusal(lambda: seconds(array, "t")):
        assert _refusal(by_piece) == said
    else:
        np.testing.assert_array_equal(by_piece(), seconds(array, "t"))


def test_pieces_of_several_types_are_refused() -> None:
    """Numbers after texts have no certain meaning."""
    pieces = SecondsByPiece(lambda _: None)
    pieces.add(pa.array(["2026-01-01"]), "t")
    with pytest.raises(InvalidDataError, match="another type"):
        pieces.add(pa.array([1.5]), "t")


def test_a_stream_is_not_held_as_a_whole(small: None) -> None:
    """A piece is let go before the next but one is made."""
    alive: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, 3_000, 100):
            alive.append(pa.total_allocated_bytes())
            rows = np.arange(start, start + 100)
            yield pa.record_batch(
                {"user_id": rows, "item_id": rows, "wide": np.char.add("x" * 10_000, rows.astype(str))}
            )

    schema = pa.schema({"user_id": pa.int64(), "item_id": pa.int64(), "wide": pa.string()})
    before = pa.total_allocated_bytes()
    assert Dataset(pa.RecordBatchReader.from_batches(schema, batches())).n_events == 3_000
    assert max(alive) - before < 10_000_000  # of thirty megabytes
