"""The promises about vectors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec.encoders.base import Encoder
from vecrec.testing.base import expected, refused, same
from vecrec.testing.encoders.base import EncoderKit
from vecrec.testing.encoders.tastes import BAD_ITEMS, BAD_USERS, items_to_ask, tastes, users_to_ask
from vecrec.types import Event, Item, User
from vecrec.vector_stores.base import Metric

__all__ = ["VectorTests"]

_CLOSE = 1e-5


class VectorTests(EncoderKit):
    """Tests of ``encode_items`` and ``encode_users``."""

    def test_vectors_are_finite_float32_of_length_dim(self, fitted: Encoder) -> None:
        """Whatever is asked for, and a metric that vector stores know."""
        for vectors, count in _both(fitted, expected(items_to_ask()), expected(users_to_ask())):
            assert type(vectors) is np.ndarray
            assert vectors.dtype == np.float32
            assert vectors.shape == (count, fitted.dim)
            assert np.isfinite(vectors).all()
        assert type(fitted.dim) is int
        assert fitted.dim == self.make().dim
        assert fitted.metric in get_args(Metric)

    def test_one_by_one_or_in_a_batch_they_are_the_same(self, fitted: Encoder) -> None:
        """A vector depends on nothing that is encoded beside it, nor on its place."""
        for encode, values in _calls(fitted):
            batch = encode(values)
            single = np.concatenate([encode([value]) for value in values])
            np.testing.assert_allclose(single, batch, atol=_CLOSE, rtol=_CLOSE)
            np.testing.assert_allclose(encode(values[::-1])[::-1], batch, atol=_CLOSE, rtol=_CLOSE)
            np.testing.assert_allclose(encode(values * 40)[-len(values) :], batch, atol=_CLOSE, rtol=_CLOSE)
            assert len(np.unique(batch.round(3), axis=0)) > 1 or not self.personal, "all vectors are the same"

    def test_nothing_gives_an_empty_matrix(self, fitted: Encoder) -> None:
        """No items and no users give the shape (0, dim)."""
        for vectors, _ in _both(fitted, [], []):
            assert vectors.shape == (0, fitted.dim)
            assert vectors.dtype == np.float32

    def test_unknown_ids_features_and_histories_are_no_error(self, fitted: Encoder) -> None:
        """What is not known is passed over: unseen values, ids and fields, extreme numbers, empty text and lists."""
        for vectors, count in _both(fitted, items_to_ask(), users_to_ask()):
            assert len(vectors) == count
        plain = fitted.encode_users([User(None, {}, ["item 1"]), User(None, {"unheard": 1}, ["item 1"])])
        np.testing.assert_allclose(plain[0], plain[1], atol=_CLOSE)

    def test_a_visitor_gets_a_vector(self, fitted: Encoder) -> None:
        """An unknown user gets a vector with which scores differ, and not zero for every item."""
        visitor = fitted.encode_users([User()])[0]
        scores = fitted.encode_items(list(tastes().items())) @ visitor
        assert len(np.unique(scores.round(6))) > 1

    def test_what_is_known_decides(self, fitted: Encoder) -> None:
        """Of an unknown id the features count, of a profile each field, in the direction in which the data point."""
        if not self.reads_features:
            pytest.skip("this encoder reads no features")
        crime, love = fitted.encode_items([Item("new", {"genre": "crime"}), Item("new", {"genre": "love"})])
        assert not np.allclose(crime, love, atol=1e-4)
        if not self.reads_profiles:
            return
        people = fitted.encode_users(
            [User(None, {"gender": "F"}), User(None, {"gender": "M"}), User(None, {"age": 21})]
        )
        assert not np.allclose(people[0], people[1], atol=1e-4)
        assert not np.allclose(people[0], people[2], atol=1e-4)

    def test_the_history_changes_the_vector(self, fitted: Encoder) -> None:
        """The history decides the vector; so does its order."""
        if not self.personal:
            pytest.skip("this encoder treats all users alike")
        histories = [[], ["item 0"], ["item 1"], ["item 0", "item 3", "item 1"]]
        if self.reads_order:
            histories.append(["item 1", "item 3", "item 0"])
        vectors = fitted.encode_users([User(None, {}, history) for history in histories])
        apart = [float(np.abs(one - other).max()) for n, one in enumerate(vectors) for other in vectors[:n]]
        assert min(apart) > 1e-4

    def test_features_outside_the_schema_are_refused(self, fitted: Encoder) -> None:
        """A value of another type, or outside a closed list, is refused wherever it stands in the batch."""
        good, person = Item("item 1"), User(1)
        cases: dict[str, Callable[[], object]] = {
            f"item {bad}": partial(fitted.encode_items, [good, Item("item 1", bad)]) for bad in BAD_ITEMS
        }
        cases |= {f"user {bad}": partial(fitted.encode_users, [person, User(1, bad)]) for bad in BAD_USERS}
        refused(cases)

    def test_what_is_no_item_or_user_is_refused(self, fitted: Encoder) -> None:
        """A sequence of items or users is asked for: no ids, mappings, single items or strings."""
        wrong: list[Any] = ["item 1", None, 1, [1], ["item 1"], [None], [{"id": 1}], {1: 2}]
        cases: dict[str, Callable[[], object]] = {"users as items": partial(fitted.encode_items, [User(1)])}  # type: ignore[list-item]
        cases["items as users"] = partial(fitted.encode_users, [Item(1)])  # type: ignore[list-item]
        for values in [*wrong, Item(1)]:
            cases[f"items {values!r}"] = partial(fitted.encode_items, values)
            cases[f"users {values!r}"] = partial(fitted.encode_users, values)
        refused(cases)

    def test_the_input_is_not_changed(self, fitted: Encoder) -> None:
        """Neither the items and users that are encoded, nor the data set that is learnt from."""
        items, users = items_to_ask(), users_to_ask()
        before = copy.deepcopy((items, users))
        fitted.encode_items(items)
        fitted.encode_users(users)
        assert same(_plain(items, users), _plain(*before))

        data = tastes()
        self.make().fit(data)
        assert same(
            _plain(list(data.items()), list(data.users())), _plain(list(tastes().items()), list(tastes().users()))
        )

    def test_the_vectors_belong_to_the_caller(self, fitted: Encoder) -> None:
        """Changing what was given back changes no later answer."""
        for encode, values in _calls(fitted):
            first = encode(values[:3])
            kept = first.copy()
            if first.flags.writeable:
                first[:] = 99
            np.testing.assert_allclose(encode(values[:3]), kept, atol=_CLOSE)


def _calls(encoder: Encoder) -> list[tuple[Callable[[Sequence[Any]], NDArray[np.float32]], list[Any]]]:
    return [(encoder.encode_items, expected(items_to_ask())), (encoder.encode_users, expected(users_to_ask()))]


def _both(encoder: Encoder, items: list[Item], users: list[User]) -> list[tuple[NDArray[np.float32], int]]:
    return [(encoder.encode_items(items), len(items)), (encoder.encode_users(users), len(users))]


def _plain(items: list[Item], users: list[User]) -> list[Any]:
    rows: list[Any] = [[item.id, dict(item.features)] for item in items]
    return rows + [[user.id, dict(user.features), [_event(event) for event in user.history]] for user in users]


def _event(event: Event) -> list[Any]:
    return [event.user_id, event.item_id, event.time, event.rating]
