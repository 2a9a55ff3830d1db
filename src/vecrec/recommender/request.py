"""What is asked of a recommender, checked; and how far answering it has come."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, TypedDict

from vecrec._internal.budget import share
from vecrec._internal.times import moment
from vecrec._internal.validation import integer, number
from vecrec.errors import InvalidDataError, StoreUnavailableError, shown
from vecrec.feedback import seen_kinds
from vecrec.filters import Filter, check_filter
from vecrec.ids import Id, check_id, check_ids
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommendations import Recommendation
from vecrec.recommender.live import LoadedRelease
from vecrec.records import Record
from vecrec.rerankers.base import Reranks
from vecrec.types import Hit, User
from vecrec.vector_stores.base import MAX_K, VectorStore

__all__ = ["VECTORS", "Call", "Query", "RankOptions", "RecommendOptions", "Request", "check_timeout"]


class RankOptions(TypedDict, total=False):
    """The options of `Recommender.rank`."""

    where: Filter | None
    """A condition on the items, such as ``field("year") >= 1990``."""
    exclude: Iterable[Id] | Mapping[Id, Iterable[Id]]
    """More items to leave out; for all users of the call, or by user id."""
    disliked: Iterable[Id]
    """Items that the user dislikes, the latest last, beside those of their negative events. None of them is
    recommended, whatever ``exclude_seen`` says; they are left out of the user's vector; and items
    similar to them rank lower: a candidate whose cosine to one of them stands out among the candidates' loses a share
    of the span of their scores."""
    rerank: Reranks | Literal[False] | None
    """A second stage that orders the best candidates, such as `vecrec.rerankers.MMRReranker`; the release's own by
    default, ``False`` for none."""
    timeout: float | None
    """Seconds that the call may take in all, from which every call to a store takes its part; by default the
    recommender's own."""
    at: Any
    """When the user is recommended to: ``"now"`` by default, or any time that `Event` takes. An encoder that knows how
    long users pause reads the time since the last event. ``None`` for lists that do not depend on it. A `User` with an
    ``at`` of their own keeps it."""


class RecommendOptions(RankOptions, total=False):
    """The options of `Recommender.recommend`, `recommend_many` and `recommend_for`."""

    exclude_seen: bool | Collection[str]
    """Leave out the items of the user's events, as far as the feedback policy counts them as consumed; ``False`` for
    leaving out none of them; or the kinds of events whose items are left out, such as ``{"purchase"}``."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is the same for all users of one call."""

    k: int
    where: Filter | None = None
    exclude_seen: bool | frozenset[str] = True
    exclude: frozenset[Id] | Mapping[Id, frozenset[Id]] = frozenset()
    disliked: tuple[Id, ...] = ()
    """Items that the users dislike, beside those of their events; the latest last."""
    rerank: Reranks | Literal[False] | None = None
    """A second stage for this call; ``None`` for the release's own, ``False`` for none."""
    demote: bool = True
    """Whether items similar to a disliked one rank lower."""
    timeout: float | None = None
    """Seconds that the call may take; ``None`` for the recommender's own."""
    at: float | Literal["now"] | None = "now"
    """When the users are recommended to; ``None`` where it does not matter."""

    @classmethod
    def of(cls, k: Any, options: Mapping[str, Any]) -> Self:
        """The request of a call's arguments, as far as they can be checked without the live release.

        Args:
            k: How many items.
            options: Some of `RecommendOptions`.

        Raises:
            InvalidDataError: for an unknown option, or an argument that is not valid.
        """
        unknown = options.keys() - _CHECKS.keys()
        if unknown:
            raise InvalidDataError(f"unknown options {sorted(unknown)}", f"use {', '.join(_CHECKS)}")
        checked: dict[str, Any] = {name: _CHECKS[name](value) for name, value in options.items()}
        return cls(integer(k, "k", low=1, high=MAX_K), **checked)

    def excluded(self, user_id: Id | None) -> frozenset[Id]:
        """The items that the call leaves out for a user."""
        if isinstance(self.exclude, frozenset):
            return self.exclude
        return frozenset() if user_id is None else self.exclude.get(user_id, frozenset())

    def agrees(self, other: Request) -> bool:
        """Whether another request can be answered in the same call."""
        return self is other or (
            all(getattr(self, name) == getattr(other, name) for name in _COMPARED)
            and self.rerank is other.rerank
            # As texts, since 1, 1.0 and True are equal and not the same condition.
            and ((self.where is other.where) or repr(self.where) == repr(other.where))
        )

    @property
    def moment(self) -> float | None:
        """When the users are recommended to, in seconds since 1970."""
        return time.time() if self.at == "now" else self.at

    @property
    def plain(self) -> Self:
        """The same in the order of the vectors: no second stage, and disliked items only left out."""
        return replace(self, rerank=False, demote=False)

    def stage(self, live: LoadedRelease) -> Reranks | None:
        """The second stage, if there is one.

        Raises:
            InvalidDataError: when it was fitted with another encoder than the live release's.
        """
        if self.rerank is False:
            return None
        if self.rerank is None:
            return live.reranker
        wanted = getattr(self.rerank, "encoder_fingerprint", None)
        # A refresh moves vectors within their space, and must not take requests down.
        if wanted not in (None, live.release.fingerprint, live.release.refreshed_from):
            raise InvalidDataError(
                f"the {type(self.rerank).__name__} has learnt from the vectors of another encoder than the one of the "
                f"live release {live.release.id}",
                "fit it with that one, or let the recommender fit both",
            )
        return self.rerank


_COMPARED = ("k", "exclude_seen", "exclude", "disliked", "demote", "timeout", "at")

VECTORS = 0.75
"""How much of the time that is left a call to the vector store may take: popularity needs the rest."""


