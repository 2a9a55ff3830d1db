"""EASE as vectors: what goes together, whatever the order."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec import Event, FeedbackPolicy, Item, User
from vecrec.data import Dataset, splits
from vecrec.encoders import EASEEncoder, PopularityEncoder
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.evaluation import cold_items, evaluate
from vecrec.learning.events import event_weights
from vecrec.testing import EncoderTests
from vecrec.testing.encoders.tastes import tastes


class TestEASEEncoder(EncoderTests):
    reads_profiles = False
    reads_order = False
    seeded = False

    @classmethod
    def make(cls, seed: int = 0) -> EASEEncoder:
        return EASEEncoder(dim=16, seed=seed, settings={"ridge": 2.0})


def _random_sets(seed: int = 0, users: int = 120, items: int = 25) -> Dataset:
    """Every user has some items of one of two halves, and a few others."""
    rng = np.random.default_rng(seed)
    events = []
    for user in range(users):
        chances = np.where(np.arange(items) % 2 == user % 2, 6.0, 1.0)
        had = rng.choice(items, int(rng.integers(3, 9)), replace=False, p=chances / chances.sum())
        events += [Event(user, int(item), float(time)) for time, item in enumerate(had)]
    return Dataset(events)


def _direct(data: Dataset, ridge: float) -> NDArray[np.float64]:
    """The weights by the formula of the paper, in the plainest way."""
    had = np.zeros((data.n_users, data.n_items))
    had[data.user_codes, data.item_codes] = 1
    had *= np.sqrt(had.sum(axis=1, keepdims=True) ** -0.5)
    gram = had.T @ had
    inverse = np.linalg.inv(gram + ridge * np.trace(gram) / len(gram) * np.eye(len(gram)))
    weights: NDArray[np.float64] = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def _weights(encoder: EASEEncoder, data: Dataset) -> NDArray[Any]:
    """What each item alone gives every item."""
    users = encoder.encode_users([User(None, {}, [key]) for key in data.item_ids])
    scores: NDArray[Any] = users @ encoder.encode_items(list(data.items())).T
    return scores


@pytest.mark.parametrize("ridge", [0.5, 20.0])
def test_with_enough_dimensions_the_scores_are_those_of_the_formula(ridge: float) -> None:
    data = _random_sets()
    found = _weights(EASEEncoder(dim=40, settings={"ridge": ridge, "popularity": 0.0}).fit(data), data)
    expected = _direct(data, ridge)
    np.testing.assert_allclose(found / found.std(), expected / expected.std(), atol=2e-4)


def test_with_weights_they_are_the_weights_of_the_items_as_the_others_predict_them() -> None:
    """Each item's weight by the ridge regression on the ones of all other items, where the heaviest repeat counts."""
    plain = _random_sets()
    rng = np.random.default_rng(1)
    events = [Event(e.user_id, e.item_id, e.time, float(rng.integers(1, 6))) for e in plain.events()]
    events += [Event(e.user_id, e.item_id, 1000.0, 1.0) for e in events[::7]]
    data = Dataset(events, feedback=FeedbackPolicy(rating_weights=((1, 0.2), (5, 1.0))))
    had, worth = np.zeros((data.n_users, data.n_items)), np.zeros((data.n_users, data.n_items))
    had[data.user_codes, data.item_codes] = 1
    weights = event_weights(data)
    assert weights is not None
    np.maximum.at(worth, (data.user_codes, data.item_codes), weights)
    share = np.sqrt(had.sum(axis=1, keepdims=True) ** -0.5)
    x, y = had * share, worth * share
    gram = x.T @ x + 3.0 * (x**2).sum() / data.n_items * np.eye(data.n_items)
    expected = np.zeros((data.n_items, data.n_items))
    for item in range(data.n_items):
        others = np.delete(np.arange(data.n_items), item)
        expected[others, item] = np.linalg.solve(gram[np.ix_(others, others)], x[:, others].T @ y[:, item])
    found = _weights(EASEEncoder(dim=40, settings={"ridge": 3.0, "popularity": 0.0}).fit(data), data)
    np.testing.assert_allclose(found / found.std(), expected / expected.std(), atol=2e-4)


