"""One rule by every door: what a file says is read the same by Python, the commands and the service."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run
from tests.serving.web import get, listening
from vecrec import Event
from vecrec.cli import main
from vecrec.config import Settings
from vecrec.config.compose import compose
from vecrec.data import Dataset
from vecrec.errors import InvalidDataError
from vecrec.serving import create_app

SECOND = 1_704_067_200.0
Row = dict[str, Any]


def _csv(rows: list[Row], path: Path, delimiter: str = ",") -> Path:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def _lines(rows: list[Row], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _parquet(rows: list[Row], path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


FILES: dict[str, Callable[[list[Row], Path], Path]] = {
    ".csv": _csv,
    ".csv.gz": _csv,
    ".tsv": lambda rows, path: _csv(rows, path, "\t"),
    ".jsonl": _lines,
    ".parquet": _parquet,
}
FRAMES: dict[str, Callable[[list[Row]], Any]] = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "arrow": pa.Table.from_pylist,
    "dicts": list,
}


@pytest.fixture(scope="module")
def ean_shop(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the arguments of a shop whose ids are texts, some with leading zeros, trained from CSV files."""
    folder = tmp_path_factory.mktemp("ean")
    log = [
        {"customer": f"{980 + user:04}", "sku": f"{980 + user % 2 + 2 * ((9 * user + n) % 20):04}", "ts": 1e9 + n}
        for user in range(40)
        for n in range(8)
    ]
    items = [{"sku": f"{980 + n:04}", "title": f"Thing {n}", "zip": f"{n:05}"} for n in range(40)]
    files = ["--interactions", _csv(log, folder / "log.csv"), "--items", _csv(items, folder / "items.csv")]
    where = ["--name", "ean", "--artifacts", folder / "artifacts"]
    assert main([*map(str, ["train", "--encoder", "content", "--dim", 16, "--quiet", *files, *where])]) == 0
    return [str(word) for word in where]


TIMES = {
    "seconds": [SECOND, SECOND + 86_400],
    "milliseconds": [int(SECOND * 1e3), int(SECOND * 1e3) + 86_400_000],
    "microseconds": [int(SECOND * 1e6), int(SECOND * 1e6) + 86_400_000_000],
    "nanoseconds": [int(SECOND * 1e9), int(SECOND * 1e9) + 86_400_000_000_000],
    "digits of dates": [20240101, 20240102],
    "ISO": ["2024-01-01", "2024-01-02T00:00:00Z"],
}


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize("name", ["time", "timestamp", "date"])
def test_a_time_is_the_same_by_each_door(suffix: str, times: list[Any], name: str, tmp_path: Path) -> None:
    rows = [{"user_id": 1, "item_id": n, name: time} for n, time in enumerate(times)]
    sources = [FILES[suffix](rows, tmp_path / f"log{suffix}"), *(make(rows) for make in FRAMES.values())]
    for source in sources:
        data = Dataset(source)
        assert data.times is not None
        assert data.times.tolist() == [SECOND, SECOND + 86_400]
        assert name == "time" or any(f"{name!r} of interactions is taken" in each.problem for each in data.notices)
    if times[0] != 20240101:
        assert [Event(1, 1, time).time for time in times] == [SECOND, SECOND + 86_400]


