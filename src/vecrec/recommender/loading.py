"""Bringing a data set's items, users and events into the metadata store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from vecrec.ids import Id, encode_id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.progress import Progress, Step
from vecrec.recommender.catalogue import BATCH, EVENT_BATCH, USER, Catalogue, batches
from vecrec.records import Record
from vecrec.releases import Archive
from vecrec.types import Event

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["load_dataset"]

_UNDATED = 10_000_000
"""Seconds: events of a log without times are stored below it, some months after the beginning of 1970."""


def load_dataset(
    data: Dataset, metadata: MetadataStore, catalogue: Catalogue, archive: Archive, *, live: bool, progress: Progress
) -> None:
    """Write what a data set knows. Records that are equal already stay as they are; those that are not there too.

    Args:
        data: Where it comes from.
        metadata: Where it goes.
        catalogue: Writes the items.
        archive: Its lock is held for each batch of items, so that other changes wait for a moment only.
        live: Whether a release serves meanwhile, so that changed items are marked until their vectors have followed.
        progress: Receives each step.
    """
    done = 0
    for items in batches(data.items(), BATCH):
        records: dict[Id, Record] = {item.id: dict(item.features) for item in items if item.id is not None}
        with archive.catalogue_lock():
            catalogue.put_records(records, marked=live)
        done += len(records)
        progress(Step("items", done, data.n_items))
    done = 0
    for users in batches(data.users(), BATCH):
        metadata.put(USER, {user.id: dict(user.features) for user in users if user.id is not None and user.features})
        done += len(users)
        progress(Step("users", done, data.n_users))
    done = 0
    for events in batches(_stored(data, metadata), EVENT_BATCH):
        metadata.append_events(events)
        done += len(events)
        progress(Step("events", done, data.n_events))


def _stored(data: Dataset, metadata: MetadataStore) -> Iterator[Event]:
    """The events with the times under which they are stored: those of a log without times get times of 1970."""
    if data.times is not None:
        yield from data.events()
        return
    for users in batches(data.users(history=True), BATCH):
        known = metadata.recent_events([user.id for user in users if user.id is not None and user.history])
        for user in users:
            if user.history and user.id is not None:
                times = _place(user.history, known[user.id]) if data.order == "rows" else _names(user.history)
                yield from (replace(event, time=time) for event, time in zip(user.history, times))


def _names(history: Sequence[Event]) -> list[float]:
    """Times that name events by item and occurrence, so that another part of the same log gives them again."""
    seen: Counter[Id] = Counter()
    times = []
    for event in history:
        digest = blake2b(encode_id(event.item_id).encode(), digest_size=4).digest()
        times.append(float(int.from_bytes(digest, "big") % _UNDATED) + seen[event.item_id])
        seen[event.item_id] += 1
    return times


def _place(history: Sequence[Event], stored: Sequence[Event]) -> list[float]:
    """Times that continue what is stored: events of both keep their times, later ones get later times.

    The overlap is the longest run of items at the end of what is stored that the new history has.
    """
    undated = [event for event in stored if event.time is not None and event.time < _UNDATED]
    items, old = [event.item_id for event in history], [event.item_id for event in undated]
    ends = [end for end in range(len(items), 0, -1) if old and items[end - 1] == old[-1]]
    run, end = max(((_run(items[:end], old), end) for end in ends), default=(0, 0))
    last = undated[-1].time or 0.0 if undated else -1.0
    kept = [event.time or 0.0 for event in undated[len(undated) - run :]]
    first = kept[0] if kept else last + 1
    before = [first - count for count in range(end - run, 0, -1)]
    return [*before, *kept, *(last + 1 + count for count in range(len(items) - end))]


def _run(items: Sequence[Id], old: Sequence[Id]) -> int:
    """How many of the last values of two sequences are equal."""
    return next(
        (n for n, (a, b) in enumerate(zip(reversed(items), reversed(old))) if a != b), min(len(items), len(old))
    )
