"""Maximal marginal relevance: by hand, against a plain reading of the paper, and by the kit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typing_extensions import override

from vecrec.errors import InvalidDataError
from vecrec.evaluation.metrics import intra_list_diversity
from vecrec.recommendations import Recommendation
from vecrec.rerankers import Candidates, MMRReranker, Reranker
from vecrec.rerankers.mmr import maximal_marginal_relevance
from vecrec.testing import RerankerTests
from vecrec.types import User


class TestMMRReranker(RerankerTests):
    learns = False
    seeded = False

    @override
    @classmethod
    def make(cls, seed: int = 0) -> Reranker:
        return MMRReranker(0.5)


def _literally(scores: list[float], vectors: NDArray[np.float32], k: int, balance: float) -> list[int]:
    """The formula of the paper, candidate by candidate."""
    low, high = min(scores), max(scores)
    relevance = [(score - low) / (high - low) if high > low else 0.0 for score in scores]

    def cosine(one: int, other: int) -> float:
        lengths = float(np.linalg.norm(vectors[one]) * np.linalg.norm(vectors[other]))
        return float(vectors[one] @ vectors[other]) / lengths

    taken: list[int] = []
    while len(taken) < min(k, len(scores)):
        left = [place for place in range(len(scores)) if place not in taken]
        values = [
            balance * relevance[place] - (1 - balance) * max(cosine(place, other) for other in taken)
            if taken
            else relevance[place]
            for place in left
        ]
        taken.append(left[int(np.argmax(values))])
    return taken


def test_it_takes_what_is_unlike_the_first() -> None:
    """Two twins and a stranger: with much weight on diversity the stranger comes second, with none it comes last."""
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    scores = np.array([3.0, 2.9, 1.0])
    assert maximal_marginal_relevance(scores, vectors, 3, 0.4).tolist() == [0, 2, 1]
    assert maximal_marginal_relevance(scores, vectors, 3, 1.0).tolist() == [0, 1, 2]
    # By hand: the twin is worth .5 * .95 - .5 * 1, the stranger .5 * 0 - .5 * 0.
    assert maximal_marginal_relevance(scores, vectors, 2, 0.5).tolist() == [0, 2]
    # .6 * .95 - .4 * 1 = .17 against 0.
    assert maximal_marginal_relevance(scores, vectors, 2, 0.6).tolist() == [0, 1]


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.7, 0.95, 1.0])
def test_it_is_the_formula_of_the_paper(balance: float) -> None:
    """On random candidates it takes the same items in the same order as a loop over all of them."""
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 30):
        scores, vectors = rng.normal(size=size), rng.normal(size=(size, 6)).astype(np.float32)
        found = maximal_marginal_relevance(scores, vectors, 10, balance).tolist()
        assert found == _literally(scores.tolist(), vectors, 10, balance)


def test_less_balance_is_more_diversity() -> None:
    """On clustered candidates the diversity of the first ten rises as the balance falls, and their relevance falls."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(8, 16))
    vectors = np.repeat(centres, 25, axis=0) + rng.normal(scale=0.2, size=(200, 16))
    user = centres[0] + 0.5 * centres[1]
    scores = vectors @ user
    rows = np.argsort(-scores)[:100]
    diversities, relevances = [], []
    for balance in (1.0, 0.8, 0.6, 0.4, 0.2, 0.0):
        taken = rows[maximal_marginal_relevance(scores[rows], vectors[rows].astype(np.float32), 10, balance)]
        diversities.append(float(intra_list_diversity(taken[None], vectors.astype(np.float32))[0]))
        relevances.append(float(scores[taken].mean()))
    assert diversities == sorted(diversities)
    assert diversities[-1] > 3 * diversities[0]
    assert relevances == sorted(relevances, reverse=True)


def test_balance_1_changes_nothing_and_reads_no_vectors() -> None:
    """The order of the vectors, without the round trip that would bring them."""

    def read() -> NDArray[np.float32]:
        raise AssertionError("nobody needs these")

    items = [Recommendation(rank, f"item {rank}", 1 / rank, {}) for rank in range(1, 6)]
    assert MMRReranker(1.0).rerank(User(1), Candidates(items, 3, None, read)) == items


@pytest.mark.parametrize(
    "settings",
    [{"balance": value} for value in (-0.1, 1.1, None, "0.5", True, float("nan"))]
    + [{"depth": value} for value in (0, -1, 2.5, None, True)],
    ids=repr,
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any]) -> None:
    """By name, with the value."""
    with pytest.raises(InvalidDataError, match=next(iter(settings))):
        MMRReranker(**settings)
