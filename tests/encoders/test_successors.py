"""Successors: counted as the formula says, weighed by what they gain, and read from their files."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recommender.shop import FOLLOWER, shop
from tests.recommender.tastes import TasteEncoder
from vecrec import FeedbackPolicy
from vecrec.data import Dataset, splits
from vecrec.encoders.successors import Successors, hold_out
from vecrec.errors import ReleaseError
from vecrec.evaluation import evaluate
from vecrec.types import Hit

LOG: dict[str, list[Any]] = {"user_id": [1, 1, 1, 1, 2, 2, 2, 3], "item_id": ["a", "b", "c", "a", "b", "c", "b", "c"]}
HISTORIES = [["a", "b", "c", "a"], ["b", "c", "b"], ["c"]]


@pytest.mark.parametrize("pairs", [1, 4_000_000], ids="pairs {}".format)
@pytest.mark.parametrize("order", ["rows", "time"])
def test_weights_are_what_the_formula_says(order: str, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, whatever fits into memory at a time; an item may follow itself."""
    monkeypatch.setattr("vecrec.encoders.successors._PAIRS", pairs)
    data = Dataset(LOG, order="rows") if order == "rows" else Dataset({**LOG, "time": list(range(1, 9))})
    found = Successors.of(data)
    counts: dict[tuple[str, str], float] = defaultdict(float)
    for history in HISTORIES:
        for place, before in enumerate(history):
            for lag, after in enumerate(history[place + 1 :]):
                counts[before, after] += 0.85**lag / len(history) ** 0.5
                counts[after, before] += 0.15 * 0.85**lag / len(history) ** 0.5
    occurs = {"a": 2, "b": 3, "c": 3}
    for key, occurrences in occurs.items():
        expected = {o: count / (occurrences + 10) ** 0.5 for (i, o), count in counts.items() if i == key}
        assert found.lists.near(key) == pytest.approx(expected, rel=1e-3)


def test_an_unknown_order_counts_pairs_alike() -> None:
    """Both directions and all distances; the order of the rows says nothing."""
    reversed_log = {name: column[::-1] for name, column in LOG.items()}
    found = [Successors.of(Dataset(log)) for log in (LOG, reversed_log)]
    assert found[0].decay == found[1].decay == 1
    assert [found[0].lists.near(key) for key in "abc"] == [found[1].lists.near(key) for key in "abc"]
    assert found[0].lists.near("a")["b"] == found[0].lists.near("a")["c"] == pytest.approx(2 / 2 / 12**0.5, rel=1e-3)


def test_weights_of_events_count_and_negatives_do_not() -> None:
    """What follows counts by its weight; a disliked item follows nothing."""
    log = {"user_id": [1, 1, 1, 2, 2], "item_id": ["a", "b", "d", "a", "c"], "kind": ["v", "v", "dislike", "v", "p"]}
    plain = Successors.of(Dataset(log, order="rows"))
    weighed = Successors.of(Dataset(log, order="rows", feedback=FeedbackPolicy(weights={"p": 3})))
    assert plain.lists.near("a") == pytest.approx(
        {key: weighed.lists.near("a")[key] / worth for key, worth in {"b": 1, "c": 3}.items()}, rel=1e-3
    )


def test_scores_are_sums_over_the_history() -> None:
    """The latest event counts most; strangers count nothing; the parts add up; without a weight there is nothing."""
    found = replace(Successors.of(Dataset(LOG, order="rows")), weight=2.0, decay=0.5)
    near = {key: found.lists.near(key) for key in "abc"}
    expected = {key: 2 * (near["b"].get(key, 0) + 0.25 * near["a"].get(key, 0)) for key in near["a"] | near["b"]}
    history = ["a", "stranger", "b"]
    assert found.scores(history) == pytest.approx(expected)
    for key, score in expected.items():
        parts = found.parts(history, key)
        assert sum(parts.values()) == pytest.approx(score)
        assert parts.keys() <= {0, 2}
    assert found.scores([]) == found.scores(["stranger"]) == found.parts(history, "stranger") == {}
    assert replace(found, weight=0.0).scores(history) == {}


def test_weights_are_learnt_where_they_gain() -> None:
    """What follows what is nothing that tastes know; where nothing follows anything, it counts nothing."""
    for data, follows in ((shop(), True), (shop(follows=0.0), False)):
        parts = hold_out(data)
        assert parts is not None
        before, held_out = parts
        encoder = TasteEncoder().fit(before)
        found = Successors.of(before).weighed(encoder, before, held_out)
        assert (found.weight > 0) == follows
        split = splits.leave_last_out(data)
        plain, added = (evaluate(encoder, split, baselines=(), successors=each) for each in (None, found))
        assert added.metrics["ndcg@10"] >= plain.metrics["ndcg@10"]
        assert (added.metrics["ndcg@10"] > 2 * plain.metrics["ndcg@10"]) == follows


def test_few_last_events_are_held_out() -> None:
    """The last event of a tenth of the users, none where these are few."""
    data = shop()
    parts = hold_out(data)
    assert parts is not None
    before, held_out = parts
    assert before.n_events + held_out.n_events == data.n_events
    assert held_out.n_events == data.n_users // 10 == len({*held_out.user_codes.tolist()})
    last = data.item_codes[data.user_offsets[1:] - 1]
    assert (held_out.item_codes == last[held_out.user_codes]).all()
    assert hold_out(shop(n_users=900)) is None
    assert hold_out(Dataset({"user_id": [], "item_id": []})) is None


def test_they_survive_their_files(tmp_path: Path) -> None:
    """Mapped into memory; without files there are none; damaged ones are refused."""
    assert Successors.load(tmp_path).scores(["a"]) == {}
    found = replace(Successors.of(Dataset(LOG, order="rows")), weight=2.0, decay=0.5, center=np.ones(3, np.float32))
    found.save(tmp_path)
    loaded = Successors.load(tmp_path)
    assert isinstance(loaded.lists.places, np.memmap)
    assert loaded.scores(["a", "b"]) == found.scores(["a", "b"])
    hits, user = [Hit("z", 9.0), Hit("b", 5.0)], np.ones(3, np.float32)
    joined, brought = loaded.join(hits, user, ["a"], more=True)
    near = found.lists.near("a")
    assert brought == near.keys() - {"b"}
    assert {hit.id: hit.score for hit in joined} == pytest.approx(
        {"z": 9.0, "b": 5.0 + 2 * near["b"], **{key: (5 + 3) / 2 + 2 * near[key] for key in brought}}
    )
    assert [hit.score for hit in joined] == sorted((hit.score for hit in joined), reverse=True)
    assert {hit.id for hit in loaded.join(hits, user, ["a"], more=False)[0]} == {"z", "b"}
    assert loaded.join([], user, ["a"], more=True) == ([], set())
    damages: list[Any] = [{}, {"decay": "x", "weight": 1, "center": []}, {"decay": 1, "weight": 1, "center": ["x"]}, []]
    for damage in damages:
        (tmp_path / "successor.json").write_text(json.dumps(damage))
        with pytest.raises(ReleaseError):
            Successors.load(tmp_path)


def test_followers_of_the_shop_are_counted() -> None:
    """The refill is first in the list of its product."""
    found = Successors.of(shop())
    right = [next(iter(found.lists.near(key))) == FOLLOWER[key] for key in FOLLOWER]
    assert np.mean(right) > 0.95
