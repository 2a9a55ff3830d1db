"""The doctor finds what is wrong, says it with figures, and knows the cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Run, text_of, write_catalogue
from tests.recommender.tastes import world
from tests.serving.conftest import published
from vecrec.data import Dataset
from vecrec.doctor import diagnose_data, diagnose_system

_RANDOM = np.random.default_rng(5)
_EVENTS = {
    "user_id": np.repeat(np.arange(50), 10),
    "item_id": _RANDOM.zipf(1.5, 500).clip(max=100),
    "time": np.arange(500) + 1e9,
}


def _items(**columns: Any) -> dict[str, Any]:
    return {"item_id": list(range(1, 101)), "title": [f"T{n}" for n in range(100)], **columns}


def _counts() -> list[int]:
    return [int((_EVENTS["item_id"] == n).sum()) for n in range(1, 101)]


@pytest.mark.parametrize(
    ("events", "items", "expected"),
    [
        ({**_EVENTS, "time": np.arange(500) // 100}, _items(), "have the time of the event before"),
        ({**_EVENTS, "time": np.zeros(500)}, _items(), "all events have the same time"),
        ({**_EVENTS, "time": _EVENTS["time"] + 3e9}, _items(), "500 events lie after the moment"),
        ({**_EVENTS, "time": _EVENTS["time"] * 1e3}, _items(), "does not hold seconds, and was converted"),
        ({name: _EVENTS[name] for name in ("user_id", "item_id")}, _items(), "there are no times"),
        ({name: np.concatenate([column, column[:7]]) for name, column in _EVENTS.items()}, _items(), "are there twice"),
        ({**_EVENTS, "user_id": [f"u{n}" if n % 2 else f"U{n - 1}" for n in range(500)]}, _items(), "differ only in"),
        (_EVENTS, _items(votes=_counts()), "goes with the number of events"),
        (_EVENTS, _items(tag=["x", "y"] * 5 + [None] * 90), "90% of the items do not have it"),
        (_EVENTS, _items(country=["US"] * 100), "is the same everywhere"),
        (_EVENTS, _items(cast=[[f"actor {n}"] for n in range(100)]), "values are on fewer than 3"),
        ({**_EVENTS, "user_id": np.arange(500)}, _items(), "have fewer than 3 events"),
        (_EVENTS, _items(title=["same"] * 100), "have a record equal to another's"),
        (_EVENTS, {"item_id": [1, 2], "title": ["a", "b"]}, "have no record"),
        ({**_EVENTS, "rating": [0.0] * 300 + [4.0] * 200}, _items(), "60% of the ratings are 0 and count as dislikes"),
        (
            {name if name != "time" else "ts": _EVENTS[name] for name in _EVENTS},
            _items(),
            "'ts' of interactions is taken",
        ),
        ({**_EVENTS, "rating": [4.0] * 400 + [np.nan] * 100}, _items(), "20% of the events have no rating"),
    ],
)
def test_a_problem_of_the_data_is_found(events: dict[str, Any], items: dict[str, Any], expected: str) -> None:
    """Each with a cure, and not in data without it."""
    found = diagnose_data(Dataset(events, items=items))
    assert any(expected in finding.problem for finding in found), found
    assert all(finding.cure for finding in found)


def test_good_data_has_no_findings() -> None:
    """What is well is not talked about."""
    assert diagnose_data(world()) == []


def test_the_worst_comes_first() -> None:
    """Errors, then warnings, then hints."""
    found = diagnose_data(
        Dataset({**_EVENTS, "time": np.zeros(500)}, items=_items(votes=_counts(), country=["US"] * 100))
    )
    kinds = [finding.severity for finding in found]
    assert kinds == sorted(kinds, key=["error", "warning", "hint"].index)
    assert kinds[0] == "error"
    assert kinds[-1] == "hint"


def test_stores_that_differ_are_found(tmp_path: Path) -> None:
    """By counts, by marks, and fully; nothing is found where nothing is wrong."""
    with published(tmp_path) as recommender:
        assert diagnose_system(recommender, full=True) == []
        recommender.metadata_store.delete("item", [3])
        recommender.metadata_store.put("pending", {4: {"op": "upsert"}})
        problems = [finding.problem for finding in diagnose_system(recommender)]
        assert any("59 records, 60 vectors" in problem for problem in problems)
        assert any("1 items have a change" in problem for problem in problems)
        full = diagnose_system(recommender, full=True)
        assert full[-1].cure == "vecrec repair --full"


def test_by_command(tmp_path: Path, films: Path, run: Run) -> None:
    """Status 0 and a word of peace; status 1 with findings and cures."""
    assert "Nothing is wrong" in text_of(run("doctor"))
    healthy = run("doctor", "--json", "--full").json
    assert healthy["findings"] == []
    assert healthy["versions"]["vecrec"]
    down = run("doctor", "--metadata-store", "redis://127.0.0.1:1", "--json")
    assert down.status == 1
    assert down.json["findings"][0]["subject"] == "metadata store"
    assert run("doctor", at=tmp_path).status == 1
    twice = tmp_path / "items.csv"
    twice.write_text("item_id,title\n1,a\n1,b\n")
    broken = run("doctor", "--interactions", films / "log.csv", "--items", twice)
    assert broken.status == 1
    assert "error" in text_of(broken)
    assert "cure:" in text_of(broken)


def test_a_release_that_knows_too_little_is_found(tmp_path: Path, run: Run) -> None:
    """Many new items since it was made: train again."""
    log, items = write_catalogue(tmp_path)
    given = ["--interactions", log, "--items", items, "--encoder", "content", "--dim", 16, "--quiet"]
    assert run("train", *given, at=tmp_path).status == 0
    more = tmp_path / "more.jsonl"
    more.write_text("".join(f'{{"item_id": "n{n}", "genre": "noir"}}\n' for n in range(20)))
    assert run("upsert", "items", "--file", more, at=tmp_path).status == 0
    assert "not learnt 33%" in str(run("doctor", "--json", at=tmp_path).json["findings"])


def check(candidate: object) -> float:
    """A check that `train --check` imports."""
    return 0.5


def test_checks_by_command(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One's own is imported and kept; one that refuses keeps what was trained; limits are flags."""
    log, items = write_catalogue(tmp_path)
    given = ["--interactions", log, "--items", items, "--encoder", "content", "--dim", 16, "--quiet", "--json"]
    trained = run("train", *given, "--check", f"{__name__}:check", "--sampled-users", 20, at=tmp_path).json
    assert trained["checks"]["check"] == 0.5
    refused = run("train", *given, "--index-recall", 1.5, at=tmp_path)
    assert (refused.status, "index_recall" in refused.err) == (2, True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def never(candidate):\n    return False\n")
    refused = run("train", *given, "--check", "mine:never", at=tmp_path)
    assert (refused.status, "publish --trained" in refused.err) == (1, True)
    assert run("train", *given, "--check", "mine:nothing", at=tmp_path).status == 2
    published = run("publish", "--trained", "--no-beat-live", "--no-beat-popularity", "--json", at=tmp_path).json
    assert published["data_digest"] == trained["data_digest"]
    assert run("publish", "--trained", at=tmp_path).status == 1
