"""The interactions, read piece by piece into columns of numbers, so that only a piece is ever held as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import slices
from vecrec._internal.times import SecondsByPiece, seconds
from vecrec.data.columns import Ids, Kinds, as_arrow, plain_ids, read_ids, read_kinds, read_ratings, unite
from vecrec.data.frames import Frame
from vecrec.data.naming import Columns
from vecrec.data.room import Growing, Room
from vecrec.errors import InvalidDataError
from vecrec.ids import Id

__all__ = ["IdColumn", "Intake", "holds_numbers", "holds_texts", "replace_codes"]

_ROWS = 1 << 22
"""Rows whose ids are numbered together, at least."""
_Codes = TypeVar("_Codes", NDArray[np.int32], NDArray[np.int16])


@dataclass(frozen=True, slots=True)
class IdColumn:
    """The ids of one side of the interactions."""

    ids: list[Id]
    """The different ids, in the order in which they were first seen."""
    codes: NDArray[np.int32]
    """The place of each row's id among them, shape (n,)."""


class Intake:
    """Takes the pieces of the interactions, and has of each row what a data set needs: up to 22 bytes.

    Args:
        columns: The names of the columns.
        room: Where the columns are kept.
    """

    def __init__(self, columns: Columns, room: Room) -> None:
        self._users, self._items = _Ids(str(columns.user), "user id", room), _Ids(str(columns.item), "item id", room)
        self._times = None if columns.time is None else _Times(columns.time, room)
        self._ratings = None if columns.rating is None else _Ratings(columns.rating, room)
        self._kinds = None if columns.kind is None else _KindCodes(columns.kind, room)

    def take(self, frames: Iterable[Frame]) -> None:
        """Read all pieces.

        Raises:
            InvalidDataError: for an invalid id, time, rating or kind, naming file and row.
        """
        for frame in frames:
            for column in (self._users, self._items, self._times, self._ratings, self._kinds):
                if column is not None:
                    column.add(frame)

    @property
    def users(self) -> IdColumn:
        """The users."""
        return self._users.whole()

    @property
    def items(self) -> IdColumn:
        """The items."""
        return self._items.whole()

    def times(self) -> tuple[NDArray[np.float64] | None, bool]:
        """The times in seconds since 1970, shape (n,), and whether they were numbers of another unit."""
        return (None, False) if self._times is None else self._times.whole()

    @property
    def ratings(self) -> NDArray[np.float32] | None:
        """The ratings, shape (n,), NaN where there is none; ``None`` where there is none at all."""
        return None if self._ratings is None else self._ratings.whole()

    @property
    def kinds(self) -> Kinds | None:
        """The kinds; ``None`` where there is none at all."""
        return None if self._kinds is None else self._kinds.whole()


class _Ids:
    """Takes the ids of some pieces together, since Arrow numbers many at once far faster than Python each by itself."""

    def __init__(self, name: str, what: str, room: Room) -> None:
        self._name, self._what, self._codes = name, what, Growing(np.int32, room)
        self._known: Ids = []
        self._waiting: list[tuple[Ids, NDArray[np.int32]]] = []

    def add(self, frame: Frame) -> None:
        self._waiting.append(read_ids(frame, self._name, self._what))
        # As many rows as there are ids already: so ids are numbered again twice at most, of however many rows.
        if sum(len(places) for _, places in self._waiting) >= max(_ROWS, len(self._known)):
            self._number()

    def _number(self) -> None:
        start = len(self._known)
        self._known, codes = unite([self._known, *(ids for ids, _ in self._waiting)])
        for ids, places in self._waiting:
            self._codes.append(codes[start : start + len(ids)][places])
            start += len(ids)
        self._waiting = []

    def whole(self) -> IdColumn:
        self._number()
        return IdColumn(plain_ids(self._known), self._codes.whole())


class _Times:
    def __init__(self, name: str, room: Room) -> None:
        self._name, self._values = name, Growing(np.float64, room)
        self._pieces = SecondsByPiece(self._values.append)
        self._first: float | None = None

    def add(self, frame: Frame) -> None:
        column, name = frame.columns[self._name], f"column {self._name!r} of {frame.what}"
        if self._first is None and len(column) and holds_numbers(frame, self._name):
            first = column[0] if isinstance(column, list) else column[0].as_py()
            self._first = None if first is None else float(first)
        if isinstance(column, list):  # not known by a type, so its values decide
            self._values.append(seconds(column, name))
        else:
            self._pieces.add(column, name, frame.first)

    def whole(self) -> tuple[NDArray[np.float64], bool]:
        times = self._pieces.whole(self._values.whole(), f"column {self._name!r} of interactions")
        return times, self._first is not None and bool(len(times)) and self._first != times[0]


class _Ratings:
    def __init__(self, name: str, room: Room) -> None:
        self._name, self._values, self._rated = name, Growing(np.float32, room), False

    def add(self, frame: Frame) -> None:
        found = read_ratings(frame, self._name)
        self._rated |= found is not None
        self._values.append(np.full(frame.n_rows, np.nan, np.float32) if found is None else found)

    def whole(self) -> NDArray[np.float32] | None:
        return self._values.whole() if self._rated else None


class _KindCodes:
    def __init__(self, name: str, room: Room) -> None:
        self._name, self._codes = name, Growing(np.int16, room)
        self._known: dict[str, int] = {}

    def add(self, frame: Frame) -> None:
        found = read_kinds(frame, self._name)
        if found is None:
            self._codes.append(np.full(frame.n_rows, -1, np.int16))
            return
        codes = [self._known.setdefault(kind, len(self._known)) for kind in found[1]]
        if len(self._known) > np.iinfo(np.int16).max:
            most = np.iinfo(np.int16).max
            problem = f"column {self._name!r} of {frame.what} holds more than {most:,} different texts"
            raise InvalidDataError(problem, "is it the kind of an event?")
        self._codes.append(np.array([*codes, -1], np.int16)[found[0]])

    def whole(self) -> Kinds | None:
        codes, names = self._codes.whole(), sorted(self._known)
        place = {name: code for code, name in enumerate(names)}
        replace_codes(codes, np.array([*(place[name] for name in self._known), -1], np.int16))
        return (codes, tuple(names)) if names else None


def replace_codes(codes: _Codes, table: _Codes) -> _Codes:
    """The codes, each replaced in place by what the table has there."""
    for piece in slices(len(codes)):
        codes[piece] = table[codes[piece]]
    return codes


def holds_texts(frame: Frame, name: str) -> bool:
    """Whether a column holds texts, or nothing."""
    return _holds(frame, name, "is_large_string", "is_string")


def holds_numbers(frame: Frame, name: str) -> bool:
    """Whether a column holds numbers, or nothing."""
    return _holds(frame, name, "is_floating", "is_integer")


def _holds(frame: Frame, name: str, *kinds: str) -> bool:
    """Whether a column is of one of some kinds, by the names of Arrow's tests of types, or has nothing but gaps."""
    import pyarrow as pa

    try:
        found = as_arrow(frame.columns[name], name).type
    except InvalidDataError:
        return False
    return any(getattr(pa.types, kind)(found) for kind in (*kinds, "is_null"))
