"""The command line does what the library does: for people, for programs, and for shells by its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run, text_of, write_catalogue
from vecrec.cli import main


def test_recommend_for_people_and_for_programs(run: Run) -> None:
    """The same list as a table and as JSON; conditions hold, seen films are left out."""
    table = text_of(run("recommend", "3", "-k", "3", "--where", "genre:noir", "--where", "year>=2000"))
    found = run("recommend", "3", "-k", "3", "--where", "genre:noir", "--where", "year>=2000", "--json").json
    assert [each["rank"] for each in found["items"]] == [1, 2, 3]
    assert all(each["metadata"]["genre"] == "noir" and each["metadata"]["year"] >= 2000 for each in found["items"])
    assert all(each["metadata"]["title"] in table for each in found["items"])
    assert found["user_id"] == 3
    assert "served by vectors" in table


def test_recommend_to_somebody_who_is_not_stored(run: Run) -> None:
    """By what they liked; and an unknown id gets popular films."""
    found = run("recommend", "--liked", "4", "--liked", "8", "-k", "4", "--json").json
    assert {each["metadata"]["genre"] for each in found["items"]} == {"western"}
    assert run("recommend", "nobody", "--json").json["served_by"] == "popularity"
    assert run("recommend", "3", "--string-ids", "--json").json["user_id"] == "3"


def test_search(run: Run) -> None:
    """What has the words, for a user by their taste; a condition holds; no word is an error."""
    found = run("search", "film", "-k", "4", "--user", "3", "--where", "year>=2000", "--json").json
    assert found["served_by"] == "words"
    assert {each["metadata"]["genre"] for each in found["items"]} == {"noir"}
    assert "Film 7" in text_of(run("search", "flim 7", "-k", "1"))
    assert run("search", "?", "--json").status == 2


def test_similar(run: Run) -> None:
    """Its like come, itself not; an unknown item is an error with status 1."""
    found = run("similar", "4", "-k", "5", "--json").json
    assert {each["metadata"]["genre"] for each in found["items"]} == {"western"}
    assert 4 not in {each["item_id"] for each in found["items"]}
    personal = run("similar", "4", "-k", "50", "--user", "3", "--json").json
    seen = {event["item_id"] for event in run("history", "3", "--json").json["events"]}
    assert personal["user_id"] == 3
    assert seen
    assert not seen & {each["item_id"] for each in personal["items"]}
    missing = run("similar", "no-such", "--json")
    assert missing.status == 1
    assert json.loads(missing.err)["error"]["type"] == "ItemNotFoundError"


def test_releases_publish_and_rollback(tmp_path: Path, run: Run) -> None:
    """A release more, and back to the first; of all that the list tells."""
    log, items = write_catalogue(tmp_path)
    given = ["--interactions", log, "--items", items, "--encoder", "content", "--dim", 8]
    assert text_of(run("releases", at=tmp_path)).endswith("vecrec train --name films makes one.")
    first = run("train", *given, "--json", at=tmp_path).json["id"]
    second = run("publish", "--json", at=tmp_path).json["id"]
    assert [each["id"] for each in run("releases", "--json", at=tmp_path).json] == [second, first]
    assert run("rollback", "--json", at=tmp_path).json["id"] == first
    assert run("rollback", "no-such", at=tmp_path).status == 1
    assert run("verify", "--json", at=tmp_path).json["agree"] is True
    assert run("repair", "--full", "--json", at=tmp_path).json == {"repaired": []}


def test_refresh(tmp_path: Path, run: Run) -> None:
    """A release more where something was recorded; before, the live one goes on."""
    log, items = write_catalogue(tmp_path)
    run("train", "--interactions", log, "--items", items, "--encoder", "content", "--dim", 8, at=tmp_path)
    first = run("releases", "--json", at=tmp_path).json[0]
    same = run("refresh", at=tmp_path)
    assert "Nothing is new" in text_of(same)
    assert [each["id"] for each in run("releases", "--json", at=tmp_path).json] == [first["id"]]
    assert run("record", "new", "3", at=tmp_path).status == 0
    second = run("refresh", "--json", at=tmp_path).json
    assert (second["id"] != first["id"], second["fingerprint"]) == (True, first["fingerprint"])
    assert run("refresh", "--since", "2000-01-01", "--json", at=tmp_path).json["id"] != second["id"]
    assert run("refresh", "--since", "yesterday", at=tmp_path).status == 2


def test_a_second_stage_is_trained_and_kept(tmp_path: Path, run: Run) -> None:
    """It serves, is named, and stays with what is published later."""
    log, items = write_catalogue(tmp_path)
    given = ["--interactions", log, "--items", items, "--encoder", "content", "--dim", 8]
    stage = ["--reranker", "mmr", "--reranker-option", "balance=0.1", "--reranker-option", "depth=40"]
    plain = run("train", *given, "--json", at=tmp_path).json
    before = run("recommend", "3", "--json", at=tmp_path).json["items"]
    assert run("train", *given, *stage, "--json", at=tmp_path).json["reranker"] == "mmr"
    after = run("recommend", "3", "--json", at=tmp_path).json["items"]
    assert plain["reranker"] == ""
    assert [each["item_id"] for each in after] != [each["item_id"] for each in before]
    assert run("publish", "--json", at=tmp_path).json["reranker"] == "mmr"
    assert run("recommend", "3", "--json", at=tmp_path).json["items"] == after


def test_evaluate(films: Path, run: Run) -> None:
    """Metrics beside popularity's, of an encoder trained on a part of the data, or of what is served."""
    given = ["--interactions", films / "log.csv", "--items", films / "items.jsonl", "-k", "5,10"]
    found = run("evaluate", *given, "--encoder", "content", "--dim", "16", "--json").json
    assert found["metrics"]["recall@10"] > found["baselines"][0]["metrics"]["recall@10"]
    assert "recall@5" in text_of(run("evaluate", *given, "--encoder", "content", "--quiet"))
    assert run("evaluate", *given, "-k", "ten").status == 2


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["recommend"], 2),
        (["recommend", "3", "--liked", "4"], 2),
        (["recommend", "3", "-k", "0"], 2),
        (["recommend", "3", "--where", "year"], 2),
        (["recommend", "3", "--where", "nope=1"], 2),
        (["recommend", "--profile", "{"], 2),
        (["recommend", "--profile", "[1]"], 2),
        (["similar", "9" * 30], 1),
        (["train", "--interactions", "no-such.csv"], 2),
        (["train", "--interactions", "log.xlsx"], 2),
        (["train", "--data", "no-such-directory"], 2),
        (["train", "--data", ".", "--encoder", "no-such"], 2),
        (["train", "--data", ".", "--encoder", "content", "--option", "no_such=1"], 2),
        (["train", "--data", ".", "--device", "no-such"], 2),
        (["train", "--data", ".", "--encoder", "content", "--device", "cpu"], 2),
        (["train", "--data", ".", "--encoder", "content", "--dim", "0"], 2),
        (["train", "--data", ".", "--encoder", "content", "--reranker", "no-such"], 2),
        (["train", "--data", ".", "--encoder", "content", "--reranker", "mmr", "--reranker-option", "no_such=1"], 2),
        (["train", "--data", ".", "--encoder", "content", "--reranker-option", "balance=1"], 2),
        (["export", "vectors.csv"], 2),
        (["import", "no-such.npz", "--collection", "c"], 2),
        (["import", "no-such.npz", "--collection", "a__b"], 2),
        (["recommend", "3", "--metadata-store", "redis://127.0.0.1:1"], 3),
        (["recommend", "3", "--metadata-store", "oracle://x"], 2),
        (["recommend", "3", "--config", "no-such.toml"], 2),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run: Run, words: list[str], status: int) -> None:
    """The status tells the kind, stderr the reason and the cure; stdout stays empty, and there is no traceback."""
    plain, program = run(*words), run(*words, "--json")
    assert (plain.status, program.status) == (status, status), plain.err
    assert plain.err.startswith("error: ")
    assert len(plain.err.splitlines()) == 1
    assert json.loads(program.err)["error"]["message"]
    assert plain.out == program.out == ""


