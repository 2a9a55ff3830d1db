"""What the stores share about events."""

from __future__ import annotations

from collections.abc import Iterable

from vecrec.ids import Id
from vecrec.types import Event

__all__ = ["by_user", "stored_events"]


def stored_events(
    user_id: Id, items: Iterable[Id], times: Iterable[float], ratings: Iterable[float | None]
) -> list[Event]:
    """The events of one user from columns that were checked when they were written."""
    return [Event.unchecked(user_id, item, time, rating, None) for item, time, rating in zip(items, times, ratings)]


def by_user(events: Iterable[Event]) -> dict[Id, list[Event]]:
    """The events of each user, in the order given."""
    histories: dict[Id, list[Event]] = {}
    for event in events:
        if event.user_id is not None:
            histories.setdefault(event.user_id, []).append(event)
    return histories
