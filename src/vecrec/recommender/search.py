"""Items that have the words of a text, in the order of the words and of a user's taste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import StoreUnavailableError
from vecrec.ids import Id, id_order
from vecrec.recommender.request import Call, Query
from vecrec.recommender.words import Match, WordIndex
from vecrec.types import Hit

__all__ = ["AT_FIRST", "gather", "ordered"]

AT_FIRST = 200
"""Items by relevance alone whose taste is compared, at first."""
_NEAREST = 1_000
"""Items by taste alone that are looked through for the words."""

Floats = NDArray[np.float64]


def gather(call: Call, query: Query, index: WordIndex, words: Sequence[str]) -> None:
    """Find the candidates of the query: the most relevant items, and those with the words among the nearest vectors.

    Args:
        call: What is asked; ``call.limit`` is how many of the most relevant items are compared.
        query: The user's, without a vector where nothing is known of them.
        index: What finds the words.
        words: Of `vecrec.recommender.words.check_text`.
    """
    release = call.live.release.id
    matches = index.find(release, words, call.limit)
    query.found, query.more = [], len(matches) >= call.limit
    tastes: Mapping[Id, float] = call.live.shares
    if query.vector is not None:
        try:
            near, tastes = _tastes(call, query, matches)
            found = {match.id for match in matches}
            matches += [match for match in index.find(release, words, len(near), near) if match.id not in found]
        except StoreUnavailableError as error:
            call.away = error
            query.vector = None
            query.notes += ("the vector store does not answer, popularity serves as taste",)
    query.brought = {match.id for match in matches}  # by words, so that no filter was applied to them
    query.candidates = iter(ordered([match for match in matches if match.id not in query.excluded], tastes))


def _tastes(call: Call, query: Query, matches: Sequence[Match]) -> tuple[list[Id], dict[Id, float]]:
    """The items nearest to the user's vector, and what the user's taste says of them and of the items with words."""
    depth, call.limit = call.limit, max(_NEAREST, call.limit)
    near = {hit.id: hit.score for hit in call.search([query])[0]}
    call.limit = depth
    tastes = dict(near)
    vectors = call.fetch([match.id for match in matches if match.id not in near])
    if query.vector is not None:
        tastes |= {key: float(vector @ query.vector) for key, vector in vectors.items()}
    for key, more in call.live.successors.scores(query.read).items():
        if key in tastes:
            tastes[key] += more
    return list(near), tastes


def ordered(matches: Sequence[Match], tastes: Mapping[Id, float]) -> list[Hit]:
    """Items with all the words before those with some, each in the order of relevance and taste together.

    The relevance counts as a multiple of its mean, the taste in standard deviations. So words that nearly all of these
    items have alike do not hide the taste, which says more: ``python -m benchmarks.search``.

    Args:
        matches: What the words have found.
        tastes: What the user's taste says of items, or their popularity; the least of all for one that it does not say.
    """
    hits: list[Hit] = []
    for whole in (True, False):
        some = [match for match in matches if match.whole == whole]
        if some:
            least = min(tastes.values(), default=0.0)
            relevance = np.array([match.relevance for match in some])
            scores = relevance / relevance.mean() + _standard([tastes.get(match.id, least) for match in some])
            scores += 0.0 if not hits else hits[-1].score - 1 - scores.max()  # below those with all the words
            ranked = sorted(zip(scores.tolist(), some), key=lambda pair: (-pair[0], id_order(pair[1].id)))
            hits += [Hit(match.id, score) for score, match in ranked]
    return hits


def _standard(values: Sequence[float]) -> Floats:
    """Values in standard deviations from their mean; zeros where they are all the same."""
    array = np.array(values, np.float64)
    return (array - array.mean()) / max(float(array.std()), 1e-12) if np.ptp(array) > 0 else np.zeros(len(array))
