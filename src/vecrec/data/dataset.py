"""The data set: interactions with the records of items and users."""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property, partial
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import counts_of
from vecrec._internal.times import moment
from vecrec._internal.validation import boolean_mask, choice, flag, instance, integer
from vecrec.data import notices, reading, summary
from vecrec.data.events import EventLog, Order
from vecrec.data.frames import FrameLike
from vecrec.data.naming import Columns
from vecrec.data.notices import Notice
from vecrec.data.reading import IdType, Side
from vecrec.data.room import Room
from vecrec.data.schema import Schema
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id, check_id
from vecrec.records import JSON, Record
from vecrec.types import Event, Item, User

__all__ = ["Columns", "Dataset"]

_DEFAULT_COLUMNS = Columns()
_DEFAULT_POLICY = FeedbackPolicy()
_T = TypeVar("_T")


class Dataset:
    """Interactions, items and users, with integer codes and ordered events.

    Users and items are numbered by codes from 0, in the order of their sorted ids. Events are sorted by user, and
    those of one user by time. Arrays are read-only.

    Events of a user with equal times or without times have an **unknown order**. The order of their rows is not used,
    since in a log that is sorted by item it would leak the target. Their order is pseudo-random and depends on their
    users and items only. Where the rows are in the order of the events, pass ``order="rows"``.

    ::

        Dataset("events.parquet", items="items.csv", feedback=FeedbackPolicy(negative_rating=2))
        Dataset([{"user": 1, "asin": "B01", "timestamp": "2026-01-02T10:00:00Z"}])

    Args:
        interactions: One row for each event, in any form of `FrameLike`: a pandas, Polars or PyArrow table, a DuckDB
            relation, the path of a Parquet, CSV, TSV or JSON lines file, a mapping of names to columns, or an iterable
            of dicts, of dataclasses or of `Event`. Columns without a meaning here are not read.
        items: One row for each item, in any of these forms or as `Item` objects. All columns are kept as the item's
            record; missing values (null, NaN, NaT) are left out, also within lists, dates become ISO text and
            decimals floats.
        users: One row for each user, in the same forms; the histories of `User` objects are ignored.
        schema: Which fields are features; inferred from the frames (see `Schema.infer`) where it is not given.
        columns: What the columns are called, where they have neither the default nor a common name.
        feedback: The meaning of kinds and ratings; the default `FeedbackPolicy` where it is not given.
        order: ``"rows"`` where the rows of a user's events with equal or missing times are in order of time.
        ids: What ids become: ``"auto"`` keeps their types, and takes those of files without types (CSV) as integers
            only if every one is a plain integer without leading zeros; ``"text"`` or ``"integer"`` decides.
        filter_only: Features of the items that filters may use and encoders do not read, such as a price or a stock: a
            change of them moves no score. See `Schema.filters`.
        as_of: The time at which the data was taken, as any time that `Event` accepts; now by default.
        name: The name of the data set.
        source: Its origin, such as a URL; empty where it is unknown.
        folder: An existing folder on a disk with room for 40 bytes an event. Columns of events that are larger than
            64 MB lie there, in files without names that are mapped into memory. In memory where it is not given.

    Raises:
        InvalidDataError: for a frame that cannot be read, a missing column, an invalid id, time, rating or kind, an
            item or a user with two rows, two tables whose ids do not join, or a feature outside the schema.
    """

    name: str
    """The name of the data set."""
    source: str
    """Its origin; empty where it is unknown."""
    schema: Schema
    """Which fields of the records are features."""
    columns: Columns
    """The names of the columns of the interactions, recognised ones included."""
    feedback: FeedbackPolicy | None
    """The meaning of kinds and ratings."""
    as_of: float
    """The time at which the data was taken, in seconds since 1970."""
    unused_columns: tuple[str, ...]
    """The columns of the interactions that have no meaning here."""
    notices: tuple[Notice, ...]
    """Assumptions, such as a column that was recognised by a common name."""
    user_ids: list[Id]
    """The id of each user, by code: those of the interactions and of the users' frame."""
    item_ids: list[Id]
    """The id of each item, by code: those of the interactions and of the items' frame."""
    item_records: list[Record | None]
    """The record of each item, by code; ``None`` for one without a row. Do not change them."""
    origin: str = ""
    """The id of the catalogue that it was read from, by `Recommender.dataset`; empty for any other data."""
    user_records: list[Record | None]
    """The profile of each user, by code; ``None`` for one without a row. Do not change them."""

    def __init__(
        self,
        interactions: FrameLike | Iterable[Event],
        items: FrameLike | Iterable[Item] | None = None,
        users: FrameLike | Iterable[User] | None = None,
        schema: Schema | None = None,
        *,
        columns: Columns = _DEFAULT_COLUMNS,
        feedback: FeedbackPolicy | None = None,
        order: Literal["rows"] | None = None,
        ids: IdType = "auto",
        filter_only: Iterable[str] = (),
        as_of: Any = None,
        name: str = "data",
        source: str = "",
        folder: str | Path | None = None,
    ) -> None:
        self.name, self.source = instance(name, "name", str), instance(source, "source", str)
        if order is not None:
            choice(order, "order", ("rows",))
        choice(ids, "ids", ("auto", "text", "integer"))
        self.feedback = None if feedback is None else instance(feedback, "feedback", FeedbackPolicy)
        self.as_of = time.time() if as_of is None else moment(as_of, "as_of")
        room = Room.at(folder)
        log = reading.read_log(interactions, instance(columns, "columns", Columns, "Columns(item='sku')"), room)
        item_frame, of_items = reading.read_side_frame(items, Item, log.columns)
        user_frame, of_users = reading.read_side_frame(users, User, log.columns)
        self.columns, self.notices = log.columns, (*log.notices, *of_items, *of_users)
        settled = reading.settle_schema(schema, item_frame, user_frame, log.columns)
        self.schema = settled.with_filter_only(filter_only)
        item_side = Side.read(log, item_frame, "item", self.schema, ids)
        user_side = Side.read(log, user_frame, "user", self.schema, ids)
        self.item_ids, self.item_records = item_side.ids, item_side.records
        self.user_ids, self.user_records = user_side.ids, user_side.records
        self.unused_columns, self._given = log.unused, (item_frame is not None, user_frame is not None)
        self._events = EventLog.of(
            user_side.codes,
            item_side.codes,
            self.n_users,
            times=log.times,
            ratings=log.ratings,
            kinds=log.kinds,
            rows_in_order=order == "rows",
            room=room,
        )

    @classmethod
    def _of(
        cls,
        users: tuple[list[Id], list[Record | None]],
        items: tuple[list[Id], list[Record | None]],
        events: EventLog,
        schema: Schema,
        **described: Any,
    ) -> Dataset:
        """A data set of ids, records and events that were checked when they were stored."""
        made = cls.__new__(cls)
        made.source, made.columns, made.notices = "", _DEFAULT_COLUMNS, ()
        made.unused_columns, made.schema = (), schema
        made.user_ids, made.user_records = users
        made.item_ids, made.item_records = items
        made.__dict__.update(described, _given=(True, True), _events=events)
        return made

    # -- counts and arrays

    @property
    def n_events(self) -> int:
        """How many events there are."""
        return len(self._events.user_codes)

    @property
    def n_users(self) -> int:
        """How many users there are, those without an event included."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """How many items there are, those without an event included."""
        return len(self.item_ids)

    @property
    def user_codes(self) -> NDArray[np.int32]:
        """The code of each event's user, shape (n_events,), ascending."""
        return self._events.user_codes

    @property
    def item_codes(self) -> NDArray[np.int32]:
        """The code of each event's item, shape (n_events,)."""
        return self._events.item_codes

    @property
    def times(self) -> NDArray[np.float64] | None:
        """The time of each event, in seconds since 1970, shape (n_events,); ``None`` where times are unknown."""
        return self._events.times

    @property
    def ratings(self) -> NDArray[np.float32] | None:
        """The rating of each event, shape (n_events,), NaN for an event without one; ``None`` without ratings."""
        return self._events.ratings

    @property
    def kind_codes(self) -> NDArray[np.int16] | None:
        """The index of each event's kind in `kind_names`, shape (n_events,), -1 without one; ``None`` without kinds."""
        return None if self._events.kinds is None else self._events.kinds[0]

    @property
    def kind_names(self) -> tuple[str, ...]:
        """The kinds of the events, sorted."""
        return () if self._events.kinds is None else self._events.kinds[1]

    @property
    def order(self) -> Order:
        """The origin of the order of a user's events: ``"time"``, ``"rows"`` as declared, or ``"unknown"``."""
        return self._events.order

    @property
    def user_offsets(self) -> NDArray[np.int64]:
        """Where each user's events begin, shape (n_users + 1,): user ``u`` has ``offsets[u]:offsets[u + 1]``."""
        return self._events.offsets

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that are equal for equal events, ids, records and schemas, whatever the name."""
        records = (self.user_records, self.item_records)
        return self._events.digest(self.user_ids, self.item_ids, *records, self.schema.to_json())

    @cached_property
    def events_digest(self) -> str:
        """32 hexadecimal digits of the events and their ids alone, whatever else the data set holds.

        It shows whether an encoder was fitted on the events that it is tested on.
        """
        return self._events.digest_of_events(self.user_ids, self.item_ids)

    # -- what the events mean

    @cached_property
    def signs(self) -> NDArray[np.int8]:
        """1 for each positive event, -1 for a negative and 0 for a neutral one, shape (n_events,), by the policy."""
        return self._events.by_policy(self._policy.signs)

    @cached_property
    def weights(self) -> NDArray[np.float32] | None:
        """The weight of each event, shape (n_events,), 0 where it is not positive; ``None`` where each weight is 1."""
        found = self._events.by_policy(self._policy.event_weights)
        return None if (found == 1).all() else found

    @cached_property
    def is_target(self) -> NDArray[np.bool_]:
        """Which events are targets, shape (n_events,), by the policy."""
        return self._events.by_policy(self._policy.is_target)

    def is_consumed(self, kinds: Collection[str] | None = None) -> NDArray[np.bool_]:
        """Which events mean that their item is consumed, shape (n_events,), by the policy or by these kinds."""
        return self._events.by_policy(partial(self._policy.is_consumed, consumed=kinds))

    @cached_property
    def is_positive(self) -> NDArray[np.bool_]:
        """Which events are positive, and of items that their users do not dislike in the end, shape (n_events,).

        They are the events in the histories of `FeedbackPolicy.taste`. Of a user's events with one item the latest that
        is not neutral decides; where the order is unknown, a negative one.
        """
        return self._events.positive(self._policy)

    def popularity(self) -> NDArray[np.int64]:
        """How many users have a positive event of each item, shape (n_items,)."""
        return np.array(self._popularity)

    def positive(self) -> Dataset:
        """The data set with the events of `is_positive` alone; itself where all of them are."""
        return self if self.is_positive.all() else self.select_events(self.is_positive)

    def with_feedback(self, feedback: FeedbackPolicy) -> Dataset:
        """The data set with another meaning of kinds and ratings."""
        return self._copy(feedback=instance(feedback, "feedback", FeedbackPolicy))

    # -- single items, users and events

    def item_code(self, item_id: Id) -> int | None:
        """The code of an item; ``None`` for an unknown id."""
        return self._item_places.get(check_id(item_id, "item id"))

    def user_code(self, user_id: Id) -> int | None:
        """The code of a user; ``None`` for an unknown id."""
        return self._user_places.get(check_id(user_id, "user id"))

    def item(self, code: int) -> Item:
        """The item of a code, with its record."""
        code = integer(code, "code", low=0, high=self.n_items - 1)
        return Item(self.item_ids[code], self.item_records[code] or {})

    def user(self, code: int, history: bool = False) -> User:
        """The user of a code, with the profile and, if asked for, all the events, oldest first."""
        code = integer(code, "code", low=0, high=self.n_users - 1)
        whole = flag(history, "history")
        events = self._events_between(int(self.user_offsets[code]), int(self.user_offsets[code + 1])) if whole else ()
        return User(self.user_ids[code], self.user_records[code] or {}, events)

    def user_before(self, event: int, most: int) -> User:
        """A user as before one event, with the profile and the latest events until then.

        Args:
            event: The row of the event.
            most: How many events, at most.
        """
        event, most = integer(event, "event", low=0, high=self.n_events - 1), integer(most, "most", low=0)
        code = int(self.user_codes[event])
        start = max(int(self.user_offsets[code]), event - most)
        return User.unchecked(
            self.user_ids[code], self.user_records[code] or {}, tuple(self._events_between(start, event))
        )

    def items(self) -> Iterator[Item]:
        """Every item, by code."""
        return map(self.item, range(self.n_items))

    def users(self, history: bool = False) -> Iterator[User]:
        """Every user, by code."""
        return (self.user(code, history) for code in range(self.n_users))

    def events(self) -> Iterator[Event]:
        """Every event, by user and time."""
        return self._events_between(0, self.n_events)

    def item_features(self, name: str) -> list[JSON]:
        """The field ``name`` of every item, by code; ``None`` where it is missing. Do not change its values."""
        instance(name, "name", str)
        return [record.get(name) if record else None for record in self.item_records]

    def user_features(self, name: str) -> list[JSON]:
        """The field ``name`` of every user, by code; ``None`` where it is missing. Do not change its values."""
        instance(name, "name", str)
        return [record.get(name) if record else None for record in self.user_records]

    # -- parts of it

    def select_events(self, mask: NDArray[np.bool_]) -> Dataset:
        """The data set with some of the events and all of the users and items, so that codes mean the same.

        Args:
            mask: Which events to keep, boolean, shape (n_events,).

        Raises:
            InvalidDataError: for a mask of another shape or type.
        """
        mask = boolean_mask(mask, "the mask", self.n_events)
        return self._copy(_events=self._events.select(mask))

    def only_active(self) -> Dataset:
        """The data set without the users and items that have no event. The others get new codes."""
        users, items = self._events.active(self.n_items)
        return self._copy(
            user_ids=_pick(self.user_ids, users),
            user_records=_pick(self.user_records, users),
            item_ids=_pick(self.item_ids, items),
            item_records=_pick(self.item_records, items),
            _events=self._events.recoded(users, items),
        )

    # -- how it shows

    @cached_property
    def warnings(self) -> list[Notice]:
        """What looks like a mistake in the data, or keeps something from being learnt, each with its cure."""
        low = self._policy.negative_rating if self.feedback is None else None
        users = np.diff(self.user_offsets)
        items = counts_of(self.item_codes, self.n_items)
        return [
            *notices.time_notices(self.order, self.n_events, self.times, self.as_of),
            *notices.unrated_notices(self.ratings, low),
            *notices.id_notices("user", self.user_ids),
            *notices.id_notices("item", self.item_ids),
            *notices.unused_notices(self.unused_columns),
            *notices.record_notices("items", self.item_records, items, self._given[0]),
            *notices.record_notices("users", self.user_records, users, self._given[1]),
        ]

    def describe(self) -> Record:
        """The main figures: counts, density, time span, order, kinds, ratings, notices and warnings."""
        return {
            "name": self.name,
            "source": self.source,
            **summary.event_figures(self._events, self.n_items),
            "as of": notices.show_time(self.as_of),
            "digest": self.digest,
            "notices": [str(each) for each in self.notices],
            "warnings": [str(each) for each in self.warnings],
        }

    def __str__(self) -> str:
        return summary.text_summary(self.describe(), self.notices, self.warnings, self.schema)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}: {self.n_events:,} events, {self.n_users:,} users, {self.n_items:,} items)"

    def _repr_html_(self) -> str:
        return summary.html_summary(self.describe(), self.notices, self.warnings, self.schema)

    # -- what these need

    @cached_property
    def _item_places(self) -> dict[Id, int]:
        return {item_id: code for code, item_id in enumerate(self.item_ids)}

    @cached_property
    def _user_places(self) -> dict[Id, int]:
        return {user_id: code for code, user_id in enumerate(self.user_ids)}

    @cached_property
    def _popularity(self) -> NDArray[np.int64]:
        return self._events.users_of_items(self.is_positive, self.n_items)

    @property
    def _policy(self) -> FeedbackPolicy:
        return _DEFAULT_POLICY if self.feedback is None else self.feedback

    def _copy(self, **changes: Any) -> Dataset:
        """A shallow copy with some attributes changed, and without what was computed from the events."""
        part = copy.copy(self)
        for name, value in vars(Dataset).items():
            if isinstance(value, cached_property):
                part.__dict__.pop(name, None)
        part.__dict__.update(changes)
        return part

    def _events_between(self, start: int, end: int) -> Iterator[Event]:
        users = (self.user_ids[code] for code in self.user_codes[start:end].tolist())
        items = (self.item_ids[code] for code in self.item_codes[start:end].tolist())
        times = repeat(None) if self.times is None else self.times[start:end].tolist()
        ratings = repeat(None) if self.ratings is None else self.ratings[start:end].tolist()
        names = (*self.kind_names, None)  # of code -1
        codes = repeat(-1) if self.kind_codes is None else self.kind_codes[start:end].tolist()
        for user_id, item_id, at, rating, code in zip(users, items, times, ratings, codes):
            # NaN is the only value that differs from itself: not rated. All were checked when they were read.
            yield Event.unchecked(user_id, item_id, at, None if rating != rating else rating, names[code])  # noqa: PLR0124


def _pick(values: list[_T], codes: NDArray[np.int64]) -> list[_T]:
    return [values[code] for code in codes.tolist()]
