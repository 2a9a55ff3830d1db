"""Bringing a data set's items, users and events into the metadata store, and reading them back as one."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vecrec._internal.batching import batched
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id, encode_id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.progress import Progress, Step
from vecrec.recommender.catalogue import BATCH, EVENT_BATCH, ITEM, USER, Catalogue
from vecrec.recommender.edits import (
    DELETED_EVENTS,
    ITEM_EDIT,
    USER_EDIT,
    DeletedEvents,
    Forgotten,
    drop_edits,
    edits_of,
)  # fmt: skip
from vecrec.records import Record
from vecrec.releases import Archive, Release
from vecrec.types import Event

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["UNDATED", "load_dataset", "read_dataset"]

_What: TypeAlias = tuple[Id, str | None]
"""The item and the kind of an event."""

UNDATED = 10_000_000
"""Seconds: events of a log without times are stored below it, some months after the beginning of 1970."""


def load_dataset(
    data: Dataset, catalogue: Catalogue, archive: Archive, forgotten: Forgotten, *, live: bool, progress: Progress
) -> None:
    """Write what a data set knows, unless it was read from this catalogue.

    Records that are equal already stay as they are; those that are not there too.

    What was deleted, edited or forgotten at the moment that the data set is of, or later, stays so. Where the data set
    has records of items, those without one are not written. Where it has none, every item that occurs is an item.

    Args:
        data: Where it comes from.
        catalogue: Where it goes.
        archive: Its lock is held for each batch of items, so that other changes wait for a moment only.
        forgotten: The users who stay forgotten.
        live: Whether a release serves meanwhile, so that changed items are marked until their vectors have followed.
        progress: Receives each step.
    """
    metadata = catalogue.metadata
    if data.origin and data.origin == catalogue.ownership.identity().id:
        _settle_items(data, catalogue, archive)
        for kind in (USER_EDIT, DELETED_EVENTS):
            drop_edits(metadata, kind, data.as_of)
        return
    _load_items(data, catalogue, archive, live=live, progress=progress)
    undone = DeletedEvents(metadata)
    deleted = undone.held()
    data = undone.without(forgotten.without(data))
    known = forgotten.times(data.user_ids)
    done = 0
    for users in batched(data.users(), BATCH):
        profiles = {user.id: dict(user.features) for user in users if user.id is not None and user.features}
        _put_profiles(metadata, profiles, data.as_of)
        _forget_again(metadata, forgotten, profiles, known)
        done += len(users)
        progress(Step("users", done, data.n_users))
    drop_edits(metadata, USER_EDIT, data.as_of)
    done = 0
    for events in batched(_stored(data, metadata), EVENT_BATCH):
        metadata.append_events(events)
        _forget_again(metadata, forgotten, {event.user_id for event in events if event.user_id is not None}, known)
        done += len(events)
        progress(Step("events", done, data.n_events))
    undone.delete_again(deleted)
    drop_edits(metadata, DELETED_EVENTS, data.as_of)


def read_dataset(
    catalogue: Catalogue,
    live: Release,
    *,
    since: float | None = None,
    until: float | None = None,
    as_of: float | None = None,
) -> Dataset:
    """Everything in the metadata store; see `vecrec.recommender.Recommender.dataset`."""
    from vecrec.data import Schema  # what serves does without the modules of data sets
    from vecrec.data.collecting import Collector

    moment = time.time() if as_of is None else as_of  # what changes while it is read is newer
    found, metadata = Collector(Schema.from_json(live.schema)), catalogue.metadata
    for key, record in metadata.scan(ITEM):
        found.add_item(key, record)
    for key, record in metadata.scan(USER):
        found.add_user(key, record)
    low, high = -math.inf if since is None else since, math.inf if until is None else until
    for key, events in metadata.scan_events():
        found.add_events(key, [event for event in events if low <= (event.time or 0.0) < high])
    data = found.dataset(
        feedback=FeedbackPolicy.from_json(live.feedback),
        as_of=moment,
        name=live.name,
        undated=UNDATED if live.undated else -math.inf,
        in_order=live.undated == "rows",
    )
    data.origin = catalogue.ownership.identity().id
    return data


def _load_items(data: Dataset, catalogue: Catalogue, archive: Archive, *, live: bool, progress: Progress) -> None:
    given = any(record is not None for record in data.item_records)
    done = 0
    for rows in batched(zip(data.item_ids, data.item_records), BATCH):
        with archive.catalogue_lock():
            stated = {key: record for key, record in rows if record is not None or not given}
            catalogue.put_records(stated, data.as_of, marked=live)
        done += len(rows)
        progress(Step("items", done, data.n_items))
    _settle_items(data, catalogue, archive)


def _settle_items(data: Dataset, catalogue: Catalogue, archive: Archive) -> None:
    with archive.catalogue_lock():
        # The events of a deleted item may go on mentioning it, whenever the data set was made.
        drop_edits(
            catalogue.metadata,
            ITEM_EDIT,
            data.as_of,
            keep=lambda key, edit: edit.deleted and data.item_code(key) is not None,
        )


def _put_profiles(metadata: MetadataStore, profiles: Mapping[Id, Record], as_of: float) -> None:
    """Write the profiles of a data set of the moment ``as_of``, except where a live one is newer.

    `Recommender.upsert_users` writes the edit, which holds the profile, before the profile itself. So an edit that
    appears while this writes is seen afterwards, and its profile put again; it needs no lock.
    """
    held = metadata.get(USER_EDIT, list(profiles))
    newer = {key for key, edit in edits_of(held).items() if edit.at >= as_of}
    metadata.put(USER, {key: record for key, record in profiles.items() if key not in newer})
    while (now := metadata.get(USER_EDIT, list(profiles))) != held:
        late: dict[Id, Any] = {key: edit.get("profile") for key, edit in now.items() if edit != held.get(key)}
        metadata.put(USER, {key: profile for key, profile in late.items() if profile is not None})
        held = now


def _forget_again(
    metadata: MetadataStore, forgotten: Forgotten, users: Collection[Id], known: Mapping[Id, float]
) -> None:
    """Remove the users of a batch who were forgotten while it was being written."""
    late = [key for key, at in forgotten.times(users).items() if at != known.get(key)]
    metadata.delete_events(late)
    metadata.delete(USER, late)


def _stored(data: Dataset, metadata: MetadataStore) -> Iterator[Event]:
    """The events with the times under which they are stored: those of a log without times get times of 1970.

    Where the order is unknown, negative events are stored last, since a negative event decides then, and of stored
    events the last one decides.
    """
    if data.order == "time" or (data.order == "rows" and data.times is not None):
        yield from data.events()
        return
    policy = data.feedback or FeedbackPolicy()
    for users in batched(data.users(history=True), BATCH):
        known = metadata.recent_events([user.id for user in users if user.id is not None and user.history])
        for user in users:
            if user.history and user.id is not None:
                history = sorted(user.history, key=lambda event: data.order == "unknown" and policy.sign(event) < 0)
                times = _place(history, known[user.id]) if data.order == "rows" else _names(history)
                yield from (
                    event if event.time is not None else replace(event, time=time)
                    for event, time in zip(history, times)
                )


def _names(history: Sequence[Event]) -> list[float]:
    """Times that name events by item, kind and occurrence, so that another part of the same log gives them again."""
    from hashlib import blake2b  # slow to import, and not needed to serve

    seen: Counter[_What] = Counter()
    times = []
    for event in history:
        digest = blake2b(encode_id(event.item_id).encode(), digest_size=4).digest()
        times.append(float(int.from_bytes(digest, "big") % UNDATED) + seen[_what(event)])
        seen[_what(event)] += 1
    return times


def _what(event: Event) -> _What:
    return event.item_id, event.kind


def _place(history: Sequence[Event], stored: Sequence[Event]) -> list[float]:
    """Times in the order of a history that gives the events that are stored already the times that they have.

    Events between two of these get times between theirs, later ones later times, earlier ones earlier times.
    """
    undated = [event for event in stored if event.time is not None and event.time < UNDATED]
    old, new = [_what(event) for event in undated], [_what(event) for event in history]
    held = [float(event.time or 0) for event in undated]
    known = [(there + step, held[here + step]) for here, there, size in _matches(old, new) for step in range(size)]
    if not known:
        return [(held[-1] + 1 if held else 0.0) + place for place in range(len(new))]
    (first, start), (last, end) = known[0], known[-1]
    following = min((time for time in held if time > end), default=end + len(new) - last)
    step = (following - end) / (len(new) - last)
    places, times = np.array(known).T
    between = [float(time) for time in np.interp(np.arange(first, last + 1), places, times)]
    return (
        [start - first + place for place in range(first)]
        + between
        + [end + step * (place - last) for place in range(last + 1, len(new))]
    )


def _matches(old: list[_What], new: list[_What]) -> list[tuple[int, int, int]]:
    """Runs that two sequences have in common, in order: where each begins in both, and its length.

    Where the new one may begin with the end of the old one, as a window that has moved on does, that counts before any
    other runs of the same length in all.
    """
    from difflib import SequenceMatcher  # slow to import, and not needed to serve

    size = next((size for size in range(min(len(old), len(new)), 0, -1) if old[-size:] == new[:size]), 0)
    if size == len(old):
        return [(0, 0, size)]
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    if size >= sum(block.size for block in blocks):
        return [(len(old) - size, 0, size)]
    return [(block.a, block.b, block.size) for block in blocks]
