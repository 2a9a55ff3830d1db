"""What vectors say: which liked item is nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec.ids import Id
from vecrec.recommender import Recommender

__all__ = ["nearest", "vectors_of"]

_LIKES = 50


def nearest(recommender: Recommender, ids: Sequence[Id], liked: Sequence[Id]) -> list[tuple[Id, float] | None]:
    """For each item the one of the latest liked items that is nearest to it, by the cosine of their vectors."""
    known = list(liked[-_LIKES:])
    found = vectors_of(recommender, [*ids, *known])
    others = {key: _unit(found[key]) for key in known if key in found}
    return [_nearest(_unit(found[key]), key, others) if key in found else None for key in ids]


def vectors_of(recommender: Recommender, ids: Sequence[Id]) -> dict[Id, NDArray[np.float32]]:
    """The vectors of those items that are in the live collection, read in one batch."""
    with recommender.live() as live:
        entries = recommender.vector_store.fetch(live.collection, ids)
    return {key: entry.vector for key, entry in entries.items() if entry.vector is not None}


def _nearest(vector: NDArray[np.float32], key: Id, others: Mapping[Id, NDArray[np.float32]]) -> tuple[Id, float] | None:
    cosines = {other: float(vector @ direction) for other, direction in others.items() if other != key}
    return max(cosines.items(), key=lambda pair: pair[1], default=None)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector
