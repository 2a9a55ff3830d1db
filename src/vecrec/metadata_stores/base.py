"""The contract of a metadata store. `vecrec.testing.MetadataStoreTests` holds a test for each promise made here."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from vecrec._internal.connection import Connection
from vecrec.errors import InvalidDataError
from vecrec.ids import Id, check_id, check_ids
from vecrec.records import Record, check_record
from vecrec.types import Event

__all__ = ["MetadataStore", "ReportsRisks"]

_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")


class MetadataStore(Connection):
    """Records by kind and id, and the recent events of users.

    The public methods check what they are given, the same way for every store, and hand plain values to the methods
    with a leading underscore, which a store implements. What they promise:

    - A record comes back equal, each value with its type: ``1``, ``1.0``, ``True`` and ``"1"`` stay what they are.
    - Any ``int`` of 64 bits and any ``str`` up to 512 bytes is an id. Ids are distinct byte for byte: ``"abc"``,
      ``"ABC"`` and ``"abc "`` are three, and ``1`` and ``"1"`` are two.
    - Batches may have any size, also none. A call costs round trips by the batch, not by the id.
    - What one call has written, the next call reads, in this process and in any other.
    - ``put`` and ``append_events`` replace; repeating one changes nothing. Deleting what is not there is no error.
    - All of a batch is written or none of it, where the engine can; a store whose engine can't says so in its
      docstring.
    - Bad input is refused before anything is written. What the caller handed in is neither kept nor changed, and
      what a call gives is the caller's own.
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
            InvalidDataError: for an id that is none or a value that JSON cannot carry.
        """
        _check_kind(kind)
        if not isinstance(records, Mapping):
            raise InvalidDataError(f"put takes a mapping of ids to records, got {type(records).__name__}")
        plain = {check_id(key): check_record(record, f"{kind} {key!r}") for key, record in records.items()}
        if plain:
            self._put(kind, plain)

    def get(self, kind: str, ids: Sequence[Id]) -> dict[Id, Record]:
        """The records of those ids that are there, in the order of ``ids``, read in one batch."""
        _check_kind(kind)
        unique = list(dict.fromkeys(check_ids(ids)))
        found = self._get(kind, unique) if unique else {}
        return {key: found[key] for key in unique if key in found}

    def delete(self, kind: str, ids: Sequence[Id]) -> None:
        """Remove records; ids that are not there are no error."""
        _check_kind(kind)
        unique = list(dict.fromkeys(check_ids(ids)))
        if unique:
            self._delete(kind, unique)

    def scan(self, kind: str, batch_size: int = 1000) -> Iterator[tuple[Id, Record]]:
        """Every id of a kind once with its record, in any order, read ``batch_size`` at a time.

        Records that are there from before the first to after the last batch come for certain; others may.
        """
        _check_kind(kind)
        return self._scan(kind, _check_positive(batch_size, "batch_size"))

    def count(self, kind: str) -> int:
        """How many records of a kind there are."""
        _check_kind(kind)
        return self._count(kind)

    # -- events

    def append_events(self, events: Sequence[Event]) -> None:
        """Add events to their users' histories.

        User, item and time name an event: appended again, it takes the new rating and keeps its place. Histories are
        ordered by time; of equal times, the event appended first is the earlier one. A store may keep only the latest
        events of each user, as its constructor says.

        Raises:
            InvalidDataError: for something else than an event, or an event without a user or a time.
        """
        checked = [_check_event(event) for event in _check_sequence(events, "events")]
        if checked:
            # The last of an event given twice counts, at the place of the first.
            self._append_events(list({(e.user_id, e.item_id, e.time): e for e in checked}.values()))

    def recent_events(self, user_ids: Sequence[Id], limit: int | None = None) -> dict[Id, list[Event]]:
        """The latest events of each user, oldest first, read in one batch.

        Args:
            user_ids: Whose events.
            limit: At most so many for each user; ``None`` for all that are kept.

        Returns:
            A list for every given user, empty for one without events, in the order of ``user_ids``.
        """
        unique = list(dict.fromkeys(check_ids(user_ids, "user id")))
        checked = None if limit is None else _check_positive(limit, "limit")
        found = self._recent_events(unique, checked) if unique else {}
        return {key: found.get(key, []) for key in unique}

    def read_users(
        self, kind: str, user_ids: Sequence[Id], limit: int | None = None
    ) -> tuple[dict[Id, Record], dict[Id, list[Event]]]:
        """What ``get(kind, user_ids)`` and ``recent_events(user_ids, limit)`` give.

        In one round trip where the engine can.
        """
        _check_kind(kind)
        unique = list(dict.fromkeys(check_ids(user_ids, "user id")))
        checked = None if limit is None else _check_positive(limit, "limit")
        records, events = self._read_users(kind, unique, checked) if unique else ({}, {})
        return {key: records[key] for key in unique if key in records}, {key: events.get(key, []) for key in unique}

    def delete_events(self, user_ids: Sequence[Id]) -> None:
        """Remove all events of those users; users without events are no error."""
        unique = list(dict.fromkeys(check_ids(user_ids, "user id")))
        if unique:
            self._delete_events(unique)

    def scan_events(self, batch_size: int = 1000) -> Iterator[tuple[Id, list[Event]]]:
        """Every user who has events once, in any order, with the events that are kept, oldest first.

        They are read ``batch_size`` users at a time.
        """
        return self._scan_events(_check_positive(batch_size, "batch_size"))

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
    def _append_events(self, events: list[Event]) -> None: ...

    @abstractmethod
    def _recent_events(self, user_ids: list[Id], limit: int | None) -> dict[Id, list[Event]]: ...

    def _read_users(
        self, kind: str, user_ids: list[Id], limit: int | None
    ) -> tuple[dict[Id, Record], dict[Id, list[Event]]]:
        """Two batched reads; override it where the engine answers both in one round trip."""
        return self._get(kind, user_ids), self._recent_events(user_ids, limit)

    @abstractmethod
    def _delete_events(self, user_ids: list[Id]) -> None: ...

    @abstractmethod
    def _scan_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]: ...


@runtime_checkable
class ReportsRisks(Protocol):
    """A store that can tell what endangers its data. Optional."""

    def warnings(self) -> list[str]:
        """Settings of the engine that may lose what was written, each with its cure; empty when all is well."""


def _check_kind(kind: Any) -> None:
    if not isinstance(kind, str) or not _KIND.match(kind):
        raise InvalidDataError(
            f"{kind!r} is no kind of record",
            "use a lower-case letter, then up to 31 lower-case letters, digits, underscores",
        )


def _check_positive(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidDataError(f"{what} is {value!r}", "give a whole number of at least 1")
    return value


def _check_sequence(values: Any, what: str) -> Sequence[Any]:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Sequence):
        raise InvalidDataError(f"expected a sequence of {what}, got {type(values).__name__}", "put them into a list")
    return values


def _check_event(event: Any) -> Event:
    if not isinstance(event, Event):
        raise InvalidDataError(f"expected an Event, got {event!r} of type {type(event).__name__}")
    if event.user_id is None or event.time is None:
        raise InvalidDataError(f"an event to be stored needs a user and a time, got {event!r}")
    return event