def test_nothing_published_is_a_status_of_its_own(tmp_path: Path, run: Run) -> None:
    """4, so that a script can train first."""
    assert run("recommend", "3", at=tmp_path).status == 4
    assert run("publish", at=tmp_path).status == 4


def test_wrong_usage_is_argparse_s(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command or flag ends with 2 and the usage."""
    for words in (["no-such"], ["recommend", "--no-such"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        assert "usage: vecrec" in capsys.readouterr().err


def test_settings_come_from_the_environment_and_a_file(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line counts most, then the environment, then the file."""
    config = tmp_path / "vecrec.toml"
    config.write_text(f'name = "other"\nartifacts = "{films / "artifacts"}"\n')
    monkeypatch.setenv("VECREC_NAME", "films")
    assert main(["recommend", "3", "--json", "--config", str(config)]) == 0
    assert main(["recommend", "3", "--json", "--config", str(config), "--name", "other"]) == 4
    config.write_text("nmae = 1\n")
    assert main(["recommend", "3", "--config", str(config)]) == 2
    assert "'nmae'" in capsys.readouterr().err


def test_a_reader_who_has_had_enough_is_no_error(films: Path) -> None:
    """`vecrec ... | head -1` ends quietly; the module runs as the command does."""
    command = f"{sys.executable} -m vecrec recommend 3 -k 30 --name films --artifacts {films / 'artifacts'} | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert "For 3" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rec"], {"recommend", "record"}),
        (["recommend", "--meta"], {"--metadata-store"}),
        (["completion", ""], {"bash", "zsh", "tcsh"}),
        (["upsert", "it"], {"items"}),
        (["train", "--items", "lo"], {"log.csv"}),
    ],
)
def test_a_shell_completes_commands_arguments_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: set[str]
) -> None:
    """The printed script, in a real bash that is asked as the Tab key asks it."""
    assert main(["completion", "bash"]) == 0
    (tmp_path / "complete.bash").write_text(capsys.readouterr().out)
    (tmp_path / "log.csv").touch()
    quoted = " ".join(f"'{word}'" for word in ["vecrec", *words])
    asked = f"source complete.bash; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _shtab_vecrec vecrec"
    command = ["bash", "-c", f'{asked} "${{COMP_WORDS[COMP_CWORD]}}"; printf "%s\\n" "${{COMPREPLY[@]}}"']
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert {line.rstrip("/ ") for line in done.stdout.splitlines()} >= expected
    assert "popular" not in done.stdout


def test_the_help_fits_80_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`vecrec` alone shows it, with every command."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "completion" in shown
    assert max(map(len, shown.splitlines())) <= 80
