"""What the stores share about events."""

from __future__ import annotations

from collections.abc import Iterable

from vecrec.ids import Id
from vecrec.types import Event

__all__ = ["by_user", "stored_events"]


class _Unchecked:
    """The slots of an `Event` without its checks, which cost more than reading the event from an engine."""

    __slots__ = tuple(Event.__slots__)

    def __init__(self, user_id: Id, item_id: Id, time: float, rating: float | None) -> None:
        self.user_id = user_id
        self.item_id = item_id
        self.time = time
        self.rating = rating


def stored_events(
    user_id: Id, items: Iterable[Id], times: Iterable[float], ratings: Iterable[float | None]
) -> list[Event]:
    """The events of one user from columns that were checked when they were written."""
    events = [_Unchecked(user_id, item, time, rating) for item, time, rating in zip(items, times, ratings)]
    for event in events:
        event.__class__ = Event  # type: ignore[assignment]
    return events  # type: ignore[return-value]


def by_user(events: Iterable[Event]) -> dict[Id, list[Event]]:
    """The events of each user, in the order given."""
    histories: dict[Id, list[Event]] = {}
    for event in events:
        if event.user_id is not None:
            histories.setdefault(event.user_id, []).append(event)
    return histories
