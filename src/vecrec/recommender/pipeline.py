"""One request from users to ranked items, each step one function, in the order in which they happen.

::

    users.stored_users   metadata store   read profiles and histories
    _queries             -                make vectors; say which items must not come
    _gather              vector store     candidates of each source
    _exclude             -                without what the user has seen, dislikes or excludes
    _look_up             metadata store   records; candidates without one are replaced
    _demote              vector store     items similar to a disliked one rank lower
    _rerank              vector store     the second stage; with more candidates again where it drops too many
    _answer              -                k items, and how they were found

Gathering, excluding and looking up are repeated with more candidates until each user has enough. A further source is
one more function in `SOURCES`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain, islice
from math import inf
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.budget import budget, remaining
from vecrec._internal.meters import MODULE as MEASURED
from vecrec._internal.meters import count_lists
from vecrec._internal.tracing import MODULE as TRACED
from vecrec._internal.tracing import request_span
from vecrec.errors import CollectionNotFoundError, StoreUnavailableError
from vecrec.filters import check_filter
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommendations import Recommendation, Recommendations
from vecrec.recommender import dislikes, search, similar
from vecrec.recommender.catalogue import ITEM, Catalogue
from vecrec.recommender.coalesce import RequestCoalescer
from vecrec.recommender.live import LiveRelease, LoadedRelease
from vecrec.recommender.request import Call, Query, Request
from vecrec.recommender.users import as_encoded, known_of, notes_on, stored_users
from vecrec.recommender.words import check_text
from vecrec.releases import Popularity
from vecrec.rerankers.base import Candidates, Reranks, check_order
from vecrec.types import Hit, User

__all__ = ["SOURCES", "Pipeline"]

_USERS_AT_A_TIME = 256
_GROWTH = 4
_DISLIKING = 100
"""Candidates at least for a user who dislikes something."""
_DEEPEST = 2_000
"""Candidates at most that a second stage is given to keep k of."""
_POPULAR = 100
"""Popular items at least whose records are read at a time."""
_POPULAR_FIRST = 500
"""Popular items that are looked up before the catalogue is searched for items that pass the filter."""

_log = logging.getLogger("vecrec")

Vector = NDArray[np.float32]
_T = TypeVar("_T")


class Pipeline:
    """Answers requests from one vector store and one metadata store, each by one release from beginning to end."""

    def __init__(
        self,
        live: LiveRelease,
        catalogue: Catalogue,
        max_history: int,
        timeout: float | None = None,
        *,
        coalesce: bool = False,
    ) -> None:
        self._live, self._catalogue, self._max_history, self._timeout = live, catalogue, max_history, timeout
        self._shared = RequestCoalescer(self._together) if coalesce else None

    @cached_property
    def _metadata(self) -> MetadataStore:
        """The metadata store, which was found to be the recommender's own when a request first read it."""
        return self._catalogue.metadata

    # -- the requests

    def recommend(self, ids: Sequence[Id], request: Request) -> list[Recommendations]:
        """Ranked items for stored users, in as few round trips as possible."""
        if len(ids) == 1:
            return [self._one(ids[0], request, "recommend")]
        with _within(request.timeout, "recommend"):
            return self._live.ask(partial(self.for_ids, ids=ids, request=request))

    def recommend_for(self, user: User, request: Request) -> Recommendations:
        """Ranked items for a user who is not stored."""
        return self._one(user, request, "recommend_for")

    def _one(self, who: User | Id, request: Request, name: str) -> Recommendations:
        """Ranked items for one user: at once where no other thread asks, else together with those of the others."""
        question, shared = partial(self._for_each, asked=[who], request=request), self._shared
        if shared is None:
            return self._ask(question, request, name)[0]
        alone = shared.alone
        if alone.acquire(blocking=False):
            try:
                return self._ask(question, request, name)[0]
            finally:
                alone.release()
        most = self._timeout if request.timeout is None else request.timeout
        left = remaining(inf if most is None else most)
        with _within(None, name):
            return shared.ask((who, request), None if left == inf else left)

    def _together(self, asked: Sequence[User | Id], request: Request) -> list[Recommendations]:
        return self._live.ask(partial(self._for_each, asked=asked, request=request))

    def _for_each(self, live: LoadedRelease, asked: Sequence[User | Id], request: Request) -> list[Recommendations]:
        """Ranked items for users, some of them stored."""
        ids = [who for who in asked if not isinstance(who, User)]
        stored = iter(stored_users(self._metadata, ids, self._max_history) if ids else ())
        users = [who if isinstance(who, User) else next(stored) for who in asked]
        for who in asked:
            if isinstance(who, User):
                live.schema.check_user(who)
        return self.for_users(live, users, request)

    def similar(self, item_id: Id, request: Request, user: User | Id | None = None) -> Recommendations:
        """The items that are similar to an item, for anybody or for a user, stored or not."""
        asked = partial(self._similar, item_id=item_id, request=request, user=user)
        return self._ask(asked, request, "similar_items")

    def search(self, text: str, request: Request, user: User | Id | None = None) -> Recommendations:
        """The items that have the words of a text, for anybody or for a user, stored or not."""
        words = check_text(text)
        return self._ask(partial(self._search, words=words, request=request, user=user), request, "search")

    def matching(self, text: str) -> list[Id]:
        """All items that have the words of a text."""
        words = check_text(text)
        with _within(self._timeout, "matching"):
            return self._live.ask(lambda live: self._catalogue.words.all_of(live.release.id, words))

    def rank(self, user: User | Id, ids: Sequence[Id], request: Request) -> Recommendations:
        """Given items in order for a user, stored or not; those that are not in the catalogue are left out."""
        return self._ask(partial(self._rank, user=user, ids=ids, request=request), request, "rank")

    def popular(self, popularity: Popularity | None, request: Request, notes: tuple[str, ...]) -> Recommendations:
        """The most popular items of the live release, or of another count."""
        return self._ask(
            partial(self._popular, popularity=popularity, request=request, notes=notes), request, "popular"
        )

    def _ask(self, question: Callable[[LoadedRelease], _T], request: Request, name: str) -> _T:
        with _within(self._default(request) or request.timeout, name):
            return self._live.ask(question)

    def _default(self, request: Request) -> float | None:
        """The budget of a call that was given none."""
        return self._timeout if request.timeout is None else None

    def for_ids(self, live: LoadedRelease, ids: Sequence[Id], request: Request) -> list[Recommendations]:
        """What `recommend` returns, by a given release."""
        found: list[Recommendations] = []
        for start in range(0, len(ids), _USERS_AT_A_TIME):
            with _within(self._default(request)):  # for each part, since a call may have any number of users
                users = stored_users(self._metadata, ids[start : start + _USERS_AT_A_TIME], self._max_history)
                found += self.for_users(live, users, request)
        return found

    def for_users(self, live: LoadedRelease, users: Sequence[User], request: Request) -> list[Recommendations]:
        """What `recommend_for` returns for each of some users, by a given release."""
        return self._serve(self._call(live, request), users)

    def _serve(self, call: Call, users: Sequence[User]) -> list[Recommendations]:
        queries = _queries(call, users)
        _ranked(call, queries, _find)
        return self._answers(call, queries)

    # -- other requests, of the same steps

    def _rank(self, live: LoadedRelease, user: User | Id, ids: Sequence[Id], request: Request) -> Recommendations:
        call = self._call(live, request)
        query = _queries(call, [self._whom(live, user)])[0]
        held, excluded = call.fetch(ids), request.excluded(query.user.id)
        vectors = {key: held[key] for key in ids if key in held and key not in excluded}
        if query.vector is None:
            hits = [Hit(key, live.shares.get(key, 0.0)) for key in vectors]
        else:
            more = live.successors.scores(query.read)
            hits = [Hit(key, float(vector @ query.vector) + more.get(key, 0.0)) for key, vector in vectors.items()]
        # Sorted stably, so that equal scores keep the order of the ids.
        query.candidates, query.wanted = iter(sorted(hits, key=lambda hit: -hit.score)), len(ids)
        _look_up(call, [query])
        call.stale.clear()  # the items were given, so that one which does not pass the filter was not found by mistake
        call.depth = len(ids)
        _demote(call, [query])
        _rerank(call, [query])
        found = self._answers(call, [query])[0]
        reasons = ["are not in the catalogue", *(["do not pass the filter"] if call.where is not None else [])]
        reasons += ["are excluded"] if excluded else []
        absent = f"{len(query.found)} of {len(ids)}: the others {' or '.join(reasons)}"
        return replace(found, shortfall=absent) if len(query.found) < len(ids) else found

    def _whom(self, live: LoadedRelease, user: User | Id) -> User:
        """A user as they were given, or as they are stored."""
        if not isinstance(user, User):
            return stored_users(self._metadata, [user], self._max_history)[0]
        live.schema.check_user(user)
        return user

    def _popular(
        self, live: LoadedRelease, popularity: Popularity | None, request: Request, notes: tuple[str, ...]
    ) -> Recommendations:
        held = live.popularity if popularity is None else popularity
        call = self._call(live, request)
        query = Query(User(), None, request.excluded(None), request.k, notes=notes)
        query.candidates = map(Hit, held.ids, held.shares)
        _exclude([query])
        _look_up(call, [query])
        _rerank(call, [query])
        return self._answers(call, [query])[0]

    def _similar(self, live: LoadedRelease, item_id: Id, request: Request, user: User | Id | None) -> Recommendations:
        call = self._call(live, request)
        whom = None if user is None else _queries(call, [self._whom(live, user)])[0]
        query, taste = similar.query_of(call, item_id, whom), None if whom is None else whom.vector

        def find(call: Call, queries: Sequence[Query]) -> None:
            query.more = True
            while query.more and len(query.found) < query.wanted:
                similar.gather(call, query, item_id, taste)
                _look_up(call, queries)
                call.limit *= _GROWTH

        _ranked(call, [query], find)
        return self._answers(call, [query])[0]

    def _search(
        self, live: LoadedRelease, words: Sequence[str], request: Request, user: User | Id | None
    ) -> Recommendations:
        call = self._call(live, request)
        query = _queries(call, [User() if user is None else self._whom(live, user)])[0]
        query.by, query.based_on = "words", ("words", *query.based_on)
        if user is None:
            query.notes = ()
        call.limit = max(call.limit, search.AT_FIRST, _GROWTH * call.depth)

        def find(call: Call, queries: Sequence[Query]) -> None:
            query.more = True
            while query.more and len(query.found) < query.wanted:
                search.gather(call, query, self._catalogue.words, words)
                _look_up(call, queries)
                call.limit *= _GROWTH

        _ranked(call, [query], find)
        return self._answers(call, [query])[0]

    def _call(self, live: LoadedRelease, request: Request) -> Call:
        where = None if request.where is None else check_filter(request.where, live.filter_fields)
        stage = request.stage(live)
        depth = request.k if stage is None else max(request.k, stage.depth)
        stores = self._catalogue.vectors, self._metadata
        bounded = self._timeout is not None or request.timeout is not None
        return Call(live, request, stage, *stores, where, depth, bounded=bounded, away=live.away)

    def _answers(self, call: Call, queries: Sequence[Query]) -> list[Recommendations]:
        differing = [*dict.fromkeys(key for query in queries for key in query.missing), *call.stale]
        if differing:
            self._catalogue.mark_differing(call.live, differing)
        found = [_answer(call, query) for query in queries]
        if MEASURED in sys.modules:
            count_lists([each.served_by for each in found], degraded=call.away is not None)
        return found


