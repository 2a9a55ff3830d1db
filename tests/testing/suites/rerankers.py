"""A class of the kit for each wrong reranker."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from tests.testing.references import BestRated
from tests.testing.wrong import CAUGHT_BY, rerankers
from vecrec.rerankers import Reranker
from vecrec.testing import RerankerTests


class BestRatedTests(RerankerTests):
    """The kit on `BestRated`, or on a wrong subclass of it."""

    training_modules = ("tabnanny",)
    kind: ClassVar[type[BestRated]] = BestRated

    @override
    @classmethod
    def make(cls, seed: int = 0) -> Reranker:
        return cls.kind(seed)


for _part in CAUGHT_BY:
    if _part.__module__ == rerankers.__name__:
        _name = f"Test_rerankers_{_part.__name__}"
        globals()[_name] = type(_name, (BestRatedTests,), {"kind": _part, "__module__": __name__})
