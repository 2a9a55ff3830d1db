"""The baseline of what most people chose."""

from __future__ import annotations

import numpy as np

from vecrec import Item, User
from vecrec.data import Dataset
from vecrec.encoders import PopularityEncoder
from vecrec.testing import EncoderTests


class TestPopularityEncoder(EncoderTests):
    personal = False
    reads_features = False
    seeded = False

    @classmethod
    def make(cls, seed: int = 0) -> PopularityEncoder:
        return PopularityEncoder()


def test_more_events_score_higher_for_everybody() -> None:
    encoder = PopularityEncoder().fit(Dataset({"user_id": [1, 2, 3], "item_id": ["a", "b", "a"]}))
    items = encoder.encode_items([Item("a"), Item("b"), Item("new"), Item()])
    (scores,) = encoder.encode_users([User(1)]) @ items.T
    np.testing.assert_allclose(scores, np.log([3, 2, 1, 1]), rtol=1e-6)
    assert (encoder.encode_users([User(), User("x", {}, ["a"])]) == [[1, 0], [1, 0]]).all()