def _ranked(call: Call, queries: Sequence[Query], find: Callable[[Call, Sequence[Query]], None]) -> None:
    """Find, demote and rerank; with more candidates where the second stage drops so many that fewer than k are left."""
    short = list(queries)
    while short:
        find(call, short)
        full = [query for query in short if len(query.found) >= call.depth]
        _demote(call, short)
        _rerank(call, short)
        short = [query for query in full if len(query.items) < call.request.k and query.wanted < _DEEPEST]
        call.depth *= _GROWTH
        for query in short:
            query.wanted *= _GROWTH


def _find(call: Call, queries: Sequence[Query]) -> None:
    """Gather, exclude and look up, with more candidates until each query has enough or there are no more."""
    short = queries
    call.limit = max(call.limit, max((query.wanted + _head_room(query, call.depth) for query in queries), default=0))
    while short:
        _gather(call, short)
        _exclude(short)
        _look_up(call, short)
        short = [query for query in short if query.more and len(query.found) < query.wanted]
        call.limit *= _GROWTH
        call.round += 1


def _within(seconds: float | None, name: str = "") -> AbstractContextManager[None]:
    """A budget of time, none for ``None``; in a span of that name where the application traces, and timed."""
    bounds = nullcontext() if seconds is None else budget(seconds)
    return request_span(name, bounds) if name and (TRACED in sys.modules or MEASURED in sys.modules) else bounds


# -- make vectors


def _queries(call: Call, users: Sequence[User]) -> list[Query]:
    """What each user is, to the encoder and to the steps that follow; users about whom nothing is known get no vector.

    The second stage sees everything, items that the call says are disliked as negative events.
    """
    live, request = call.live, call.request
    kinds = None if isinstance(request.exclude_seen, bool) else request.exclude_seen
    at = request.moment
    tastes = [as_encoded(live, user, request.disliked, consumed=kinds, at=at) for user in users]
    bases = [known_of(live, taste.user) for taste in tastes]
    vectors = iter(live.encoder.encode_users([taste.user for taste, base in zip(tastes, bases) if base]))
    queries = []
    for given, taste, base in zip(users, tastes, bases):
        excluded = request.excluded(given.id)
        if request.exclude_seen is not False and taste.consumed:
            excluded = excluded | taste.consumed
        wanted, whole, disliked = call.depth, taste.user, taste.disliked
        if disliked:
            excluded = excluded.union(disliked)
            said = [live.feedback.negative_event(given.id, key) for key in request.disliked]
            whole = User.unchecked(given.id, taste.user.features, (*given.history, *said))
        if disliked and request.demote:
            wanted = max(4 * call.depth, _DISLIKING)
        notes = notes_on(given, taste.user, base, bool(disliked))
        vector = next(vectors) if base else None
        query = Query(whole, vector, excluded, wanted, base, disliked if request.demote else (), notes)
        if vector is not None and live.successors.weight:
            query.read = [event.item_id for event in taste.user.history]
        queries.append(query)
    return queries


# -- gather


def nearest(call: Call, queries: Sequence[Query]) -> None:
    """The items nearest to the user's vector; popularity takes over where the vector store does not answer."""
    asked = [query for query in queries if query.vector is not None]
    if not asked:
        return
    try:
        rows = call.search(asked)
    except StoreUnavailableError as error:
        _log.warning("the vector store does not answer, popularity serves: %s", error)
        call.away = error
        why = "the vector store does not answer" if call.live.away is None else "the collection of the release is gone"
        for query in asked:
            query.vector, query.missing = None, []
            query.notes += (f"{why}, popularity serves",)
        return
    for query, row in zip(asked, rows):
        query.candidates = chain(query.candidates, row)
        query.more = len(row) >= call.limit


def followers(call: Call, queries: Sequence[Query]) -> None:
    """The items that follow those of the history: more candidates, and more to the score of those found by vectors."""
    for query in queries:
        if query.vector is not None and query.read:
            hits, held = list(query.candidates), call.live.successors
            found, query.brought = held.join(hits, query.vector, query.read, more=query.more)
            query.candidates = iter(found)


def popular(call: Call, queries: Sequence[Query]) -> None:
    """The most popular items, for users without a vector; all of them where the vector store is away."""
    held, count = call.live.popularity, _POPULAR_FIRST if call.away is None else None
    for query in queries:
        if query.vector is None:
            query.candidates = chain(query.candidates, map(Hit, held.ids[:count], held.shares[:count]))


def catalogue(call: Call, queries: Sequence[Query]) -> None:
    """The other items that pass the filter, for users without a vector to whom the most popular ones are too few.

    Less popular ones come first, then those without any event, with the score 0, in the order for a visitor.
    """
    asked = [query for query in queries if query.vector is None]
    if not asked or call.away is not None:
        return
    hits, more = _beyond_popular(call) if call.round else ([], True)
    for query in asked:
        query.candidates, query.more = chain(query.candidates, hits), more


