"""A data set made of records and events that were read one after the other, such as from a metadata store."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecrec.data.columns import sort_ids
from vecrec.data.dataset import Dataset
from vecrec.data.events import EventLog
from vecrec.data.notices import Notice
from vecrec.ids import Id
from vecrec.records import JSON, Record
from vecrec.types import Event, Item, User

if TYPE_CHECKING:
    from vecrec.data.schema import Schema
    from vecrec.feedback import FeedbackPolicy

__all__ = ["Collector"]


class Collector:
    """Takes users, items and events, and holds no more of an event than 26 bytes."""

    def __init__(self, schema: Schema) -> None:
        """For records of a schema; a value that it does not allow counts as missing."""
        self._schema = schema
        self._items: dict[Id, int] = {}
        self._users: dict[Id, int] = {}
        self._item_records: dict[Id, Record] = {}
        self._user_records: dict[Id, Record] = {}
        self._kinds: dict[str, int] = {}
        self._user_codes, self._item_codes, self._kind_codes = array("i"), array("i"), array("h")
        self._times, self._ratings = array("d"), array("f")
        self._dropped = 0

    def add_item(self, key: Id, record: Mapping[str, JSON]) -> None:
        """Take an item with its record."""
        item = Item(key, record)
        fitting = self._schema.drop_invalid_features(item)
        self._dropped += fitting is not item
        self._items.setdefault(key, len(self._items))
        self._item_records[key] = dict(fitting.features)

    def add_user(self, key: Id, record: Mapping[str, JSON]) -> None:
        """Take a user with a profile."""
        user = User(key, record)
        fitting = self._schema.drop_invalid_features(user)
        self._dropped += fitting is not user
        self._users.setdefault(key, len(self._users))
        self._user_records[key] = dict(fitting.features)

    def add_events(self, user_id: Id, events: Iterable[Event]) -> None:
        """Take events of a user, oldest first, each with a time."""
        user, n_events = self._users.setdefault(user_id, len(self._users)), len(self._user_codes)
        for event in events:
            self._user_codes.append(user)
            self._item_codes.append(self._items.setdefault(event.item_id, len(self._items)))
            self._times.append(event.time or 0.0)
            self._ratings.append(float("nan") if event.rating is None else event.rating)
            kind = -1 if event.kind is None else self._kinds.setdefault(event.kind, len(self._kinds))
            self._kind_codes.append(kind)
        if len(self._user_codes) == n_events and user_id not in self._user_records and user == len(self._users) - 1:
            del self._users[user_id]  # nothing is known about this user

    def dataset(self, *, feedback: FeedbackPolicy, as_of: float, name: str, undated: float, in_order: bool) -> Dataset:
        """The data set of what was taken.

        Args:
            feedback: What the events mean.
            as_of: The moment that it is of, in seconds since 1970.
            name: Its name.
            undated: Times below it stand for the order in which events without a time were stored.
            in_order: Whether that order is the one in which they happened; otherwise it is unknown.
        """
        users, user_places = sort_ids(list(self._users))
        items, item_places = sort_ids(list(self._items))
        times: NDArray[np.float64] | None = np.array(self._times, np.float64)
        if times is not None and not in_order:
            times[times < undated] = 0.0  # equal times, whose order is unknown
        if times is not None and (times < undated).all():
            times = None
        ratings = np.array(self._ratings, np.float32)
        names = sorted(self._kinds)
        places = np.empty(len(names), np.int16)
        places[[self._kinds[name] for name in names]] = np.arange(len(names), dtype=np.int16)
        kinds = np.append(places, -1).astype(np.int16)[np.array(self._kind_codes, np.int64)]
        events = EventLog.of(
            user_places[np.array(self._user_codes, np.int64)],
            item_places[np.array(self._item_codes, np.int64)],
            len(users),
            times=times,
            ratings=None if np.isnan(ratings).all() else ratings,
            kinds=(kinds, tuple(names)) if names else None,
            rows_in_order=in_order,
        )
        problem = f"{self._dropped:,} stored records have values that do not fit the schema, which count as missing"
        return Dataset._of(  # noqa: SLF001 - the other way to make one
            (users, [self._user_records.get(key) for key in users]),
            (items, [self._item_records.get(key) for key in items]),
            events,
            self._schema,
            name=name,
            feedback=feedback,
            as_of=as_of,
            notices=(Notice(problem, "write these records again"),) if self._dropped else (),
        )
