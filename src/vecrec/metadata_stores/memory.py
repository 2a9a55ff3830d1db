"""The plain reference of a metadata store: dictionaries in this process only."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from typing import TypeAlias, TypeVar

from typing_extensions import override

from vecrec._internal.validation import integer
from vecrec.ids import Id
from vecrec.metadata_stores.base import MAX_EVENTS, EventFilter, MetadataStore, by_user, closed_error
from vecrec.records import Record
from vecrec.types import Event

__all__ = ["MemoryMetadataStore"]

_T = TypeVar("_T")

_Name: TypeAlias = tuple[Id, float | None, str | None]
"""What names an event of a user: item, time and kind."""


class MemoryMetadataStore(MetadataStore):
    """Keeps everything in this process. For tests, and for catalogues that need no engine.

    Batches are all or nothing.
    """

    db_system = "memory"
    one_process = True

    def __init__(self, *, max_events_per_user: int = 10_000) -> None:
        """An empty store that keeps the latest ``max_events_per_user`` events of each user."""
        self.max_events_per_user = integer(max_events_per_user, "max_events_per_user", low=1, high=MAX_EVENTS)
        self._records: dict[str, dict[Id, Record]] = {}
        self._events: dict[Id, dict[_Name, Event]] = {}
        self._lock = threading.RLock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemoryMetadataStore of {sum(map(len, self._records.values()))} records>"

    @override
    def ping(self) -> None:
        self._open(None)

    @override
    def close(self) -> None:
        self._closed = True

    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        with self._lock:
            self._kind(kind).update(records)

    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        with self._lock:
            held = self._kind(kind)
            return {key: copy.deepcopy(held[key]) for key in ids if key in held}

    def _delete(self, kind: str, ids: list[Id]) -> None:
        with self._lock:
            for key in ids:
                self._kind(kind).pop(key, None)

    def _scan(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]:
        with self._lock:
            held = list(self._kind(kind).items())
        return ((key, copy.deepcopy(record)) for key, record in held)

    def _count(self, kind: str) -> int:
        return len(self._kind(kind))

    def _append_events(self, events: list[Event]) -> None:
        with self._lock:
            histories = self._open(self._events)
            for user_id, theirs in by_user(events).items():
                history = histories.setdefault(user_id, {})
                history.update({(event.item_id, event.time, event.kind): event for event in theirs})
                histories[user_id] = self._latest(history, theirs)

    def _latest(self, history: dict[_Name, Event], added: list[Event]) -> dict[_Name, Event]:
        # Stable, and a dictionary keeps the order of first appending: of equal times, the first stays first.
        ordered = sorted(history.items(), key=lambda held: held[1].time or 0.0)
        over = len(ordered) - self.max_events_per_user
        if over <= 0:
            return dict(ordered)
        kept = max(reversed(added), key=lambda event: event.time or 0.0)
        return dict([held for held in ordered[: over + 1] if held[1] is kept] or ordered[over : over + 1]) | dict(
            ordered[over + 1 :]
        )

    def _recent_events(self, user_ids: list[Id], limit: int | None) -> dict[Id, list[Event]]:
        with self._lock:
            held = self._open(self._events)
            return {key: list(held[key].values())[-(limit or 0) :] for key in user_ids if key in held}

    @override
    def _read_users(
        self, kind: str, user_ids: list[Id], limit: int | None
    ) -> tuple[dict[Id, Record], dict[Id, list[Event]]]:
        with self._lock:  # of one moment
            return self._get(kind, user_ids), self._recent_events(user_ids, limit)

    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        with self._lock:
            histories = self._open(self._events)
            for key in user_ids:
                held = histories.pop(key, {})
                kept = {name: event for name, event in held.items() if only is not None and not only.matches(event)}
                if kept:
                    histories[key] = kept

    def _scan_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]:
        with self._lock:
            held = [(key, list(history.values())) for key, history in self._open(self._events).items()]
        return iter(held)

    def _kind(self, kind: str) -> dict[Id, Record]:
        return self._open(self._records).setdefault(kind, {})

    def _open(self, data: _T) -> _T:
        if self._closed:
            raise closed_error()
        return data
