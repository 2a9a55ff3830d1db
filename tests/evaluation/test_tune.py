"""The search for settings, and the comparison of encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.recommender.tastes import world
from vecrec.cli import main
from vecrec.data import splits
from vecrec.encoders import ContentEncoder, EASEEncoder, LinearSequenceEncoder, TwoTowerEncoder
from vecrec.errors import InvalidDataError
from vecrec.evaluation import compare, evaluate, tune
from vecrec.progress import Step

SPLIT = splits.leave_last_out(world(40, 60))
SPACE = {"dim": [2, 16, 64], "seed": (0, 9)}


def test_a_search_finds_the_best_of_what_it_tried() -> None:
    """The value is what `evaluate` gives on the validation part; the encoder that was given stays as it was."""
    start = ContentEncoder(dim=8, seed=3)
    steps: list[Step] = []
    found = tune(start, SPLIT, SPACE, trials=6, progress=steps.append)
    assert (start.get_params(), start.is_fitted, found.encoder.is_fitted) == ({"dim": 8, "seed": 3}, False, False)
    assert len(found.trials) == 6
    assert found.best.value == max(trial.value or 0 for trial in found.trials)
    assert found.encoder.get_params() == {**start.get_params(), **found.best.params}
    again = evaluate(found.encoder.fit(SPLIT.train), SPLIT, (10,), part="validation", baselines=())
    assert again["ndcg@10"] == pytest.approx(found.best.value)
    assert [step.done for step in steps if step.stage == "tune"] == [1, 2, 3, 4, 5, 6]
    assert found.rows()[0]["trial"] == found.best.number
    assert str(found).splitlines()[0].split() == ["trial", "ndcg@10", "state", "seconds", "dim", "seed"]
    same = tune(ContentEncoder(dim=8), SPLIT, SPACE, trials=6)
    assert [trial.params for trial in same.trials] == [trial.params for trial in found.trials]


def test_a_search_goes_on_where_it_ended(tmp_path: Path) -> None:
    """The count is of all trials, of this run and of those before it."""
    path = tmp_path / "tuning.db"
    first = tune(ContentEncoder(dim=8), SPLIT, SPACE, trials=2, storage=path)
    more = tune(ContentEncoder(dim=8), SPLIT, SPACE, trials=4, storage=path)
    assert [trial.params for trial in more.trials][:2] == [trial.params for trial in first.trials]
    assert len(more.trials) == 4
    none = tune(ContentEncoder(dim=8), SPLIT, SPACE, trials=1, storage=f"sqlite:///{path}")
    assert len(none.trials) == 4
    picture = tmp_path / "tuning.svg"
    assert len(more.plot(picture).axes) == 3
    assert picture.read_text().startswith("<?xml")
    assert json.loads(json.dumps(more.to_json()))["best"]["params"] == dict(more.best.params)


def test_settings_in_an_object_and_lists_of_values() -> None:
    """`epochs` is one of the two towers' settings; the trials that are behind are given up."""
    space = {"epochs": (1, 2), "dim": [8], "decays": [(0.5,), (0.5, 0.9)]}
    found = tune(TwoTowerEncoder(seed=7), SPLIT, space, trials=2, metric="recall@10")
    assert found.metric == "recall@10"
    params = found.encoder.get_params()
    assert params["settings__epochs"] == found.best.params["epochs"]
    assert params["settings__decays"] in ((0.5,), (0.5, 0.9))


class _Behind(ContentEncoder):
    """Reports an epoch that is worse the later the trial is, like an encoder that learns badly."""

    seen = 0

    def _fit(self, data: Any, progress: Any) -> None:
        _Behind.seen += 1
        progress(Step("train", 1, 2, validation=1 / _Behind.seen))
        super()._fit(data, progress)


def test_trials_that_are_behind_are_given_up() -> None:
    _Behind.seen = 0
    found = tune(_Behind(dim=8), SPLIT, {"dim": [8, 16]}, trials=7)
    assert [trial.state for trial in found.trials] == ["complete"] * 4 + ["pruned"] * 3
    _Behind.seen = 0
    patient = tune(_Behind(dim=8), SPLIT, {"dim": [8, 16]}, trials=7, prune=False)
    assert {trial.state for trial in patient.trials} == {"complete"}


