"""The interface of a metadata store. `vecrec.testing.MetadataStoreTests` has a test for each promise."""

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
from vecrec.errors import InvalidDataError, StoreError, shown
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
    """A condition on the events of a user: an event matches when it meets every condition that is given."""

    item_ids: frozenset[Id] | None = None
    """Only events with these items; ``None`` for all items."""
    kinds: frozenset[str | None] | None = None
    """Only events of these kinds, where ``None`` stands for events without a kind; ``None`` for all kinds."""
    time: float | None = None
    """Only events of this time; ``None`` for all times."""

    @classmethod
    def of(cls, item_ids: Any, kinds: Any, time: Any) -> EventFilter | None:
        """Build the filter from the arguments of `MetadataStore.delete_events`; ``None`` when all are ``None``.

        Raises:
            InvalidDataError: for an id, a kind or a time that is not valid.
        """
        if item_ids is None and kinds is None and time is None:
            return None
        items = None if item_ids is None else frozenset(check_ids(item_ids, "item id"))
        if isinstance(kinds, str) or not (kinds is None or isinstance(kinds, Iterable)):
            raise InvalidDataError(f"expected a sequence of kinds, got {shown(kinds)}", "put it into a list")
        checked = None if kinds is None else frozenset(None if kind is None else check_kind(kind) for kind in kinds)
        return cls(items, checked, None if time is None else number(time, "time") + 0.0)

    def matches(self, event: Event) -> bool:
        """Whether an event meets every condition."""
        return (
            (self.item_ids is None or event.item_id in self.item_ids)
            and (self.kinds is None or event.kind in self.kinds)
            and (self.time is None or event.time == self.time)
        )


