"""The values of the interface: items, users, events and hits."""

from __future__ import annotations

import math
import numbers
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import repeat
from operator import attrgetter
from typing import Any, overload

from vecrec._internal.times import moment
from vecrec.errors import InvalidDataError, shown
from vecrec.ids import Id, check_id, check_text
from vecrec.records import JSON, check_record

__all__ = ["MAX_KIND", "Event", "EventColumns", "Hit", "Item", "User", "check_kind", "column"]

MAX_KIND = 64
"""The longest kind of an event, in characters."""


@dataclass(frozen=True, slots=True)
class Event:
    """An interaction of a user with an item: one row of the event log.

    A user, an item, a time and a kind together identify an event: recorded again, it replaces the first, for example
    with another rating. A `FeedbackPolicy` declares what a kind or a rating means.

    Example:
        >>> Event(42, 7, time="2026-01-02T10:00:00Z", kind="purchase")

    Raises:
        InvalidDataError: for an id, a kind, a time or a rating that is not valid.
    """

    user_id: Id | None
    """The user's id; ``None`` only in the history of a user without an id."""
    item_id: Id
    """The item's id."""
    time: float | None = None
    """The time in seconds since 1970; ``None`` where only the order is known. A ``datetime``, ``numpy.datetime64``,
    ``Timestamp`` or ISO text is converted; without a zone it counts as UTC."""
    rating: float | None = None
    """The rating, on the application's scale; ``None`` where it is unknown."""
    kind: str | None = None
    """The kind of interaction, such as ``"view"``, ``"purchase"``, ``"like"`` or ``"dislike"``: any text of 1 to 64
    characters; ``None`` where events have no kinds."""

    def __post_init__(self) -> None:
        if self.user_id is not None:
            object.__setattr__(self, "user_id", check_id(self.user_id, "user id"))
        object.__setattr__(self, "item_id", check_id(self.item_id, "item id"))
        object.__setattr__(self, "time", _moment(self.time))
        object.__setattr__(self, "rating", _finite(self.rating, "an event's rating"))
        if self.kind is not None:
            object.__setattr__(self, "kind", check_kind(self.kind))

    @classmethod
    def unchecked(
        cls, user_id: Id | None, item_id: Id, time: float | None, rating: float | None, kind: str | None
    ) -> Event:
        """Create an event without checks, from values that were checked when they were stored."""
        event = object.__new__(cls)
        for put, value in zip(_EVENT_SLOTS, (user_id, item_id, time, rating, kind)):
            put(event, value)
        return event


# The setters of the fields of a frozen object, in the order of the fields.
_EVENT_SLOTS = tuple(Event.__dict__[each.name].__set__ for each in fields(Event))


class EventColumns(Sequence[Event]):
    """The events of one user, as a store reads them: kept by field, and each made when it is asked for.

    A request needs the items of hundreds of events, and rarely an event. It equals any sequence of equal events.

    Args:
        user_id: The user's id.
        item_id: The item of each event.
        time: The time of each, in seconds since 1970.
        rating: The rating of each, or ``None``.
        kind: The kind of each, or ``None``.
    """

    __slots__ = ("item_id", "kind", "rating", "time", "user_id")

    def __init__(
        self,
        user_id: Id,
        item_id: Sequence[Id],
        time: Sequence[float],
        rating: Sequence[float | None],
        kind: Sequence[str | None],
    ) -> None:
        self.user_id, self.item_id, self.time, self.rating, self.kind = user_id, item_id, time, rating, kind

    def __len__(self) -> int:
        return len(self.item_id)

    def __iter__(self) -> Iterator[Event]:
        return map(partial(Event.unchecked, self.user_id), *self._columns)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> EventColumns: ...
    def __getitem__(self, index: int | slice) -> Event | EventColumns:
        chosen: Any = [values[index] for values in self._columns]
        return (EventColumns if isinstance(index, slice) else Event.unchecked)(self.user_id, *chosen)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))

    @property
    def _columns(self) -> tuple[Sequence[Any], ...]:
        return self.item_id, self.time, self.rating, self.kind


def column(events: Sequence[Event], name: str) -> Sequence[Any]:
    """One field of each event, such as ``"item_id"``."""
    if isinstance(events, EventColumns):
        found: Sequence[Any] = getattr(events, name)
        return found
    return [*map(attrgetter(name), events)]


