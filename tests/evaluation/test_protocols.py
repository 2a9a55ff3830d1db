"""The tasks of the published protocols."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.walks import walks
from vecrec.data import splits
from vecrec.encoders import PopularityEncoder
from vecrec.errors import InvalidDataError
from vecrec.evaluation import cold_items, cold_users, evaluate, from_split, sampled_negatives
from vecrec.ids import Id


def test_p1_hands_over_all_that_came_before_and_ranks_what_anybody_met() -> None:
    data = walks(12)
    split = splits.leave_last_out(data)
    task = from_split(split)
    assert task.users.tolist() == list(range(12))
    (visitor,) = task.visitors([7])
    assert visitor.id == 7
    assert visitor.features == {"likes": data.user(7).features["likes"], "age": 27}
    assert visitor.history == data.user(7, history=True).history[:-1]
    assert task.candidates.sum() == (data.popularity() > 0).sum() < data.n_items
    every = from_split(split, candidates=np.ones(data.n_items, bool))
    assert every.candidates.all()


def test_p3_ranks_for_whoever_came_back_and_counts_every_later_event() -> None:
    split = splits.temporal(walks(40), 0.8)
    found = evaluate(PopularityEncoder().fit(split.train), split, k=10)
    assert found.counts["targets"] == split.test.n_events > found.counts["users"]
    assert found["recall@10"] < found["hit_rate@10"]


def test_p4_ranks_new_items_among_themselves() -> None:
    split = splits.cold_items(walks(200), 0.2, seed=1)
    task = cold_items(split)
    assert split.held_out is not None
    assert np.flatnonzero(task.candidates).tolist() == split.held_out.tolist()
    assert task.train.popularity()[split.held_out].sum() == 0
    found = evaluate(PopularityEncoder().fit(split.train), task, k=(1, 10))
    # Popularity knows none of them, all scores are equal, and the worst case counts.
    assert found["hit_rate@10"] == 0
    assert found.counts["unknown_targets"] == 0


def test_p4_measures_new_users_on_the_same_targets_after_any_number_of_events() -> None:
    split = splits.cold_users(walks(60), 0.3, seed=1)
    tasks = [cold_users(split, n_events, first=20) for n_events in (0, 1, 5, 20)]
    assert {task.targets.digest for task in tasks} == {tasks[0].targets.digest}
    lengths = [{len(user.history) for user in task.visitors(task.users.tolist())} for task in tasks]
    assert lengths == [{0}, {1}, {5}, {20}]
    assert [int(task.targets.n_events) for task in tasks] == [18 * 4] * 4
    figures = [evaluate(PopularityEncoder().fit(split.train), task, k=10)["ndcg@10"] for task in tasks]
    assert len(set(figures)) == 1
    with pytest.raises(InvalidDataError, match="an int from 0 to 20"):
        cold_users(split, 21, first=20)
    with pytest.raises(InvalidDataError, match="of at least 0"):
        cold_users(split, -1)


def test_p4_asks_for_the_next_event_of_new_users() -> None:
    data = walks(60)
    split = splits.cold_users(data, 0.3, seed=1)
    task = cold_users(split, 5)
    for user, target in zip(task.visitors(task.users.tolist()), task.targets.item_codes.tolist()):
        events = next(each for each in data.users(history=True) if each.id == user.id).history
        assert user.history == events[:5]
        assert data.item_ids[target] == events[5].item_id


def test_p2_ranks_among_the_given_items_only() -> None:
    data = walks(30)
    split = splits.leave_last_out(data)
    rng = np.random.default_rng(0)
    negatives = {
        user: [data.item_ids[code] for code in rng.permutation(data.n_items) if code != target][:9]
        for user, target in zip(data.user_ids, split.test.item_codes.tolist())
    }
    task = sampled_negatives(split, negatives)
    assert task.pools is not None
    assert task.pools.shape == (30, 10)
    assert task.name == "leave last out, among 9 negatives"
    found = evaluate(PopularityEncoder().fit(split.train), task, k=(5, 10))
    assert found.counts["ranked_items"] == 10
    reachable = (split.train.popularity() > 0)[split.test.item_codes].mean()
    assert found["hit_rate@10"] == pytest.approx(reachable)


def test_negatives_that_are_missing_unknown_or_uneven_are_refused() -> None:
    data = walks(30)
    split = splits.leave_last_out(data)
    some: dict[Id, list[Id]] = {user: [0, 1] for user in data.user_ids}
    others: list[dict[Id, list[Id]]] = [{**some, 3: []}, {**some, 3: [0, "nothing"]}, {**some, 3: [0]}, {0: [1, 2]}]
    for broken in others:
        with pytest.raises(InvalidDataError, match="negatives"):
            sampled_negatives(split, broken)
    with pytest.raises(InvalidDataError, match="several targets"):
        sampled_negatives(splits.temporal(data, 0.5), some)


def test_a_split_is_not_taken_for_another_one() -> None:
    data = walks(60)
    items, users = splits.cold_items(data, 0.2), splits.cold_users(data, 0.2)
    for held_out in (items, users):
        with pytest.raises(InvalidDataError, match="use cold_items or cold_users"):
            from_split(held_out)
    with pytest.raises(InvalidDataError, match="holds no items out"):
        cold_items(splits.leave_last_out(data))
    with pytest.raises(InvalidDataError, match="holds no users out"):
        cold_users(replace(users, held_out=None), 1)
