"""The linear sequence encoder: what it promises to everybody, and what it learns from order, features and profiles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.evaluation.walks import LENGTH, RINGS, walks
from vecrec import Event, Item, User
from vecrec.data import Dataset, splits
from vecrec.encoders import LinearSequenceEncoder, LinearSequenceSettings
from vecrec.errors import InvalidDataError
from vecrec.evaluation import cold_items, cold_users, evaluate, from_split
from vecrec.testing import EncoderTests


class TestLinearSequenceEncoder(EncoderTests):
    seeded = False

    @classmethod
    def make(cls, seed: int = 0) -> LinearSequenceEncoder:
        return LinearSequenceEncoder(dim=16, seed=seed)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return walks(300)


@pytest.fixture(scope="module")
def fitted(data: Dataset) -> LinearSequenceEncoder:
    return LinearSequenceEncoder(dim=64).fit(splits.leave_last_out(data).train)


def best(encoder: LinearSequenceEncoder, data: Dataset, user: User, count: int = 1) -> list[int]:
    scores = encoder.encode_users([user])[0] @ encoder.encode_items(list(data.items())).T
    return [int(place) for place in np.argsort(-scores, kind="stable")[:count]]


def test_it_beats_popularity_and_a_floor_where_order_matters(fitted: LinearSequenceEncoder, data: Dataset) -> None:
    """15 % of the events are noise and 5 % jump, so about .8 of the next items can be known."""
    found = evaluate(fitted, splits.leave_last_out(data), k=(1, 10))
    assert found["hit_rate@1"] > 0.6
    assert found["ndcg@10"] > 0.65
    assert found["ndcg@10"] > 5 * found.baselines[0]["ndcg@10"]


def test_weakness_02_recommendations_depend_on_the_user(fitted: LinearSequenceEncoder, data: Dataset) -> None:
    """In the originals 18 of 20 items were common to two random users; here the lists of six rings are apart."""
    found = evaluate(fitted, splits.leave_last_out(data), k=10, top=20)
    assert found["overlap@20"] < 0.35
    assert found["ndcg@10"] > found.baselines[0]["ndcg@10"]


# -- refreshed


def turned_back(n_users: int) -> Dataset:
    """The events of `walks`, and those of more users who walk the other way; one of them on an item of its own."""
    walked, later = walks(300), walks(n_users, seed=1)
    assert walked.times is not None
    assert later.times is not None
    back = [LENGTH * (key // LENGTH) + (LENGTH - key) % LENGTH for key in later.item_codes.tolist()]
    rows = {
        "user_id": [*walked.user_codes.tolist(), *(300 + later.user_codes).tolist(), 300],
        "item_id": [*walked.item_codes.tolist(), *back, RINGS * LENGTH],
        "time": [*walked.times.tolist(), *(1_000 + later.times).tolist(), 2_000.0],
    }
    return Dataset(rows, schema=walked.schema)


def test_items_follow_what_is_chosen_now(data: Dataset) -> None:
    """A refresh learns that most users walk the other way by now; users' vectors stay, and so does the encoder."""
    trained = LinearSequenceEncoder(dim=64).fit(data)
    before = trained.fingerprint
    fresh = trained.refreshed(turned_back(3_000))
    assert (trained.fingerprint, trained.learnt_from is fresh.learnt_from) == (before, False)
    places = [LENGTH * ring + place for ring in range(RINGS) for place in range(5, 25)]
    users = [User(history=[Event(None, place)]) for place in places]
    assert np.array_equal(trained.encode_users(users), fresh.encode_users(users))
    ahead = [best(trained, data, user) == [place + 1] for user, place in zip(users, places)]
    back = [best(fresh, data, user) == [place - 1] for user, place in zip(users, places)]
    assert np.mean(ahead) > 0.9
    assert np.mean(back) > 0.7
    assert not fresh.knows(RINGS * LENGTH)


def test_a_refresh_by_the_same_events_changes_next_to_nothing(data: Dataset) -> None:
    """The last half step of the training, once more; without one there is nothing to repeat."""
    trained = LinearSequenceEncoder(dim=64).fit(data)
    fresh = trained.refreshed(data)
    users = trained.encode_users([data.user(code, history=True) for code in range(data.n_users)])
    scores = np.array([(users @ each.encode_items(list(data.items())).T).ravel() for each in (trained, fresh)])
    assert np.corrcoef(scores)[0, 1] > 0.99
    plain = LinearSequenceEncoder(dim=64, settings={"rounds": 0}).fit(data)
    assert plain.refreshed(data) is plain


def test_what_cannot_be_learnt_changes_nothing(data: Dataset) -> None:
    """Events without an order, or with unknown items alone, say nothing to an encoder of sequences."""
    trained = LinearSequenceEncoder(dim=16).fit(data)
    unordered = Dataset({"user_id": [1, 1, 2], "item_id": [1, 2, 3]})
    assert trained.refreshed(unordered) is trained
    others = Dataset({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "time": [1, 2, 3]})
    assert trained.refreshed(others) is trained


