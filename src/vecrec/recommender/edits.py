"""When items, users and people changed outside a data set, so that an older data set does not undo it.

Every edit of an item or a profile keeps its time beside the record, a deletion of an item too. A forgotten user is
remembered by a keyed hash alone, whose key lies with the artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from vecrec._internal.batching import batched
from vecrec.ids import Id, encode_id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.records import Record

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["FORGOTTEN", "ITEM_EDIT", "USER_EDIT", "Edit", "Forgotten", "drop_edits", "edit_record", "edits_of"]

ITEM_EDIT = "item_edit"
"""Kind of the times at which items were last upserted or deleted."""
USER_EDIT = "user_edit"
"""Kind of the times at which profiles were last upserted."""
FORGOTTEN = "forgotten"
"""Kind of the hashes of forgotten users."""

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