@pytest.mark.parametrize("suffix", FILES)
def test_events_of_a_file_are_recorded_as_a_data_set_reads_them(
    suffix: str, ean_shop: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Common names, milliseconds, the order of the rows, and texts where the shop has texts only."""
    user = f"70{list(FILES).index(suffix)}"
    rows = [
        {"customer": user, "sku": item, "ts": int(1e12) + n, "event": "view"}
        for n, item in enumerate(["0983", "1001", "0983"])
    ]
    path = FILES[suffix](rows, tmp_path / f"events{suffix}")
    assert main(["record", "--file", str(path), *ean_shop]) == 0
    assert "'ts' of interactions is taken as the time" in capsys.readouterr().out
    assert main(["history", user, "--json", *ean_shop]) == 0
    events = json.loads(capsys.readouterr().out)["events"]
    assert [(each["user_id"], each["item_id"], each["time"]) for each in events] == [
        (user, "0983", 1e9), (user, "1001", 1e9 + 0.001), (user, "0983", 1e9 + 0.002)
    ]  # fmt: skip


def test_an_id_without_zeros_is_text_where_all_ids_are(
    ean_shop: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `recommend`, `record`, `upsert`, `undo` and `forget`, and by the paths of the service."""
    path = _csv([{"sku": "1234", "title": "New", "zip": "00123"}], tmp_path / "items.csv")
    assert main(["upsert", "items", "--file", str(path), *ean_shop]) == 0
    assert main(["similar", "1234", "-k", "3", "--json", *ean_shop]) == 0
    assert main(["record", "1019", "1001", "--kind", "view", *ean_shop]) == 0
    capsys.readouterr()
    assert main(["recommend", "1019", "--json", *ean_shop]) == 0
    assert json.loads(capsys.readouterr().out)["served_by"] == "vectors"
    settings = Settings.load(None, name="ean", artifacts=ean_shop[-1])
    with compose(settings) as shop, listening(create_app(shop)) as client:
        assert shop.get_items(["1234"])["1234"].features == {"title": "New", "zip": "00123"}
        assert [event.item_id for event in shop.history("1019")][-1] == "1001"
        assert get(client.get("/v1/items/1234"))["features"]["zip"] == "00123"
        assert get(client.get("/v1/users/1019"))["id"] == "1019"
        assert get(client.get("/v1/users/1019/recommendations"))["served_by"] == "vectors"
        assert client.get("/v1/users/1019", params={"id_type": "integer"}).status_code == 404
    assert main(["undo", "1019", "1001", "--kind", "view", "--json", *ean_shop]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": 1}
    assert main(["forget", "1019", "--json", *ean_shop]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == 8


def test_an_integer_stays_one_where_ids_are_integers(run: Run) -> None:
    assert run("recommend", "7", "--json").json["user_id"] == 7


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"user_id": 1, "item_id": 1, "time": 1e9}, {"user_id": 1, "item_id": 2, "time": None}], "missing"),
        ([{"user_id": 1, "item_id": 1, "time": 1e9}, {"user_id": 1, "item_id": 2, "time": 1e12}], "one unit"),
        ([{"user_id": 1, "item_id": 1, "time": "soon"}], "ISO"),
        ([{"user_id": 1, "sku": "a", "asin": "b"}], "several columns that may be the item id"),
        ([{"user": 1, "rating": 3}], "no column of the item id"),
    ],
)
def test_what_is_not_certain_is_refused_by_each_door(
    suffix: str, rows: list[Row], problem: str, tmp_path: Path, run: Run
) -> None:
    path = FILES[suffix](rows, tmp_path / f"log{suffix}")
    with pytest.raises(InvalidDataError, match=problem):
        Dataset(path)
    for words in (["record", "--file", path], ["train", "--interactions", path]):
        done = run(*words, at=tmp_path) if words[0] == "train" else run(*words)
        assert done.status == 2, done.out
        assert problem in done.err
    assert problem in json.dumps(run("doctor", "--interactions", path, "--json").json["findings"])


def test_training_tells_a_warning_once(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """People read it on stdout; programs, which read JSON there, find it in the log."""
    rows = [{"user_id": user, "item_id": (user + n) % 9, "rating": 0} for user in range(30) for n in range(4)]
    rows += [{"user_id": user, "item_id": (user + 5) % 9, "rating": 5} for user in range(30)]
    log = _csv(rows, tmp_path / "log.csv")
    train = ["train", "--interactions", log, "--encoder", "linear_sequence", "--dim", 4, "--quiet"]
    people = run(*train, at=tmp_path)
    assert " ".join(people.out.split()).count("count as dislikes") == 1
    assert "count as dislikes" not in caplog.text
    assert run(*train, "--json", at=tmp_path).status == 0
    assert caplog.text.count("count as dislikes") == 1
