"""How much of the exact result the searches of the live release find: searches repeated by reading all vectors."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import batched
from vecrec.filters import Filter
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.types import Hit
from vecrec.vector_stores.base import Entry, VectorStore

__all__ = ["Recall", "Repeated", "effort_noted", "measure", "note_effort", "repeat"]

_KIND, _KEY = "vecrec", "search_effort"

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

    @classmethod
    def of(cls, k: int, repeated: Sequence[Repeated]) -> Recall:
        """What some repeated searches say together."""
        shares = [each.share for each in repeated if each.share is not None]
        recall = math.fsum(shares) / len(shares) if shares else 1.0
        passing = math.fsum(each.selectivity for each in repeated) / max(len(repeated), 1)
        return cls(k, len(shares), recall, _interval(shares, recall), passing)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"recall@{self.k} {self.recall:.3f} ({low:.3f} to {high:.3f}) in {self.queries} searches, "
            f"{self.selectivity:.1%} of the items pass the filter"
        )


@dataclass(frozen=True, slots=True)
class Repeated:
    """One search, repeated exactly."""

    share: float | None
    """How much of the exact best k was found; ``None`` where no item passes the filter."""
    selectivity: float
    """The share of the items that pass the filter."""


def measure(
    store: VectorStore, collection: str, queries: NDArray[np.float32], k: int, *, where: Filter | None, most: int
) -> Recall:
    """Repeat the searches of several users with one filter.

    Args:
        store: The vector store.
        collection: The live release's collection.
        queries: The users' vectors, shape (n, dim), n at least 1.
        k: How deep to compare.
        where: A condition on the items.
        most: How many items to read at most.
    """
    return Recall.of(k, repeat(store, collection, queries, [where] * len(queries), k, most=most))


def repeat(
    store: VectorStore,
    collection: str,
    queries: NDArray[np.float32],
    wheres: Sequence[Filter | None],
    k: int,
    *,
    most: int,
    rest: float = 0.0,
) -> list[Repeated]:
    """Repeat searches exactly, all of them in one pass over the collection.

    Of a larger collection the first ``most`` items stand for all: a better item among them that was not found
    displaces as many from the exact list as there are items for each one that is read.

    Args:
        store: The vector store.
        collection: The live release's collection.
        queries: The searches' vectors, shape (n, dim).
        wheres: The filter of each search.
        k: How deep to compare.
        most: How many items to read at most.
        rest: Seconds to pause for each second of work.

    Returns:
        What each search has found, in the order given.
    """
    groups = [
        _Group(where, rows, queries[rows], store.search(collection, queries[rows], k, where))
        for where, rows in _by_filter(wheres).items()
    ]
    read, began = 0, time.monotonic()
    for entries in batched(islice(store.scan(collection, vectors=True, batch_size=_BATCH), most), _BATCH):
        read += len(entries)
        for group in groups:
            group.see(entries, k)
        if rest:
            time.sleep(rest * (time.monotonic() - began))
            began = time.monotonic()
    scale = max(store.count(collection) / read, 1.0) if read == most else 1.0
    found: list[Repeated] = [Repeated(None, 0.0)] * len(wheres)
    for group in groups:
        for row, share in zip(group.rows, group.shares(k, scale)):
            found[row] = Repeated(share, group.passing / max(read, 1))
    return found


def note_effort(metadata: MetadataStore, release: str, effort: int | None, why: str) -> None:
    """Write down that a process has widened its searches of a release, for those who look from outside."""
    metadata.put(_KIND, {_KEY: {"release": release, "effort": effort, "why": why}})


def effort_noted(metadata: MetadataStore, release: str) -> str:
    """How far searches of a release were widened last, and why; empty where they were not."""
    found = metadata.get(_KIND, [_KEY]).get(_KEY)
    if found is None or found.get("release") != release:
        return ""
    effort = found.get("effort")
    what = "read all vectors" if effort is None else f"look at {effort} times as much as the index is set to"
    return f"searches of the service {what}, since they had {found.get('why')}"


def _by_filter(wheres: Sequence[Filter | None]) -> dict[Filter | None, list[int]]:
    found: dict[Filter | None, list[int]] = {}
    for row, where in enumerate(wheres):
        found.setdefault(where, []).append(row)
    return found


@dataclass(slots=True)
class _Group:
    """Searches with one filter, and the best scores among the items that they have not found."""

    where: Filter | None
    rows: list[int]
    queries: NDArray[np.float32]
    found: list[list[Hit]]
    passing: int = 0
    missed: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self.missed = np.empty((len(self.rows), 0), np.float32)

    def see(self, entries: Sequence[Entry], k: int) -> None:
        """Take items into account."""
        kept = [each for each in entries if self.where is None or self.where.matches(each.attributes)]
        vectors = [each.vector for each in kept if each.vector is not None]
        self.passing += len(kept)
        if not vectors:
            return
        scores = self.queries @ np.stack(vectors).T
        place: dict[Id, int] = {each.id: at for at, each in enumerate(kept)}
        for row, hits in zip(scores, self.found):
            row[[place[hit.id] for hit in hits if hit.id in place]] = -np.inf
        self.missed = -np.sort(-np.concatenate([self.missed, scores], axis=1), axis=1)[:, :k]

    def shares(self, k: int, scale: float) -> list[float | None]:
        """How much of its exact list each search has found; an item that was read stands for ``scale`` items."""
        shares: list[float | None] = []
        for hits, missed in zip(self.found, self.missed):
            whole = min(k, max(round(self.passing * scale), len(hits)))
            ranks = [at + scale * _above(missed, hit.score) for at, hit in enumerate(hits)]
            shares.append(sum(rank < whole for rank in ranks) / whole if whole else None)
        return shares


def _above(missed: NDArray[np.float32], score: float) -> int:
    """How many missed items are clearly better; equal scores stand for one another."""
    return int((missed > score + 1e-4 * max(abs(score), 1.0)).sum())


def _interval(shares: Sequence[float], mean: float) -> tuple[float, float]:
    """By the normal approximation, with one search in a hundred added that may have gone either way."""
    if not shares:
        return 0.0, 1.0
    n = len(shares)
    half = 1.96 * math.sqrt(float(np.var(shares)) / n + 0.25 / n / 100)
    return max(0.0, mean - half), min(1.0, mean + half)
