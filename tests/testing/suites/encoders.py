"""A class of the kit for each wrong encoder."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from tests.testing.wrong import CAUGHT_BY, encoders
from vecrec.encoders import ContentEncoder, Encoder
from vecrec.testing import EncoderTests


class SmallContentTests(EncoderTests):
    """The kit on `ContentEncoder`, or on a wrong subclass of it."""

    training_modules = ("tabnanny",)
    kind: ClassVar[type[ContentEncoder]] = ContentEncoder

    @override
    @classmethod
    def make(cls, seed: int = 0) -> Encoder:
        return cls.kind(dim=32, seed=seed)


for _part in CAUGHT_BY:
    if _part.__module__ == encoders.__name__:
        _name = f"Test_encoders_{_part.__name__}"
        globals()[_name] = type(_name, (SmallContentTests,), {"kind": _part, "__module__": __name__})
