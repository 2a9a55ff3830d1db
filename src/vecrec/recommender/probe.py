"""Exact search for a few queries while the items stream by, to hold an index against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.vector_stores.base import VectorStore

__all__ = ["TOP", "Probe"]

TOP = 10
"""How deep the lists are compared."""


class Probe:
    """The exact top scores of some queries, kept while the items stream by."""

    def __init__(self, queries: NDArray[np.float32]) -> None:
        self.queries = queries
        self.count = 0
        self._best = np.empty((len(queries), 0), np.float32)

    def see(self, vectors: NDArray[np.float32]) -> None:
        """Take these items into account."""
        self.count += len(vectors)
        scores = np.concatenate([self._best, self.queries @ vectors.T], axis=1)
        self._best = -np.sort(-scores, axis=1)[:, :TOP]

    def recall(self, store: VectorStore, collection: str) -> float:
        """The share of the exact top scores that the index's hits reach; equal scores stand for one another."""
        reached, total = 0, 0
        for exact, hits_ in zip(self._best, store.search(collection, self.queries, TOP)):
            floor = exact[-1] - 1e-4 * max(abs(float(exact[-1])), 1.0)
            reached += sum(hit.score >= float(floor) for hit in hits_)
            total += len(exact)
        return min(float(reached) / total, 1.0) if total else 1.0
