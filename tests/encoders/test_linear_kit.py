"""The linear sequence encoder keeps every promise of an encoder."""

from __future__ import annotations

from vecrec.encoders.linear import LinearSequenceEncoder
from vecrec.testing import EncoderTests


class TestLinearSequenceEncoder(EncoderTests):
    seeded = False

    @classmethod
    def make(cls, seed: int = 0) -> LinearSequenceEncoder:
        return LinearSequenceEncoder(dim=16, seed=seed)
