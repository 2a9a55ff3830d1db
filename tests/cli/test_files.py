"""One's own files through the command line: ids as they are written, a declared order, notes on what is assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from tests.cli.conftest import Run, text_of
from vecrec.cli import main

ROWS = [(user, user % 2 + 2 * ((9 * user + n) % 20), 1_700_000_000 + n) for user in range(60) for n in range(8)]


def _log(folder: Path, form: str = "{user},{item},{time}", head: str = "user_id,item_id,time") -> Path:
    path = folder / "log.csv"
    lines = [form.format(user=u, item=i, time=t, rating=8 * (t % 4 > 0)) for u, i, t in ROWS]
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def _train(run: Run, folder: Path, *more: Any) -> Any:
    fixed = ("--encoder", "content", "--dim", "16")
    return run("train", "--interactions", folder / "log.csv", *fixed, *more, at=folder)


def test_leading_zeros_are_kept_from_the_file_to_the_answer(run: Run, tmp_path: Path) -> None:
    _log(tmp_path, "{user:06},{item:05},{time}")
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\n" + "".join(f"{n:05},Book {n:05}\n" for n in range(40)))
    assert _train(run, tmp_path, "--items", items).status == 0
    found = run("recommend", "000003", "-k", "2", "--json", at=tmp_path).json
    assert found["served_by"] == "vectors"
    assert all(row["metadata"]["title"] == f"Book {row['item_id']}" for row in found["items"])


def test_ids_are_text_where_that_is_said(run: Run, tmp_path: Path) -> None:
    _log(tmp_path)
    assert _train(run, tmp_path, "--ids", "text").status == 0
    assert run("recommend", "3", "--string-ids", "--json", at=tmp_path).json["served_by"] == "vectors"


@pytest.mark.parametrize(
    ("form", "head", "said"),
    [
        ("{user},{item},{time}", "visitorid,asin,timestamp", "'timestamp' of interactions is taken as the time"),
        ("{user},{item},{time}000", "user_id,item_id,time", "does not hold seconds, and was converted"),
        ("{user},{item}", "user_id,item_id", "the order of the events is unknown"),
        ("{user},{item},{time},{rating}", "user_id,item_id,time,rating", "count as dislikes"),
        ("{user},{item},{time},x", "user_id,item_id,time,agent", "'agent'"),
    ],
)
def test_training_says_what_it_assumes(run: Run, tmp_path: Path, form: str, head: str, said: str) -> None:
    """Before it trains, whether or not the release is good enough then."""
    _log(tmp_path, form, head)
    answer = _train(run, tmp_path)
    assert said in text_of(answer)
    assert said in text_of(run("doctor", "--interactions", tmp_path / "log.csv", at=tmp_path)) or "agent" in said


def test_the_rows_may_be_declared_to_be_in_order(run: Run, tmp_path: Path) -> None:
    _log(tmp_path, "{user},{item}", "user_id,item_id")
    assert "order of the events is unknown" not in text_of(_train(run, tmp_path, "--rows-in-order"))


def test_a_file_that_is_not_utf8_is_named(run: Run, tmp_path: Path) -> None:
    _log(tmp_path)
    items = tmp_path / "items.csv"
    items.write_bytes("item_id,title\n1,Café\n".encode("latin-1"))
    answer = run("doctor", "--interactions", tmp_path / "log.csv", "--items", items, "--json", at=tmp_path)
    assert answer.status == 1
    assert "not UTF-8" in answer.json["findings"][0]["problem"]


def test_a_log_past_memory_is_trained_on_in_a_folder(run: Run, tmp_path: Path) -> None:
    """A directory of Parquet files; what is learnt is the same."""
    _log(tmp_path)
    (tmp_path / "log").mkdir()
    (tmp_path / "work").mkdir()
    pq.write_table(csv.read_csv(tmp_path / "log.csv"), tmp_path / "log" / "part-0.parquet")
    fixed = ("--encoder", "content", "--dim", "16", "--json")
    plain, mapped = (
        run("train", "--interactions", tmp_path / "log", *more, *fixed, at=tmp_path).json
        for more in ((), ("--folder", tmp_path / "work"))
    )
    assert mapped["data_digest"] == plain["data_digest"]
    assert mapped["fingerprint"] == plain["fingerprint"]
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize(
    "command", [["train"], ["evaluate"], ["doctor"], ["tune", "--space", "{}"], ["compare", "ease", "content"]]
)
def test_each_command_that_reads_a_log_takes_the_folder(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is not there is refused by each."""
    log, missing = str(_log(tmp_path)), str(tmp_path / "missing")
    assert main([*command, "--interactions", log, "--folder", missing])
    assert "is not a folder" in " ".join("".join(capsys.readouterr()).split())
