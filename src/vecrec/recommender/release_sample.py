"""What past events say: which items are popular, and what a sample of users did next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vecrec._internal.sampling import evenly
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommender.catalogue import USER
from vecrec.recommender.generation import Popularity
from vecrec.records import JSON
from vecrec.types import User

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["Evidence", "from_dataset", "from_store"]

_HISTORY = 100


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a release is checked against and falls back on."""

    popularity: Popularity
    users: list[User]
    """A sample of users without ids, each with the history before their last event."""
    nexts: list[Id]
    """The item of each one's last event."""
    n_users: int
    """How many users have events."""
    n_events: int
    """How many events there are."""
    data_digest: str = ""
    """What it was taken from; empty for a store."""


def from_dataset(data: Dataset, sample: int) -> Evidence:
    """The evidence of a data set, with ``sample`` users spread evenly over it."""
    counts = data.popularity()
    popularity = Popularity.of({data.item_ids[code]: int(counts[code]) for code in np.argsort(-counts, kind="stable")})
    lengths = np.diff(data.user_offsets)
    eligible = np.flatnonzero(lengths >= 2)
    chosen = eligible[evenly(len(eligible), sample)]
    users, nexts = [], []
    for code in chosen.tolist():
        past = [
            data.item_ids[item]
            for item in data.item_codes[data.user_offsets[code] : data.user_offsets[code + 1]].tolist()
        ]
        users.append(_anonymous(data.user(code).features, past))
        nexts.append(past[-1])
    return Evidence(popularity, users, nexts, int((lengths > 0).sum()), data.n_events, data.digest)


def from_store(metadata: MetadataStore, sample: int) -> Evidence:
    """The evidence of the events in a metadata store, with the first ``sample`` users that it gives."""
    counts: Counter[Id] = Counter()
    pasts: dict[Id, list[Id]] = {}
    n_users = n_events = 0
    for user_id, events in metadata.scan_events():
        counts.update(event.item_id for event in events)
        n_users, n_events = n_users + 1, n_events + len(events)
        if len(pasts) < sample and len(events) >= 2:
            pasts[user_id] = [event.item_id for event in events]
    profiles = metadata.get(USER, list(pasts))
    users = [_anonymous(profiles.get(key, {}), past) for key, past in pasts.items()]
    return Evidence(Popularity.of(counts), users, [past[-1] for past in pasts.values()], n_users, n_events)


def hits(ranked: Iterable[Sequence[Id]], users: Sequence[User], nexts: Sequence[Id], depth: int) -> int:
    """For how many users the next item is among the first ``depth`` of their list, what they had before left out."""
    found = 0
    for row, user, item in zip(ranked, users, nexts):
        before = {event.item_id for event in user.history}
        found += item in [key for key in row if key not in before][:depth]
    return found


def _anonymous(features: Mapping[str, JSON], past: list[Id]) -> User:
    return User(None, features, past[-_HISTORY - 1 : -1])
