"""The contract of a metadata store. `vecrec.testing.MetadataStoreTests` holds a test for each promise made here."""

from __future__ import annotations

import json
import logging
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from vecrec._internal.connection import Connection
from vecrec._internal.validation import integer, number
from vecrec.errors import InvalidDataError, StoreError
from vecrec.ids import Id, check_id, check_ids
from vecrec.records import Record, check_record
from vecrec.types import Event, check_kind

__all__ = ["EventFilter", "MetadataStore", "ReportsRisks", "Risk"]

MAX_EVENTS = 10_000_000
"""The most events that a store may keep of a user."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class EventFilter:
    """Which events of a user a deletion is about: those that agree with everything that is given."""

    item_ids: frozenset[Id] | None = None
    """Only events with these items; ``None`` for all items."""
    kinds: frozenset[str | None] | None = None
    """Only events of these kinds, where ``None`` stands for events without a kind; ``None`` for all kinds."""
    time: float | None = None
    """Only events of this time; ``None`` for all times."""

    @classmethod
    def of(cls, item_ids: Any, kinds: Any, time: Any) -> EventFilter | None:
        """The filter of the arguments of `MetadataStore.delete_events`; ``None`` where all of them are ``None``.

        Raises:
            InvalidDataError: for an id, a kind or a time that is not valid.
        """
        if item_ids is None and kinds is None and time is None:
            return None
        items = None if item_ids is None else frozenset(check_ids(item_ids, "item id"))
        if isinstance(kinds, str) or not (kinds is None or isinstance(kinds, Iterable)):
            raise InvalidDataError(f"expected a sequence of kinds, got {kinds!r}", "put it into a list")
        checked = None if kinds is None else frozenset(None if kind is None else check_kind(kind) for kind in kinds)
        return cls(items, checked, None if time is None else number(time, "time") + 0.0)

    def matches(self, event: Event) -> bool:
        """Whether an event is one of those."""
        return (
            (self.item_ids is None or event.item_id in self.item_ids)
            and (self.kinds is None or event.kind in self.kinds)
            and (self.time is None or event.time == self.time)
        )


class MetadataStore(Connection):
    """Records by kind and id, and the recent events of users.

    The public methods check what they are given, the same way for every store, and hand plain values to the methods
    with a leading underscore, which a store implements. What they promise:

    - A record comes back equal, each value with its type: ``1``, ``1.0``, ``True`` and ``"1"`` stay what they are.
    - Any ``int`` of 64 bits and any ``str`` up to 512 bytes is an id. Ids are distinct byte for byte: ``"abc"``,
      ``"ABC"`` and ``"abc "`` are three, and ``1`` and ``"1"`` are two.
    - Batches may have any size, also none. A call costs round trips by the batch, not by the id.
    - What one call has written, the next call reads, in this process and in any other.
    - ``put`` and ``append_events`` replace; repeating one changes nothing. Deleting what is missing is not an error.
    - A user, an item, a time and a kind together name one event.
    - All of a batch is written or none of it, where the engine can; a store whose engine cannot says so in its
      docstring.
    - Invalid input is refused before anything is written. What the caller passes is neither kept nor changed, and
      what a call returns is the caller's own.
    - Engine errors surface as `vecrec.errors.StoreError` and its subclasses, within the store's timeout.
    - A store may be used from several threads. ``close`` may be called twice; after it every call raises `StoreError`.
    """

    # -- records

    def put(self, kind: str, records: Mapping[Id, Mapping[str, Any]]) -> None:
        """Write whole records by id, replacing what was there.

        Args:
            kind: The family of records, such as ``"item"``: a lower-case letter, then up to 31 lower-case letters,
                digits, underscores.
            records: JSON objects by id. Tuples and arrays in them become lists, NumPy scalars Python values.

        Raises:
            InvalidDataError: for an invalid id or a value that JSON cannot carry.
        """
        _check_kind(kind)
        if not isinstance(records, Mapping):
            raise InvalidDataError(
                f"put takes a mapping of ids to records, got {type(records).__name__}", "give {id: record, ...}"
            )
        plain = {check_id(key): check_record(record, f"{kind} {key!r}") for key, record in records.items()}
        if plain:
            self._put(kind, plain)

    def get(self, kind: str, ids: Sequence[Id]) -> dict[Id, Record]:
        """The records of some ids, in the order of ``ids``, read in one batch; ids without a record are left out."""
        _check_kind(kind)
        unique = list(dict.fromkeys(check_ids(ids)))
        found = self._get(kind, unique) if unique else {}
        return {key: found[key] for key in unique if key in found}

    def delete(self, kind: str, ids: Sequence[Id]) -> None:
        """Remove records; ids without a record are not an error."""
        _check_kind(kind)
        unique = list(dict.fromkeys(check_ids(ids)))
        if unique:
            self._delete(kind, unique)

    def scan(self, kind: str, batch_size: int = 1000) -> Iterator[tuple[Id, Record]]:
        """Every id of a kind once with its record, in any order, read ``batch_size`` at a time.

        Records that exist from before the first batch to after the last one are certain to be among them; others may.
        """
        _check_kind(kind)
        return self._scan(kind, integer(batch_size, "batch_size", low=1))

    def count(self, kind: str) -> int:
        """How many records of a kind there are."""
        _check_kind(kind)
        return self._count(kind)

    # -- events

    def append_events(self, events: Sequence[Event]) -> None:
        """Add events to their users' histories.

        - A user, an item, a time and a kind name one event. Appended again, it takes the new rating and keeps its
          place. Of an event that stands twice in one call, the last one counts, at the last one's place.
        - A history is ordered by time. Events of equal times keep the order in which they were appended, within a call
          and between calls.
        - A store may keep only the latest events of each user, as its constructor says. Then the oldest are dropped,
          but never the latest event of this call: a click from a clock that is behind is read by the next call.

        Raises:
            InvalidDataError: for something else than an event, or an event without a user or a time.
        """
        checked = [_check_event(event) for event in _check_sequence(events, "events")]
        if checked:
            last: dict[tuple[Any, ...], Event] = {}
            for event in checked:
                name = (event.user_id, event.item_id, event.time, event.kind)
                last.pop(name, None)
                last[name] = event
            self._append_events(list(last.values()))

    def recent_events(self, user_ids: Sequence[Id], limit: int | None = None) -> dict[Id, list[Event]]:
        """The latest events of each user, oldest first, read in one batch.

        Args:
            user_ids: Whose events.
            limit: At most so many for each user; ``None`` for all that are kept.

        Returns:
            A list for every given user, empty for one without events, in the order of ``user_ids``.
        """
        unique = list(dict.fromkeys(check_ids(user_ids, "user id")))
        checked = None if limit is None else integer(limit, "limit", low=1)
        found = self._recent_events(unique, checked) if unique else {}
        return {key: found.get(key, []) for key in unique}

    def read_users(
        self, kind: str, user_ids: Sequence[Id], limit: int | None = None
    ) -> tuple[dict[Id, Record], dict[Id, list[Event]]]:
        """What ``get(kind, user_ids)`` and ``recent_events(user_ids, limit)`` return.

        It costs one round trip where the engine can.
        """
        _check_kind(kind)
        unique = list(dict.fromkeys(check_ids(user_ids, "user id")))
        checked = None if limit is None else integer(limit, "limit", low=1)
        records, events = self._read_users(kind, unique, checked) if unique else ({}, {})
        return {key: records[key] for key in unique if key in records}, {key: events.get(key, []) for key in unique}

    def delete_events(
        self,
        user_ids: Sequence[Id],
        *,
        item_ids: Sequence[Id] | None = None,
        kinds: Sequence[str | None] | None = None,
        time: float | None = None,
    ) -> None:
        """Remove events of some users: all of them, or those that agree with every condition given.

        A user whose last event goes is no longer among those of `scan_events`. Users and events that are missing are
        not an error. ``store.delete_events([42], item_ids=[7], kinds=["like"])`` takes back user 42's like of item 7.

        Args:
            user_ids: Whose events.
            item_ids: Only events with these items; ``None`` for all items.
            kinds: Only events of these kinds; ``None`` among them stands for events without a kind. ``None`` instead of
                a sequence for all kinds.
            time: Only events of this time, in seconds since 1970; ``None`` for all times.

        Raises:
            InvalidDataError: for an id, a kind or a time that is not valid.
        """
        unique = list(dict.fromkeys(check_ids(user_ids, "user id")))
        only = EventFilter.of(item_ids, kinds, time)
        # An empty list of items or kinds selects nothing.
        if unique and (only is None or (only.item_ids != frozenset() and only.kinds != frozenset())):
            self._delete_events(unique, only)

    def scan_events(self, batch_size: int = 1000) -> Iterator[tuple[Id, list[Event]]]:
        """Every user who has events once, in any order, with the events that are kept, oldest first.

        Users without a record are among them: this is how to find those who have only events. The events are read
        ``batch_size`` users at a time.
        """
        return self._scan_events(integer(batch_size, "batch_size", low=1))

    # -- what a store implements; the arguments are checked, ids are unique, batches are not empty

    @abstractmethod
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        """The records are copies that the store may keep."""

    @abstractmethod
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]: ...

    @abstractmethod
    def _delete(self, kind: str, ids: list[Id]) -> None: ...

    @abstractmethod
    def _scan(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]: ...

    @abstractmethod
    def _count(self, kind: str) -> int: ...

    @abstractmethod
    def _append_events(self, events: list[Event]) -> None:
        """No two of the events have the same user, item, time and kind."""

    @abstractmethod
    def _recent_events(self, user_ids: list[Id], limit: int | None) -> dict[Id, list[Event]]: ...

    def _read_users(
        self, kind: str, user_ids: list[Id], limit: int | None
    ) -> tuple[dict[Id, Record], dict[Id, list[Event]]]:
        """Two batched reads; override it where the engine answers both in one round trip."""
        return self._get(kind, user_ids), self._recent_events(user_ids, limit)

    @abstractmethod
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        """Remove the events that ``only`` matches; all of them where it is ``None``."""

    @abstractmethod
    def _scan_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]: ...


@dataclass(frozen=True)
class Risk:
    """Something about an engine's settings that may lose what was written."""

    problem: str
    """What is wrong, with the engine's address and the setting."""
    cure: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"{self.problem}: {self.cure}"


