"""A data set: who did what with which item, and what is known about both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import repeat
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vecrec.data import reading, summary
from vecrec.data.events import EventLog
from vecrec.data.frames import FrameLike
from vecrec.data.reading import Columns, Side
from vecrec.data.schema import Schema
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.records import JSON, Record
from vecrec.types import Event, Item, User

__all__ = ["Columns", "Dataset"]

_DEFAULT_COLUMNS = Columns()
_T = TypeVar("_T")


class Dataset:
    """Interactions, items and users, numbered and in order.

    Users and items are numbered by codes from 0, in the order of their sorted ids. Events are sorted by user, and
    those of one user by time; of two with the same time, or without times, the one that came first in the frame is the
    earlier. Arrays are read-only.

    Args:
        interactions: One row an event: a pandas, Polars or PyArrow table, a DuckDB relation, the path of a Parquet
            file, a mapping of names to columns, or a sequence of `Event`. Columns without a meaning here are not kept.
        items: One row an item, in any of these forms or as a sequence of `Item`. All columns are kept as the item's
            record; missing values (null, NaN) are left out, dates become ISO text, decimals floats.
        users: One row a user, likewise; a sequence of `User` has its histories left out.
        schema: Which fields are features; inferred from the frames (see `Schema.infer`) where it is not given.
        columns: What the columns are called.
        name: What to call the data set.
        source: Where it comes from, as far as that is known.

    Raises:
        InvalidDataError: for a frame that cannot be read, a missing column, ids, times or ratings that are none, an
            item or a user with two rows, or a feature outside the schema.
    """

    name: str
    """What the data set is called."""
    source: str
    """Where it comes from; empty where nobody said."""
    schema: Schema
    """Which fields of the records are features."""
    columns: Columns
    """What the columns of the frames were called."""
    user_ids: list[Id]
    """The id of each user, by code: those of the interactions and of the users' frame."""
    item_ids: list[Id]
    """The id of each item, by code: those of the interactions and of the items' frame."""
    item_records: list[Record | None]
    """The record of each item, by code; ``None`` for one without a row. Do not change them."""
    user_records: list[Record | None]
    """The profile of each user, by code; ``None`` for one without a row. Do not change them."""

    def __init__(
        self,
        interactions: FrameLike | Sequence[Event],
        items: FrameLike | Sequence[Item] | None = None,
        users: FrameLike | Sequence[User] | None = None,
        schema: Schema | None = None,
        *,
        columns: Columns = _DEFAULT_COLUMNS,
        name: str = "data",
        source: str = "",
    ) -> None:
        self.name = name
        self.source = source
        self.columns = columns
        log = reading.interaction_frame(interactions, columns)
        item_frame = reading.record_frame(items, Item, columns.item)
        user_frame = reading.record_frame(users, User, columns.user)
        self.schema = reading.settle_schema(schema, item_frame, user_frame, columns)
        item_side = Side.read(log, item_frame, columns.item, "item", self.schema)
        user_side = Side.read(log, user_frame, columns.user, "user", self.schema)
        self.item_ids, self.item_records = item_side.ids, item_side.records
        self.user_ids, self.user_records = user_side.ids, user_side.records
        times, ratings = reading.read_optional(log, columns)
        self._unused = [column for column in log.columns if column not in columns.names()]
        self._events = EventLog.of(user_side.codes, item_side.codes, times, ratings, self.n_users)

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
        """When each event happened, in seconds since 1970, shape (n_events,); ``None`` where nobody knows."""
        return self._events.times

    @property
    def ratings(self) -> NDArray[np.float32] | None:
        """How each event was rated, shape (n_events,), NaN where nobody said; ``None`` where nobody ever said."""
        return self._events.ratings

    @property
    def user_offsets(self) -> NDArray[np.int64]:
        """Where each user's events begin, shape (n_users + 1,): user ``u`` has ``offsets[u]:offsets[u + 1]``."""
        return self._events.offsets

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that are equal for equal events, ids, records and schemas, whatever the name."""
        records = (self.user_records, self.item_records)
        return self._events.digest(self.user_ids, self.item_ids, *records, self.schema.to_json())

    def popularity(self) -> NDArray[np.int64]:
        """How many events each item has, shape (n_items,)."""
        return np.bincount(self.item_codes, minlength=self.n_items).astype(np.int64)

    # -- single items, users and events

    def item_code(self, item_id: Id) -> int | None:
        """The code of an item; ``None`` for an unknown id."""
        return self._item_places.get(item_id)

    def user_code(self, user_id: Id) -> int | None:
        """The code of a user; ``None`` for an unknown id."""
        return self._user_places.get(user_id)

    def item(self, code: int) -> Item:
        """The item of a code, with its record."""
        return Item(self.item_ids[code], self.item_records[code] or {})

    def user(self, code: int, history: bool = False) -> User:
        """The user of a code, with the profile and, if asked for, all the events, oldest first."""
        events = self._events_between(int(self.user_offsets[code]), int(self.user_offsets[code + 1])) if history else ()
        return User(self.user_ids[code], self.user_records[code] or {}, events)

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
        return [record.get(name) if record else None for record in self.item_records]

    def user_features(self, name: str) -> list[JSON]:
        """The field ``name`` of every user, by code; ``None`` where it is missing. Do not change its values."""
        return [record.get(name) if record else None for record in self.user_records]

    # -- parts of it

    def select_events(self, mask: NDArray[np.bool_]) -> Dataset:
        """The data set with some of the events and all of the users and items, so that codes mean the same.

        Args:
            mask: Which events to keep, boolean, shape (n_events,).

        Raises:
            InvalidDataError: for a mask of another shape or type.
        """
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != (self.n_events,):
            raise InvalidDataError(
                f"the mask has the type {mask.dtype} and the shape {mask.shape}",
                f"give booleans of shape {(self.n_events,)}",
            )
        part = object.__new__(Dataset)
        part.__dict__.update(
            {name: value for name, value in self.__dict__.items() if name not in ("digest", "warnings")}
        )
        part._events = self._events.select(mask)
        return part

    def only_active(self) -> Dataset:
        """The data set without the users and items that have no event. The others are numbered anew."""
        part = object.__new__(Dataset)
        part.__dict__.update({name: self.__dict__[name] for name in ("name", "source", "schema", "columns", "_unused")})
        users, items = np.unique(self.user_codes), np.unique(self.item_codes)
        part.user_ids, part.user_records = _pick(self.user_ids, users), _pick(self.user_records, users)
        part.item_ids, part.item_records = _pick(self.item_ids, items), _pick(self.item_records, items)
        part._events = self._events.recoded(users, items)
        return part

    # -- how it shows

    @cached_property
    def warnings(self) -> list[str]:
        """What looks like a mistake in the data, such as times in milliseconds."""
        return summary.find_warnings(self, self._unused)

    def describe(self) -> Record:
        """The main figures: counts, density, time span, warnings."""
        return summary.describe(self)

    def __str__(self) -> str:
        return summary.text_summary(self)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}: {self.n_events:,} events, {self.n_users:,} users, {self.n_items:,} items)"

    def _repr_html_(self) -> str:
        return summary.html_summary(self)

    # -- what these need

    @cached_property
    def _item_places(self) -> dict[Id, int]:
        return {item_id: code for code, item_id in enumerate(self.item_ids)}

    @cached_property
    def _user_places(self) -> dict[Id, int]:
        return {user_id: code for code, user_id in enumerate(self.user_ids)}

    def _events_between(self, start: int, end: int) -> Iterator[Event]:
        users = (self.user_ids[code] for code in self.user_codes[start:end].tolist())
        items = (self.item_ids[code] for code in self.item_codes[start:end].tolist())
        times = repeat(None) if self.times is None else self.times[start:end].tolist()
        ratings = repeat(None) if self.ratings is None else self.ratings[start:end].tolist()
        for user_id, item_id, time, rating in zip(users, items, times, ratings):
            # NaN is the only value that differs from itself: nobody rated.
            yield Event(user_id, item_id, time, None if rating != rating else rating)  # noqa: PLR0124


def _pick(values: list[_T], codes: NDArray[np.int32]) -> list[_T]:
    return [values[code] for code in codes.tolist()]
