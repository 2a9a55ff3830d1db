"""What a release must show before it goes live, and the sample of past events that it is checked with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import batched
from vecrec._internal.sampling import evenly_spaced
from vecrec._internal.validation import flag, integer, number
from vecrec.encoders.successors import Successors
from vecrec.errors import ReleaseError
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id, are_texts
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommender.catalogue import BATCH, ITEM, USER
from vecrec.recommender.held_out import Split, before_the_next
from vecrec.recommender.neighbours import Chosen
from vecrec.releases import Popularity
from vecrec.types import Event, User
from vecrec.vector_stores.base import VectorStore

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = [
    "TOP", "Held", "RecallProbe", "ReleaseChecks", "ReleaseSample", "check_recall", "compare_with_popularity",
    "served_lists",
]  # fmt: skip

TOP = 10
"""How deep the lists are compared."""

_MOST_POPULAR = 10_000
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class ReleaseChecks:
    """What a release must show before it goes live.

    Raises:
        InvalidDataError: for a value out of its bounds.
    """

    index_recall: float = 0.9
    """The least share of the exact top 10 that the index must find for the sampled users, from 0 to 1."""
    beat_popularity: bool = True
    """Refuse a release that finds the sampled users' next items clearly less often than popularity does (by more than
    two standard errors), since then the vectors are worthless or mixed up."""
    sampled_users: int = 256
    """How many users to check with, at least 1."""
    beat_live: bool = True
    """Refuse a release that is clearly worse than the live one on held-out events: those of sampled users after the
    moment up to which the live release has learnt, on which the new one is not trained. It is clearly worse where the
    whole interval of 95 % of the paired difference is below 0. Without such events of 20 users nothing is compared."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "index_recall", number(self.index_recall, "index_recall", low=0, high=1))
        object.__setattr__(self, "beat_popularity", flag(self.beat_popularity, "beat_popularity"))
        object.__setattr__(self, "beat_live", flag(self.beat_live, "beat_live"))
        object.__setattr__(self, "sampled_users", integer(self.sampled_users, "sampled_users", low=1))


class Held(NamedTuple):
    """Events that an encoder was not trained on."""

    splits: list[Split]
    since: float
    """They are later than this moment."""


@dataclass(frozen=True, slots=True)
class ReleaseSample:
    """What past events say: which items are popular, and what a sample of users chose next."""

    popularity: Popularity
    users: list[User]
    """A sample of users without ids, each with the positive events before the next one."""
    nexts: list[Id]
    """The item of each one's next event: the latest of a kind that is to be predicted, and new to the user."""
    n_users: int
    """How many users have events."""
    n_events: int
    """How many events there are."""
    policy: FeedbackPolicy = field(default_factory=FeedbackPolicy)
    """By which the events were read."""
    text_users: bool = False
    """Whether every id of a user is a text."""
    data_digest: str = ""
    """The digest of the data set that it was taken from; empty for a store."""
    undated: str = ""
    """The order of events without times, as the manifest has it."""
    learnt_until: float | None = None
    """The moment of the data that the encoder was trained on."""
    counted_until: float | None = None
    """The moment up to which events were counted since; ``None`` where they were not."""
    chosen: Chosen | None = None
    """What every user chose, where that was read along the way."""
    since: float | None = None
    """The next items are of events after this moment, and the encoder has not learnt them; ``None`` if it has."""

    @classmethod
    def from_dataset(
        cls, data: Dataset, metadata: MetadataStore, policy: FeedbackPolicy, size: int, held: Held | None = None
    ) -> ReleaseSample:
        """The sample of a data set, of the items that have a record.

        It is of the held-out events where there are some, else of ``size`` users spread evenly over the data.
        """
        data = data.with_feedback(policy)
        counts, positive = dict(zip(data.item_ids, data.popularity().tolist())), data.positive()
        eligible = np.flatnonzero(np.diff(positive.user_offsets) >= 2)
        chosen = (positive.user(code, history=True) for code in eligible[evenly_spaced(len(eligible), size)].tolist())
        splits = [before_the_next(policy, user.id, user.features, user.history) for user in chosen]
        users, nexts = _served(metadata, splits if held is None else held.splits)
        return cls(
            popularity=_popularity(metadata, counts),
            users=users,
            nexts=nexts,
            n_users=int((np.diff(data.user_offsets) > 0).sum()),
            n_events=data.n_events,
            policy=policy,
            text_users=are_texts(data.user_ids),
            data_digest=data.digest,
            undated="" if data.order == "time" else data.order,
            learnt_until=data.as_of,
            since=None if held is None else held.since,
        )

    @classmethod
    def from_store(
        cls,
        metadata: MetadataStore,
        policy: FeedbackPolicy,
        size: int,
        *,
        chosen: Callable[[Id], bool] = lambda key: True,
        until: float = math.inf,
    ) -> ReleaseSample:
        """The sample of the events in a metadata store, with the first ``size`` users that it lists.

        It is of the items that have a record, as that of `from_dataset`.

        Args:
            metadata: The store.
            policy: By which the events are read.
            size: The most users.
            chosen: Whether a user may be in the sample.
            until: Later events do not count for the sample.
        """
        counts, everything = Counter[Id](), Chosen()
        histories: dict[Id, Sequence[Event]] = {}
        n_users = n_events = 0
        text_users = True
        for user_id, events in metadata.scan_events():
            text_users = text_users and isinstance(user_id, str)
            liked = policy.taste(User.unchecked(None, {}, events)).user.history
            counts.update({event.item_id for event in liked})
            everything.add(event.item_id for event in liked)
            n_users, n_events = n_users + 1, n_events + len(events)
            before = [event for event in liked if (event.time or 0.0) <= until]
            if len(histories) < size and len(before) >= 2 and chosen(user_id):
                histories[user_id] = before
        profiles = metadata.get(USER, list(histories))
        splits = [before_the_next(policy, key, profiles.get(key, {}), past) for key, past in histories.items()]
        users, nexts = _served(metadata, splits)
        return cls(
            _popularity(metadata, counts), users, nexts, n_users, n_events, policy, text_users and n_users > 0,
            chosen=everything,
        )  # fmt: skip