class MetadataStore(Connection):
    """Records by kind and id, and the recent events of users.

    The public methods check their arguments in the same way for every store and pass plain values to the methods with a
    leading underscore, which a store implements. They promise:

    - A record is read back equal, each value with its type: ``1``, ``1.0``, ``True`` and ``"1"`` stay distinct.
    - Any ``int`` of 64 bits and any ``str`` up to 512 bytes is an id. Ids are distinct byte for byte: ``"abc"``,
      ``"ABC"`` and ``"abc "`` are three ids, ``1`` and ``"1"`` are two.
    - A batch may have any size and may be empty. The round trips of a call do not grow with the number of ids.
    - A call reads what earlier calls have written, in this process and in any other.
    - ``put`` and ``append_events`` are idempotent. Deleting a missing record or event is not an error.
    - A user, an item, a time and a kind together name one event.
    - A batch is written completely or not at all where the engine can do so. A store whose engine cannot says so in
      its docstring.
    - Invalid input is refused before anything is written. The store neither keeps nor changes the caller's values, and
      the caller may change what a call returns.
    - Engine errors surface as `vecrec.errors.StoreError` and its subclasses, within the store's timeout.
    - An engine that does not answer is waited for once: after that calls fail at once, until it answers a probe.
    - A store may be used from several threads. ``close`` may be called twice; after it every call raises `StoreError`.
    """

    # -- records

    def put(self, kind: str, records: Mapping[Id, Mapping[str, Any]]) -> None:
        """Write whole records by id. They replace the records that the ids had.

        Args:
            kind: The kind of record, such as ``"item"``: a lower-case letter, then up to 31 lower-case letters, digits
                and underscores.
            records: JSON objects by id. Tuples and arrays in them become lists, NumPy scalars Python values.

        Raises:
            InvalidDataError: for an invalid kind, an invalid id or a value that JSON cannot represent.

        Example:
            >>> store.put("item", {1: {"title": "Fargo", "genres": ["Crime"]}})
        """
        _check_kind(kind)
        if not isinstance(records, Mapping):
            raise InvalidDataError(
                f"put takes a mapping of ids to records, got {type(records).__name__}", "give {id: record, ...}"
            )
        plain = {check_id(key): check_record(record, f"{kind} {key!r}") for key, record in records.items()}
        if plain:
            self._asked(self._put, kind, plain)

    def get(self, kind: str, ids: Sequence[Id]) -> dict[Id, Record]:
        """Return the records of some ids, read in one batch.

        Args:
            kind: The kind of record, as for `put`.
            ids: Any number of ids.

        Returns:
            The records by id, in the order of ``ids``. Ids without a record are left out.

        Raises:
            InvalidDataError: for an invalid kind or id.
        """
        _check_kind(kind)
        unique = list(dict.fromkeys(check_ids(ids)))
        if not unique:
            return {}
        found = self._asked(self._get, kind, unique)
        return {key: found[key] for key in unique if key in found}

    def delete(self, kind: str, ids: Sequence[Id]) -> None:
        """Remove records. Ids without a record are not an error.

        Raises:
            InvalidDataError: for an invalid kind or id.
        """
        _check_kind(kind)
        unique = list(dict.fromkeys(check_ids(ids)))
        if unique:
            self._asked(self._delete, kind, unique)

    def scan(self, kind: str, batch_size: int = 1000) -> Iterator[tuple[Id, Record]]:
        """Iterate over every id of a kind once with its record, in any order.

        A record that exists from before the first batch until after the last one is always among them. A record that is
        written or deleted meanwhile may be missing.

        Args:
            kind: The kind of record, as for `put`.
            batch_size: How many records are read at a time, at least 1.

        Raises:
            InvalidDataError: for an invalid kind or batch size; raised by the call, not by the iteration.
        """
        _check_kind(kind)
        size = integer(batch_size, "batch_size", low=1)
        return self._guarded(self._asked(self._scan, kind, size))

    def count(self, kind: str) -> int:
        """Return the number of records of a kind.

        Raises:
            InvalidDataError: for an invalid kind.
        """
        _check_kind(kind)
        return self._asked(self._count, kind)

    # -- events

    def append_events(self, events: Sequence[Event]) -> None:
        """Add events to their users' histories.

        - A user, an item, a time and a kind name one event. An event that is appended again takes the new rating and
          keeps its place. Of an event that is given twice in one call, the last one counts, at the place of the last.
        - A history is ordered by time. Events of equal times keep the order in which they were appended, within a call
          and between calls.
        - A store may keep only the latest events of each user, as its constructor says. It then drops the oldest, but
          never the latest event of this call: the next call reads a click even when the client's clock is slow.

        Args:
            events: Events of any users, each with a user and a time.

        Raises:
            InvalidDataError: for a value that is not an event, or an event without a user or a time.

        Example:
            >>> store.append_events([Event(42, 7, time=1_700_000_000, kind="view")])
        """
        checked = [_check_event(event) for event in _check_sequence(events, "events")]
        if checked:
            last: dict[tuple[Any, ...], Event] = {}
            for event in checked:
                name = (event.user_id, event.item_id, event.time, event.kind)
                last.pop(name, None)
                last[name] = event
            self._asked(self._append_events, list(last.values()))

    def recent_events(self, user_ids: Sequence[Id], limit: int | None = None) -> dict[Id, list[Event]]:
        """Return the latest events of each user, oldest first, read in one batch.

        Args:
            user_ids: The users whose events are read.
            limit: The most events of each user, at least 1; ``None`` for all that are kept.

        Returns:
            A list for every given user, in the order of ``user_ids``; empty for a user without events.

        Raises:
            InvalidDataError: for an invalid id or limit.
        """
        unique = list(dict.fromkeys(check_ids(user_ids, "user id")))
        checked = None if limit is None else integer(limit, "limit", low=1)
        if not unique:
            return {}
        found = self._asked(self._recent_events, unique, checked)
        return {key: found.get(key, []) for key in unique}

    def read_users(
        self, kind: str, user_ids: Sequence[Id], limit: int | None = None
    ) -> tuple[dict[Id, Record], dict[Id, Sequence[Event]]]:
        """Return what ``get(kind, user_ids)`` and ``recent_events(user_ids, limit)`` return.

        It takes one round trip where the engine can answer both at once.

        Args:
            kind: The kind of the users' records, as for `put`.
            user_ids: The users to read.
            limit: The most events of each user, at least 1; ``None`` for all that are kept.

        Returns:
            The records by id, and for every given user the events: a list, or a sequence that makes each when it is
            asked for.

        Raises:
            InvalidDataError: for an invalid kind, id or limit.
        """
        _check_kind(kind)
        unique = list(dict.fromkeys(check_ids(user_ids, "user id")))
        checked = None if limit is None else integer(limit, "limit", low=1)
        if not unique:
            return {}, {}
        records, events = self._asked(self._read_users, kind, unique, checked)
        return {key: records[key] for key in unique if key in records}, {key: events.get(key, []) for key in unique}

    def delete_events(
        self,
        user_ids: Sequence[Id],
        *,
        item_ids: Sequence[Id] | None = None,
        kinds: Sequence[str | None] | None = None,
        time: float | None = None,
    ) -> None:
        """Remove events of some users: all of them, or those that meet every condition given.

        A user without events left is no longer returned by `scan_events`. Missing users and events are not an error.

        Args:
            user_ids: The users whose events are removed.
            item_ids: Only events with these items; ``None`` for all items.
            kinds: Only events of these kinds, where ``None`` stands for events without a kind; ``None`` instead of a
                sequence for all kinds.
            time: Only events of this time, in seconds since 1970; ``None`` for all times.

        Raises:
            InvalidDataError: for an id, a kind or a time that is not valid.

        Example:
            >>> store.delete_events([42], item_ids=[7], kinds=["like"])  # user 42 no longer likes item 7
        """
        unique = list(dict.fromkeys(check_ids(user_ids, "user id")))
        only = EventFilter.of(item_ids, kinds, time)
        # An empty list of items or kinds selects nothing.
        if unique and (only is None or (only.item_ids != frozenset() and only.kinds != frozenset())):
            self._asked(self._delete_events, unique, only)

    def scan_events(self, batch_size: int = 1000) -> Iterator[tuple[Id, list[Event]]]:
        """Iterate over every user with events once, in any order, with the kept events, oldest first.

        Users without a record are included.

        Args:
            batch_size: How many users are read at a time, at least 1.

        Raises:
            InvalidDataError: for an invalid batch size; raised by the call, not by the iteration.
        """
        size = integer(batch_size, "batch_size", low=1)
        return self._guarded(self._asked(self._scan_events, size))

    # -- what a store implements; the arguments are checked, ids are unique, batches are not empty

    @abstractmethod
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        """Write records. They replace the records that the ids had.

        Values must be read back equal and with their types: ``1``, ``1.0`` and ``True`` stay distinct.

        Args:
            kind: The kind of record.
            records: JSON objects by id. Copies that the store may keep.
        """

    @abstractmethod
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        """Return the records of the given ids, read in one batch.

        Returns:
            The records by id, in any order. Ids without a record are left out.
        """

    @abstractmethod
    def _delete(self, kind: str, ids: list[Id]) -> None:
        """Remove records. Ids without a record are not an error."""

    @abstractmethod
    def _scan(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]:
        """Iterate over every id of a kind once with its record, in any order, read ``batch_size`` at a time.

        Records that exist from the first batch to the last must be among them.
        """

    @abstractmethod
    def _count(self, kind: str) -> int:
        """Return the number of records of a kind."""

    @abstractmethod
    def _append_events(self, events: list[Event]) -> None:
        """Add events to their users' histories, ordered by time.

        - Of equal times, the event that was appended first comes first.
        - An event that exists already takes the new rating and keeps its place.
        - A store may keep only the latest events of each user.

        Args:
            events: No two of them have the same user, item, time and kind.
        """

    @abstractmethod
    def _recent_events(self, user_ids: list[Id], limit: int | None) -> dict[Id, list[Event]]:
        """Return the latest ``limit`` events of each user, oldest first, read in one batch.

        Args:
            user_ids: The users to read.
            limit: At least 1; ``None`` for all events that are kept.

        Returns:
            The events by user. Users without events may be left out.
        """

    def _read_users(
        self, kind: str, user_ids: list[Id], limit: int | None
    ) -> tuple[dict[Id, Record], Mapping[Id, Sequence[Event]]]:
        """Return what `_get` and `_recent_events` return.

        The events of a user may be `vecrec.types.EventColumns`, which saves making hundreds of which one is read. The
        default makes two batched reads. Override it where the engine answers both in one round trip.
        """
        return self._get(kind, user_ids), self._recent_events(user_ids, limit)

    @abstractmethod
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        """Remove the events of the given users that ``only`` matches; all of them where it is ``None``."""

    @abstractmethod
    def _scan_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]:
        """Iterate over every user with events once, in any order, with the kept events, oldest first."""


