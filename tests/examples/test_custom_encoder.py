"""The custom encoder keeps every promise."""

from __future__ import annotations

from typing_extensions import override

from examples.custom_encoder import GenreEncoder
from vecrec.encoders import Encoder
from vecrec.testing import EncoderTests


class TestGenreEncoder(EncoderTests):
    reads_profiles = False
    reads_order = False
    seeded = False

    @classmethod
    @override
    def make(cls, seed: int = 0) -> Encoder:
        return GenreEncoder("genre", ("crime", "love", "space"))