def check_kind(value: Any) -> str:
    """Return a kind of event as a plain ``str``.

    Raises:
        InvalidDataError: when it is not a text of 1 to 64 characters without control characters.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_KIND or not value.isprintable():
        raise InvalidDataError(
            f"the kind of an event is {shown(value)}", f"give a text of 1 to {MAX_KIND} characters, or None"
        )
    return check_text(value, "the kind of an event")


@dataclass(frozen=True, slots=True)
class Item:
    """An item: an id and a record of features and of the other fields that the application shows.

    Raises:
        InvalidDataError: for an invalid id or a feature that JSON cannot represent.

    Example:
        >>> Item(7, {"title": "Fargo", "genres": ["Crime"], "year": 1996})
    """

    id: Id | None = None
    """The item's id; ``None`` for an item that is described by its features only."""
    features: Mapping[str, JSON] = field(default_factory=dict)
    """Its record. The encoder reads the fields that the schema names; a recommendation returns all of them. Dates and
    times become ISO text, decimals floats, NumPy values Python's, as in a `Dataset`."""

    def __post_init__(self) -> None:
        if self.id is not None:
            object.__setattr__(self, "id", check_id(self.id, "item id"))
        object.__setattr__(
            self,
            "features",
            check_record(self.features, f"the features of item {self.id!r}", convert=True),
        )


@dataclass(frozen=True, slots=True)
class User:
    """A user: an id, a profile and a history, each of which may be missing, at the moment of a request.

    Raises:
        InvalidDataError: for an invalid id, a feature that JSON cannot represent, a history of other values than
            events and ids, or a time that is not valid.

    Example:
        >>> User(42, {"age": 25}, history=[7, Event(42, 9, rating=4)])
    """

    id: Id | None = None
    """The user's id; ``None`` for a visitor."""
    features: Mapping[str, JSON] = field(default_factory=dict)
    """The profile, such as ``{"gender": "F", "age": 25}``."""
    history: Sequence[Event] = ()
    """The user's events, oldest first. Item ids are accepted and become events without a time."""
    at: float | None = None
    """When something is recommended to them, as any time that `Event` takes: encoders may read the pause since the last
    event. ``None`` where it does not matter. It is not stored."""

    def __init__(
        self,
        id: Id | None = None,  # noqa: A002 - the field's own name
        features: Mapping[str, Any] | None = None,
        history: Iterable[Event | Id] = (),
        at: Any = None,
    ) -> None:
        object.__setattr__(self, "id", None if id is None else check_id(id, "user id"))
        record = check_record({} if features is None else features, f"the features of user {id!r}", convert=True)
        object.__setattr__(self, "features", record)
        object.__setattr__(self, "history", _events(self.id, history))
        object.__setattr__(self, "at", None if at is None else moment(at, "the time of a request"))

    @classmethod
    def unchecked(
        cls, user_id: Id | None, features: Mapping[str, JSON], history: Sequence[Event], at: float | None = None
    ) -> User:
        """Create a user without checks, from values that were checked when they were stored."""
        user = object.__new__(cls)
        for put, value in zip(_USER_SLOTS, (user_id, features, history, at)):
            put(user, value)
        return user


_USER_SLOTS = tuple(User.__dict__[each.name].__set__ for each in fields(User))


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a vector search."""

    id: Id
    """The item's id."""
    score: float
    """Its similarity to the query: higher is better."""

    @classmethod
    def of(cls, ids: Sequence[Id], scores: Iterable[float]) -> list[Hit]:
        """A hit for each id with its score: a search returns thousands."""
        hits = [*map(object.__new__, repeat(cls, len(ids)))]
        for put, values in zip(_HIT_SLOTS, (ids, scores)):
            deque(map(put, hits, values), maxlen=0)
        return hits


_HIT_SLOTS = tuple(Hit.__dict__[each.name].__set__ for each in fields(Hit))


def _events(user_id: Id | None, history: Any) -> tuple[Event, ...]:
    if isinstance(history, (str, bytes, Mapping)) or not isinstance(history, Iterable):
        raise InvalidDataError(
            f"a user's history must be a sequence of events or item ids, got {shown(history)}", "put it into a list"
        )
    return tuple(entry if isinstance(entry, Event) else Event(user_id, entry) for entry in history)


def _moment(value: Any) -> float | None:
    return None if value is None else moment(value, "an event's time")


def _finite(value: Any, what: str) -> float | None:
    if value is None:
        return None
    if type(value) is float and math.isfinite(value):  # the common case, before the slow look at abstract numbers
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InvalidDataError(f"{what} is {shown(value)} of type {type(value).__name__}", "give a number or None")
    try:
        number = float(value)
    except OverflowError as error:
        raise InvalidDataError(
            f"{what} is {shown(value)}, beyond what a float holds", "convert it to a smaller unit"
        ) from error
    if not math.isfinite(number):
        raise InvalidDataError(f"{what} is {value!r}", "leave it out or use None where it is unknown")
    return number
