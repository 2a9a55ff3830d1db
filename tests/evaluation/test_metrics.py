"""The metrics against values computed by hand, and against trec_eval."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import pytrec_eval

from vecrec.errors import InvalidDataError
from vecrec.evaluation import metrics

# Two users: hits at the ranks 2 and 4 of three relevant items, and none of one.
RELEVANT = np.array([[False, True, False, True], [False, False, False, False]])
N_RELEVANT = np.array([3, 1])

BY_HAND: dict[str, tuple[Any, int, list[float]]] = {
    "hit_rate@1": (metrics.hit_rate, 1, [0, 0]),
    "hit_rate@4": (metrics.hit_rate, 4, [1, 0]),
    "recall@2": (metrics.recall, 2, [1 / 3, 0]),
    "recall@4": (metrics.recall, 4, [2 / 3, 0]),
    "precision@2": (metrics.precision, 2, [1 / 2, 0]),
    "precision@4": (metrics.precision, 4, [2 / 4, 0]),
    "mrr@1": (metrics.mrr, 1, [0, 0]),
    "mrr@4": (metrics.mrr, 4, [1 / 2, 0]),
    "map@4": (metrics.average_precision, 4, [(1 / 2 + 2 / 4) / 3, 0]),
    "ndcg@2": (metrics.ndcg, 2, [(1 / math.log2(3)) / (1 + 1 / math.log2(3)), 0]),
    "ndcg@4": (metrics.ndcg, 4, [(1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / 2), 0]),
}

# One user asks for five items and gets three; the other shares two of them.
LISTS = np.array([[0, 1, 2, -1, -1], [3, 2, 1, 4, 5]])
POPULARITY = np.array([7, 3, 1, 0, 3, 1])


@pytest.mark.parametrize("name", BY_HAND)
def test_a_metric_has_the_value_computed_by_hand(name: str) -> None:
    metric, k, expected = BY_HAND[name]
    np.testing.assert_allclose(metric(RELEVANT, N_RELEVANT, k), expected, rtol=1e-12)


def test_weakness_06_metrics_agree_with_an_independent_implementation_on_random_input() -> None:
    """The original printed squared errors as "mae": every metric here agrees with trec_eval to 1e-9, user by user."""
    rng = np.random.default_rng(7)
    depth, n_items = 30, 60
    runs: dict[str, dict[str, float]] = {}
    truths: dict[str, dict[str, int]] = {}
    relevant, n_relevant = np.zeros((200, depth), bool), np.zeros(200, np.int64)
    for user in range(200):
        ranked = rng.permutation(n_items)[:depth]
        truth = set(rng.choice(n_items, rng.integers(1, 25), replace=False).tolist())
        relevant[user], n_relevant[user] = [item in truth for item in ranked.tolist()], len(truth)
        runs[str(user)] = {str(item): float(-place) for place, item in enumerate(ranked.tolist())}
        truths[str(user)] = {str(item): 1 for item in truth}
    measures = {"recall_5,20", "P_5,20", "ndcg_cut_5,20", "map_cut_5,20", "success_5,10"}
    theirs = pytrec_eval.RelevanceEvaluator(truths, measures).evaluate(runs)
    whole = pytrec_eval.RelevanceEvaluator(truths, {"recip_rank"}).evaluate(runs)
    pairs = [
        (metrics.recall, "recall", 5),
        (metrics.recall, "recall", 20),
        (metrics.precision, "P", 5),
        (metrics.precision, "P", 20),
        (metrics.ndcg, "ndcg_cut", 5),
        (metrics.ndcg, "ndcg_cut", 20),
        (metrics.average_precision, "map_cut", 5),
        (metrics.average_precision, "map_cut", 20),
        (metrics.hit_rate, "success", 5),
        (metrics.hit_rate, "success", 10),
    ]
    for metric, measure, k in pairs:
        expected = [theirs[str(user)][f"{measure}_{k}"] for user in range(200)]
        assert 0 < np.mean(expected) <= 1
        np.testing.assert_allclose(metric(relevant, n_relevant, k), expected, atol=1e-9, err_msg=f"{measure}@{k}")
    ranks = [whole[str(user)]["recip_rank"] for user in range(200)]
    np.testing.assert_allclose(metrics.mrr(relevant, n_relevant, depth), ranks, atol=1e-9)


def test_one_relevant_item_makes_recall_the_hit_rate_and_ndcg_a_function_of_its_rank() -> None:
    relevant = np.eye(5, dtype=bool)
    ones = np.ones(5, np.int64)
    np.testing.assert_array_equal(metrics.recall(relevant, ones, 3), metrics.hit_rate(relevant, ones, 3))
    np.testing.assert_allclose(metrics.ndcg(relevant, ones, 3), [1, 1 / math.log2(3), 1 / 2, 0, 0])


def test_a_user_with_nothing_relevant_counts_as_zero() -> None:
    nothing, none = np.zeros((1, 4), bool), np.zeros(1, np.int64)
    for metric in (metrics.recall, metrics.ndcg, metrics.mrr, metrics.precision, metrics.average_precision):
        assert metric(nothing, none, 4).tolist() == [0.0]


@pytest.mark.parametrize("k", [0, -1, 5])
def test_a_k_that_the_lists_do_not_reach_is_refused(k: int) -> None:
    with pytest.raises(InvalidDataError, match="4 deep"):
        metrics.recall(RELEVANT, N_RELEVANT, k)


def test_a_table_that_holds_no_booleans_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="booleans"):
        metrics.ndcg(RELEVANT.astype(int), N_RELEVANT, 2)
    with pytest.raises(InvalidDataError, match="item codes"):
        metrics.overlap(RELEVANT.astype(float))


def test_coverage_counts_each_recommended_item_once() -> None:
    assert metrics.coverage(LISTS, 12) == pytest.approx(6 / 12)
    assert metrics.coverage(np.full((2, 3), -1), 12) == 0


def test_novelty_is_the_mean_surprise_in_bits() -> None:
    # Of 7 users all, 3 and 1 knew the items: log2 of 8/8, 8/4 and 8/2.
    found = metrics.novelty(LISTS, POPULARITY, 7)
    np.testing.assert_allclose(found, [(0 + 1 + 2) / 3, (3 + 2 + 1 + 1 + 2) / 5])


def test_popularity_bias_is_the_mean_share_of_users_who_knew_the_items() -> None:
    np.testing.assert_allclose(metrics.popularity_bias(LISTS, POPULARITY, 10), [(0.7 + 0.3 + 0.1) / 3, 0.8 / 5])


def test_diversity_is_one_less_the_mean_cosine_of_the_pairs() -> None:
    vectors = np.array([[1, 0], [0, 2], [3, 3], [1, 0], [1, 0], [0, 0]], np.float32)
    half = 1 / math.sqrt(2)
    found = metrics.intra_list_diversity(np.array([[0, 1, 2], [0, 3, 4], [0, -1, -1]]), vectors)
    np.testing.assert_allclose(found, [1 - (0 + half + half) / 3, 0, 0], atol=1e-7)


def test_overlap_is_the_mean_over_all_pairs_of_users() -> None:
    """Weakness 2 of the originals is measured by this: 18 of 20 items were common to two random users."""
    rng = np.random.default_rng(3)
    lists = np.array([rng.permutation(40)[:10] for _ in range(12)])
    pairs = [(a, b) for a in range(12) for b in range(12) if a != b]
    expected = np.mean([len({*lists[a].tolist()} & {*lists[b].tolist()}) / 10 for a, b in pairs])
    assert metrics.overlap(lists) == pytest.approx(expected)
    assert metrics.overlap(np.tile(np.arange(5), (3, 1))) == 1
    assert metrics.overlap(np.arange(10).reshape(2, 5)) == 0
    assert metrics.overlap(lists[:1]) == 0