def test_the_two_towers_report_their_epochs() -> None:
    steps: list[Step] = []
    TwoTowerEncoder(dim=8, settings={"epochs": 2}).fit(SPLIT.train, progress=steps.append)
    assert len([step for step in steps if step.validation is not None]) == 2


@pytest.mark.parametrize(
    ("encoder", "options", "message"),
    [
        (TwoTowerEncoder(), {"space": {"epoch": (1, 2)}}, "did you mean 'epochs'"),
        (ContentEncoder(), {"space": {}}, "space"),
        (ContentEncoder(), {"space": {"dim": (8, 2)}}, "lower bound"),
        (ContentEncoder(), {"space": {"dim": (8, 9, "lin")}}, "log"),
        (ContentEncoder(), {"space": {"dim": 8}}, "list of values"),
        (ContentEncoder(), {"space": {"dim": []}}, "list of values"),
        (ContentEncoder(), {"metric": "ndgc@10"}, "metric"),
        (ContentEncoder(), {"metric": "ndcg"}, "metric"),
        (ContentEncoder(), {"trials": 0}, "trials"),
        (ContentEncoder(), {"space": {"dim": [0, -1]}, "trials": 2}, "none of the trials"),
    ],
)
def test_what_cannot_be_searched_is_refused(encoder: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        tune(encoder, SPLIT, **{"space": SPACE, **options})


def test_encoders_are_compared_on_the_same_users() -> None:
    """The best first, the others with the paired difference and its interval, and what each costs."""
    found = compare([ContentEncoder(dim=2), EASEEncoder(dim=16), ContentEncoder(dim=64)], SPLIT)
    values = [each["ndcg@10"] for each in found.evaluations]
    assert values == sorted(values, reverse=True)
    assert {each.model for each in found.evaluations} == {"content 1", "ease", "content 2"}
    for other, difference in zip(found.evaluations[1:], found.differences):
        assert difference.difference == pytest.approx(values[0] - other["ndcg@10"])
        assert difference.low <= difference.difference <= difference.high
    assert all(cost.fit_seconds > 0 and cost.rank_seconds > 0 for cost in found.costs)
    assert str(found).count("\n") == 6
    assert found.to_json()["models"][0]["behind_best"] is None


@pytest.mark.parametrize(
    ("encoders", "options"),
    [
        ([ContentEncoder()], {}),
        ([ContentEncoder(), "ease"], {}),
        ([ContentEncoder(), EASEEncoder()], {"names": ["one"]}),
        ([ContentEncoder(), EASEEncoder()], {"metric": "coverage@20"}),
    ],
)
def test_what_cannot_be_compared_is_refused(encoders: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidDataError):
        compare(encoders, SPLIT, **options)


def test_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`tune` and `compare` on a file; the arguments of an encoder beside its name; a typing error is named."""
    rows = [f"{e.user_id},{e.item_id},{e.time}" for e in world(20, 40).events()]
    (tmp_path / "log.csv").write_text("user_id,item_id,time\n" + "\n".join(rows) + "\n")
    data = ["--interactions", str(tmp_path / "log.csv"), "--quiet", "--json"]
    search = ["tune", "--encoder", "content", "--space", '{"dim": [4, 32], "seed": {"low": 1, "high": 3}}']
    kept = ["--storage", str(tmp_path / "t.db"), "--picture", str(tmp_path / "t.svg")]
    assert main([*search, "--trials", "2", *kept, *data]) == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 2
    assert (tmp_path / "t.svg").exists()
    assert main(["compare", 'content:{"dim": 4}', 'content:{"dim": 32}', "linear_sequence", *data]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert {row["model"] for row in models} == {'content:{"dim": 4}', 'content:{"dim": 32}', "linear_sequence"}
    assert main(["tune", "--encoder", "two_tower", "--space", '{"epoch": [1]}', *data]) == 2
    assert "did you mean 'epochs'" in capsys.readouterr().err
    assert main(["compare", "content", 'two_tower:{"epoch": 1}', *data]) == 2
    assert "did you mean 'epochs'" in capsys.readouterr().err
    assert LinearSequenceEncoder.name == "linear_sequence"
