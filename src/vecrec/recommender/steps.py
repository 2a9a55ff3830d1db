"""One request from users to ranked items, each step one function, in the order in which they happen.

::

    users.stored_users   metadata store   read profiles and histories
    queries_of           -                make vectors; say which items must not come
    _gather              vector store     candidates of each source
    exclude              -                without what the user has seen, dislikes or excludes
    look_up              metadata store   records; candidates without one are replaced
    demote               vector store     items similar to a disliked one rank lower
    rerank               vector store     the second stage; with more candidates again where it drops too many
    answer               -                k items, and how they were found

Gathering, excluding and looking up are repeated with more candidates until each user has enough. A further source is
one more function in `SOURCES`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import CollectionNotFoundError, StoreUnavailableError
from vecrec.ids import Id
from vecrec.recommendations import Recommendation, Recommendations
from vecrec.recommender import dislikes
from vecrec.recommender.catalogue import ITEM
from vecrec.recommender.request import Call, Query
from vecrec.recommender.users import as_read
from vecrec.rerankers.base import Candidates, Reranks, check_order
from vecrec.types import Hit, User, column

__all__ = [
    "SOURCES", "answer", "demote", "exclude", "found_by", "look_up", "queries_of", "ranked", "rerank", "served",
]  # fmt: skip

_GROWTH = 4
"""How many times as many candidates are looked at where they were too few."""
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


# -- the steps together


def served(call: Call, users: Sequence[User]) -> list[Recommendations]:
    """The lists of some users."""
    queries = queries_of(call, users)
    ranked(call, queries, _find)
    return [answer(call, query) for query in queries]


def ranked(call: Call, queries: Sequence[Query], find: Callable[[Call, Sequence[Query]], None]) -> None:
    """Find, demote and rerank; with more candidates where the second stage drops so many that fewer than k are left."""
    short = list(queries)
    while short:
        find(call, short)
        full = [query for query in short if len(query.found) >= call.depth]
        demote(call, short)
        rerank(call, short)
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
        exclude(short)
        look_up(call, short)
        short = [query for query in short if query.more and len(query.found) < query.wanted]
        call.limit *= _GROWTH
        call.round += 1


def found_by(gather: Callable[[Call, Query], None]) -> Callable[[Call, Sequence[Query]], None]:
    """What finds the items of one query by a source of its own, with more candidates until there are enough."""

    def look(call: Call, queries: Sequence[Query]) -> None:
        (query,) = queries
        query.more = True
        while query.more and len(query.found) < query.wanted:
            gather(call, query)
            look_up(call, queries)
            call.limit *= _GROWTH

    return look


# -- make vectors


def queries_of(call: Call, users: Sequence[User]) -> list[Query]:
    """What each user is, to the encoder and to the steps that follow; users about whom nothing is known get no vector.

    The second stage sees everything, items that the call says are disliked as negative events.
    """
    live, request = call.live, call.request
    kinds = None if isinstance(request.exclude_seen, bool) else request.exclude_seen
    read = [as_read(live, user, request.disliked, consumed=kinds, at=call.at) for user in users]
    vectors = iter(live.encoder.encode_users([taste.user for taste, base, _ in read if base]))
    queries = []
    for given, (taste, base, notes) in zip(users, read):
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
        vector = next(vectors) if base else None
        query = Query(whole, vector, excluded, wanted, base, disliked if request.demote else (), notes)
        if vector is not None and live.successors.weight:
            query.read = column(taste.user.history, "item_id")
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
    return min(len(query.excluded), 3 * depth + 20)


# -- exclude


def exclude(queries: Sequence[Query]) -> None:
    """Leave out the candidates that must not come."""
    for query in queries:
        if query.excluded:
            query.candidates = filter(partial(_is_free, query.excluded), query.candidates)


def _is_free(excluded: Collection[Id], hit: Hit) -> bool:
    return hit.id not in excluded


# -- look up


def look_up(call: Call, queries: Sequence[Query]) -> None:
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


def demote(call: Call, queries: Sequence[Query]) -> None:
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


def rerank(call: Call, queries: Sequence[Query]) -> None:
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


def answer(call: Call, query: Query) -> Recommendations:
    """The list of a query, and how it was made."""
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
