"""`record`, `history`, `forget`, `upsert` and `popular`: what is written by the command is read by the library."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run, text_of, write_catalogue
from vecrec.cli import main


@pytest.fixture
def shop(tmp_path: Path, run: Run) -> Path:
    """Give a directory with a trained catalogue that may be changed."""
    log, items = write_catalogue(tmp_path)
    given = ["--interactions", log, "--items", items, "--encoder", "content", "--dim", 16, "--quiet"]
    assert run("train", *given, at=tmp_path).status == 0
    return tmp_path


def test_an_event_is_recorded_shown_and_forgotten(shop: Path, run: Run) -> None:
    """The next list knows it; forgetting says what there was."""
    assert run("record", "anna", "4", "--kind", "view", "--json", at=shop).json == {"recorded": 1}
    assert run("record", "anna", "8", "--rating", "5", "--time", "7.5", at=shop).status == 0
    events = run("history", "anna", "--json", at=shop).json["events"]
    assert [(each["item_id"], each["rating"]) for each in events] == [(8, 5.0), (4, None)]
    assert events[0]["time"] == 7.5
    assert [each["item_id"] for each in run("history", "anna", "-k", "1", "--json", at=shop).json["events"]] == [4]
    assert "Events of anna" in text_of(run("history", "anna", at=shop))
    run("record", "berta", "4", "--time", "2026-11-30T18:00:05Z", at=shop)
    assert "2026-11-30 18:00:05" in text_of(run("history", "berta", at=shop))
    found = run("recommend", "anna", "--json", at=shop).json
    assert found["served_by"] == "vectors"
    assert {each["metadata"]["genre"] for each in found["items"]} == {"western"}
    forgotten = {"user_id": "anna", "profile": False, "events": 2, "remembered": True}
    assert run("forget", "anna", "--json", at=shop).json == forgotten
    assert run("history", "anna", "--json", at=shop).json["events"] == []
    assert "there was none" in text_of(run("forget", "anna", at=shop))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_events_of_a_file(shop: Path, run: Run, suffix: str) -> None:
    """One row an event, what is missing left out."""
    path = shop / f"events{suffix}"
    rows = [{"user_id": 901, "item_id": n, "time": 1e9 + n, "rating": [None, 4.0][n % 2]} for n in range(5)]
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == ".csv":
        lines = [f"{each['user_id']},{each['item_id']},{each['time']},{each['rating'] or ''}" for each in rows]
        path.write_text("\n".join(["user_id,item_id,time,rating", *lines]) + "\n")
    else:
        path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    assert run("record", "--file", path, "--json", at=shop).json == {"recorded": 5}
    events = run("history", "901", "--json", at=shop).json["events"]
    assert [(each["item_id"], each["rating"]) for each in events] == [(n, [None, 4.0][n % 2]) for n in range(5)]


def test_items_and_users_are_added_and_replaced(shop: Path, run: Run) -> None:
    """One by its record, or many from a file."""
    record = json.dumps({"title": "Fresh", "genre": "noir", "year": 2030})
    assert run("upsert", "items", "777", "--record", record, "--json", at=shop).json == {"written": 1}
    assert run("similar", "777", "-k", "1", at=shop).status == 0
    path = shop / "more.jsonl"
    path.write_text('{"item_id": "a", "title": "A", "genre": "noir"}\n{"item_id": "b", "genre": "western"}\n')
    assert run("upsert", "items", "--file", path, "--json", at=shop).json == {"written": 2}
    found = run("similar", "777", "-k", "40", "--json", at=shop).json["items"]
    assert {"a", "b"} <= {each["item_id"] for each in found}
    users = shop / "users.csv"
    users.write_text("user_id,name\n950,Kim\n951,\n")
    assert run("upsert", "users", "--file", users, "--json", at=shop).json == {"written": 2}
    assert run("upsert", "users", "kim", "--record", "{}", at=shop).status == 0
    assert run("forget", "950", "--json", at=shop).json["profile"] is True
    assert "1 items written" in text_of(run("upsert", "items", "777", "--record", record, at=shop))


def test_fields_of_items_are_changed(shop: Path, run: Run) -> None:
    """One by its record, or many from a file, in which an empty value changes nothing; an unknown field is named."""
    assert run("update", "3", "--record", '{"year": 2031, "title": null}', "--json", at=shop).json == {"updated": 1}
    path = shop / "years.csv"
    path.write_text("item_id,year,title\n5,2032,\n7,2033,Seven\n")
    assert "2 items updated" in text_of(run("update", "--file", path, at=shop))
    found = run("popular", "-k", "5", "--where", "year>2030", "--json", at=shop).json["items"]
    records = {each["item_id"]: each["metadata"] for each in found}
    assert {key: record["year"] for key, record in records.items()} == {3: 2031, 5: 2032, 7: 2033}
    assert "title" not in records[3]
    assert [records[key]["title"] for key in (5, 7)] == ["Film 5", "Seven"]
    wrong = run("update", "3", "--record", '{"yaer": 2031}', at=shop)
    assert (wrong.status, "yaer" in wrong.err) == (2, True)
    assert run("update", "nothing", "--record", '{"year": 2031}', at=shop).status == 1


def test_popular(run: Run) -> None:
    """By popularity, under conditions, for people and programs."""
    found = run("popular", "-k", "5", "--where", "genre:noir", "--json").json
    assert found["served_by"] == "popularity"
    assert len(found["items"]) == 5
    assert {each["metadata"]["genre"] for each in found["items"]} == {"noir"}
    assert "served by popularity" in text_of(run("popular"))


@pytest.mark.parametrize(
    "words",
    [
        ["record"],
        ["record", "anna"],
        ["record", "anna", "4", "--file", "x.csv"],
        ["record", "--file", "none.csv"],
        ["record", "--file", "BAD"],
        ["record", "anna", "4", "--kind", ""],
        ["record", "anna", "4", "--rating", "nan"],
        ["record", "x" * 600, "4"],
        ["history", "anna", "-k", "0"],
        ["upsert", "items"],
        ["upsert", "items", "7"],
        ["upsert", "items", "7", "--record", "{"],
        ["upsert", "items", "7", "--record", "[]"],
        ["upsert", "items", "7", "--record", '{"year": "soon"}'],
        ["upsert", "items", "--file", "BAD"],
        ["upsert", "users", "--file", "NOID"],
    ],
)
def test_what_cannot_be_written_is_refused_whole(shop: Path, run: Run, words: list[str]) -> None:
    """Status 2, one line with the problem and the cure, and nothing written."""
    bad, no_id = shop / "bad.jsonl", shop / "no_id.jsonl"
    bad.write_text('{"user_id": 990, "item_id": 1}\n{"user_id": 990, "item_id": 2, "colour": "red", "year": "soon"}\n')
    no_id.write_text('{"user_id": 990}\n{"user_id": null, "x": 1}\n')
    given = [{"BAD": str(bad), "NOID": str(no_id)}.get(word, word) for word in words]
    if words[0] == "upsert" and "BAD" in words:
        bad.write_text('{"item_id": "new"}\n{"item_id": "new2", "year": "soon"}\n')
    done = run(*given, "--json", at=shop)
    assert done.status == 2, done.out
    error = json.loads(done.err)["error"]
    assert error["problem"]
    assert error["message"].startswith(error["problem"])
    assert run("history", "990", "--json", at=shop).json["events"] == []
    assert run("similar", "new", at=shop).status == 1
    assert run("forget", "990", "--json", at=shop).json["profile"] is False


def test_no_command_is_a_request_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    """All commands, each with a line, and status 0."""
    assert main([]) == 0
    shown = capsys.readouterr().out
    for word in ("train", "recommend", "record", "forget", "history", "popular", "upsert", "serve", "doctor"):
        assert f"    {word}" in shown


def test_latin_1_is_named(shop: Path, run: Run) -> None:
    """Not "bytes"; in every file that a command reads."""
    items = shop / "latin.csv"
    items.write_bytes("item_id,title\n1,Café\n".encode("latin-1"))
    for words in (
        ["doctor", "--interactions", shop / "log.csv", "--items", items],
        ["train", "--interactions", shop / "log.csv", "--items", items, "--encoder", "content"],
        ["upsert", "items", "--file", items],
    ):
        done = run(*words, "--json", at=shop)
        assert "UTF-8" in done.out + done.err
        assert "'title'" in done.out + done.err


@pytest.mark.parametrize("name", ["log 2026: May.csv", "a: b: c.jsonl", "x:y.parquet"])
def test_the_doctor_does_not_cut_a_problem_at_a_colon(shop: Path, run: Run, name: str) -> None:
    """The whole path is in the problem, and the cure is not the reason."""
    finding = run("doctor", "--interactions", shop / name, "--json", at=shop).json["findings"][0]
    assert name in finding["problem"]
    assert finding["cure"]
    assert name not in finding["cure"]
    assert "No such file" not in finding["cure"]


def test_the_vectors_exported_are_those_that_search(shop: Path, run: Run) -> None:
    """Of stored users: what they dislike is left out, a profile that does not fit is no crash."""
    from vecrec.config.compose import compose
    from vecrec.config.settings import Settings
    from vecrec.data.vector_files import read_vectors
    from vecrec.types import User

    run("record", "zoe", "4", "--time", "1", at=shop)
    run("record", "zoe", "5", "--kind", "dislike", "--rating", "0", "--time", "2", at=shop)
    path = shop / "users.npz"
    settings = Settings(name="films", artifacts=str(shop / "artifacts"))
    with compose(settings) as recommender:
        recommender.metadata_store.put("user", {"odd": {"name": ["a", 1], "genre": 3}})
    assert run("export", path, "--users", "--json", at=shop).json["vectors"] == 62
    held = {key: row for keys, matrix in read_vectors(path) for key, row in zip(keys, matrix)}
    with compose(settings) as recommender, recommender.live() as live:
        liked = live.encoder.encode_users([User("zoe", {}, [4])])[0]
    assert held["zoe"] == pytest.approx(liked, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "removed"),
    [
        (["4", "--kind", "like"], 0),
        (["5", "--kind", "dislike"], 1),
        (["--time", "2023-11-14T22:13:20Z"], 1),
        (["--kind", "view", "--kind", "dislike"], 2),
        (["--all"], 2),
    ],
)
def test_events_are_taken_back(shop: Path, run: Run, words: list[str], removed: int) -> None:
    """By item, kind and time, or all of them."""
    run("undo", "undoer", "--all", at=shop)
    run("record", "undoer", "4", "--kind", "view", "--time", "1700000000", at=shop)
    run("record", "undoer", "5", "--kind", "dislike", at=shop)
    assert run("undo", "undoer", *words, "--json", at=shop).json == {"removed": removed}
    assert len(run("history", "undoer", "--json", at=shop).json["events"]) == 2 - removed
    assert run("undo", "undoer", at=shop).status == 2


def test_popular_of_a_half_life(shop: Path, run: Run) -> None:
    """The command counts as the library does."""
    for user, item, when in (("a", 4, 1_700_000_000), ("b", 4, 1_700_000_000), ("c", 5, 1_700_086_400)):
        run("record", user, item, "--time", when, at=shop)
    found = run("popular", "--half-life", "3600", "--json", at=shop).json["items"]
    assert [each["item_id"] for each in found][:2] == [5, 4]
    assert run("popular", "--segment", '{"shoe": 4}').status == 2
