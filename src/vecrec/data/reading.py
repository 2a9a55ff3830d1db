"""Frames turned into the parts of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecrec.data.columns import read_ids, read_ratings, read_records, read_times, sort_ids
from vecrec.data.features import Feature, MultiCategorical, Text
from vecrec.data.frames import Frame, read_frame
from vecrec.data.schema import Schema
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.records import JSON, Record
from vecrec.types import Event, Item, User

__all__ = ["Columns", "Side", "interaction_frame", "read_optional", "record_frame", "settle_schema"]


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of the frames are called.

    The columns of times and ratings need not be there under these names; under names of your own they must be.

    Raises:
        InvalidDataError: for a name that is none, or one name for two columns.
    """

    user: str = "user_id"
    """The user's id, in the interactions and in the users."""
    item: str = "item_id"
    """The item's id, in the interactions and in the items."""
    time: str = "time"
    """When it happened."""
    rating: str = "rating"
    """How much they liked it."""

    def __post_init__(self) -> None:
        names = self.names()
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise InvalidDataError(f"{self!r} must give four different names of columns")

    def names(self) -> tuple[str, str, str, str]:
        """The four names."""
        return (self.user, self.item, self.time, self.rating)


@dataclass(frozen=True, slots=True)
class Side:
    """The users or the items of a data set."""

    ids: list[Id]
    """By code: sorted."""
    records: list[Record | None]
    """By code; ``None`` for one without a row."""
    codes: NDArray[np.int64]
    """By row of the interactions."""

    @classmethod
    def read(cls, log: Frame, frame: Frame | None, column: str, what: Literal["item", "user"], schema: Schema) -> Side:
        """One side, out of the interactions and out of its own frame if there is one.

        Raises:
            InvalidDataError: for ids that are none, two rows of one id, or a feature outside the schema.
        """
        seen, positions = read_ids(log, column, f"{what} id")
        rows, records = ([], []) if frame is None else _rows(frame, column, what, schema)
        ids = sort_ids([*seen, *rows])
        place = {value: code for code, value in enumerate(ids)}
        by_code: list[Record | None] = [None] * len(ids)
        for owner, record in zip(rows, records):
            by_code[place[owner]] = record
        return cls(ids, by_code, np.array([place[value] for value in seen], np.int64)[positions])


def interaction_frame(source: Any, columns: Columns) -> Frame:
    """The frame of the interactions, which may come as a sequence of events."""
    if not _is_list_of(source, Event):
        return read_frame(source, "interactions")
    table: dict[str, list[Any]] = {
        columns.user: [event.user_id for event in source],
        columns.item: [event.item_id for event in source],
    }
    extra = {columns.time: [event.time for event in source], columns.rating: [event.rating for event in source]}
    known = {name: values for name, values in extra.items() if any(value is not None for value in values)}
    return read_frame(table | known, "interactions")


def record_frame(source: Any, kind: type[Item] | type[User], column: str) -> Frame | None:
    """The frame of the items or users, which may come as a sequence of them."""
    what = "items" if kind is Item else "users"
    if source is None:
        return None
    if not _is_list_of(source, kind):
        return read_frame(source, what)
    fields = dict.fromkeys(name for owner in source for name in owner.features)
    if column in fields:
        raise InvalidDataError(
            f"{what} have a feature named {column!r} like the column of their ids", "rename one of them"
        )
    table = {column: [owner.id for owner in source]}
    return read_frame(table | {name: [owner.features.get(name) for owner in source] for name in fields}, what)


def settle_schema(schema: Schema | None, items: Frame | None, users: Frame | None, columns: Columns) -> Schema:
    """The given schema, or the one that the frames suggest.

    Raises:
        InvalidDataError: for something else than a schema.
    """
    if schema is None:
        return Schema.infer(items, users, exclude=columns.names())
    if not isinstance(schema, Schema):
        raise InvalidDataError(
            f"schema is {schema!r} of type {type(schema).__name__}", "give a Schema, or leave it out"
        )
    return schema


def _optional_column(log: Frame, name: str, default: str) -> str | None:
    """The column's name, or ``None`` where nobody asked for it and it is not there.

    Raises:
        InvalidDataError: when a column is missing that was named.
    """
    if name != default:
        log.column(name)
    return name if name in log.columns else None


def read_optional(log: Frame, columns: Columns) -> tuple[NDArray[np.float64] | None, NDArray[np.float32] | None]:
    """The times and the ratings of the interactions, as far as they are there."""
    time = _optional_column(log, columns.time, "time")
    rating = _optional_column(log, columns.rating, "rating")
    return (None if time is None else read_times(log, time)), (None if rating is None else read_ratings(log, rating))


def _is_list_of(source: Any, kind: type) -> bool:
    # An empty list is one of anything.
    return (
        isinstance(source, Sequence)
        and not isinstance(source, (str, bytes))
        and all(isinstance(v, kind) for v in source)
    )


def _rows(frame: Frame, column: str, what: Literal["item", "user"], schema: Schema) -> tuple[list[Id], list[Record]]:
    ids, positions = read_ids(frame, column, f"{what} id")
    if len(ids) < frame.n_rows:
        first = ids[int(np.bincount(positions).argmax())]
        raise InvalidDataError(
            f"{frame.what} have {frame.n_rows:,} rows for {len(ids):,} ids, {first!r} more than once",
            "keep one row of each",
        )
    features = schema.items if what == "item" else schema.users
    records = read_records(frame, column, ids, {f.name for f in features if _is_whole(f)}, what)
    for owner, record in zip(ids, records):
        _check_record(features, record, what, owner)
    return ids, records


def _check_record(features: Sequence[Feature], record: dict[str, JSON], what: str, owner: Id) -> None:
    for feature in features:
        value = record.get(feature.name)
        if value is not None:
            feature.check(value, f"{what} {owner!r}")


def _is_whole(feature: Feature) -> bool:
    return not isinstance(feature, (Text, MultiCategorical)) and feature.dtype == "integer"