def test_order_decides(fitted: LinearSequenceEncoder, data: Dataset) -> None:
    """The same items in another order lead somewhere else."""
    one, other = (best(fitted, data, User(None, {}, past), 180) for past in ([32, 33, 3, 4], [3, 4, 32, 33]))
    assert one.index(5) < min(3, one.index(34))
    assert other.index(34) < min(3, other.index(5))


def test_one_event_changes_the_next_recommendation(fitted: LinearSequenceEncoder, data: Dataset) -> None:
    history = [Event(1, item, float(item)) for item in (22, 23, 24)]
    assert best(fitted, data, User(1, {}, history)) == [25]
    changed = fitted.encode_users([User(1, {}, history), User(1, {}, [*history, Event(1, 63, 99.0)])])
    assert not np.allclose(changed[0], changed[1], atol=1e-3)
    assert best(fitted, data, User(1, {}, [*history, Event(1, 63, 99.0), Event(1, 64, 100.0)])) == [65]


def test_a_user_vector_is_the_sum_of_what_the_items_add(fitted: LinearSequenceEncoder) -> None:
    """Unknown items are passed over, and what is older than the window does not count."""
    plain = fitted.encode_users([User(None, {}, [3, 4, 5])])
    np.testing.assert_array_equal(fitted.encode_users([User(None, {}, [3, "unknown", 4, 5])]), plain)
    long = LinearSequenceSettings().window
    recent = [item % 180 for item in range(long)]
    pair = fitted.encode_users([User(None, {}, recent), User(None, {}, [7] * 50 + recent)])
    np.testing.assert_allclose(pair[0], pair[1], atol=1e-6)


def test_new_items_are_placed_by_their_features(data: Dataset) -> None:
    """P4 in small: held-out items rank far above chance for those who are about to reach them."""
    split = splits.cold_items(data, 0.2, seed=3)
    found = evaluate(LinearSequenceEncoder(dim=64).fit(split.train), cold_items(split), k=5)
    assert split.held_out is not None
    chance = 5 / len(split.held_out)
    assert found["hit_rate@5"] > 1.5 * chance


def test_new_users_are_served_by_profile_and_then_by_their_first_events(data: Dataset) -> None:
    """P4 in small: better than popularity by the profile alone, which says more here than one event, and by events."""
    split = splits.cold_users(data, 0.2, seed=3)
    encoder = LinearSequenceEncoder(dim=64).fit(split.train)
    curve = [evaluate(encoder, cold_users(split, count, first=3), k=10) for count in (0, 1, 3)]
    values = [found["ndcg@10"] for found in curve]
    assert min(values) > 1.2 * curve[0].baselines[0]["ndcg@10"]
    assert values[1] < values[2]


def test_items_outside_the_closed_form_are_fitted_too(data: Dataset) -> None:
    """With half of the items exact and the rest by their events and features, much of the quality stays."""
    split = splits.leave_last_out(data)
    encoder = LinearSequenceEncoder(dim=64, settings=LinearSequenceSettings(exact_items=60)).fit(split.train)
    found = evaluate(encoder, split, k=10)
    assert found["ndcg@10"] > 3 * found.baselines[0]["ndcg@10"]
    vectors = encoder.encode_items(list(data.items()))
    assert (np.linalg.norm(vectors, axis=1) > 0).all()


def test_the_fit_of_the_items_pays(data: Dataset) -> None:
    split = splits.leave_last_out(data)
    task = from_split(split, "validation")
    plain, once, twice = (
        evaluate(
            LinearSequenceEncoder(dim=24, settings=LinearSequenceSettings(rounds=rounds)).fit(split.train),
            task,
            k=10,
            baselines=(),
        )["ndcg@10"]
        for rounds in (0, 1, 2)
    )
    assert once > plain
    assert twice > 0.9 * once


@pytest.mark.parametrize("dim", [1, 2, 300])
def test_any_dimension_will_do(data: Dataset, dim: int) -> None:
    encoder = LinearSequenceEncoder(dim=dim).fit(data)
    assert encoder.encode_users([User(1, {}, [1, 2])]).shape == (1, dim)
    scores = encoder.encode_users([User()]) @ encoder.encode_items(list(data.items())).T
    assert len(np.unique(scores.round(6))) > 1


