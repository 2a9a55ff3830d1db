"""The plain encoder of features: equal things are near, and what people liked decides what they get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vecrec import Event, Item, User
from vecrec.data import Categorical, Dataset, MultiCategorical, Numeric, Schema, Text
from vecrec.encoders import ContentEncoder
from vecrec.errors import InvalidDataError
from vecrec.progress import Step

_SCHEMA = Schema(
    items=(Categorical("colour"), MultiCategorical("tags"), Numeric("year"), Text("title")),
    users=(Categorical("colour"), Numeric("age")),
)


def _checkerboard(size: int = 20) -> Dataset:
    """Even users like even items and odd ones odd; the diagonal is withheld, so each user has one right answer."""
    events = [Event(u, i, float(i)) for u in range(size) for i in range(size) if i % 2 == u % 2 and i != u]
    colours = ["white", "black"]
    items = [Item(i, {"colour": colours[i % 2], "year": 1980 + i, "title": f"number {i}"}) for i in range(size)]
    users = [User(u, {"colour": colours[u % 2], "age": 20 + u}) for u in range(size)]
    return Dataset(events, items, users, _SCHEMA)


@pytest.fixture(scope="module")
def encoder() -> ContentEncoder:
    """An encoder that knows the checkerboard."""
    return ContentEncoder(seed=7).fit(_checkerboard())


def _scores(encoder: ContentEncoder, user: User) -> np.ndarray[Any, np.dtype[np.float32]]:
    scores: np.ndarray[Any, np.dtype[np.float32]] = (
        encoder.encode_items(list(_checkerboard().items())) @ encoder.encode_users([user])[0]
    )
    return scores


def _similarity(encoder: ContentEncoder, one: dict[str, Any], other: dict[str, Any]) -> float:
    vectors = encoder.encode_items([Item(None, one), Item(None, other)])
    return float(vectors[0] @ vectors[1])


def test_the_withheld_item_is_the_first_unseen(encoder: ContentEncoder) -> None:
    """Every user's one right answer comes before everything else that they have not seen."""
    data = _checkerboard()
    for user in data.users(history=True):
        scores = _scores(encoder, User(None, {}, user.history))
        scores[[data.item_ids.index(event.item_id) for event in user.history]] = -np.inf
        assert data.item_ids[int(scores.argmax())] == user.id


def test_a_profile_alone_finds_the_right_half(encoder: ContentEncoder) -> None:
    """Somebody new is given what people of their colour chose; a visitor is not."""
    for colour, parity in (("white", 0), ("black", 1)):
        scores = _scores(encoder, User(None, {"colour": colour}))
        assert scores[parity::2].min() > scores[1 - parity :: 2].max()


def test_what_was_disliked_counts_against() -> None:
    """An item rated below the middle pushes its like away."""
    board = _checkerboard()
    events = [Event(e.user_id, e.item_id, e.time, 1.0 + (e.item_id == 2) * 4) for e in board.events()]
    encoder = ContentEncoder().fit(Dataset([*events, Event(0, 0, 1.0, 5.0)], list(board.items()), schema=_SCHEMA))
    rated = [User(None, {}, [Event(None, 1, 1.0, 3.0), Event(None, 2, 2.0, rating)]) for rating in (5.0, 0.5)]
    liked, disliked = (_scores(encoder, user) for user in rated)
    assert liked[::2].mean() > 0 > disliked[::2].mean()


def test_the_latest_counts_most(encoder: ContentEncoder) -> None:
    """Of two items the later one is nearer to the user."""
    scores = _scores(encoder, User(None, {}, [2, 3]))
    assert scores[3] > scores[2] > 0.3


def test_equal_features_are_near_and_others_are_not(encoder: ContentEncoder) -> None:
    """Similarity grows with what two items share: values, words, tags, and the nearness of numbers."""
    assert _similarity(encoder, {"colour": "white"}, {"colour": "white"}) == pytest.approx(1)
    assert abs(_similarity(encoder, {"colour": "white"}, {"colour": "black"})) < 0.25
    assert abs(_similarity(encoder, {"colour": "white"}, {"title": "white"})) < 0.25
    words = [
        _similarity(encoder, {"title": "The red house"}, {"title": title}) for title in ("red house, the", "A house")
    ]
    assert words[0] == pytest.approx(1)
    assert 0.2 < words[1] < 0.7
    assert _similarity(encoder, {"tags": ["a", "b"]}, {"tags": ["b", "c"]}) == pytest.approx(0.5, abs=0.25)
    years = [_similarity(encoder, {"year": 1985}, {"year": year}) for year in (1985, 1986, 1987, 1999)]
    assert years[0] > years[1] > years[2] > years[3] - 0.25
    assert _similarity(encoder, {"year": 10**9}, {"year": 1999}) == pytest.approx(1)


def test_items_of_equal_features_are_told_apart(encoder: ContentEncoder) -> None:
    """The id gives each item a little of its own, so that ties are rare."""
    one, other = encoder.encode_items([Item("one", {"colour": "white"}), Item("other", {"colour": "white"})])
    assert 0.8 < float(one @ other) < 0.9999


def test_vectors_have_length_one(encoder: ContentEncoder) -> None:
    """Items with anything known, and all users, so that scores are from -1 to 1; an item without anything is zero."""
    items = encoder.encode_items([Item(1), Item(None, {"colour": "white"}), Item()])
    users = encoder.encode_users([User(), User(1, {"colour": "white"}, [1]), User(None, {}, ["unknown"])])
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1, atol=1e-6)


def test_data_without_features_or_ratings_will_do() -> None:
    """Ids alone are enough to learn from: a user is near to what they saw."""
    encoder = ContentEncoder(dim=33).fit(Dataset({"user_id": [1, 1, 2], "item_id": ["a", "b", "c"]}, schema=Schema()))
    vectors = encoder.encode_items([Item("a"), Item("b"), Item("c")])
    assert vectors.shape == (3, 33)
    assert (vectors @ encoder.encode_users([User(1, {}, ["a", "b"])])[0]).argmin() == 2


@pytest.mark.parametrize(
    "settings", [{"dim": 0}, {"dim": True}, {"dim": 2.0}, {"dim": "8"}, {"seed": -1}, {"seed": None}]
)
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    """The message names the setting and what it takes."""
    with pytest.raises(InvalidDataError, match=f"{next(iter(settings))} is .* give an int"):
        ContentEncoder(**settings)


def test_vectors_do_not_change_between_versions() -> None:
    """Directions come from a hash, so these numbers hold on every machine, and saved releases stay comparable."""
    encoder = ContentEncoder(dim=8, seed=3).fit(_checkerboard(4))
    vector = encoder.encode_items([Item("é", {"colour": "white", "tags": ["a", "b"], "title": "The End"})])[0]
    np.testing.assert_allclose(
        vector, [0.365133, 0.280337, 0.365133, 0.365133, 0.097771, 0.5477, -0.365133, 0.280337], atol=1e-5
    )


def test_progress_is_told() -> None:
    """What is learnt from, then one step for the items, one for the users."""
    steps: list[Step] = []
    ContentEncoder(dim=8).fit(_checkerboard(), progress=steps.append)
    assert [step.stage for step in steps] == ["fit", "items", "users"]
    assert steps[1:] == [Step("items", 20, 20), Step("users", 20, 20)]