@dataclass(slots=True)
class Query:
    """One user of a call, and how far serving them has come."""

    user: User
    """For the second stage: what is stored or posted, and what the call said."""
    vector: NDArray[np.float32] | None
    """Shape (dim,); ``None`` where nothing is known about the user, or the vector store is away."""
    excluded: Collection[Id]
    """Items that must not come."""
    wanted: int
    """How many hits to find."""
    based_on: tuple[str, ...] = ()
    """What the vector was made from."""
    disliked: tuple[Id, ...] = ()
    """Items that the user dislikes, the latest last; they are excluded too."""
    notes: tuple[str, ...] = ()
    read: Sequence[Id] = ()
    """The items of the history that the encoder reads, oldest first."""
    brought: Collection[Id] = ()
    """The candidates that only the followers brought."""
    by: str = ""
    """What found and ranked the items, where that is neither vectors nor popularity."""
    candidates: Iterator[Hit] = field(default_factory=().__iter__)
    """What the sources have found, best first."""
    more: bool = False
    """Whether a source has more candidates than it gave."""
    found: list[Hit] = field(default_factory=list)
    """Hits with a record, not excluded, best first."""
    missing: list[Id] = field(default_factory=list)
    """Hits without a record."""
    items: list[Recommendation] = field(default_factory=list)
    """The ranked items."""


@dataclass(slots=True)
class Call:
    """What the queries of one call share."""

    live: LoadedRelease
    request: Request
    stage: Reranks | None
    """The second stage, if there is one."""
    vectors: VectorStore
    metadata: MetadataStore
    where: Filter | None
    depth: int
    """How many candidates the last step needs."""
    limit: int = 0
    """How many hits a source is asked for."""
    round: int = 0
    """How often the sources have been asked before."""
    searched: bool = False
    """Whether the catalogue was searched for users without a vector."""
    untouched: set[Id] = field(default_factory=set)
    """Items that a source took from the catalogue, since they are not among the popular ones."""
    records: dict[Id, Record | None] = field(default_factory=dict)
    """What was read of the catalogue; ``None`` for an item without a record."""
    stale: set[Id] = field(default_factory=set)
    """Items whose vector passes the filter, and whose record does not."""
    bounded: bool = True
    """Whether the call may have a budget of time."""
    away: StoreUnavailableError | None = None
    """Why the vector store did not answer, so that nothing waits for it twice."""
    at: float | None = None
    """When the users are recommended to; ``None`` where it does not matter."""

    @classmethod
    def of(
        cls, live: LoadedRelease, request: Request, vectors: VectorStore, metadata: MetadataStore, *, bounded: bool
    ) -> Self:
        """The call that answers a request by a release.

        Raises:
            InvalidDataError: for a condition or a second stage that does not fit the release.
        """
        where = None if request.where is None else check_filter(request.where, live.filter_fields)
        stage = request.stage(live)
        depth = request.k if stage is None else max(request.k, stage.depth)
        found = cls(live, request, stage, vectors, metadata, where, depth)
        found.bounded, found.away, found.at = bounded, live.away, request.moment
        return found

    def search(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """The ``limit`` items nearest to each query's vector."""
        self._refuse_where_away()
        vectors = np.stack([query.vector for query in queries if query.vector is not None])
        with self.share():
            return self.vectors.search(self.live.collection, vectors, self.limit, self.where)

    def fetch(self, ids: Iterable[Id]) -> dict[Id, NDArray[np.float32]]:
        """The vectors of those items that have one, shape (dim,) each."""
        self._refuse_where_away()
        unique = list(dict.fromkeys(ids))
        with self.share():
            entries = self.vectors.fetch(self.live.collection, unique) if unique else {}
        return {key: entry.vector for key, entry in entries.items() if entry.vector is not None}

    def share(self) -> AbstractContextManager[None]:
        """A context in which the vector store may take its part of the time that is left."""
        return share(VECTORS) if self.bounded else nullcontext()

    def _refuse_where_away(self) -> None:
        if self.away is not None:
            raise self.away


def _where(value: Any) -> Filter | None:
    if value is not None and not isinstance(value, Filter):
        raise InvalidDataError(f"where is {shown(value)}", 'build a filter from fields, such as field("year") >= 1990')
    return value


def _exclude(values: Any) -> frozenset[Id] | dict[Id, frozenset[Id]]:
    if isinstance(values, Mapping):
        return {check_id(key, "user id"): frozenset(check_ids(ids, "item id")) for key, ids in values.items()}
    return frozenset(check_ids(values, "item id"))


def _disliked(values: Any) -> tuple[Id, ...]:
    return tuple(dict.fromkeys(check_ids(values, "item id")))


def _rerank(value: Any) -> Reranks | Literal[False] | None:
    if value is None or value is False:
        return None if value is None else False
    if isinstance(value, type) or not isinstance(value, Reranks):
        raise InvalidDataError(
            f"rerank is {shown(value)}",
            "give an object with depth and rerank(user, candidates), such as MMRReranker(), "
            "or False for the order of the vectors",
        )
    integer(value.depth, "the depth of the reranker", low=1)
    return value


def _at(value: Any) -> float | Literal["now"] | None:
    if isinstance(value, str) and value == "now":
        return "now"
    return None if value is None else moment(value, "at")


def check_timeout(value: Any) -> float | None:
    """Seconds, or ``None`` for the default.

    Raises:
        InvalidDataError: for anything else.
    """
    return None if value is None else number(value, "timeout", above=0, high=86_400)


_CHECKS = {
    "where": _where, "exclude_seen": seen_kinds, "exclude": _exclude, "disliked": _disliked, "rerank": _rerank,
    "timeout": check_timeout, "at": _at,
}  # fmt: skip
