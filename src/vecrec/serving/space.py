"""What vectors say: which liked item is nearest, what lies away from the disliked ones, how given pairs score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import StoreUnavailableError
from vecrec.ids import Id
from vecrec.recommender import Recommender
from vecrec.types import Recommendation, User

__all__ = ["Away", "nearest", "vectors_of"]

_DISLIKES = 50
_LIKES = 50
_TURN = 0.5


@dataclass(slots=True)
class Away:
    """A reranker that turns the user's vector away from what they dislike.

    Each candidate's score is its inner product with ``user - 0.5 * |user| * dislike``, where ``dislike`` is the mean
    direction of the latest disliked items (Rocchio's rule). So encoders that know no dislikes can heed them.
    """

    recommender: Recommender
    disliked: tuple[Id, ...]
    depth: int

    def rerank(self, user: User, candidates: Sequence[Recommendation]) -> Sequence[Recommendation]:
        """The candidates, those like disliked ones further down."""
        if not candidates or not (user.features or user.history):
            return candidates  # popular ones, whose scores are shares
        own = self.recommender.ask(lambda live: live.encoder.encode_users([user]))[0]
        try:
            found = vectors_of(self.recommender, [*(each.item_id for each in candidates), *self.disliked[-_DISLIKES:]])
        except StoreUnavailableError:
            return candidates  # popular ones too, since there was nobody to search
        away = [_unit(found[key]) for key in self.disliked[-_DISLIKES:] if key in found]
        if not away:
            return candidates
        turn = _TURN * float(np.linalg.norm(own)) * np.mean(away, axis=0)
        scored = [
            replace(each, score=each.score - float(turn @ found[each.item_id]) if each.item_id in found else each.score)
            for each in candidates
        ]
        return sorted(scored, key=lambda each: -each.score)


def nearest(recommender: Recommender, ids: Sequence[Id], liked: Sequence[Id]) -> list[tuple[Id, float] | None]:
    """For each item the one of the latest liked items that is nearest to it, by the cosine of their vectors."""
    known = list(liked[-_LIKES:])
    found = vectors_of(recommender, [*ids, *known])
    others = {key: _unit(found[key]) for key in known if key in found}
    return [_nearest(_unit(found[key]), key, others) if key in found else None for key in ids]


def vectors_of(recommender: Recommender, ids: Sequence[Id]) -> dict[Id, NDArray[np.float32]]:
    """The vectors of those items that are in the live collection, read in one batch."""
    entries = recommender.ask(lambda live: recommender.vector_store.fetch(live.collection, ids))
    return {key: entry.vector for key, entry in entries.items() if entry.vector is not None}


def _nearest(vector: NDArray[np.float32], key: Id, others: Mapping[Id, NDArray[np.float32]]) -> tuple[Id, float] | None:
    cosines = {other: float(vector @ direction) for other, direction in others.items() if other != key}
    return max(cosines.items(), key=lambda pair: pair[1], default=None)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector
