"""What is asked of a recommender, each request answered by the steps of `vecrec.recommender.steps`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from math import inf
from typing import TypeVar

from vecrec._internal.budget import budget, remaining
from vecrec._internal.meters import MODULE as MEASURED
from vecrec._internal.meters import count_lists
from vecrec._internal.tracing import MODULE as TRACED
from vecrec._internal.tracing import request_span
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommendations import Recommendations
from vecrec.recommender import search, similar
from vecrec.recommender.catalogue import Catalogue
from vecrec.recommender.coalesce import RequestCoalescer
from vecrec.recommender.live import LiveRelease, LoadedRelease
from vecrec.recommender.request import Call, Query, Request
from vecrec.recommender.steps import answer, demote, exclude, found_by, look_up, queries_of, ranked, rerank, served
from vecrec.recommender.users import stored_users
from vecrec.recommender.words import check_text
from vecrec.releases import Popularity
from vecrec.types import Hit, User

__all__ = ["Pipeline"]

_USERS_AT_A_TIME = 256

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
        return self._told(call, served(call, users))

    # -- other requests, of the same steps

    def _rank(self, live: LoadedRelease, user: User | Id, ids: Sequence[Id], request: Request) -> Recommendations:
        call = self._call(live, request)
        query = queries_of(call, [self._whom(live, user)])[0]
        held, excluded = call.fetch(ids), request.excluded(query.user.id)
        vectors = {key: held[key] for key in ids if key in held and key not in excluded}
        if query.vector is None:
            hits = [Hit(key, live.shares.get(key, 0.0)) for key in vectors]
        else:
            more = live.successors.scores(query.read)
            hits = [Hit(key, float(vector @ query.vector) + more.get(key, 0.0)) for key, vector in vectors.items()]
        # Sorted stably, so that equal scores keep the order of the ids.
        query.candidates, query.wanted = iter(sorted(hits, key=lambda hit: -hit.score)), len(ids)
        look_up(call, [query])
        call.stale.clear()  # the items were given, so that one which does not pass the filter was not found by mistake
        call.depth = len(ids)
        demote(call, [query])
        rerank(call, [query])
        found = self._told(call, [answer(call, query)])[0]
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
        exclude([query])
        look_up(call, [query])
        rerank(call, [query])
        return self._told(call, [answer(call, query)])[0]

    def _similar(self, live: LoadedRelease, item_id: Id, request: Request, user: User | Id | None) -> Recommendations:
        call = self._call(live, request)
        whom = None if user is None else queries_of(call, [self._whom(live, user)])[0]
        query, taste = similar.query_of(call, item_id, whom), None if whom is None else whom.vector
        ranked(call, [query], found_by(lambda call, query: similar.gather(call, query, item_id, taste)))
        return self._told(call, [answer(call, query)])[0]

    def _search(
        self, live: LoadedRelease, words: Sequence[str], request: Request, user: User | Id | None
    ) -> Recommendations:
        call = self._call(live, request)
        query = queries_of(call, [User() if user is None else self._whom(live, user)])[0]
        query.by, query.based_on = "words", ("words", *query.based_on)
        if user is None:
            query.notes = ()
        call.limit = max(search.AT_FIRST, 4 * call.depth)
        index = self._catalogue.words
        ranked(call, [query], found_by(lambda call, query: search.gather(call, query, index, words)))
        return self._told(call, [answer(call, query)])[0]

    def _call(self, live: LoadedRelease, request: Request) -> Call:
        bounded = self._timeout is not None or request.timeout is not None
        return Call.of(live, request, self._catalogue.vectors, self._metadata, bounded=bounded)

    def _told(self, call: Call, found: list[Recommendations]) -> list[Recommendations]:
        """The lists; what they have met that differs is marked, and they are counted where the application measures."""
        differing = [*dict.fromkeys(key for each in found for key in each.missing), *call.stale]
        if differing:
            self._catalogue.mark_differing(call.live, differing)
        if MEASURED in sys.modules:
            count_lists([each.served_by for each in found], degraded=call.away is not None)
        return found


def _within(seconds: float | None, name: str = "") -> AbstractContextManager[None]:
    """A budget of time, none for ``None``; in a span of that name where the application traces, and timed."""
    bounds = nullcontext() if seconds is None else budget(seconds)
    return request_span(name, bounds) if name and (TRACED in sys.modules or MEASURED in sys.modules) else bounds