def _popularity(metadata: MetadataStore, counts: Mapping[Id, int]) -> Popularity:
    """The popular items that have a record; equal counts keep the mapping's order."""
    served: dict[Id, float] = {}
    for part in batched(sorted(filter(counts.__getitem__, counts), key=lambda key: -counts[key]), BATCH):
        held = metadata.get(ITEM, part)
        served.update({key: float(counts[key]) for key in part if key in held})
        if len(served) >= _MOST_POPULAR:
            break
    return Popularity.of(served, _MOST_POPULAR)


def _served(metadata: MetadataStore, splits: Iterable[Split | None]) -> tuple[list[User], list[Id]]:
    """Users as they were before their next items, and these items; those whose item cannot be served are left out."""
    found = [split for split in splits if split is not None]
    held = metadata.get(ITEM, [split.event.item_id for split in found])
    served = [split for split in found if split.event.item_id in held]
    return [split.user for split in served], [split.event.item_id for split in served]


class RecallProbe:
    """The exact top scores of some queries, kept while the items stream by, to compare an index with."""

    def __init__(self, queries: NDArray[np.float32]) -> None:
        """For queries of shape (n, dim)."""
        self.queries = queries
        self.count = 0
        self._best = np.empty((len(queries), 0), np.float32)

    def see(self, vectors: NDArray[np.float32]) -> None:
        """Take these items into account, shape (n, dim)."""
        self.count += len(vectors)
        scores = np.concatenate([self._best, self.queries @ vectors.T], axis=1)
        self._best = -np.sort(-scores, axis=1)[:, :TOP]

    def recall(self, store: VectorStore, collection: str) -> float:
        """The share of the exact top scores that the index's hits reach; equal scores stand for one another."""
        reached, total = 0, 0
        for exact, hits in zip(self._best, store.search(collection, self.queries, TOP)):
            floor = exact[-1] - 1e-4 * max(abs(float(exact[-1])), 1.0)
            reached += sum(hit.score >= float(floor) for hit in hits)
            total += len(exact)
        return min(float(reached) / total, 1.0) if total else 1.0


def check_recall(checks: ReleaseChecks, recall: float) -> None:
    """Compare the index's recall with what is required.

    Raises:
        ReleaseError: when it is less.
    """
    if recall < checks.index_recall:
        raise ReleaseError(
            f"the index finds {recall:.3f} of the exact top {TOP}, less than {checks.index_recall}",
            "raise the index's search effort, or lower ReleaseChecks.index_recall",
        )


def served_lists(
    sample: ReleaseSample,
    queries: NDArray[np.float32],
    store: VectorStore,
    collection: str,
    successors: Successors,
) -> list[list[Id]]:
    """The first ``2 * TOP`` items for each sampled user, what they had before left out."""
    depth = 2 * TOP + max(len(user.history) for user in sample.users)
    # Deep searches for many users at once may outlast the store's timeout where the machine is busy.
    parts = batched(range(len(queries)), _AT_ONCE)
    found = [row for part in parts for row in store.search(collection, queries[part], depth)]
    histories = ([event.item_id for event in user.history] for user in sample.users)
    joined = (
        successors.join(row, query, history, more=len(row) >= depth)[0]
        for row, query, history in zip(found, queries, histories)
    )
    return _without_history(sample, ([hit.id for hit in row] for row in joined))


def compare_with_popularity(
    checks: ReleaseChecks, sample: ReleaseSample, rows: Sequence[Sequence[Id]]
) -> dict[str, int]:
    """How many next items the lists of the vectors have, and how many those of popularity do.

    Raises:
        ReleaseError: when the vectors find clearly fewer.
    """
    longest = max(len(user.history) for user in sample.users)
    popular = _without_history(sample, [sample.popularity.ids[: 2 * TOP + longest]] * len(sample.users))
    ours = sum(item in row for row, item in zip(rows, sample.nexts))
    theirs = sum(item in row for row, item in zip(popular, sample.nexts))
    if checks.beat_popularity and ours + 2 * math.sqrt(theirs) < theirs:
        raise ReleaseError(
            f"the encoder finds the next item of {ours} of {len(sample.users)} sampled users among its first "
            f"{2 * TOP}, popularity of {theirs}",
            "train longer or on more data, or set ReleaseChecks(beat_popularity=False)",
        )
    return {"hits": ours, "popularity_hits": theirs}


def _without_history(sample: ReleaseSample, ranked: Iterable[Sequence[Id]]) -> list[list[Id]]:
    before = [{event.item_id for event in user.history} for user in sample.users]
    return [[key for key in row if key not in had][: 2 * TOP] for row, had in zip(ranked, before)]
