"""The quality benchmark on made-up files in MovieLens's format: every protocol ends in figures."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality
from benchmarks._published import METRICS
from benchmarks._sequences import load_sequences

N_USERS, N_ITEMS, N_EVENTS = 40, 60, 25


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of walks along a ring of movies, and the files of protocol P2 for them."""
    path, rng = tmp_path_factory.mktemp("ml"), np.random.default_rng(0)
    movies = [f"{item}::Movie {item} (19{40 + item})::{'Comedy' if item % 2 else 'Drama'}" for item in range(1, 61)]
    users = [f"{user}::{'FM'[user % 2]}::25::{user % 20}::00000" for user in range(1, N_USERS + 1)]
    ratings, rows, negatives = [], [], []
    first_seen: dict[int, int] = {}
    for user in range(1, N_USERS + 1):
        start = int(rng.integers(N_ITEMS))
        items = [(start + step) % N_ITEMS + 1 for step in range(N_EVENTS)]
        ratings += [f"{user}::{item}::{3 + item % 3}::{1000 * step + user}" for step, item in enumerate(items)]
        for item in items:
            first_seen.setdefault(item, len(first_seen))
        rows.append((user - 1, items))
    for user, items in rows:
        others = [place for item, place in first_seen.items() if item not in items][:9]
        target = first_seen[items[-1]]
        negatives.append(f"({user},{target})\t" + "\t".join(map(str, others)))
    (path / "movies.dat").write_text("\n".join(movies) + "\n", "latin-1")
    (path / "users.dat").write_text("\n".join(users) + "\n", "latin-1")
    (path / "ratings.dat").write_text("\n".join(ratings) + "\n", "latin-1")
    (path / "ml-1m.test.negative").write_text("\n".join(negatives) + "\n")
    (path / "ml-1m.test.rating").write_text("".join(f"{user}\t{first_seen[items[-1]]}\t5\t0\n" for user, items in rows))
    (path / "Walks.txt").write_text("".join(f"{user + 1} {' '.join(map(str, items))}\n" for user, items in rows))
    table = {str(item): [item % 7, 7 + item % 2] for item in range(1, N_ITEMS + 1)}
    (path / "Walks_item2attributes.json").write_text(json.dumps(table))
    return path


def arguments(directory: Path, protocol: str, part: str = "test") -> Namespace:
    return Namespace(
        protocol=protocol,
        data=str(directory),
        attributes=False,
        successors=protocol == "P5",
        ncf=str(directory),
        part=part,
        dim=16,
        options={"linear": {"ridge": 20}},
        keep=directory / "kept",
    )


@pytest.mark.parametrize("protocol", METRICS)
@pytest.mark.parametrize("name", ["popularity", "linear", "content", "linear+popularity"])
def test_every_protocol_measures_every_encoder(directory: Path, protocol: str, name: str) -> None:
    runs = quality.measure(name, 0, arguments(directory, protocol))
    assert len(runs) == {"P4": 9, "P1t": 2}.get(protocol, 1)
    for run in runs:
        assert all(0 <= run["metrics"][metric] <= 1 for metric in METRICS[protocol])
        assert run["counts"]["users"] > 0
        assert str(directory) not in json.dumps(run)
    kept = [*(directory / "kept" / f"{protocol}-{name}-0").rglob("encoder.json")]
    assert len(kept) == {"P4": 2}.get(protocol, 1) * (3 if "+" in name else 1)
    rows = quality.table(protocol, runs)
    assert {len(row) for row in rows} == {len(METRICS[protocol]) + 4}


def test_the_given_negatives_are_the_ones_that_are_ranked(directory: Path) -> None:
    (run,) = quality.measure("popularity", 0, arguments(directory, "P2"))
    expected = {"users": N_USERS, "ranked_items": 10, "targets": N_USERS, "targets_seen": 0, "unknown_targets": 0}
    assert run["counts"] == expected
    assert run["protocol"] == "leave last out, as given, among 9 negatives"


def test_the_order_of_a_line_is_the_order_of_time(directory: Path) -> None:
    data = load_sequences(directory)
    assert (data.name, data.order, data.n_events) == ("Walks", "rows", N_USERS * N_EVENTS)
    line = (directory / "Walks.txt").read_text().splitlines()[0].split()
    user, *items = map(int, line)
    code = data.user_code(user)
    assert code is not None
    assert [event.item_id for event in data.user(code, history=True).history] == items


def test_attributes_are_features_only_where_they_are_wanted(directory: Path) -> None:
    assert load_sequences(directory).schema.items == ()
    data = load_sequences(directory, attributes=True)
    code = data.item_code(9)
    assert code is not None
    assert dict(data.item(code).features) == {"attributes": ["2", "8"]}


def test_a_directory_without_one_text_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="0 files"):
        load_sequences(tmp_path)


def test_results_are_printed_and_kept(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f"quality --protocol P1 --data {directory} --seeds 1 --encoder popularity --dim 8 --out {tmp_path}"
    monkeypatch.setattr("sys.argv", command.split())
    quality.main()
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    kept = json.loads((tmp_path / "quality-p1-popularity-8.json").read_text())
    assert kept["runs"] == last["runs"]
    assert kept["runs"][0]["encoder"] == "popularity"
    assert kept["versions"]["vecrec"]