@runtime_checkable
class ReportsRisks(Protocol):
    """A store that can report what endangers its data. Optional."""

    def warnings(self) -> list[Risk]:
        """Settings of the engine that may lose what was written; empty where there are none."""


# -- what the stores share


def by_user(events: Iterable[Event]) -> dict[Id, list[Event]]:
    """The events of each user, in the order given."""
    histories: dict[Id, list[Event]] = {}
    for event in events:
        if event.user_id is not None:
            histories.setdefault(event.user_id, []).append(event)
    return histories


def seconds(value: Any, name: str) -> float:
    """A duration in seconds, more than 0 and at most a day.

    Raises:
        InvalidDataError: for anything else.
    """
    return number(value, name, above=0, high=86_400)


def closed_error() -> StoreError:
    """The error of a call after ``close``."""
    return StoreError("this metadata store was closed", "make a new one")


def read_records(kind: str, ids: Sequence[Id], texts: Sequence[str]) -> dict[Id, Record]:
    """The records of ids from their JSON texts.

    A text that is not a JSON object was changed by another program. It is left out, as if there were no record, and
    logged: one such record must not fail the reads of others.
    """
    try:
        # One call of the parser for all: its start costs as much as a small record.
        records = json.loads(f"[{','.join(texts)}]")
    except ValueError:
        records = []
    if len(records) == len(ids) and all(type(record) is dict for record in records):
        return dict(zip(ids, records))
    parsed = {key: _record(kind, key, text) for key, text in zip(ids, texts)}
    return {key: record for key, record in parsed.items() if record is not None}


def _record(kind: str, key: Id, text: str) -> Record | None:
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    if isinstance(record, dict):
        return record
    _LOG.warning("the record of %s %r is not a JSON object and is left out: put it again (%.60r)", kind, key, text)
    return None


def _check_kind(kind: Any) -> None:
    if not isinstance(kind, str) or not _KIND.match(kind):
        raise InvalidDataError(
            f"{kind!r} is not a valid kind of record",
            "use a lower-case letter, then up to 31 lower-case letters, digits, underscores",
        )


def _check_sequence(values: Any, what: str) -> Sequence[Any]:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Sequence):
        raise InvalidDataError(f"expected a sequence of {what}, got {type(values).__name__}", "put them into a list")
    return values


def _check_event(event: Any) -> Event:
    if not isinstance(event, Event):
        raise InvalidDataError(
            f"expected an Event, got {event!r} of type {type(event).__name__}", "make an Event of it, Event(...)"
        )
    if event.user_id is None or event.time is None:
        raise InvalidDataError(
            f"an event to be stored needs a user and a time, got {event!r}", "give Event(user_id, item_id, time)"
        )
    return event
