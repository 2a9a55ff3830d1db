"""The rating reranker: the kit, the formula in both engines, what it learns, and that no rating is its own evidence."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import paddle
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from typing_extensions import override

from vecrec.data import Dataset, splits
from vecrec.encoders import ContentEncoder, Encoder
from vecrec.errors import DimensionMismatchError, InvalidDataError
from vecrec.progress import silent
from vecrec.rerankers import Candidates, RatingReranker, RatingSettings, Reranker
from vecrec.rerankers.rating.inference import STATISTICS, Head, Statistics, past
from vecrec.rerankers.rating.network import RatingNetwork
from vecrec.rerankers.rating.training_data import prepare
from vecrec.testing import RerankerTests
from vecrec.testing.encoders.tastes import tastes
from vecrec.types import Event, Item, Recommendation, User

SMALL = RatingSettings(width=4, hidden=(8,), epochs=3, folds=3, validation=0.1)


class TestRatingReranker(RerankerTests):
    @override
    @classmethod
    def make(cls, seed: int = 0) -> Reranker:
        return RatingReranker(20, seed=seed, settings=SMALL)


@cache
def world(n_users: int = 150, n_items: int = 80) -> Dataset:
    """Users of two tastes give their own half of the items 5 or 4 stars and the other 2 or 1; some are harsher."""
    rng = np.random.default_rng(0)
    events: list[Event] = []
    for user in range(n_users):
        for item in rng.choice(n_items, 30, replace=False).tolist():
            stars = (4.5 if item % 2 == user % 2 else 1.7) - 0.5 * (user % 3 == 0)
            rating = float(np.clip(round(stars + 0.3 * rng.standard_normal()), 1, 5))
            events.append(Event(user, item, float(len(events)), rating))
    items = [Item(item, {"shelf": f"shelf {item % 4}"}) for item in range(n_items)]
    return Dataset(events, items, [User(user) for user in range(n_users)])


@cache
def learnt() -> tuple[splits.Split, Encoder, RatingReranker]:
    """A reranker that has seen nine tenths of it."""
    split = splits.random(world(), 0.9, seed=1)
    encoder = ContentEncoder(dim=32).fit(split.train)
    settings = RatingSettings(width=8, hidden=(32, 16), users=30, epochs=15, learning_rate=0.01)
    return split, encoder, RatingReranker(settings=settings, threads=1).fit(split.train, encoder)


def asked(user: User, items: list[int], encoder: Encoder) -> Candidates:
    """Items of the world as candidates."""
    records = [world().item(item) for item in items]
    vectors = encoder.encode_items(records)
    found = [Recommendation(n, item, 0.0, dict(each.features)) for n, (item, each) in enumerate(zip(items, records), 1)]
    return Candidates(found, len(items), encoder.encode_users([user])[0], lambda: vectors)


def predicted(data: Dataset, test: Dataset, encoder: Encoder, reranker: RatingReranker) -> NDArray[np.float32]:
    """The rating of each event in ``test``."""
    parts = []
    for code in range(test.n_users):
        rows = slice(int(test.user_offsets[code]), int(test.user_offsets[code + 1]))
        user = data.user(code, history=True)
        parts.append(reranker.predict(user, asked(user, test.item_codes[rows].tolist(), encoder)))
    return np.concatenate(parts)


def test_held_out_ratings_are_predicted_better_than_by_biases() -> None:
    """Biases know neither tastes nor who has which: they leave the whole of the difference between them."""
    split, encoder, reranker = learnt()
    assert split.test.ratings is not None
    assert split.train.ratings is not None
    off = predicted(split.train, split.test, encoder, reranker) - split.test.ratings
    error = float(np.sqrt(np.mean(off**2)))
    mean = float(split.train.ratings.mean())
    sums = np.bincount(split.train.user_codes, split.train.ratings - mean, split.train.n_users)
    biases = sums / np.maximum(np.bincount(split.train.user_codes, minlength=split.train.n_users), 1)
    by_bias = float(np.sqrt(np.mean((mean + biases[split.test.user_codes] - split.test.ratings) ** 2)))
    assert by_bias > 1.2
    assert error < 0.5, error
    # The validation part, which it has stopped by, told the same.
    assert min(reranker.errors) == pytest.approx(error, abs=0.1)


def test_a_stranger_is_known_by_what_they_rated() -> None:
    """Without an id of the data: high ratings of one taste and low ones of the other decide, and not what was seen."""
    _, encoder, reranker = learnt()
    even, odd = list(range(0, 40, 2)), list(range(1, 40, 2))
    for likes, hates in ((even, odd), (odd, even)):
        history = [Event(None, item, float(n), 5.0 if item in likes else 1.0) for n, item in enumerate(range(40))]
        ratings = reranker.predict(User("new", None, history), asked(User(), list(range(40, 80)), encoder))
        own = ratings[[n for n in range(40) if (n % 2 == 0) == (likes == even)]]
        other = ratings[[n for n in range(40) if (n % 2 == 0) == (hates == even)]]
        assert own.min() > other.max() + 1


def test_the_order_is_that_of_the_ratings_and_the_scores_are_stars() -> None:
    """Best first, on the scale that was learnt from, whatever the scores were before."""
    split, encoder, reranker = learnt()
    user = split.train.user(3, history=True)
    given = asked(user, list(range(80)), encoder)
    found = reranker.rerank(user, given)
    scores = [item.score for item in found]
    assert scores == sorted(reranker.predict(user, given).tolist(), reverse=True)
    assert 0 < min(scores) < 2.5
    assert 3.5 < max(scores) < 5
    assert sum(int(item.item_id) % 2 for item in found[:20]) >= 19


def test_both_engines_compute_the_same() -> None:
    """The NumPy that serves is the PaddlePaddle that learns, to float32."""
    data = tastes()
    encoder = ContentEncoder(dim=16).fit(data)
    settings = RatingSettings(width=6, hidden=(9, 5), dropout=0.0, folds=2)
    training_data = prepare(data, encoder, settings, 0, silent)
    rng = np.random.default_rng(0)
    network = RatingNetwork(training_data.preprocessor, training_data.scale, 16, settings, rng)
    for parameter in network.parameters():
        parameter.set_value(rng.normal(scale=0.3, size=parameter.shape).astype(np.float32))
    head = Head(network.weights(), training_data.scale)
    view, users = training_data.folds[0], np.arange(len(training_data.rows))
    items = np.arange(training_data.preprocessor.items.size)
    profiles = training_data.profiles.rows(users)

    def sparse(rows: Any, size: int) -> csr_matrix:
        return csr_matrix((rows.weights, rows.columns, rows.starts), shape=(len(rows), size))

    theirs = (
        network.users(
            training_data.rows,
            sparse(profiles, training_data.preprocessor.user_space.size),
            sparse(view.histories, 2 * len(items)),
            view.vectors,
        ),
        network.items(
            items,
            sparse(training_data.item_features, training_data.preprocessor.item_space.size),
            training_data.item_vectors,
        ),
    )
    ours = (
        head.users(training_data.rows, profiles, view.histories, view.vectors),
        head.items(items, training_data.item_features, training_data.item_vectors),
    )
    for one, other in zip(theirs, ours):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-4, atol=1e-5)
    numbers = rng.normal(size=(20, STATISTICS)).astype(np.float32)
    pairs = rng.integers(0, 20, 20), rng.integers(0, 20, 20)
    made, rated = (paddle.to_tensor(side[rows]) for side, rows in zip(ours, pairs))
    by_paddle = network.ratings(made, rated, numbers).numpy()
    np.testing.assert_allclose(by_paddle, head.ratings(ours[0][pairs[0]], ours[1][pairs[1]], numbers), rtol=1e-4)


def test_no_rating_is_its_own_evidence() -> None:
    """Changed, it changes neither the history nor the numbers nor the vector that it is predicted from."""
    data = tastes()
    assert data.ratings is not None
    settings = RatingSettings(folds=3, validation=0.1)
    encoder = ContentEncoder(dim=16).fit(data)
    before = prepare(data, encoder, settings, 0, silent)
    for place in (0, 100, 200):
        events = list(data.events())
        old = events[place]
        events[place] = Event(old.user_id, old.item_id, old.time, 3.5)
        other = Dataset(events, list(data.items()), list(data.users()), data.schema)
        after = prepare(other, encoder, settings, 0, silent)
        views = [(one, two) for one, two in zip(_views(before), _views(after)) if not _equal(one.ratings, two.ratings)]
        ((one, two),) = views  # it is in one fold, the same in both
        moved = one.ratings != two.ratings
        assert moved.sum() == 1
        owner, target = one.users[moved][0], one.targets[moved][0]
        # The mean of all ratings, which it is a part of, is subtracted everywhere: a shift of nobody's in particular.
        shift = abs(before.scale.mean - after.scale.mean)
        assert one.items.counts[target] == two.items.counts[target]
        np.testing.assert_allclose(one.items.residuals[target], two.items.residuals[target], atol=2 * shift)
        np.testing.assert_allclose(one.numbers[owner], two.numbers[owner], atol=2 * shift)
        rows = slice(one.histories.starts[owner], one.histories.starts[owner + 1])
        assert target not in one.histories.columns[rows]
        np.testing.assert_array_equal(one.vectors[owner], two.vectors[owner])


def _views(training_data: Any) -> list[Any]:
    return [training_data.validation, *training_data.folds]


def _equal(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return bool(np.array_equal(one, other))


def test_a_history_by_hand() -> None:
    """Two events of a user: how much better than others they rated, over the root of two; and their shrunk mean."""
    known = Statistics(np.array([0, 0, 0.5, -0.5], np.float32), np.array([0, 0, 3, 1], np.float32))
    rows, numbers = past(np.array([2, 3]), np.array([4.0, 5.0], np.float32), np.array([2, 0]), known, 3.0)
    assert rows.columns.tolist() == [2, 6, 3, 7]
    np.testing.assert_allclose(rows.weights, np.array([0.5, 1, 2.5, 1]) / np.sqrt(2), rtol=1e-6)
    assert rows.starts.tolist() == [0, 4, 4]
    np.testing.assert_allclose(numbers, [[3.0 / 12, np.log(3) / 5], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("ratings", [None, [3.0] * 12])
def test_without_different_ratings_there_is_nothing_to_learn(ratings: list[float] | None) -> None:
    """No ratings, or only one value of them: the message says what is needed."""
    events = {"user_id": [n % 4 for n in range(12)], "item_id": [n // 2 for n in range(12)]}
    data = Dataset(events if ratings is None else events | {"rating": ratings})
    encoder = ContentEncoder(dim=8).fit(data)
    with pytest.raises(InvalidDataError, match="different ratings"):
        RatingReranker(settings=SMALL).fit(data, encoder)


def test_ratings_below_zero_have_a_scale_of_their_own() -> None:
    """Thumbs down is -1 and up is 1: what is predicted lies between them."""
    data = world()
    assert data.ratings is not None
    thumbs = [
        Event(event.user_id, event.item_id, event.time, 1.0 if event.rating and event.rating > 3 else -1.0)
        for event in data.events()
    ]
    other = Dataset(thumbs, list(data.items()), list(data.users()))
    encoder = ContentEncoder(dim=16).fit(other)
    settings = RatingSettings(width=8, hidden=(16,), users=30, epochs=6, learning_rate=0.01)
    reranker = RatingReranker(settings=settings, threads=1).fit(other, encoder)
    user = other.user(1, history=True)
    ratings = reranker.predict(user, asked(user, list(range(80)), encoder))
    assert -1 < ratings[::2].mean() < -0.3
    assert 0.3 < ratings[1::2].mean() < 1


def test_vectors_of_another_length_are_refused() -> None:
    """The message says what to do."""
    _, _, reranker = learnt()
    other = ContentEncoder(dim=16).fit(world())
    with pytest.raises(DimensionMismatchError, match=r"16 numbers.*32"):
        reranker.predict(User(1), asked(User(1), [1, 2], other))


@pytest.mark.parametrize(
    "settings",
    [
        *({name: value} for name in ("width", "history", "epochs", "users") for value in (0, 1.5, True, "8", None)),
        *({name: value} for name in ("learning_rate", "dropout", "validation") for value in (-1, 2, None, "x", True)),
        {"folds": 1}, {"hidden": 8}, {"hidden": (0,)}, {"hidden": "ab"},
    ],
    ids=repr,
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any]) -> None:
    """By name, with the value."""
    with pytest.raises(InvalidDataError, match=next(iter(settings))):
        RatingSettings(**settings)


@pytest.mark.parametrize(
    "arguments", [{"depth": 0}, {"seed": -1}, {"settings": 3}, {"settings": {"no": 1}}, {"threads": 0}], ids=repr
)
def test_arguments_that_cannot_be_used_are_refused(arguments: dict[str, Any]) -> None:
    """Likewise."""
    with pytest.raises(InvalidDataError, match=next(iter(arguments))):
        RatingReranker(**arguments)


def test_settings_come_back_from_json() -> None:
    """And names that are none are refused."""
    settings = RatingSettings(width=5, hidden=(7,), dropout=0.25)
    assert RatingSettings.from_json(settings.to_json()) == settings
    with pytest.raises(InvalidDataError, match="nonsense"):
        RatingSettings.from_json({"nonsense": 1})


def test_no_hidden_layer_is_a_matrix_factorisation_that_learns() -> None:
    """What goes straight to the end is enough for two tastes."""
    data = world()
    encoder = ContentEncoder(dim=16).fit(data)
    settings = RatingSettings(width=8, hidden=(), users=30, epochs=10, learning_rate=0.02)
    assert min(RatingReranker(settings=settings, threads=1).fit(data, encoder).errors) < 0.7