@dataclass(frozen=True)
class Risk:
    """A setting of an engine that may lose written data."""

    problem: str
    """What is wrong, with the engine's address and the setting."""
    cure: str
    """What to do next."""

    def __str__(self) -> str:
        return f"{self.problem}: {self.cure}"


@runtime_checkable
class ReportsRisks(Protocol):
    """A store that can report settings of its engine that may lose data. Optional."""

    def warnings(self) -> list[Risk]:
        """Return the settings of the engine that may lose written data; an empty list where all are safe."""


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
        InvalidDataError: for any other value.
    """
    return number(value, name, above=0, high=86_400)


def closed_error() -> StoreError:
    """The error of a call after ``close``."""
    return StoreError("this metadata store was closed", "create a new one")


def read_records(kind: str, ids: Sequence[Id], texts: Sequence[str]) -> dict[Id, Record]:
    """The records of ids from their JSON texts.

    A text that is not a JSON object was changed by another program. It is logged and left out: one such record
    must not fail the reads of others.
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
            f"{shown(kind)} is not a valid kind of record",
            "use a lower-case letter, then up to 31 lower-case letters, digits, underscores",
        )


def _check_sequence(values: Any, what: str) -> Sequence[Any]:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Sequence):
        raise InvalidDataError(f"expected a sequence of {what}, got {type(values).__name__}", "put them into a list")
    return values


def _check_event(event: Any) -> Event:
    if not isinstance(event, Event):
        raise InvalidDataError(
            f"expected an Event, got {shown(event)} of type {type(event).__name__}",
            "give Event(user_id, item_id, time)",
        )
    if event.user_id is None or event.time is None:
        raise InvalidDataError(
            f"an event to be stored needs a user and a time, got {event!r}", "give Event(user_id, item_id, time)"
        )
    return event
