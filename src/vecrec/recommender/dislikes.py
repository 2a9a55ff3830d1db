"""Items similar to those that a user dislikes rank lower, whichever encoder serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.exact import cosines
from vecrec.ids import Id
from vecrec.types import Hit

__all__ = ["LATEST", "MAX_PENALTY", "MIN_COSINE", "demoted", "similarity_to_disliked"]

LATEST = 50
"""How many of a user's dislikes count, the latest ones; none of the others is recommended either."""

MIN_COSINE = 0.3
"""The cosine up to which two items are not similar. Chosen on MovieLens 1M."""

MAX_PENALTY = 1.01
"""How many spans of the scores an item loses that is equal to a disliked one: enough to rank below all others."""


def similarity_to_disliked(
    ids: Sequence[Id], disliked: Sequence[Id], vectors: Mapping[Id, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """How similar each item is to the nearest disliked one, from 0 to 1, shape (n,).

    The largest cosine to one of the latest `LATEST` dislikes, less `MIN_COSINE`, as a share of what is above it; 0
    where one of the two has no vector.

    Args:
        ids: The items.
        disliked: The disliked items, the latest last.
        vectors: The vectors of both, shape (dim,) each, as far as there are any.
    """
    away = [vectors[key] for key in disliked[-LATEST:] if key in vectors]
    rows = [row for row, key in enumerate(ids) if key in vectors]
    found = np.zeros(len(ids), np.float32)
    if away and rows:
        nearest = cosines(np.array([vectors[ids[row]] for row in rows]), np.array(away)).max(axis=1)
        found[rows] = np.clip((nearest - MIN_COSINE) / (1 - MIN_COSINE), 0, 1)
    return found


def demoted(hits: Sequence[Hit], similarity: NDArray[np.float32], *, shares: bool = False) -> list[Hit]:
    """The hits, best first, those similar to a disliked item ranked lower.

    A score loses the similarity times `MAX_PENALTY` spans from the first to the last score: an item equal to a disliked
    one ranks below all others, one half as similar falls half that way. Nothing else changes. (Turning the user's
    vector away from disliked items, as Rocchio's rule does, moves the whole space: on MovieLens 1M a single dislike
    left one of the first ten items, where this leaves eight.)

    Args:
        hits: With scores.
        similarity: Of each hit, see `similarity_to_disliked`, shape (n,).
        shares: Whether the scores are popularities, which stay in [0, 1].
    """
    if not hits:
        return []
    scores = np.array([hit.score for hit in hits])
    lost = similarity * (scores if shares else MAX_PENALTY * np.ptp(scores))
    changed = [replace(hit, score=float(score)) for hit, score in zip(hits, scores - lost)]
    # Sorted stably, so that equal scores of equal similarity keep their order.
    places = sorted(range(len(hits)), key=lambda place: (-changed[place].score, similarity[place]))
    return [changed[place] for place in places]
