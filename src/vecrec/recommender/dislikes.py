"""Items similar to those that a user dislikes rank lower, whichever encoder serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.exact import cosines
from vecrec.ids import Id
from vecrec.types import Hit

__all__ = ["LATEST", "REFERENCES", "demoted", "similarity_to_disliked"]

LATEST = 50
"""How many of a user's dislikes count, the latest ones; none of the others is recommended either."""

NEAR, NEAREST = 1.25, 4.0
"""Where similarity to a disliked item begins and where it is complete, in standard deviations above the mean of the
candidates' cosines. Chosen on MovieLens 100K for four encoders."""

SAME, SAMEST = 0.995, 0.999
"""Where two vectors begin to be the same and where they are, as a cosine: this means the same for every encoder."""

REFERENCES = 100
"""Items at least whose cosines say what is usual; popular ones stand beside fewer candidates."""

MAX_PENALTY = 1.01
"""How many spans of the scores an item loses that is equal to a disliked one: enough to rank below all others."""


def similarity_to_disliked(
    ids: Sequence[Id],
    disliked: Sequence[Id],
    vectors: Mapping[Id, NDArray[np.float32]],
    shares: Mapping[Id, float],
    references: Sequence[Id] = (),
) -> NDArray[np.float32]:
    """How similar each item is to the nearest disliked one, from 0 to 1, shape (n,).

    How large a cosine is depends on the encoder, and candidates for one user are all similar to each other. So a cosine
    to a disliked item counts by its distance from the mean of the candidates, in standard deviations, after what
    popularity explains of it: 0 up to `NEAR`, 1 from `NEAREST`. An item with the same vector, from `SAME` to `SAMEST`,
    is similar however many there are. The largest over the latest `LATEST` dislikes; 0 where one of the two has no
    vector.

    Args:
        ids: The items.
        disliked: The disliked items, the latest last.
        vectors: The vectors of all items, shape (dim,) each, as far as there are any.
        shares: The popularity of items, 0 for those that are not among them.
        references: More items whose cosines say what is usual.
    """
    found = np.zeros(len(ids), np.float32)
    away = [vectors[key] for key in disliked[-LATEST:] if key in vectors]
    rows = [row for row, key in enumerate(ids) if key in vectors]
    given = {*ids, *disliked}
    keys = [*(ids[row] for row in rows), *(key for key in references if key in vectors and key not in given)]
    if away and rows:
        popularity = np.log1p(1_000 * np.array([shares.get(key, 0.0) for key in keys]))
        near = cosines(np.array([vectors[key] for key in keys]), np.array(away))
        positions = _standardised(near, popularity)[: len(rows)].max(axis=1)
        same = (near[: len(rows)].max(axis=1) - SAME) / (SAMEST - SAME)
        found[rows] = np.clip(np.maximum((positions - NEAR) / (NEAREST - NEAR), same), 0, 1)
    return found


def _standardised(near: NDArray[np.float64], popularity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column in standard deviations from its mean, less what rises with popularity, shape (n, m)."""
    centred, bias = near - near.mean(axis=0), popularity - popularity.mean()
    slopes = (bias @ centred / max(float(bias @ bias), 1e-9)).clip(0)
    rest = centred - np.outer(bias, slopes)
    deviations = rest.std(axis=0)
    found: NDArray[np.float64] = rest / np.where(deviations > 1e-6, deviations, np.inf)
    return np.where(near > 0, found, 0)


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
