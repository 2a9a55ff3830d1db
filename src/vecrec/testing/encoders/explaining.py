"""The promises about the parts of a user's vector."""

from __future__ import annotations

from functools import partial
from typing import get_args

import numpy as np

from vecrec.encoders.base import Encoder
from vecrec.encoders.parts import Method, PartKind
from vecrec.testing.base import expected, refused
from vecrec.testing.encoders.base import EncoderKit
from vecrec.testing.encoders.tastes import BAD_USERS, users_to_ask
from vecrec.types import Item, User

__all__ = ["ExplainingTests"]

_CLOSE = 1e-4


class ExplainingTests(EncoderKit):
    """Tests of ``explain_user``."""

    def test_parts_and_residual_add_up_to_the_vector(self, fitted: Encoder) -> None:
        """For every user that the kit asks about; so do their shares of an item's score; what is exact has no rest."""
        item = fitted.encode_items([Item("item 1", {"genre": "love"})])[0]
        for user in expected(users_to_ask()):
            found = fitted.explain_user(user)
            whole = fitted.encode_users([user])[0]
            size = max(1.0, float(np.abs(found.vectors).max(initial=0.0)))
            assert found.vectors.shape == (len(found.parts), fitted.dim)
            np.testing.assert_allclose(found.vectors.sum(axis=0) + found.residual, whole, atol=_CLOSE * size)
            shares = found.vectors @ item
            assert abs(float(shares.sum() + found.residual @ item - whole @ item)) < _CLOSE * size * fitted.dim
            if found.method == "exact":
                np.testing.assert_allclose(found.residual, 0, atol=_CLOSE * size)

    def test_parts_say_where_they_come_from(self, fitted: Encoder) -> None:
        """An event by its place in the history, a feature by its name, each once for an encoder and with its source."""
        for user in expected(users_to_ask()):
            found = fitted.explain_user(user)
            assert found.method in get_args(Method)
            assert {part.kind for part in found.parts} <= {*get_args(PartKind)}
            for part in found.parts:
                assert part.source
                assert (part.place is not None) == (part.kind == "event")
                assert part.place is None or 0 <= part.place < len(user.history)
                assert (part.feature is not None) == (part.kind == "feature")
                assert part.feature is None or user.features[part.feature] is not None

    def test_what_says_nothing_has_no_part(self, fitted: Encoder) -> None:
        """An event with an item that the encoder does not know adds nothing; one that changes the vector has a part."""
        user = User(None, {}, ["item 0", "never seen", "item 3"])
        found = fitted.explain_user(user)
        by_place = np.zeros((3, fitted.dim), np.float32)
        for part, vector in zip(found.parts, found.vectors):
            if part.place is not None:
                by_place[part.place] += vector
        if not fitted.knows("never seen"):
            np.testing.assert_allclose(by_place[1], 0, atol=_CLOSE)
        before = fitted.encode_users([User(None, {}, user.history[:2])])
        if not np.allclose(before, fitted.encode_users([user]), atol=1e-3):
            assert np.abs(by_place[2]).max() > _CLOSE, "the last event changes the vector and has no part in it"

    def test_a_value_outside_the_schema_has_no_parts(self, fitted: Encoder) -> None:
        """It is refused as by ``encode_users``."""
        refused({f"user {bad}": partial(fitted.explain_user, User(1, bad)) for bad in BAD_USERS})
