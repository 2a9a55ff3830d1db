"""An evaluation is not fooled: by answers that were learnt, by repeats, or by events that are no targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecrec import FeedbackPolicy, Recommender, ReleaseChecks
from vecrec.data import Dataset, Split, splits
from vecrec.encoders import EASEEncoder, PopularityEncoder
from vecrec.errors import InvalidDataError
from vecrec.evaluation import evaluate
from vecrec.learning.sketch import PairSketch
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.vector_stores import MemoryVectorStore

KNOWN = "was fitted on about"


def _log(n_users: int = 60, **more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    items = np.concatenate([rng.choice(200, 8, replace=False) for _ in range(n_users)])
    return {"user_id": np.repeat(np.arange(n_users), 8), "item_id": items, **more}


TIMED = _log(time=1.7e9 + np.arange(480))


@pytest.mark.parametrize("log", [TIMED, _log()], ids=["times", "no times"])
@pytest.mark.parametrize(
    ("fit_on", "share"),
    [
        (lambda data, split: split.before_test, 0.0),
        (lambda data, split: split.train, 0.0),
        (lambda data, split: data, 1.0),
        (lambda data, split: split.test, 1.0),
        (lambda data, split: data.select_events(data.user_codes % 2 == 0), 0.5),
    ],
)
def test_a_model_that_was_fitted_on_the_test_is_noticed(
    log: dict[str, Any], fit_on: Any, share: float, tmp_path: Path
) -> None:
    """Also where it was saved and loaded meanwhile; the note says how much of the test it knew."""
    data = Dataset(log)
    split = splits.leave_last_out(data)
    EASEEncoder(dim=8).fit(fit_on(data, split)).save(tmp_path)
    found = evaluate(EASEEncoder.load(tmp_path), split, k=5, top=1, baselines=())
    said = [note for note in found.notes if KNOWN in note]
    assert bool(said) is (share > 0)
    if said:
        told = float(said[0].split(KNOWN)[1].split("%")[0]) / 100
        assert abs(told - share) < 0.2
        assert KNOWN in str(found)


def test_an_encoder_that_does_not_say_what_it_learnt_from_is_measured(tmp_path: Path) -> None:
    """An encoder of an earlier version has no sketch."""
    split = splits.leave_last_out(Dataset(TIMED))
    PopularityEncoder().fit(split.train).save(tmp_path)
    (tmp_path / "learnt_from.npy").unlink()
    assert evaluate(PopularityEncoder.load(tmp_path), split, k=5, top=1, baselines=()).notes == []
    (tmp_path / "learnt_from.npy").write_text("?")
    with pytest.raises(InvalidDataError, match="damaged"):
        PopularityEncoder.load(tmp_path)


@pytest.mark.parametrize("known", [0.0, 0.2, 1.0])
def test_a_sketch_estimates_a_share(known: float) -> None:
    data = Dataset({"user_id": np.arange(5000) % 500, "item_id": np.arange(5000)})
    n_known = round(2000 * known)
    users = [n % 500 for n in range(n_known)] + ["other"] * (2000 - n_known)
    assert abs(PairSketch.of(data).share_of(users, list(range(2000))) - known) < 0.05


def test_targets_are_what_the_policy_predicts() -> None:
    """The last purchase is held out, and not what was shown, disliked or viewed after it."""
    kinds = ["purchase", "view", "purchase", "view", "purchase", "impression", "dislike"] * 20
    log = {"user_id": np.repeat(np.arange(20), 7), "item_id": np.arange(140) % 9, "kind": kinds}
    data = Dataset(log, order="rows", feedback=FeedbackPolicy(targets={"purchase"}))
    split = splits.leave_last_out(data)
    found = evaluate(PopularityEncoder().fit(split.train), split, k=7, top=1, baselines=())
    assert found.counts["targets"] == 20
    assert {event.kind for event in split.train.events()} == {"purchase", "view"}
    assert [event.kind for event in split.validation.events()][:2] == ["purchase", "view"]
    assert [event.kind for event in split.test.events()][:3] == ["purchase", "impression", "dislike"]


def _baskets() -> Split:
    """Each user buys milk, looks at tea and dislikes eggs; then buys milk twice, tea, and eggs after all."""
    items = ["milk", "tea", "eggs", "milk", "milk", "tea", "eggs"] * 20
    kinds = ["purchase", "view", "dislike", "purchase", "purchase", "purchase", "purchase"] * 20
    times = 1.7e9 + np.tile(np.arange(7), 20) * 1e5 + np.repeat(np.arange(20), 7)
    log = {"user_id": np.repeat(np.arange(20), 7), "item_id": items, "kind": kinds, "time": times}
    return splits.temporal(Dataset(log), at=1.7e9 + 2.5e5, drop_cold=False)


@pytest.mark.parametrize(
    ("seen", "found", "counted"), [(True, 0, 60), (["purchase"], 20, 40), ({"view"}, 20, 40), (False, 40, 60)]
)
def test_items_are_left_out_by_kind_offline_and_live(seen: Any, found: int, counted: int, tmp_path: Path) -> None:
    """Each target of a user counts once, and disliked items stay away, as in `recommend`."""
    split = _baskets()
    offline = evaluate(PopularityEncoder().fit(split.train), split, k=3, top=1, baselines=(), exclude_seen=seen)
    parts = PopularityEncoder(), MemoryVectorStore(), MemoryMetadataStore()
    checks = ReleaseChecks(beat_popularity=False)
    with Recommender(*parts, name="shop", artifacts=tmp_path, checks=checks) as shop:
        shop.fit(split.train)
        live = shop.evaluate(split.test, 3, exclude_seen=seen)
    for measured in (offline, live):
        assert (measured.counts["targets"], measured.counts["targets_seen"]) == (60, counted)
        assert round(measured["recall@3"] * 60) == found
        assert ("seen before" in str(measured)) is (seen is not False)
    assert live.counts["targets_stored"] == 0


@pytest.mark.parametrize("seen", [True, False])
def test_a_live_release_that_knows_the_answers_says_so(seen: bool, tmp_path: Path) -> None:
    """By the stored events, and where these were deleted, by what the encoder was fitted on."""
    data = Dataset(TIMED)
    split = splits.leave_last_out(data)
    checks = ReleaseChecks(beat_popularity=False)
    with Recommender(
        EASEEncoder(dim=8), MemoryVectorStore(), MemoryMetadataStore(), name="shop", artifacts=tmp_path, checks=checks
    ) as shop:
        shop.fit(data)
        found = shop.evaluate(split.test, 5, exclude_seen=seen)
        assert found.counts["targets_stored"] == 60
        assert "60 of 60 targets are stored events already" in str(found)
        for event in split.test.events():
            shop.delete_events(event.user_id or 0, event.item_id)
        found = shop.evaluate(split.test, 5, exclude_seen=seen)
        assert found.counts["targets_stored"] == 0
        assert KNOWN in str(found)