def test_items_outside_the_closed_form_are_predicted_by_plain_regression() -> None:
    data = _random_sets()
    found = _weights(EASEEncoder(dim=40, settings={"ridge": 3.0, "popularity": 0.0, "exact_items": 10}).fit(data), data)
    had = np.zeros((data.n_users, data.n_items))
    had[data.user_codes, data.item_codes] = 1
    had *= np.sqrt(had.sum(axis=1, keepdims=True) ** -0.5)
    exact = np.sort(np.argsort(-data.popularity(), kind="stable")[:10])
    others = np.setdiff1d(np.arange(data.n_items), exact)
    read = had[:, exact]
    gram = read.T @ read
    expected = np.linalg.solve(gram + 3 * np.trace(gram) / 10 * np.eye(10), read.T @ had[:, others])
    inside = found[np.ix_(exact, others)]
    np.testing.assert_allclose(inside / inside.std(), expected / expected.std(), atol=2e-3)
    assert not found[others].any(), "what takes no part in the closed form says nothing about others"


def test_fewer_dimensions_lose_little_and_each_one_less() -> None:
    data = _random_sets()
    expected = _direct(data, 1.0)
    had = np.zeros((data.n_users, data.n_items))
    had[data.user_codes, data.item_codes] = 1
    wanted = had @ expected
    lost = []
    for dim in (2, 4, 8, 16, 26):
        found = had @ _weights(EASEEncoder(dim=dim, settings={"ridge": 1.0, "popularity": 0.0}).fit(data), data)
        lost.append(1 - np.corrcoef(found.ravel(), wanted.ravel())[0, 1])
    assert all(more > less for more, less in itertools.pairwise(lost))
    assert lost[1] < 0.15
    assert lost[-1] < 1e-6


def test_neither_order_nor_repetition_nor_who_it_is_changes_anything() -> None:
    data = _random_sets()
    encoder = EASEEncoder(dim=12).fit(data)
    one, other = encoder.encode_users([User(3, {}, [1, 2, 3]), User(None, {}, [3, 1, 2, 2, 3, "unknown"])])
    assert (one == other).all()
    only_last = (
        EASEEncoder(dim=12, settings={"history": 2})
        .fit(data)
        .encode_users([User(None, {}, [1, 2, 3]), User(None, {}, [2, 3])])
    )
    assert (only_last[0] == only_last[1]).all()


def test_somebody_new_gets_what_is_popular() -> None:
    data = _random_sets()
    encoder, popular = EASEEncoder(dim=12).fit(data), PopularityEncoder().fit(data)
    scores, counts = (
        each.encode_users([User()])[0] @ each.encode_items(list(data.items())).T for each in (encoder, popular)
    )
    np.testing.assert_allclose(scores, 0.3 * counts, rtol=1e-5)


def test_what_was_withheld_of_a_taste_is_found_better_than_by_popularity() -> None:
    data = _random_sets(users=400)
    split = splits.random(data, 0.8, seed=1)
    found = evaluate(EASEEncoder(dim=24, settings={"ridge": 3.0}).fit(split.train), split, k=5)
    assert found["ndcg@5"] > 1.3 * found.baselines[0]["ndcg@5"]


def test_a_new_item_is_found_by_its_features() -> None:
    split = splits.cold_items(tastes(), 0.2, seed=0)
    found = evaluate(EASEEncoder(dim=32, settings={"ridge": 2.0}).fit(split.train), cold_items(split), k=3)
    assert found["hit_rate@3"] > 1.2 * found.baselines[0]["hit_rate@3"]


def test_settings_are_kept_and_told_by_the_fingerprint(tmp_path: Path) -> None:
    data = _random_sets()
    made = EASEEncoder(dim=8, settings={"ridge": 7.5, "popularity": 0.5, "exact_items": 20, "history": 50}).fit(data)
    made.save(tmp_path)
    loaded = EASEEncoder.load(tmp_path)
    assert loaded.fingerprint == made.fingerprint != EASEEncoder(dim=8).fit(data).fingerprint
    assert (loaded.encode_users([User(None, {}, [1, 2])]) == made.encode_users([User(None, {}, [1, 2])])).all()


def test_a_single_item_and_a_single_user_are_enough() -> None:
    encoder = EASEEncoder(dim=4).fit(Dataset([Event("u", "a")]))
    assert np.isfinite(encoder.encode_users([User(), User(None, {}, ["a"])])).all()
    assert encoder.encode_items([Item("a"), Item("b")]).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("dim", [1, 0, 2.0, True, "8"]),
        ("seed", [-1, None]),
        ("ridge", [0, -1, float("nan"), "1", True]),
        ("popularity", [-0.1, float("inf"), None]),
        ("exact_items", [0, 1.5]),
        ("history", [0, True]),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(InvalidDataError, match=f"{name} is"):
            EASEEncoder(**({name: value} if name in {"dim", "seed"} else {"settings": {name: value}}))


def test_before_fit_it_says_what_to_do() -> None:
    with pytest.raises(NotFittedError, match="fit"):
        EASEEncoder().encode_items([Item("a")])
