"""From user vectors to ranked items with their records: still k of them, or a reason why not."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import StoreUnavailableError
from vecrec.filters import Filter
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommender.catalogue import ITEM, Catalogue, batches
from vecrec.recommender.generation import Live
from vecrec.records import Record
from vecrec.types import Hit, Item, Recommendation, Recommendations, User
from vecrec.vector_stores.base import VectorStore

__all__ = ["Query", "Reranker", "Server"]

_GROWTH = 4


@runtime_checkable
class Reranker(Protocol):
    """A second stage that orders the best candidates anew."""

    depth: int
    """How many candidates it wants to see, at least k."""

    def rerank(self, user: User, candidates: Sequence[Recommendation]) -> Sequence[Recommendation]:
        """The candidates in their new order, best first, with the scores that they shall carry."""


@dataclass(slots=True)
class Query:
    """Whom to serve, and how far that has come."""

    user: User
    vector: NDArray[np.float32] | None
    """Shape (dim,); ``None`` for somebody about whom nothing is known."""
    excluded: Collection[Id]
    """Items that must not come."""
    based_on: tuple[str, ...] = ()
    """What the vector was made from."""
    notes: tuple[str, ...] = ()
    found: list[Hit] = field(default_factory=list)
    """Hits with a record, not excluded, best first."""
    missing: list[Id] = field(default_factory=list)
    """Hits without a record."""


class Server:
    """Serves queries from one vector store and one metadata store."""

    def __init__(self, vectors: VectorStore, metadata: MetadataStore, catalogue: Catalogue) -> None:
        self._vectors, self._metadata, self._catalogue = vectors, metadata, catalogue

    def serve(
        self, live: Live, queries: Sequence[Query], k: int, where: Filter | None, rerank: Reranker | None = None
    ) -> list[Recommendations]:
        """Ranked items for each query, in as few round trips as it takes.

        Raises:
            StoreUnavailableError: when the metadata store does not answer; without a vector store, popularity serves.
        """
        depth = k if rerank is None else max(k, rerank.depth)
        records: dict[Id, Record] = {}
        by_vector = [query for query in queries if query.vector is not None]
        try:
            self._search(live, by_vector, depth, where, records)
        except StoreUnavailableError as error:
            for query in by_vector:
                query.vector, query.found = None, []
                query.notes += (f"the vector store does not answer, popularity serves: {error}",)
        by_popularity = [query for query in queries if query.vector is None]
        for query in by_popularity:
            query.found = list(self._popular(live, query, depth, where, records))
        missing = list(dict.fromkeys(key for query in queries for key in query.missing))
        if missing:
            self._catalogue.mark_missing(missing)
        return [_recommendations(live, query, k, records, rerank) for query in queries]

    def _search(
        self, live: Live, queries: Sequence[Query], depth: int, where: Filter | None, records: dict[Id, Record]
    ) -> None:
        """Search deeper and deeper until each query has ``depth`` hits with records, or has seen all there is."""
        open_, limit = list(queries), depth + max((_head_room(query, depth) for query in queries), default=0)
        while open_:
            vectors = np.stack([query.vector for query in open_ if query.vector is not None])
            rows = self._vectors.search(live.collection, vectors, limit, where)
            candidates = [_allowed(row, query) for row, query in zip(rows, open_)]
            self._read(queries=open_, candidates=candidates, depth=depth, records=records)
            open_ = [query for query, row in zip(open_, rows) if len(query.found) < depth and len(row) >= limit]
            limit *= _GROWTH

    def _read(
        self, queries: Sequence[Query], candidates: Sequence[list[Hit]], depth: int, records: dict[Id, Record]
    ) -> None:
        """Read the records of each query's first ``depth`` candidates in one batch; again where one is missing."""
        absent: set[Id] = set()
        while True:
            for query, hits in zip(queries, candidates):
                query.found = [hit for hit in hits if hit.id not in absent][:depth]
            unread = {hit.id: None for query in queries for hit in query.found if hit.id not in records}
            if not unread:
                break
            records.update(self._metadata.get(ITEM, list(unread)))
            absent.update(key for key in unread if key not in records)
        for query, hits in zip(queries, candidates):
            query.missing += [hit.id for hit in hits if hit.id in absent]

    def _popular(
        self, live: Live, query: Query, depth: int, where: Filter | None, records: dict[Id, Record]
    ) -> Iterator[Hit]:
        """The most popular items that may come."""
        left, popularity = depth, live.popularity
        ranked = (Hit(key, share) for key, share in zip(popularity.ids, popularity.shares) if key not in query.excluded)
        for hits in batches(ranked, max(2 * depth, 100)):
            records.update(self._metadata.get(ITEM, [hit.id for hit in hits if hit.id not in records]))
            for hit in hits:
                if left and hit.id in records and _matches(live, hit.id, records[hit.id], where):
                    left -= 1
                    yield hit
            if not left:
                return


def _head_room(query: Query, depth: int) -> int:
    # What somebody has seen tends to rank high, but a history of thousands is better met by a second, deeper search.
    return min(len(query.excluded), 3 * depth + 100)


def _allowed(hits: Sequence[Hit], query: Query) -> list[Hit]:
    return [hit for hit in hits if hit.id not in query.excluded]


def _matches(live: Live, key: Id, record: Record, where: Filter | None) -> bool:
    return where is None or where.matches(live.schema.attributes(Item(key, record)))


def _recommendations(
    live: Live, query: Query, k: int, records: dict[Id, Record], rerank: Reranker | None
) -> Recommendations:
    items = [Recommendation(rank, hit.id, hit.score, records[hit.id]) for rank, hit in enumerate(query.found, 1)]
    if rerank is not None:
        ordered = rerank.rerank(query.user, items)
        items = [Recommendation(rank, item.item_id, item.score, item.metadata) for rank, item in enumerate(ordered, 1)]
    items = items[:k]
    by_vector = query.vector is not None
    return Recommendations(
        items=tuple(items),
        user_id=query.user.id,
        release=live.release.id,
        served_by="vectors" if by_vector else "popularity",
        based_on=query.based_on if by_vector else (),
        request_id=uuid.uuid4().hex,
        shortfall=_shortfall(len(items), k, by_vector),
        missing=tuple(dict.fromkeys(query.missing)),
        notes=query.notes,
    )


def _shortfall(found: int, k: int, by_vector: bool) -> str | None:
    if found >= k:
        return None
    rest = "the catalogue has" if by_vector else "the list of popular items has"
    return f"{found} of {k}: {rest} no more items that pass the filter and were neither seen nor excluded"
