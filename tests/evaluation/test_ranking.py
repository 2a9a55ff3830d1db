"""Ranks and lists against a slow and plain computation."""

from __future__ import annotations

import numpy as np
import pytest

from vecrec import Item, User
from vecrec._internal.exact import target_ranks, top_columns
from vecrec.data import Dataset, splits
from vecrec.encoders import PopularityEncoder
from vecrec.evaluation import from_split
from vecrec.evaluation.ranking import rank
from vecrec.progress import Step, silent


def test_a_rank_is_one_plus_the_better_items_plus_the_equal_ones() -> None:
    scores = np.array([[0.5, 0.9, 0.5, 0.5, 0.1], [0.2, 0.2, 0.2, 0.2, 0.2]], np.float32)
    found = target_ranks(scores, np.array([2, 0], np.int32), np.array([0, 1, 2]))
    assert found.tolist() == [4, 5]


def test_a_target_that_is_left_out_or_unknown_has_no_rank() -> None:
    scores = np.array([[1.0, -np.inf, 0.5], [1.0, 2.0, 0.5]], np.float32)
    assert target_ranks(scores, np.array([1, -1], np.int32), np.array([0, 1, 2])).tolist() == [0, 0]


def test_several_targets_of_one_user_do_not_push_each_other_down() -> None:
    """Of equal scores, items that are no targets come first; targets stand in the order of their scores."""
    scores = np.array([[0.9, 0.5, 0.5, 0.4, 0.4], [0.1, 0.2, 0.3, 0.4, 0.5]], np.float32)
    targets, offsets = np.array([1, 0, 3, -1, 2], np.int32), np.array([0, 4, 5])
    assert target_ranks(scores, targets, offsets).tolist() == [3, 1, 5, 0, 3]


def test_ranks_of_one_and_of_many_agree_on_random_scores() -> None:
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 5, (50, 30)).astype(np.float32)
    targets = rng.integers(0, 30, 50).astype(np.int32)
    plain = [int((row > row[t]).sum() + (row == row[t]).sum()) for row, t in zip(scores, targets)]
    assert target_ranks(scores, targets, np.arange(51)).tolist() == plain
    for row, t, expected in zip(scores, targets, plain):
        pair = np.array([t, -1], np.int32)
        assert target_ranks(row[None], pair, np.array([0, 2])).tolist() == [expected, 0]


def test_the_best_items_come_first_equal_ones_by_code_and_left_out_ones_never() -> None:
    scores = np.array([[1, 3, 3, 2, -np.inf], [-np.inf, -np.inf, -np.inf, -np.inf, 0]], np.float32)
    assert top_columns(scores, 3).tolist() == [[1, 2, 3], [4, -1, -1]]
    assert top_columns(scores, 7).tolist() == [[1, 2, 3, 0, -1, -1, -1], [4, -1, -1, -1, -1, -1, -1]]


def _data() -> Dataset:
    rows = [(1, "a"), (1, "b"), (1, "c"), (2, "a"), (2, "b"), (2, "a"), (3, "a"), (3, "z"), (3, "b")]
    rows += [(4, "b"), (4, "a"), (4, "z")]
    return Dataset(
        {"user_id": [row[0] for row in rows], "item_id": [row[1] for row in rows], "time": list(range(len(rows)))},
        items=[Item("never met")],
        users=[User(9, {"note": "no event"})],
    )


def test_what_was_seen_and_what_nobody_met_is_left_out_and_unknown_targets_are_misses() -> None:
    split = splits.leave_last_out(_data())
    task = from_split(split)
    ranking = rank(PopularityEncoder().fit(split.train), task, 4, silent)
    names = task.train.item_ids
    lists = [[names[code] for code in row if code >= 0] for row in ranking.lists.tolist()]
    assert [task.train.user_ids[code] for code in task.users.tolist()] == [1, 2, 3, 4]
    # The targets: c, which is in nobody's training; a, which was seen before; b; and z, another unknown one.
    assert lists == [["c", "z"], ["c", "z"], ["b", "c"], ["c", "z"]]
    assert ranking.ranks.tolist() == [0, 0, 1, 0]


def test_ranking_in_small_batches_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    split = splits.leave_last_out(_data())
    encoder, task = PopularityEncoder().fit(split.train), from_split(split)
    steps: list[Step] = []
    whole = rank(encoder, task, 3, silent)
    monkeypatch.setattr("vecrec.evaluation.ranking._SCORES_AT_A_TIME", 1)
    single = rank(encoder, task, 3, steps.append)
    assert [step.done for step in steps] == [1, 2, 3, 4]
    np.testing.assert_array_equal(whole.ranks, single.ranks)
    np.testing.assert_array_equal(whole.lists, single.lists)
