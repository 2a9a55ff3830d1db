"""The second stage at work: candidates with their vectors go in, an order that can be served comes out."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import StoreUnavailableError
from vecrec.ids import Id
from vecrec.recommender.generation import Live
from vecrec.rerankers.base import Candidates, Reranks, check_order
from vecrec.types import Recommendation, User
from vecrec.vector_stores.base import VectorStore

__all__ = ["Vectors", "reranked"]

_log = logging.getLogger("vecrec")


class Vectors:
    """The vectors of all candidates of one call, read in one batch when the first of them is asked for."""

    def __init__(
        self, store: VectorStore, live: Live, ids: Sequence[Id], away: StoreUnavailableError | None = None
    ) -> None:
        """``away`` is the error of a store that is known to be down, so that nobody waits for it once more."""
        self._store, self._live, self._ids, self._away = store, live, ids, away
        self._held: dict[Id, NDArray[np.float32]] | None = None

    def of(self, ids: Sequence[Id]) -> NDArray[np.float32]:
        """The vectors of some of the items, shape (n, dim); zeros for one that is gone."""
        if self._away is not None:
            raise self._away
        if self._held is None:
            found = self._store.fetch(self._live.collection, self._ids)
            self._held = {key: entry.vector for key, entry in found.items() if entry.vector is not None}
        matrix = np.zeros((len(ids), self._live.encoder.dim), np.float32)
        for row, key in zip(matrix, ids):
            row[:] = self._held.get(key, 0)
        return matrix


def reranked(
    stage: Reranks, user: User, candidates: Candidates
) -> tuple[list[Recommendation], StoreUnavailableError | None]:
    """What a stage makes of the candidates; as they are, with the reason, where the vectors that it needs are away."""
    try:
        return check_order(stage, candidates, stage.rerank(user, candidates)), None
    except StoreUnavailableError as error:
        _log.warning("%s could not rerank: %s", type(stage).__name__, error)
        return list(candidates), error
