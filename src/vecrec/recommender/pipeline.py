"""From users to ranked items with their records: still k of them, or a reason why not."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import ItemNotFoundError, StoreUnavailableError
from vecrec.filters import Filter, check_filter
from vecrec.ids import Id, id_order
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommender import dislikes
from vecrec.recommender.answers import answer
from vecrec.recommender.catalogue import ITEM, USER, Catalogue, batches
from vecrec.recommender.generation import DIGEST, Live, fitting
from vecrec.recommender.query import Query, head_room, known_of, notes_on, wanted
from vecrec.recommender.request import Request
from vecrec.recommender.reranking import Vectors
from vecrec.records import Record
from vecrec.types import Event, Hit, Item, Recommendations, User
from vecrec.vector_stores.base import Entry, VectorStore

__all__ = ["Server"]

_USERS_AT_A_TIME = 256
_GROWTH = 4
_SIMILAR = 200
"""Items by inner product whose angles are compared: on MovieLens 1M the answer is that of comparing all angles."""

_log = logging.getLogger("vecrec")


class Server:
    """Answers requests from one vector store and one metadata store, each by one release from beginning to end."""

    def __init__(
        self,
        vectors: VectorStore,
        metadata: MetadataStore,
        catalogue: Catalogue,
        max_history: int,
        dislike_rating: float | None = None,
    ) -> None:
        self._vectors, self._metadata, self._catalogue = vectors, metadata, catalogue
        self._max_history, self._dislike_rating = max_history, dislike_rating

    def for_ids(self, live: Live, ids: Sequence[Id], request: Request) -> list[Recommendations]:
        """Ranked items for stored users, in as few round trips as it takes."""
        found: list[Recommendations] = []
        for part in batches(ids, _USERS_AT_A_TIME):
            found += self._serve(live, self._queries(live, self._read(part), request), request)
        return found

    def users(self, live: Live, ids: Sequence[Id]) -> list[User]:
        """Stored users as the encoder gets them: profile and history."""
        schema = live.schema
        read = (user for part in batches(ids, _USERS_AT_A_TIME) for user in self._read(part))
        return [fitting(user, schema.users, schema.check_user) for user in read]

    def for_user(self, live: Live, user: User, request: Request) -> Recommendations:
        """Ranked items for somebody who is not stored."""
        live.schema.check_user(user)
        return self._serve(live, self._queries(live, [user], request), request)[0]

    def vectors(self, live: Live, users: Sequence[User]) -> NDArray[np.float32]:
        """The vectors that users are searched with, shape (n, dim): made without what they dislike."""
        return live.encoder.encode_users([dislikes.apart(user, self._dislike_rating)[0] for user in users])

    def rank(self, live: Live, user: User | Id, ids: Sequence[Id], request: Request) -> Recommendations:
        """Given items in order for somebody, stored or not; those that are not in the catalogue are left out."""
        if isinstance(user, User):
            live.schema.check_user(user)
        query = self._queries(live, [user if isinstance(user, User) else self._read([user])[0]], request)[0]
        held = self._vectors.fetch(live.collection, ids)
        vectors = {key: entry.vector for key in ids if (entry := held.get(key)) and entry.vector is not None}
        if query.vector is None:
            shares = dict(zip(live.popularity.ids, live.popularity.shares))
            hits = [Hit(key, shares.get(key, 0.0)) for key in vectors]
        else:
            hits = [Hit(key, float(vector @ query.vector)) for key, vector in vectors.items()]
        # Sorted stably, so that equal ones stay in the order given.
        query.found = sorted(hits, key=lambda hit: -hit.score)
        self._demote(live, [query], len(ids))
        records = self._metadata.get(ITEM, list(vectors))
        query.found = [hit for hit in query.found if hit.id in records]
        query.missing = [key for key in vectors if key not in records]
        found = self._answers(live, [query], request, records)[0]
        absent = f"{len(query.found)} of {len(ids)}: the others are not in the catalogue"
        return replace(found, shortfall=absent) if len(query.found) < len(ids) else found

    def similar(self, live: Live, item_id: Id, request: Request) -> Recommendations:
        """The items nearest to an item by angle."""
        entry = self._vectors.fetch(live.collection, [item_id]).get(item_id)
        if entry is None or entry.vector is None:
            raise ItemNotFoundError(f"no item {item_id!r} in the catalogue", "upsert_items adds one")
        where, limit = _where(live, request), max(_GROWTH * request.k, _SIMILAR) + 1
        query, records = Query(User(), entry.vector, frozenset(), ("item",)), dict[Id, Record]()
        while True:
            row = self._vectors.search(live.collection, entry.vector[None], limit, where)[0]
            held = self._vectors.fetch(live.collection, [hit.id for hit in row if hit.id != item_id])
            self._read_records([query], [_by_angle(entry.vector, held)], request.k, records)
            if len(query.found) >= request.k or len(row) < limit:
                break
            limit *= _GROWTH
        return self._answers(live, [query], request, records)[0]

    def _read(self, ids: Sequence[Id]) -> list[User]:
        records, events = self._metadata.read_users(USER, ids, self._max_history)
        return [User(key, records.get(key), events[key]) for key in ids]

    def _queries(self, live: Live, users: Sequence[User], request: Request) -> list[Query]:
        schema = live.schema
        threshold = self._dislike_rating
        pairs = [dislikes.apart(user, threshold, request.disliked) for user in users]
        # What was stored under an earlier schema may not fit this one.
        fitted = [fitting(user, schema.users, schema.check_user) for user, _ in pairs]
        bases = [known_of(live, user) for user in fitted]
        vectors = iter(live.encoder.encode_users([user for user, base in zip(fitted, bases) if base]))
        queries = []
        for user, given, base, (_, disliked) in zip(fitted, users, bases, pairs):
            seen = {event.item_id for event in given.history} if request.exclude_seen else ()
            excluded = request.exclude.union(seen, disliked) if seen or disliked else request.exclude
            vector, notes = next(vectors) if base else None, notes_on(given, user, base, disliked)
            whole = user
            if disliked:
                # The second stage sees everything, what was said in the call as events of the lowest rating.
                said = [Event(given.id, key, rating=threshold) for key in request.disliked]
                whole = User(user.id, user.features, [*given.history, *said])
            heeded = disliked if request.heed else ()
            queries.append(Query(whole, vector, excluded, base, heeded, notes))
        return queries

    def _demote(self, live: Live, queries: Sequence[Query], depth: int) -> None:
        """Put what is like something disliked further down, and keep the first ``depth``; one round trip for all."""
        concerned = [query for query in queries if query.disliked and query.found]
        keys = [key for query in concerned for key in query.disliked[-dislikes.LATEST :]]
        try:
            held = self._held(live, [*keys, *(hit.id for query in concerned for hit in query.found)])
        except StoreUnavailableError as error:
            _log.warning("the vectors of what is disliked cannot be read: %s", error)
            held = {}
        for query in concerned:
            alike = dislikes.likeness([hit.id for hit in query.found], query.disliked, held)
            query.found = dislikes.demoted(query.found, alike, shares=query.vector is None)[:depth]
            if any(key in held for key in query.disliked):
                query.based_on = (*query.based_on, "dislikes")

    def _held(self, live: Live, ids: Sequence[Id]) -> dict[Id, NDArray[np.float32]]:
        entries = self._vectors.fetch(live.collection, list(dict.fromkeys(ids))) if ids else {}
        return {key: entry.vector for key, entry in entries.items() if entry.vector is not None}

    def _serve(self, live: Live, queries: Sequence[Query], request: Request) -> list[Recommendations]:
        where, depth = _where(live, request), request.depth(live)
        records: dict[Id, Record] = {}
        away: StoreUnavailableError | None = None
        by_vector = [query for query in queries if query.vector is not None]
        try:
            self._search(live, by_vector, depth, where, records)
        except _VectorStoreDownError as error:
            _log.warning("the vector store does not answer, popularity serves: %s", error.reason)
            for query in by_vector:
                query.vector, query.found = None, []
                query.notes += ("the vector store does not answer, popularity serves",)
            for query in queries:
                query.disliked = ()  # nobody waits for the store twice: what is like a dislike stays where it is
            away = error.reason
        for query in queries:
            if query.vector is None:
                query.found = list(self._popular(live, query, wanted(query, depth), where, records))
        self._demote(live, queries, depth)
        return self._answers(live, queries, request, records, away)

    def _answers(
        self,
        live: Live,
        queries: Sequence[Query],
        request: Request,
        records: dict[Id, Record],
        away: StoreUnavailableError | None = None,
    ) -> list[Recommendations]:
        missing = list(dict.fromkeys(key for query in queries for key in query.missing))
        if missing:
            self._catalogue.mark_missing(live, missing)
        found = list(dict.fromkeys(hit.id for query in queries for hit in query.found))
        vectors = Vectors(self._vectors, live, found, away)
        return [answer(live, query, request, records, vectors) for query in queries]

    def _search(
        self, live: Live, queries: Sequence[Query], depth: int, where: Filter | None, records: dict[Id, Record]
    ) -> None:
        """Search deeper and deeper until each query has its hits with records, or has seen all there is."""
        open_ = list(queries)
        limit = max((wanted(query, depth) + head_room(query, depth) for query in queries), default=0)
        while open_:
            vectors = np.stack([query.vector for query in open_ if query.vector is not None])
            try:
                rows = self._vectors.search(live.collection, vectors, limit, where)
            except StoreUnavailableError as error:
                raise _VectorStoreDownError(error) from error
            candidates = [[hit for hit in row if hit.id not in query.excluded] for row, query in zip(rows, open_)]
            self._read_records(open_, candidates, depth, records)
            open_ = [
                query
                for query, row in zip(open_, rows)
                if len(query.found) < wanted(query, depth) and len(row) >= limit
            ]
            limit *= _GROWTH

    def _read_records(
        self, queries: Sequence[Query], candidates: Sequence[list[Hit]], depth: int, records: dict[Id, Record]
    ) -> None:
        """Read the records of each query's first candidates in one batch; again where one is missing."""
        absent: set[Id] = set()
        while True:
            for query, hits in zip(queries, candidates):
                query.found = [hit for hit in hits if hit.id not in absent][: wanted(query, depth)]
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


class _VectorStoreDownError(Exception):
    """Keeps apart which of the two stores does not answer."""

    def __init__(self, reason: StoreUnavailableError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _where(live: Live, request: Request) -> Filter | None:
    return check_filter(request.where, {name: kind for name, kind in live.fields().items() if name != DIGEST})


def _by_angle(vector: NDArray[np.float32], held: Mapping[Id, Entry]) -> list[Hit]:
    """Entries by the cosine with a vector, the largest first; 0 where a length is 0.

    Vectors are as long as users' liking makes them: by inner product, what is similar to anything would be the same few
    items. On MovieLens 1M the order by angle shares more genres (.67 against .61) and raters.
    """
    matrix = np.array([entry.vector for entry in held.values()], np.float64).reshape(len(held), len(vector))
    wide = vector.astype(np.float64)
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(wide)
    cosines = np.clip(matrix @ wide / np.where(lengths > 0, lengths, 1), -1, 1)
    hits = [Hit(key, float(cosine)) for key, cosine in zip(held, cosines)]
    return sorted(hits, key=lambda hit: (-hit.score, id_order(hit.id)))


def _matches(live: Live, key: Id, record: Record, where: Filter | None) -> bool:
    return where is None or where.matches(live.schema.attributes(Item(key, record)))