def _beyond_popular(call: Call) -> tuple[list[Hit], bool]:
    """Items that pass the filter without the most popular ones, and whether there are more."""
    held, limit = call.live.popularity, max(call.limit, 2 * _POPULAR_FIRST)
    rest = dict(zip(held.ids[_POPULAR_FIRST:], held.shares[_POPULAR_FIRST:]))
    less_popular = [Hit(key, share) for key, share in rest.items()]
    try:
        visitor = call.live.encoder.encode_users([User()])
        with call.share():
            row = call.vectors.search(call.live.collection, visitor, limit, call.where)[0]
    except (StoreUnavailableError, CollectionNotFoundError) as error:
        _log.warning("the catalogue cannot be searched, only popular items serve: %s", error)
        call.away = error if isinstance(error, StoreUnavailableError) else None
        return less_popular, False
    call.searched = True
    first, more = {*held.ids[:_POPULAR_FIRST]}, len(row) >= limit
    if not more:  # the row holds all that pass, so the others need not be read
        passing = {hit.id for hit in row}
        less_popular = [hit for hit in less_popular if hit.id in passing]
    untouched = [Hit(hit.id, 0.0) for hit in row if hit.id not in first and hit.id not in rest]
    call.untouched.update(hit.id for hit in untouched)
    return [*less_popular, *untouched], more


Source = Callable[[Call, Sequence[Query]], None]

SOURCES: tuple[Source, ...] = (nearest, followers, popular, catalogue)
"""Each adds candidates to the queries that it serves, and says whether it has more. The order counts: a source that
fails leaves its queries to the later ones."""


def _gather(call: Call, queries: Sequence[Query]) -> None:
    for query in queries:
        query.candidates, query.more, query.found = iter(()), False, []
    for source in SOURCES:
        source(call, queries)


def _head_room(query: Query, depth: int) -> int:
    """How many hits more to search for at first, since some will be left out."""
    # What a user has seen tends to rank high, but a history of thousands is better met by a second, deeper search.
    return min(len(query.excluded), 3 * depth + 100)


# -- exclude


def _exclude(queries: Sequence[Query]) -> None:
    for query in queries:
        if query.excluded:
            query.candidates = _without(query.candidates, query.excluded)


def _without(hits: Iterator[Hit], excluded: Collection[Id]) -> Iterator[Hit]:
    return (hit for hit in hits if hit.id not in excluded)


# -- look up


def _look_up(call: Call, queries: Sequence[Query]) -> None:
    """Read the records of each query's first candidates; again, while some have none or do not pass the filter."""
    short = list(queries)
    some = max(2 * call.depth, _POPULAR)
    while short:
        taken = [(query, list(islice(query.candidates, _few(query, some)))) for query in short]
        unread = {hit.id: None for _, hits in taken for hit in hits if hit.id not in call.records}
        if unread:
            call.records.update(dict.fromkeys(unread) | call.metadata.get(ITEM, list(unread)))
        for query, hits in taken:
            _keep(call, query, hits)
        short = [query for query, hits in taken if hits and len(query.found) < query.wanted]
        some *= _GROWTH


def _few(query: Query, some: int) -> int:
    """How many candidates to look up next: as many as are missing, or more of a list that no filter was applied to."""
    return query.wanted - len(query.found) if query.vector is not None and not query.by else some


def _keep(call: Call, query: Query, hits: Sequence[Hit]) -> None:
    for hit in hits:
        record = call.records[hit.id]
        if record is None:
            if query.vector is not None and hit.id not in query.brought:
                query.missing.append(hit.id)
        elif call.where is None or call.live.matches(hit.id, record, call.where):
            query.found.append(hit)
        elif query.vector is not None and hit.id not in query.brought:
            call.stale.add(hit.id)
    del query.found[query.wanted :]


# -- demote and rerank


def _demote(call: Call, queries: Sequence[Query]) -> None:
    """Rank items lower that are similar to a disliked one, and keep the first ``depth``; one round trip for all."""
    concerned = [query for query in queries if query.disliked and query.found]
    if not concerned:
        return
    keys = [key for query in concerned for key in query.disliked[-dislikes.LATEST :]]
    try:
        if call.away is not None:
            raise call.away
        few = min(len(query.found) for query in concerned) < dislikes.REFERENCES
        references = call.live.popularity.ids[: dislikes.REFERENCES] if few else ()
        held = call.fetch([*keys, *(hit.id for query in concerned for hit in query.found), *references])
    except StoreUnavailableError as error:
        _log.warning("the vectors of disliked items cannot be read: %s", error)
        held, references = {}, ()
    for query in concerned:
        ids = [hit.id for hit in query.found]
        similarity = dislikes.similarity_to_disliked(ids, query.disliked, held, call.live.shares, references)
        query.found = dislikes.demoted(query.found, similarity, shares=query.vector is None)[: call.depth]
        if any(key in held for key in query.disliked):
            query.based_on = tuple(dict.fromkeys((*query.based_on, "dislikes")))


