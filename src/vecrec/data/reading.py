"""Frames turned into the parts of a data set."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.data.columns import Kinds, read_different_ids, read_records, sort_ids
from vecrec.data.features import Categorical, Feature, Numeric
from vecrec.data.frames import Frame, as_rows, read_frame, read_pieces
from vecrec.data.intake import IdColumn, Intake, holds_numbers, holds_texts, replace_codes
from vecrec.data.naming import DEFAULTS, Columns, EventColumns, KeyColumn
from vecrec.data.notices import Notice
from vecrec.data.room import Room
from vecrec.data.schema import Schema
from vecrec.errors import InvalidDataError, shown
from vecrec.ids import Id, written_integer
from vecrec.records import JSON, Record
from vecrec.types import Event, Item, User

__all__ = ["IdType", "Log", "Side", "read_log", "read_side_frame", "read_user_ids", "settle_schema"]

IdType: TypeAlias = Literal["auto", "text", "integer"]
"""What ids are to become."""


@dataclass(frozen=True, slots=True)
class Log:
    """The interactions."""

    columns: Columns
    """The names that were found."""
    unused: tuple[str, ...]
    """The columns that were not read."""
    untyped: bool
    """Whether ids are text because the table has no types."""
    notices: list[Notice]
    """What was assumed."""
    users: IdColumn
    items: IdColumn
    times: NDArray[np.float64] | None
    ratings: NDArray[np.float32] | None
    kinds: Kinds | None


@dataclass(frozen=True, slots=True)
class Side:
    """The users or the items of a data set."""

    ids: list[Id]
    """By code: sorted."""
    records: list[Record | None]
    """By code; ``None`` for one without a row."""
    codes: NDArray[np.int32]
    """By row of the interactions."""

    @classmethod
    def read(
        cls, log: Log, frame: tuple[Frame, str] | None, what: Literal["item", "user"], schema: Schema, ids: IdType
    ) -> Side:
        """One side, out of the interactions and out of its own frame if there is one.

        Args:
            log: The interactions.
            frame: The side's own table, and the column of its ids.
            what: Which side.
            schema: Checks the records.
            ids: What ids are to become.

        Raises:
            InvalidDataError: for an invalid id, two rows of one id, ids of the two tables that do not join, or a
                feature outside the schema.
        """
        column = log.items if what == "item" else log.users
        known, at = ([], np.zeros(0, np.int32)) if frame is None else read_different_ids(*frame, f"{what} id")
        untyped = (log.untyped, frame is not None and frame[0].untyped)
        seen, rows = _settle_ids((column.ids, known), untyped, ids, what)
        if frame is not None:
            _check_join(seen, rows, what)
        records = [] if frame is None else _records(frame, rows, at, what, schema)
        every, codes = sort_ids([*seen, *rows])
        by_code: list[Record | None] = [None] * len(every)
        for code, record in zip(codes[len(seen) :].tolist(), records):
            by_code[code] = record
        return cls(every, by_code, replace_codes(column.codes, codes))


def read_log(source: Any, columns: Columns, room: Room) -> Log:
    """The interactions, which may come as events.

    Raises:
        InvalidDataError: for a frame that cannot be read, a missing column, or an invalid id, time, rating or kind.
    """
    source, choose = as_rows(source), EventColumns(columns)
    if _is_list_of(source, Event):
        source, choose = _event_table(source), EventColumns(Columns())
    frames = read_pieces(source, "interactions", choose)
    frame = next(frames)
    for role, fits in (("kind", holds_texts), ("rating", holds_numbers)):
        name, named = getattr(choose.found, role), getattr(columns, role)
        if name is not None and named is None and name != DEFAULTS[role] and not fits(frame, name):
            choose.drop(role, f"it does not hold a {role}")
    found, untyped, unused = choose.found, frame.untyped, frame.unused
    intake = Intake(found, room)
    intake.take([frame])
    del frame
    intake.take(frames)
    times, were_converted = intake.times()
    if were_converted:
        problem = f"column {found.time!r} of interactions does not hold seconds, and was converted"
        choose.notices.append(Notice(problem, "give seconds since 1970 if that is wrong"))
    ids = intake.users, intake.items
    return Log(found, unused, untyped, choose.notices, *ids, times, intake.ratings, intake.kinds)


def read_side_frame(
    source: Any, kind: type[Item] | type[User], columns: Columns
) -> tuple[tuple[Frame, str] | None, list[Notice]]:
    """The frame of the items or users, which may come as a sequence of them, the column of its ids, and notices."""
    what: Literal["item", "user"] = "item" if kind is Item else "user"
    source, choose = as_rows(source), KeyColumn(what, columns)
    if source is None:
        return None, []
    if not _is_list_of(source, kind):
        frame = read_frame(source, f"{what}s", choose, as_written=True)
        return (frame, choose.name), choose.notices
    name = str(getattr(columns, what))
    names = dict.fromkeys(name for owner in source for name in owner.features)
    if name in names:
        raise InvalidDataError(
            f"{what}s have a feature named {name!r} like the column of their ids", "rename one of them"
        )
    table = {name: [owner.id for owner in source]}
    table |= {field: [owner.features.get(field) for owner in source] for field in names}
    return (read_frame(table, f"{what}s"), name), []


def read_user_ids(source: Any, ids: IdType = "auto") -> list[Id]:
    """The different ids of a table of users, in the order of its rows.

    Raises:
        InvalidDataError: for a frame that cannot be read, or an invalid id.
    """
    choose = KeyColumn("user", Columns())
    frame = read_frame(as_rows(source), "users", lambda names: (list(choose(names)[1]), [choose.name]))
    known, _ = read_different_ids(frame, choose.name, "user id")
    return _settle_ids(([], known), (False, frame.untyped), ids, "user")[1]


def settle_schema(
    schema: Any, items: tuple[Frame, str] | None, users: tuple[Frame, str] | None, columns: Columns
) -> Schema:
    """The given schema, or the one that the frames suggest.

    Raises:
        InvalidDataError: for something else than a schema.
    """
    if schema is None:
        keys = {frame[1] for frame in (items, users) if frame is not None}
        exclude = keys | {DEFAULTS[role] for role in ("user", "item", "time", "rating")}
        named = {name for name in columns.names() if name != columns.kind}
        return Schema.infer(items and items[0], users and users[0], exclude=exclude | named)
    if not isinstance(schema, Schema):
        problem = f"schema is {shown(schema)} of type {type(schema).__name__}"
        raise InvalidDataError(problem, "give a Schema, or leave it out")
    return schema


# -- ids


def _settle_ids(
    sides: tuple[list[Id], list[Id]], untyped: tuple[bool, bool], ids: IdType, what: str
) -> tuple[list[Id], list[Id]]:
    """The ids of the interactions and of the side's own table, alike.

    Those of files without types are integers where the ids of the other table are, or, without a typed table, where
    every one of them is a plain integer.
    """
    if ids == "text":
        return [str(value) for value in sides[0]], [str(value) for value in sides[1]]
    bare = tuple(each or ids == "integer" for each in untyped)
    texts = [value for values, each in zip(sides, bare) if each for value in values]
    typed = [value for values, each in zip(sides, bare) if not each for value in values]
    wrong = next((value for value in texts if not _is_plain_integer(value)), None)
    if wrong is not None and ids == "integer":
        raise InvalidDataError(f'{what} id {wrong!r} is not an integer of 64 bits, but ids="integer"', 'use ids="text"')
    if not texts or wrong is not None or any(isinstance(value, str) for value in typed):
        return sides
    first, second = (list(map(_as_integer, values)) if each else values for values, each in zip(sides, bare))
    return first, second


def _as_integer(value: Id) -> Id:
    return int(value)


def _is_plain_integer(value: Id) -> bool:
    return isinstance(value, int) or written_integer(value) is not None


def _check_join(seen: Sequence[Id], rows: Sequence[Id], what: str) -> None:
    """Refuse two tables of which more ids differ in their form alone than are equal."""
    missing = {*seen}.difference(rows)
    if not missing or not rows:
        return
    loose = {_loose(value): value for value in rows}
    pairs = [(value, loose[key]) for value in seen if value in missing and (key := _loose(value)) in loose]
    if len(pairs) > len(seen) - len(missing):
        one, other = pairs[0]
        raise InvalidDataError(
            f"{len(missing):,} of {len(seen):,} {what} ids of the interactions are not among the {what}s, but "
            f"{len(pairs):,} differ in nothing but type, case, blanks or leading zeros, signs or '.0', such as {one!r} "
            f"and {other!r}",
            'make them alike; ids="text" or ids="integer" does so for types',
        )


def _loose(value: Id) -> str:
    text = unicodedata.normalize("NFKC", str(value)).casefold().strip()
    text = re.sub(r"(?<=[0-9])\.0+\Z", "", text)
    return re.sub(r"[\W_]", "", text).lstrip("0") or text


# -- rows


def _event_table(events: Sequence[Event]) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = {
        DEFAULTS["user"]: [event.user_id for event in events],
        DEFAULTS["item"]: [event.item_id for event in events],
    }
    for role in ("time", "rating", "kind"):
        values = [getattr(event, role) for event in events]
        if any(value is not None for value in values):
            table[DEFAULTS[role]] = values
    return table


def _is_list_of(source: Any, kind: type) -> bool:
    # An empty list is one of anything.
    return (
        isinstance(source, Sequence)
        and not isinstance(source, (str, bytes))
        and all(isinstance(v, kind) for v in source)
    )


def _records(
    table: tuple[Frame, str],
    ids: list[Id],
    positions: NDArray[np.int32],
    what: Literal["item", "user"],
    schema: Schema,
) -> list[Record]:
    frame, column = table
    if len(set(ids)) < frame.n_rows:
        first = ids[int(np.bincount(positions).argmax())]
        raise InvalidDataError(
            f"{frame.what} have {frame.n_rows:,} rows for {len(ids):,} ids, {first!r} more than once",
            "keep one row of each",
        )
    features = schema.item_fields if what == "item" else schema.users
    owners = [ids[place] for place in positions.tolist()]
    records = read_records(frame, column, owners, {f.name for f in features if _is_whole(f)}, what)
    by_id = dict(zip(owners, records))
    for owner, record in by_id.items():
        _check_record(features, record, what, owner)
    return [by_id[key] for key in ids]


def _check_record(features: Iterable[Feature], record: dict[str, JSON], what: str, owner: Id) -> None:
    for feature in features:
        value = record.get(feature.name)
        if value is not None:
            feature.check(value, f"{what} {owner!r}")


def _is_whole(feature: Feature) -> bool:
    return isinstance(feature, (Numeric, Categorical)) and feature.dtype == "integer"
