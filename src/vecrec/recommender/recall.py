"""How much of the exact result the searches of the live release find, measured on stored users."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import batched
from vecrec.filters import Filter
from vecrec.ids import Id
from vecrec.vector_stores.base import Entry, VectorStore

__all__ = ["Recall", "measure"]

_BATCH = 4_000


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of the exact best k that the vector store's search has found."""

    k: int
    """How deep the lists are."""
    queries: int
    """How many searches were repeated exactly."""
    recall: float
    """From 0 to 1; equal scores stand for one another."""
    interval: tuple[float, float]
    """Its 95 % confidence interval, by the spread between the searches."""
    selectivity: float
    """The share of the items that pass the filter; 1 without one."""

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"recall@{self.k} {self.recall:.3f} ({low:.3f} to {high:.3f}) in {self.queries} searches, "
            f"{self.selectivity:.1%} of the items pass the filter"
        )


def measure(
    store: VectorStore, collection: str, queries: NDArray[np.float32], k: int, *, where: Filter | None, most: int
) -> Recall:
    """Repeat searches exactly, by reading the collection once.

    Args:
        store: The vector store.
        collection: The live release's collection.
        queries: The users' vectors, shape (n, dim), n at least 1.
        k: How deep to compare.
        where: A condition on the items.
        most: How many items to read at most; the lists are compared on these alone.
    """
    best = np.empty((len(queries), 0), np.float32)
    seen: set[Id] = set()
    read, passing = 0, 0
    for entries in batched(islice(store.scan(collection, vectors=True, batch_size=_BATCH), most), _BATCH):
        read += len(entries)
        kept = [each for each in entries if where is None or where.matches(each.attributes)]
        passing += len(kept)
        seen.update(each.id for each in kept)
        best = np.concatenate([best, queries @ _matrix(kept, queries.shape[1]).T], axis=1)
        best = -np.sort(-best, axis=1)[:, :k]
    found = [[hit for hit in row if hit.id in seen] for row in store.search(collection, queries, k, where)]
    shares = [
        sum(hit.score >= float(exact[-1]) - 1e-4 * max(abs(float(exact[-1])), 1.0) for hit in row) / len(exact)
        for exact, row in zip(best, found)
        if len(exact)
    ]
    recall = min(sum(shares) / len(shares), 1.0) if shares else 1.0
    return Recall(k, len(shares), recall, _interval(shares, recall), passing / max(read, 1))


def _matrix(entries: Sequence[Entry], dim: int) -> NDArray[np.float32]:
    held = [each.vector for each in entries if each.vector is not None]
    return np.stack(held) if held else np.empty((0, dim), np.float32)


def _interval(shares: Sequence[float], mean: float) -> tuple[float, float]:
    """By the normal approximation, with one search in a hundred added that may have gone either way."""
    if not shares:
        return 0.0, 1.0
    n = len(shares)
    half = 1.96 * math.sqrt(float(np.var(shares)) / n + 0.25 / n / 100)
    return max(0.0, mean - half), min(1.0, mean + half)
