"""When items, users and people changed outside a data set, so that an older data set does not undo it.

Every edit of an item or a profile keeps its time beside the record, a deletion of an item or of events too. A forgotten
user is remembered by a keyed hash alone, whose key lies with the artifacts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from vecrec._internal.batching import batched
from vecrec.ids import Id, decode_id, encode_id
from vecrec.metadata_stores.base import EventFilter, MetadataStore
from vecrec.records import Record

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = [
    "DELETED_EVENTS",
    "FORGOTTEN",
    "ITEM_EDIT",
    "USER_EDIT",
    "DeletedEvents",
    "Edit",
    "Forgotten",
    "drop_edits",
    "edit_record",
    "edits_of",
]

ITEM_EDIT = "item_edit"
"""Kind of the times at which items were last upserted or deleted."""
USER_EDIT = "user_edit"
"""Kind of the times at which profiles were last upserted."""
FORGOTTEN = "forgotten"
"""Kind of the hashes of forgotten users."""

DELETED_EVENTS = "deleted_events"
"""Kind of what was deleted of users' events, and when."""

_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Edit:
    """The last change of an item or a profile that no data set has made."""

    at: float
    """When it was, in seconds since 1970."""
    deleted: bool
    """Whether it was a deletion."""


def edit_record(operation: str, at: float) -> Record:
    """An edit as a record: ``"upsert"`` or ``"delete"``."""
    return {"op": operation, "at": at}


def edits_of(*found: Mapping[Id, Record]) -> dict[Id, Edit]:
    """The latest edit of each id among records of edits, of which those without a time count for nothing."""
    latest: dict[Id, Edit] = {}
    for records in found:
        for key, record in records.items():
            at: Any = record.get("at")
            if isinstance(at, (int, float)) and (key not in latest or latest[key].at <= at):
                latest[key] = Edit(float(at), record.get("op") == "delete")
    return latest


def drop_edits(
    metadata: MetadataStore, kind: str, as_of: float, keep: Callable[[Id, Edit], bool] = lambda key, edit: False
) -> None:
    """Remove the edits that a data set of the moment ``as_of`` has settled. The caller keeps them from changing."""
    scanned = ((key, edit) for key, record in metadata.scan(kind) for edit in edits_of({key: record}).values())
    settled = [key for key, edit in scanned if edit.at < as_of and not keep(key, edit)]
    for part in batched(settled, _BATCH):
        # One that has changed since the scan is newer than the data set.
        edits = edits_of(metadata.get(kind, part))
        metadata.delete(kind, [key for key, edit in edits.items() if edit.at < as_of])


class DeletedEvents:
    """Events that were taken back, so that an older data set does not bring them back."""

    def __init__(self, metadata: MetadataStore) -> None:
        self._metadata = metadata

    def remember(self, user_id: Id, only: EventFilter | None, at: float) -> None:
        """Remember that the events of a user that a filter matches, or all of them, were deleted at a time."""
        chosen = only or EventFilter()
        said: dict[str, Any] = {
            "user": encode_id(user_id),
            "items": None if chosen.item_ids is None else sorted(map(encode_id, chosen.item_ids)),
            "kinds": None if chosen.kinds is None else sorted(chosen.kinds, key=str),
            "time": chosen.time,
        }
        # The same deletion again takes the place of the first.
        name = blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).hexdigest()
        self._metadata.put(DELETED_EVENTS, {name: {**said, "at": at}})

    def held(self) -> dict[Id, Record]:
        """The deletions that are remembered, by name."""
        return dict(self._metadata.scan(DELETED_EVENTS)) if self._metadata.count(DELETED_EVENTS) else {}

    def without(self, data: Dataset) -> Dataset:
        """A data set without the events that were deleted at the moment that it is of, or later.

        An event after the deletion stays. In a data set without times a deletion by time counts by its items and kinds.
        """
        keep = np.ones(data.n_events, np.bool_)
        for record in self.held().values():
            user_id, only, at = _deletion(record)
            code = data.user_code(user_id)
            if code is None or at < data.as_of:
                continue
            if data.times is None:
                only = replace(only, time=None)
            start = int(data.user_offsets[code])
            for place, event in enumerate(data.user(code, history=True).history, start):
                keep[place] = not only.matches(event) or (event.time or 0.0) > at
        return data if keep.all() else data.select_events(keep)

    def delete_again(self, before: Mapping[Id, Record]) -> None:
        """Delete what was deleted while a data set was being written.

        Args:
            before: What `held` gave when that began.
        """
        late = [record for name, record in self.held().items() if before.get(name) != record]
        for user_id, only, at in map(_deletion, late):
            for event in self._metadata.recent_events([user_id])[user_id]:
                if only.matches(event) and (event.time or 0.0) <= at:
                    self._metadata.delete_events(
                        [user_id], item_ids=[event.item_id], kinds=[event.kind], time=event.time
                    )

    def forget(self, user_id: Id) -> None:
        """Remove what is remembered of a user."""
        own = [name for name, record in self.held().items() if record["user"] == encode_id(user_id)]
        self._metadata.delete(DELETED_EVENTS, own)


def _deletion(record: Any) -> tuple[Id, EventFilter, float]:
    items, kinds = record["items"], record["kinds"]
    only = EventFilter(
        None if items is None else frozenset(map(decode_id, items)),
        None if kinds is None else frozenset(kinds),
        record["time"],
    )
    return decode_id(record["user"]), only, float(record["at"])


class Forgotten:
    """The users that were forgotten, by the hashes of their ids."""

    def __init__(self, metadata: MetadataStore, key: str) -> None:
        """For a key of hexadecimal digits."""
        self._metadata, self._key = metadata, bytes.fromhex(key)

    def remember(self, user_id: Id, at: float) -> None:
        """Remember that a user was forgotten at a time."""
        self._metadata.put(FORGOTTEN, {self.hash_of(user_id): {"at": at}})

    def times(self, user_ids: Iterable[Id]) -> dict[Id, float]:
        """When each of these users was forgotten, for those who were."""
        found: dict[Id, float] = {}
        if not self._metadata.count(FORGOTTEN):
            return found
        for part in batched(user_ids, _BATCH):
            hashes = {self.hash_of(key): key for key in part}
            held = edits_of(self._metadata.get(FORGOTTEN, list(hashes)))
            found.update({hashes[name]: edit.at for name, edit in held.items() if isinstance(name, str)})
        return found

    def without(self, data: Dataset) -> Dataset:
        """A data set without what was forgotten.

        Of a forgotten user it keeps what is certain to be newer: the events after that moment, and the profile where
        there are such events and the data set is newer too.
        """
        times = self.times(data.user_ids)
        if not times:
            return data
        moments = np.full(data.n_users, -np.inf)
        for key, at in times.items():
            code = data.user_code(key)
            moments[-1 if code is None else code] = np.inf if data.times is None else at
        of_events = moments[data.user_codes]
        newer = np.isneginf(of_events) if data.times is None else data.times > of_events
        kept = data.select_events(newer)
        back = np.isin(np.arange(data.n_users), kept.user_codes) & (moments < data.as_of)
        shown = (np.isneginf(moments) | back).tolist()
        kept.user_records = [record if show else None for record, show in zip(data.user_records, shown)]
        return kept

    def hash_of(self, user_id: Id) -> str:
        """What stands for a user where no id may stay: 32 hexadecimal digits."""
        return blake2b(encode_id(user_id).encode(), key=self._key, digest_size=16).hexdigest()
