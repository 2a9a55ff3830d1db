"""Several second stages in a row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

from tests.testing.references import BestRated
from vecrec.errors import InvalidDataError
from vecrec.recommendations import Recommendation
from vecrec.rerankers import Candidates, ChainReranker, MMRReranker, Reranker
from vecrec.testing import RerankerTests
from vecrec.types import User


class TestChainReranker(RerankerTests):
    learns = False
    seeded = False

    @override
    @classmethod
    def make(cls, seed: int = 0) -> Reranker:
        return ChainReranker([MMRReranker(0.9, depth=50), MMRReranker(0.3, depth=20)])


class _Backwards(MMRReranker):
    @override
    def _rerank(self, user: User, candidates: Candidates) -> list[Recommendation]:
        return [replace(item, score=float(place)) for place, item in enumerate(reversed(candidates))]


class _Even(MMRReranker):
    @override
    def _rerank(self, user: User, candidates: Candidates) -> list[Recommendation]:
        assert candidates.vectors[:, 0].tolist() == [item.item_id for item in candidates]
        return [item for item in candidates if int(item.item_id) % 2 == 0]


def test_each_stage_gets_what_the_one_before_gave_with_its_vectors() -> None:
    """Turned around, the vectors follow their items; what one stage drops the next does not see."""
    vectors = np.arange(6, dtype=np.float32)[:, None]
    given = Candidates([Recommendation(n + 1, n, 1.0, {}) for n in range(6)], 2, None, lambda: vectors)
    chain = ChainReranker([_Backwards(depth=7), _Even(depth=3), _Even(depth=3)])
    assert [(item.rank, item.item_id, item.score) for item in chain.rerank(User(1), given)] == [
        (1, 4, 1.0), (2, 2, 3.0), (3, 0, 5.0),
    ]  # fmt: skip
    assert chain.depth == 7


@pytest.mark.parametrize(
    "stages", [[], None, "mmr", [MMRReranker], [MMRReranker(), None]], ids=["none", "nothing", "text", "class", "hole"]
)
def test_what_is_no_chain_is_refused(stages: Any) -> None:
    """At least one reranker, and nothing else."""
    with pytest.raises(InvalidDataError, match="reranker"):
        ChainReranker(stages)


def test_a_chain_is_fitted_when_all_of_it_is() -> None:
    """Its members learn together."""
    assert ChainReranker([MMRReranker()]).is_fitted
    assert not ChainReranker([BestRated(), MMRReranker()]).is_fitted


def test_a_stage_that_nobody_registers_is_named(tmp_path: Path) -> None:
    """What cannot be found again at loading."""
    chain = ChainReranker([MMRReranker()])
    chain.save(tmp_path)
    path = tmp_path / "reranker.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stages": ["unheard_of"]}))
    with pytest.raises(InvalidDataError, match="unheard_of"):
        ChainReranker.load(tmp_path)