def _rerank(call: Call, queries: Sequence[Query]) -> None:
    """Let the second stage order what was found. Vectors are read for all users once one of them needs some."""
    stage, vectors = call.stage, _CandidateVectors(call, queries)
    for query in queries:
        query.items = [
            Recommendation(rank, hit.id, hit.score, call.records[hit.id] or {}, _source(call, query, hit))
            for rank, hit in enumerate(query.found, 1)
        ]
        if stage is not None:
            _reorder(call, query, stage, vectors)


class _CandidateVectors:
    """The vectors of all candidates of one call, read in one batch when the first of them is asked for."""

    def __init__(self, call: Call, queries: Sequence[Query]) -> None:
        self._call, self._queries = call, queries
        self._held: dict[Id, Vector] | None = None

    def of(self, query: Query) -> Vector:
        """The vectors of a query's items, shape (n, dim); zeros for one that is gone."""
        if self._call.away is not None:
            raise self._call.away
        if self._held is None:
            self._held = self._call.fetch([hit.id for each in self._queries for hit in each.found])
        matrix = np.zeros((len(query.found), self._call.live.encoder.dim), np.float32)
        for row, hit in zip(matrix, query.found):
            row[:] = self._held.get(hit.id, 0)
        return matrix


def _reorder(call: Call, query: Query, stage: Reranks, vectors: _CandidateVectors) -> None:
    """The second stage at work; the order stays, with a note, where the vectors that it needs are away."""
    candidates = Candidates(query.items, call.request.k, query.vector, partial(vectors.of, query))
    try:
        query.items = check_order(stage, candidates, stage.rerank(query.user, candidates))
    except StoreUnavailableError as error:
        _log.warning("%s could not rerank: %s", type(stage).__name__, error)
        query.notes += ("the vector store does not answer, nothing was reranked",)


# -- answer


def _source(call: Call, query: Query, hit: Hit) -> str:
    if query.by:
        return query.by
    if query.vector is not None:
        return "successors" if hit.id in query.brought else "vectors"
    return "catalogue" if hit.id in call.untouched else "popularity"


def _answer(call: Call, query: Query) -> Recommendations:
    k, by_vector = call.request.k, query.vector is not None
    sources = [item.source for item in query.items[:k]]
    untouched = sources.count("catalogue")
    served_by = "vectors" if by_vector else "catalogue" if untouched and untouched == len(sources) else "popularity"
    served_by = query.by or served_by
    label = f"{untouched} of the items are not among the popular ones and come from the rest of the catalogue"
    return Recommendations(
        items=tuple(query.items[:k]),
        user_id=query.user.id,
        release=call.live.release.id,
        served_by=served_by,
        based_on=tuple(base for base in query.based_on if by_vector or base in ("words", "dislikes")),
        request_id=os.urandom(16).hex(),
        shortfall=None if len(query.items) >= k else _shortfall(call, query),
        missing=tuple(dict.fromkeys(query.missing)),
        notes=(*query.notes, label) if untouched else query.notes,
    )


def _shortfall(call: Call, query: Query) -> str:
    request = call.request
    count = len(query.items)
    if count < len(query.found):
        return f"{count} of {request.k}: the reranker kept no more of {len(query.found):,} candidates"
    source = (
        "no more items were found"
        if query.vector is not None or query.by or call.searched
        else "the list of popular items has no more"
    )
    conditions = [
        *(["have the words"] if query.by else []),
        *(["pass the filter"] if request.where is not None else []),
        *(["were neither seen nor excluded"] if query.excluded else []),
    ]
    return f"{count} of {request.k}: {source}" + (f" that {' and '.join(conditions)}" if conditions else "")
