"""Whole user bases go into Parquet files, and a batch that was broken off goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run
from tests.recommender.tastes import world
from tests.serving.conftest import published
from vecrec import User
from vecrec.errors import InvalidDataError, ReleaseError
from vecrec.progress import Step
from vecrec.recommender.batch import recommend_to_parquet


class _StoppedError(Exception):
    """Stands for Ctrl-C."""


def test_the_files_hold_what_recommend_gives(tmp_path: Path) -> None:
    """For everybody with a profile or events, in several files, of one release."""
    with published(tmp_path / "artifacts") as recommender:
        recommender.upsert_users([User("visitor", {"taste": "war"})])
        done = recommend_to_parquet(recommender, tmp_path / "out", k=3, users_per_file=16)
        assert (done.users, done.rows, done.files, done.skipped) == (41, 123, 3, 0)
        table = pq.read_table(tmp_path / "out")
        rows = list(zip(*(table[name].to_pylist() for name in ("user_id", "rank", "item_id"))))
        # Ids of both types become text, since a column has one.
        expected = [
            (str(key), each.rank, each.item_id)
            for key in [*range(40), "visitor"]
            for each in recommender.recommend(key, 3)
        ]
        assert rows == expected
        assert table.schema.metadata[b"vecrec.release"].decode() == done.release


def test_it_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    """Whole files stay, a half one is written anew, and the end is the same as without a break."""
    with published(tmp_path / "artifacts") as recommender:

        def stop(step: Step) -> None:
            if step.done >= 20:
                raise _StoppedError

        with pytest.raises(_StoppedError):
            recommend_to_parquet(recommender, tmp_path / "out", k=3, users_per_file=10, progress=stop)
        assert len(list((tmp_path / "out").glob("*.parquet"))) == 2
        done = recommend_to_parquet(recommender, tmp_path / "out", k=3, users_per_file=10)
        assert (done.files, done.skipped) == (4, 2)
        recommend_to_parquet(recommender, tmp_path / "whole", k=3, users_per_file=10)
        assert pq.read_table(tmp_path / "out").equals(pq.read_table(tmp_path / "whole"))
        assert not list((tmp_path / "out").glob("*.unfinished"))


def test_batches_are_not_mixed(tmp_path: Path) -> None:
    """Other settings, other users or another release need another directory; a switch on the way is noticed."""
    with published(tmp_path / "artifacts") as recommender:
        recommend_to_parquet(recommender, tmp_path / "out", [1, 2], k=3)
        for users, k in (([1, 2], 4), ([1, 3], 3)):
            with pytest.raises(InvalidDataError, match="another directory"):
                recommend_to_parquet(recommender, tmp_path / "out", users, k=k)
        switched: list[object] = []

        def switch(step: Step) -> None:
            if not switched:
                switched.append(recommender.fit(world(n_items=80)))

        with pytest.raises(ReleaseError, match="went live"):
            recommend_to_parquet(recommender, tmp_path / "moving", k=3, users_per_file=10, progress=switch)
        with pytest.raises(InvalidDataError, match="release"):
            recommend_to_parquet(recommender, tmp_path / "out", [1, 2], k=3)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": True}, {"users_per_file": 0}, {"users_per_file": 2.5}], ids=repr)
def test_counts_are_checked_before_anything_is_written(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """By name."""
    with published(tmp_path / "artifacts") as recommender, pytest.raises(InvalidDataError, match=next(iter(wrong))):
        recommend_to_parquet(recommender, tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_by_command(tmp_path: Path, run: Run) -> None:
    """All users, or those of a file."""
    found = run("batch", tmp_path / "all", "-k", "2", "--json").json
    assert (found["users"], found["rows"]) == (60, 120)
    (tmp_path / "some.csv").write_text("user_id\n3\n5\n")
    assert run("batch", tmp_path / "some", "--users-file", tmp_path / "some.csv", "--json").json["users"] == 2
    (tmp_path / "wrong.csv").write_text("name\n3\n")
    assert run("batch", tmp_path / "wrong", "--users-file", tmp_path / "wrong.csv").status == 2
