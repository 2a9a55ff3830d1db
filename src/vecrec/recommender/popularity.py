"""Popularity counted from the events in the metadata store: with a half-life, or of a segment of the users."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

from vecrec._internal.batching import batched
from vecrec._internal.validation import number
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommender.catalogue import USER
from vecrec.recommender.live import LoadedRelease
from vecrec.recommender.loading import UNDATED
from vecrec.records import Record, check_record
from vecrec.releases import Popularity
from vecrec.types import Event, User

__all__ = ["CountedPopularity", "StoredPopularity"]

_MAX_USERS = 100_000
"""Users whose events are counted at most, the first that the store lists."""
_SECONDS = 60.0
"""How long a count serves."""
_MAX_COUNTS = 32
"""Counts that are kept at a time."""
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class CountedPopularity:
    """A count of events."""

    popularity: Popularity
    notes: tuple[str, ...]
    """How many users were counted."""


class StoredPopularity:
    """Counts the events in a metadata store when asked, and keeps each count for a minute."""

    def __init__(self, metadata: MetadataStore) -> None:
        self._metadata = metadata
        self._held: dict[tuple[str, float | None, str], tuple[float, CountedPopularity]] = {}
        self._counting = threading.Lock()

    def counted(self, live: LoadedRelease, half_life: Any, segment: Any) -> CountedPopularity:
        """How many people chose each item; see `vecrec.recommender.Recommender.popular`.

        Args:
            live: The release whose policy says what events count for.
            half_life: In seconds, or a ``timedelta``; ``None`` where age does not count.
            segment: Values of the profile; ``None`` for all users.

        Raises:
            InvalidDataError: for a half-life or a segment that is not valid.
        """
        seconds = half_life.total_seconds() if isinstance(half_life, timedelta) else half_life
        seconds = None if seconds is None else number(seconds, "half_life", above=0)
        wanted = _segment(live, segment)
        key = (live.release.id, seconds, json.dumps(wanted, sort_keys=True))
        with self._counting:  # while one request counts, the others wait for its result
            made, held = self._held.get(key, (0.0, None))
            if held is None or time.monotonic() - made >= _SECONDS:
                held = self._count(live, seconds, wanted)
                self._held.pop(key, None)
                self._held[key] = (time.monotonic(), held)
                while len(self._held) > _MAX_COUNTS:
                    del self._held[next(iter(self._held))]
        return held

    def _count(self, live: LoadedRelease, half_life: float | None, segment: Record) -> CountedPopularity:
        worths: list[tuple[Id, float]] = []
        n_users = n_undated = 0
        for user_id, history in islice(self._histories(segment), _MAX_USERS):
            events = live.feedback.taste(User.unchecked(user_id, {}, history)).user.history
            dated = events if half_life is None else [each for each in events if (each.time or 0.0) >= UNDATED]
            n_users, n_undated = n_users + 1, n_undated + len(events) - len(dated)
            worths += _worths(live, dated, half_life).items()
        # Against the latest one: the order is that of any moment, and old logs do not vanish below the least float.
        top = max((worth for _, worth in worths), default=0.0)
        counts: dict[Id, float] = {}
        for key, worth in worths:
            counts[key] = counts.get(key, 0.0) + 2.0 ** (worth - top)
        notes = [f"counted from the events of {n_users:,} users" + (", the most" if n_users == _MAX_USERS else "")]
        if n_undated:
            notes.append(f"{n_undated:,} events without a time do not count")
        return CountedPopularity(Popularity.of(counts), tuple(notes))

    def _histories(self, segment: Record) -> Iterator[tuple[Id, list[Event]]]:
        """The users of a segment with their events."""
        if not segment:
            yield from self._metadata.scan_events(_BATCH)
            return
        for batch in batched(self._metadata.scan_events(_BATCH), _BATCH):
            profiles = self._metadata.get(USER, [user_id for user_id, _ in batch])
            for user_id, history in batch:
                profile = profiles.get(user_id, {})
                if all(name in profile and profile[name] == value for name, value in segment.items()):
                    yield user_id, history


def _worths(live: LoadedRelease, events: Sequence[Event], half_life: float | None) -> dict[Id, float]:
    """What a user's heaviest event with each item counts for, as a logarithm to the base 2."""
    found: dict[Id, float] = {}
    for event in events:
        weight = live.feedback.weight(event)
        if weight > 0:
            worth = math.log2(weight) + (0.0 if half_life is None else (event.time or 0.0) / half_life)
            found[event.item_id] = max(worth, found.get(event.item_id, worth))
    return found


def _segment(live: LoadedRelease, segment: Any) -> Record:
    plain = {} if segment is None else check_record(segment, "segment")
    known = [feature.name for feature in live.schema.users]
    unknown = sorted(plain.keys() - {*known})
    if unknown:
        raise InvalidDataError(f"segment names {unknown}, which the schema of users does not", f"there are {known}")
    live.schema.check_user(User(None, plain))
    return plain
