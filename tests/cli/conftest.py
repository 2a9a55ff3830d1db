"""What the tests of the command line share: a catalogue in files, trained and published by the command itself."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vecrec.cli import main


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its result."""
        assert self.status in (0, 1), self.err
        return json.loads(self.out)


Run = Callable[..., Answer]


def write_catalogue(folder: Path) -> tuple[Path, Path]:
    """Two tastes, noir and western; each user has one of them. Gives the interactions and the items."""
    log, items = folder / "log.csv", folder / "items.jsonl"
    with log.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "time"])
        rows.writerows(
            (user, (user % 2 + 2 * (user + n)) % 40, 1000 + 8 * user + n) for user in range(60) for n in range(8)
        )
    films = (
        {"item_id": n, "title": f"Film {n}", "genre": "noir" if n % 2 else "western", "year": 1980 + n}
        for n in range(40)
    )
    items.write_text("".join(json.dumps(film) + "\n" for film in films))
    return log, items


@pytest.fixture(scope="package", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory with the files and, below `artifacts`, what `vecrec train` has made of them."""
    folder = tmp_path_factory.mktemp("films")
    log, items = write_catalogue(folder)
    given = ["--interactions", str(log), "--items", str(items), "--encoder", "content", "--dim", "32", "--quiet"]
    assert main(["train", *given, "--name", "films", "--artifacts", str(folder / "artifacts")]) == 0
    return folder


@pytest.fixture
def run(films: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a function that runs a command on the trained catalogue."""

    def run_it(*words: object, at: Path | None = None) -> Answer:
        where = ["--name", "films", "--artifacts", str((at or films) / "artifacts")]
        capsys.readouterr()
        status = main([*map(str, words), *where])
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return run_it


def text_of(answer: Answer) -> str:
    """What people read, in one line."""
    return " ".join(io.StringIO(answer.out).read().split())