@pytest.mark.parametrize(
    "rows", [[(1, "a")], [(1, "a"), (1, "a")], [(1, "a"), (2, "b"), (3, "a")], [(1, "a"), (1, "b")]]
)
def test_hardly_any_data_is_no_error(rows: list[tuple[int, str]]) -> None:
    data = Dataset({"user_id": [row[0] for row in rows], "item_id": [row[1] for row in rows]})
    encoder = LinearSequenceEncoder(dim=4).fit(data)
    vectors = encoder.encode_users([User(), User(1, {}, ["a"]), User(1, {}, ["new"])])
    assert np.isfinite(vectors).all()
    assert np.abs(encoder.encode_items([Item("a")])).max() > 0


def test_without_order_the_most_chosen_comes_first() -> None:
    data = Dataset({"user_id": [1, 2, 3, 4], "item_id": ["b", "a", "b", "c"]})
    encoder = LinearSequenceEncoder(dim=2).fit(data)
    scores = encoder.encode_users([User()])[0] @ encoder.encode_items([Item("a"), Item("b"), Item("c")]).T
    assert scores[1] > scores[0] == pytest.approx(scores[2])


def test_settings_are_kept_and_told_by_the_fingerprint(data: Dataset, tmp_path: Path) -> None:
    made = LinearSequenceEncoder(dim=8, settings=LinearSequenceSettings(decays=(0.0, 0.5), shrinkage=0.1)).fit(data)
    made.save(tmp_path)
    loaded = LinearSequenceEncoder.load(tmp_path)
    assert loaded.settings == made.settings
    assert loaded.fingerprint == made.fingerprint
    assert made.fingerprint != LinearSequenceEncoder(dim=8).fit(data).fingerprint


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("decays", [(), (1.0,), (-0.1,), (0.5, 0.5), "0.5", 0.5, (True,), (float("nan"),)]),
        ("window", [0, -1, 1.5, True, "10"]),
        ("exact_items", [0, -1, 1.5, True]),
        ("rounds", [-1, 0.5]),
        ("horizon", [0, 1.5, True]),
        ("ridge", [0, -1, float("inf"), "1", True]),
        ("background", [0, float("nan")]),
        ("feature_ridge", [0, None]),
        ("shrinkage", [-1e-9, "0"]),
    ],
)
def test_settings_out_of_range_are_refused(name: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(InvalidDataError, match=name):
            LinearSequenceSettings(**{name: value})  # type: ignore[arg-type]


def test_bad_arguments_are_refused() -> None:
    for dim in (0, -1, 1.5, True, "8"):
        with pytest.raises(InvalidDataError, match="dim is"):
            LinearSequenceEncoder(dim=dim)  # type: ignore[arg-type]
    with pytest.raises(InvalidDataError, match="seed is"):
        LinearSequenceEncoder(seed=-1)
    assert LinearSequenceEncoder(settings={"ridge": 3}).settings == LinearSequenceSettings(ridge=3)
    with pytest.raises(InvalidDataError, match="did you mean"):
        LinearSequenceEncoder(settings={"bridge": 3})
    with pytest.raises(InvalidDataError, match="settings is"):
        LinearSequenceEncoder(settings=3)  # type: ignore[arg-type]


def test_vectors_are_balanced_for_a_graph(data: Dataset) -> None:
    """The directions of the items' vectors are apart, and none is much longer than the others."""
    vectors = LinearSequenceEncoder(dim=12).fit(data).encode_items(list(data.items()))
    moments = vectors.T @ vectors / len(vectors)
    lengths = np.diag(moments)
    assert np.abs(moments - np.diag(lengths)).max() < 1e-3 * lengths.max()
    assert lengths.max() < 5 * lengths.min()


def test_rings_are_what_the_vectors_know(fitted: LinearSequenceEncoder, data: Dataset) -> None:
    """Items of one ring are near each other as targets, though no feature is read for items with events."""
    vectors = fitted.encode_items([Item(code) for code in range(data.n_items)])
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    neighbours = (unit[:-1] * unit[1:]).sum(axis=1)
    inside = [value for place, value in enumerate(neighbours, 1) if place % LENGTH]
    assert len(inside) == RINGS * (LENGTH - 1)
    assert np.mean(inside) > np.mean(unit @ unit.T)


def test_decays_that_follow_from_the_data_are_saved(tmp_path: Path) -> None:
    """5,000 items that occur alike leave no room for three blocks."""
    rows = [(user, 5 * user + step) for user in range(1_000) for step in range(5)]
    data = Dataset({"user_id": [user for user, _ in rows], "item_id": [item for _, item in rows]}, order="rows")
    made = LinearSequenceEncoder(dim=4, settings={"rounds": 0}).fit(data)
    made.save(tmp_path)
    loaded = LinearSequenceEncoder.load(tmp_path)
    assert loaded.settings.decays is None
    assert loaded.fingerprint == made.fingerprint
    users = [User(None, {}, [3, 4, 5])]
    np.testing.assert_array_equal(loaded.encode_users(users), made.encode_users(users))
    assert json.loads((tmp_path / "encoder.json").read_text())["decays"] == [0.7]
