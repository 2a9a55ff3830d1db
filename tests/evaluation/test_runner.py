"""An evaluation from a split to a result that is printed, compared and exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.walks import walks
from vecrec.data import Dataset, Split, splits
from vecrec.encoders import PopularityEncoder
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.evaluation import Evaluation, evaluate, from_split
from vecrec.ids import Id


@pytest.fixture(scope="module")
def split() -> Split:
    return splits.leave_last_out(walks(n_users=120))


@pytest.fixture(scope="module")
def popularity(split: Split) -> Evaluation:
    return evaluate(PopularityEncoder().fit(split.train), split, k=(5, 10), top=10, name="most chosen")


def test_the_metrics_are_the_means_over_the_users(popularity: Evaluation) -> None:
    assert len(popularity.user_ids) == popularity.counts["users"] == 120
    for name in ("hit_rate@5", "ndcg@10", "map@10", "mrr@10", "precision@5", "recall@10", "novelty@10", "diversity@10"):
        assert popularity[name] == pytest.approx(popularity.values(name).mean())
    # One target a user: published tables call recall the hit rate.
    assert popularity["recall@10"] == popularity["hit_rate@10"] == pytest.approx(10 * popularity["precision@10"])
    assert popularity["ndcg@5"] <= popularity["ndcg@10"] < 0.2


def test_everybody_gets_nearly_the_same_from_popularity(popularity: Evaluation) -> None:
    assert popularity["overlap@10"] > 0.5
    assert popularity["coverage@10"] < 0.5


def test_popularity_is_measured_beside_any_model(popularity: Evaluation) -> None:
    assert [each.model for each in popularity.baselines] == ["popularity"]
    assert popularity.baselines[0].metrics == popularity.metrics
    assert popularity.baselines[0].baselines == ()


def test_the_table_shows_every_metric_with_its_interval_and_the_baseline(popularity: Evaluation) -> None:
    lines = str(popularity).splitlines()
    assert "leave last out (120 users, " in lines[0]
    assert lines[2].split("  ")[0] == "metric"
    assert "most chosen" in lines[2]
    assert "popularity" in lines[2]
    assert [line.split()[0] for line in lines[4 : 4 + len(popularity.metrics)]] == list(popularity.metrics)
    assert lines[4 + len(popularity.metrics) :] == list(popularity.notes)
    low, high = popularity.interval("ndcg@10")
    row = next(line for line in lines if line.startswith("ndcg@10 "))
    assert f"{popularity['ndcg@10']:.4f}  " in row
    assert f"{low:.4f} to {high:.4f}" in row
    assert "<td>ndcg@10</td>" in popularity._repr_html_()


def test_it_exports_to_json_and_to_a_frame(popularity: Evaluation, tmp_path: Path) -> None:
    popularity.save(tmp_path / "found.json")
    value = json.loads((tmp_path / "found.json").read_text())
    assert value["metrics"]["ndcg@10"] == popularity["ndcg@10"]
    assert value["intervals"]["ndcg@10"] == list(popularity.interval("ndcg@10"))
    assert value["baselines"][0]["model"] == "popularity"
    frame = popularity.to_pandas()
    assert list(frame.columns) == ["model", "metric", "value", "low", "high"]
    assert len(frame) == 2 * len(popularity.metrics)
    assert frame[frame["metric"] == "coverage@10"]["low"].isna().all()


def test_it_draws_itself(popularity: Evaluation, tmp_path: Path) -> None:
    figure = popularity.plot(tmp_path / "found.png")
    assert [axes.get_title() for axes in figure.axes] == ["Recall@k", "NDCG@k"]
    assert (tmp_path / "found.png").stat().st_size > 5_000


def test_two_models_are_compared_user_by_user(split: Split, popularity: Evaluation) -> None:
    other = evaluate(PopularityEncoder().fit(split.before_test), split, k=10, baselines=())
    comparison = other.compare(popularity, "ndcg@10")
    assert comparison.difference == pytest.approx(other["ndcg@10"] - popularity["ndcg@10"])
    assert comparison.low <= comparison.difference <= comparison.high
    assert comparison.wins + comparison.losses <= 120
    assert str(comparison).startswith("ndcg@10: popularity less most chosen = ")
    some = evaluate(PopularityEncoder().fit(split.train), from_split(splits.leave_last_out(walks(50))), k=10)
    with pytest.raises(InvalidDataError, match="different users"):
        some.compare(popularity)


def test_validation_is_measured_from_what_came_before_it(split: Split) -> None:
    found = evaluate(PopularityEncoder().fit(split.train), split, k=10, part="validation", baselines=())
    assert found.protocol == "leave last out, validation"
    # The item that is next in validation is not left out as seen, which it would be in the test.
    assert found["recall@10"] > 0


def test_bad_requests_are_refused(split: Split, popularity: Evaluation) -> None:
    fitted = PopularityEncoder().fit(split.train)
    for k in (0, -1, True, 1.5, "10", (), (10, 0)):
        with pytest.raises(InvalidDataError, match=r"\bk\b"):
            evaluate(fitted, split, k=k)  # type: ignore[arg-type]
    with pytest.raises(InvalidDataError, match="part is 'train'"):
        evaluate(fitted, split, part="train")
    with pytest.raises(InvalidDataError, match="no installed package registers 'no such'"):
        evaluate(fitted, split, baselines=("no such",))
    with pytest.raises(NotFittedError):
        evaluate(PopularityEncoder(), split, baselines=())
    with pytest.raises(InvalidDataError, match="ndcg@7"):
        popularity["ndcg@7"]
    with pytest.raises(InvalidDataError, match="coverage@10"):
        popularity.interval("coverage@10")


def test_nothing_held_out_is_refused() -> None:
    split = splits.temporal(walks(20), 0.9, validation=0.05)
    empty = Split(split.train, split.validation, split.test.select_events(np.zeros(split.test.n_events, bool)),
                  split.before_test, "nothing")  # fmt: skip
    with pytest.raises(InvalidDataError, match="nothing is held out"):
        evaluate(PopularityEncoder().fit(split.train), empty)


def test_data_without_categories_has_no_diversity() -> None:
    data = Dataset({"user_id": [1, 1, 1, 2, 2, 2], "item_id": ["a", "b", "c", "b", "c", "a"]})
    split = splits.leave_last_out(data)
    found = evaluate(PopularityEncoder().fit(data), split, k=1, top=1)
    assert not [name for name in found.metrics if name.startswith("diversity")]


def _groceries(n_users: int = 20) -> Split:
    """Each user takes milk, milk, bread or eggs, milk and milk: the held-out milk was seen before."""
    others = ("bread", "eggs")
    baskets = [(u, item) for u in range(n_users) for item in ("milk", "milk", others[u % 2], "milk", "milk")]
    columns = {"user_id": [user for user, _ in baskets], "item_id": [item for _, item in baskets]}
    return splits.leave_last_out(Dataset({**columns, "time": list(range(len(baskets)))}))


def test_targets_that_were_seen_before_are_reported_and_can_be_ranked() -> None:
    split = _groceries()
    fitted = PopularityEncoder().fit(split.train)
    excluded = evaluate(fitted, split, k=1, top=1)
    assert (excluded["hit_rate@1"], excluded.counts["targets_seen"]) == (0, 20)
    assert "20 of 20 targets were seen before" in str(excluded)
    assert "20 of 20 targets were seen before" in excluded._repr_html_()
    assert excluded.to_json()["notes"] == list(excluded.notes)
    repeats = evaluate(fitted, split, k=1, top=1, exclude_seen=False)
    assert (repeats["hit_rate@1"], repeats.counts["targets_seen"], repeats.notes) == (1, 20, [])
    assert repeats.baselines[0]["hit_rate@1"] == 1
    with pytest.raises(InvalidDataError, match="exclude_seen is 'no'"):
        evaluate(fitted, split, exclude_seen="no")


def test_only_seen_targets_are_counted() -> None:
    rows = [(1, "a"), (1, "b"), (1, "a"), (2, "a"), (2, "b"), (2, "c"), (3, "b")]
    data = Dataset(
        {"user_id": [row[0] for row in rows], "item_id": [row[1] for row in rows], "time": list(range(len(rows)))}
    )
    split = splits.leave_last_out(data)
    found = evaluate(PopularityEncoder().fit(split.before_test), split, k=1, top=1, baselines=())
    assert {"targets": 3, "targets_seen": 1}.items() <= found.counts.items()


@pytest.mark.parametrize(("users", "items"), [(["1", "2"], [7, 8]), ([1, 2], ["7", "8"])])
@pytest.mark.parametrize("part", ["history", "targets", "seen"])
def test_a_part_with_ids_of_another_type_is_refused(users: list[Id], items: list[Id], part: str) -> None:
    train = Dataset({"user_id": [1, 2], "item_id": [7, 8]})
    task = from_split(splits.leave_last_out(train))
    with pytest.raises(InvalidDataError, match=rf"ids of the {part} \(str\) are not those of .* \(int\)"):
        replace(task, **{part: Dataset({"user_id": users, "item_id": items})})  # type: ignore[arg-type]


def test_the_depths_may_be_integers_of_numpy(split: Split) -> None:
    depths: Any = (np.int64(5), np.int64(10))
    found = evaluate(PopularityEncoder().fit(split.train), split, k=depths, top=depths[0], baselines=())
    assert {"ndcg@5", "ndcg@10", "novelty@5"} <= found.metrics.keys()
