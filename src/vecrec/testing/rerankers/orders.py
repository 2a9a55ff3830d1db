"""The promises about the order: only candidates, each once, with finite scores, for any user."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vecrec.encoders.content import ContentEncoder
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.rerankers.base import Reranker
from vecrec.testing.base import expected, refused
from vecrec.testing.encoders.tastes import tastes
from vecrec.testing.rerankers.base import Order, RerankerKit, asked, finder, order, orders

__all__ = ["OrderTests", "assert_alike"]


class OrderTests(RerankerKit):
    """Tests of ``rerank`` and ``fit``."""

    def test_it_gives_candidates_only_each_once(self, fitted: Reranker) -> None:
        """Known users and strangers, few candidates and many: what comes was handed in, with its own record."""
        for user, given in expected(asked()):
            found = fitted.rerank(user, given)
            held = {repr(item.item_id): item.metadata for item in given}
            names = [repr(item.item_id) for item in found]
            assert len(set(names)) == len(names)
            assert set(names) <= set(held)
            assert all(item.metadata == held[repr(item.item_id)] for item in found)

    def test_scores_are_finite_and_ranks_count_from_1(self, fitted: Reranker) -> None:
        """A score is a float that JSON can carry."""
        for user, given in expected(asked()):
            found = fitted.rerank(user, given)
            assert [item.rank for item in found] == list(range(1, len(found) + 1))
            assert all(type(item.score) is float and math.isfinite(item.score) for item in found)

    def test_something_is_kept(self, fitted: Reranker) -> None:
        """Of thirty candidates for a known user, some come: a reranker that drops everything serves no user."""
        for user, given in expected([(user, given) for user, given in asked() if len(given) >= 25]):
            assert fitted.rerank(user, given), user

    def test_its_depth_is_a_count(self, fitted: Reranker) -> None:
        """A whole number of at least 1, the same whenever it is asked for, and before ``fit`` as well."""
        assert type(fitted.depth) is int
        assert fitted.depth >= 1
        assert self.make().depth == fitted.depth == fitted.depth

    def test_equal_candidates_give_equal_orders(self, fitted: Reranker) -> None:
        """Asked again, it answers the same, whatever it was asked in between."""
        assert orders(fitted) == orders(fitted)

    def test_the_input_is_not_changed(self, fitted: Reranker) -> None:
        """Neither the user nor the candidates nor their vectors."""
        for user, given in expected(asked()):
            items, vectors = copy.deepcopy(list(given)), given.vectors.copy()
            person = copy.deepcopy((user.features, user.history))
            query = None if given.user_vector is None else given.user_vector.copy()
            fitted.rerank(user, given)
            assert (list(given), (user.features, user.history)) == (items, person)
            np.testing.assert_array_equal(given.vectors, vectors)
            if query is not None:
                np.testing.assert_array_equal(given.user_vector, query)

    def test_what_is_no_user_or_no_candidates_is_refused(self, fitted: Reranker) -> None:
        """A mistake of the caller is named, instead of showing as an error from within."""
        user, given = asked()[0]
        wrong: list[Any] = [None, 1, "x", {}, []]
        cases: dict[str, Callable[[], object]] = {
            f"user {value!r}": lambda value=value: fitted.rerank(value, given)  # type: ignore[misc]
            for value in wrong
        }
        cases |= {
            f"candidates {value!r}": lambda value=value: fitted.rerank(user, value)  # type: ignore[misc]
            for value in [*wrong, list(given)]
        }
        refused(cases)

    def test_one_that_has_learnt_nothing_says_so(self) -> None:
        """Before ``fit`` every use raises `NotFittedError`; what has nothing to learn is ready at once."""
        made = self.make()
        assert made.is_fitted is not self.learns
        if self.learns:
            user, given = asked()[0]
            refused({"rerank": lambda: made.rerank(user, given), "print": lambda: made.fingerprint}, NotFittedError)

    def test_fit_gives_the_reranker_itself(self) -> None:
        """``fit`` returns the reranker, which can rerank then."""
        made = self.make()
        assert made.fit(tastes(), finder()) is made
        assert made.is_fitted

    def test_it_cannot_learn_from_nothing(self) -> None:
        """A data set without an event and an encoder without vectors are refused."""
        data = tastes()
        empty = data.select_events(np.zeros(data.n_events, bool))
        refused({"no events": lambda: self.make().fit(empty, finder())}, InvalidDataError)
        refused({"no vectors": lambda: self.make().fit(data, ContentEncoder(dim=32))}, NotFittedError)

    def test_equal_data_and_seed_give_equal_orders(self, fitted: Reranker) -> None:
        """Two that learn the same are the same, and so are their fingerprints."""
        other = self.make().fit(tastes(), finder())
        assert_alike(orders(other), orders(fitted))
        assert other.fingerprint == fitted.fingerprint

    def test_fit_forgets_what_was_learnt_before(self, fitted: Reranker) -> None:
        """Fitted again with other data, it is what it would be had it never seen the first."""
        other = self.make().fit(tastes(1), finder()).fit(tastes(), finder())
        assert_alike(orders(other), orders(fitted))
        assert other.fingerprint == fitted.fingerprint

    def test_the_fingerprint_is_32_hexadecimal_digits(self, fitted: Reranker) -> None:
        """It is a text that names a state, and reranking does not change it."""
        first = fitted.fingerprint
        user, given = asked()[0]
        order(fitted, user, given)
        assert type(first) is str
        assert len(first) == 32
        assert set(first) <= set("0123456789abcdef")
        assert fitted.fingerprint == first

    def test_the_fingerprint_changes_with_the_order(self, fitted: Reranker) -> None:
        """Other data or another seed: where the orders differ the fingerprints do, and where not they do not."""
        before = fitted.fingerprint, orders(fitted)
        changed = 0
        for seed, data in ((0, tastes(1)), (1, tastes()), (0, tastes(name="another name"))):
            other = self.make(seed).fit(data, finder())
            differs = orders(other) != before[1]
            changed += differs
            assert (other.fingerprint != before[0]) == differs, f"{data!r}, seed {seed}: other orders: {differs}"
        assert (changed > 0) == self.learns, "none of the other data sets gives another order"

    def test_another_seed_gives_another_order(self, fitted: Reranker) -> None:
        """The seed decides what chance decides."""
        if not self.seeded:
            pytest.skip("there is no chance in this reranker")
        assert orders(self.make(seed=1).fit(tastes(), finder())) != orders(fitted)

    def test_it_says_whose_vectors_it_has_learnt_from(self, fitted: Reranker) -> None:
        """The fingerprint of its encoder, or ``None`` where any will do, so that it is not served with another's."""
        assert fitted.encoder_fingerprint in (None, finder().fingerprint)
        if fitted.encoder_fingerprint is None:
            other = ContentEncoder(dim=32, seed=9).fit(tastes())
            assert_alike(orders(self.make().fit(tastes(), other)), orders(fitted))


def assert_alike(found: list[Order], wanted: list[Order]) -> None:
    """Equal items in equal order, with scores equal to 1e-4."""
    for one, other in zip(expected(found), expected(wanted), strict=True):
        assert [name for name, _ in one] == [name for name, _ in other]
        np.testing.assert_allclose([score for _, score in one], [score for _, score in other], rtol=1e-4, atol=1e-4)
