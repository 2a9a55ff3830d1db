"""The encoder of one's own keeps every promise, and serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typing_extensions import override

from examples.custom_encoder import ShareEncoder
from vecrec import Recommender
from vecrec.data import Categorical, Dataset, Schema
from vecrec.encoders import Encoder
from vecrec.errors import InvalidDataError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.testing import EncoderTests
from vecrec.vector_stores import MemoryVectorStore

GENRES = ["crime", "love", "space"]


class TestShareEncoder(EncoderTests):
    reads_profiles = False
    reads_order = False
    seeded = False

    @override
    @classmethod
    def make(cls, seed: int = 0) -> Encoder:
        return ShareEncoder(GENRES)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    data = Dataset({"user_id": [1], "item_id": [2]})
    ShareEncoder(GENRES).fit(data).save(tmp_path)
    path = tmp_path / ShareEncoder.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(InvalidDataError, match="upgrade"):
        ShareEncoder.load(tmp_path)


def test_it_recommends_what_the_user_has_most_of(tmp_path: Path) -> None:
    items = {"item_id": list(range(30)), "genre": [GENRES[item % 3] for item in range(30)]}
    pairs = [(user, item) for user in range(9) for item in range(user % 3, 15, 3)]
    events = {"user_id": [user for user, _ in pairs], "item_id": [item for _, item in pairs]}
    data = Dataset(events, items=items, schema=Schema(items=(Categorical("genre", filterable=True),)))
    stores = MemoryVectorStore(), MemoryMetadataStore()
    with Recommender(ShareEncoder(GENRES), *stores, name="shares", artifacts=tmp_path) as recommender:
        recommender.fit(data)
        assert {item["genre"] for item in recommender.recommend(1, k=3)} == {"love"}
