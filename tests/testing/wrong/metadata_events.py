"""Metadata stores that are wrong about events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from typing_extensions import override

from tests.testing.references import SharedMetadataStore
from tests.testing.wrong import caught_by
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.metadata_stores import EventFilter
from vecrec.records import Record
from vecrec.types import Event


class _Append(SharedMetadataStore):
    """Bends events on their way to the engine."""

    def bend(self, event: Event) -> Event:
        raise NotImplementedError

    @override
    def _append_events(self, events: list[Event]) -> None:
        super()._append_events([self.bend(event) for event in events])


class _Read(SharedMetadataStore):
    """Bends a history when it is read."""

    def bend(self, history: list[Event], limit: int | None) -> list[Event]:
        raise NotImplementedError

    @override
    def _recent_events(self, user_ids: list[Id], limit: int | None) -> dict[Id, list[Event]]:
        found = super()._recent_events(user_ids, None)
        return {user: self.bend(history, limit) for user, history in found.items()}


@caught_by("test_events_come_back_oldest_first")
class NewestFirst(_Read):
    @override
    def bend(self, history: list[Event], limit: int | None) -> list[Event]:
        return history[::-1][:limit]


@caught_by("test_events_come_back_oldest_first")
class AsAppended(SharedMetadataStore):
    @override
    def _append_events(self, events: list[Event]) -> None:
        for event in events:
            assert event.user_id is not None
            self._events.setdefault(event.user_id, {})[event.item_id, event.time, event.kind] = event


@caught_by("test_events_come_back_with_their_types")
class NoRatingIsZero(_Append):
    @override
    def bend(self, event: Event) -> Event:
        return replace(event, rating=event.rating or 0.0)


@caught_by("test_events_come_back_with_their_types")
class TimesInMilliseconds(_Append):
    @override
    def bend(self, event: Event) -> Event:
        return replace(event, time=round(event.time or 0.0, 3))


@caught_by("test_events_come_back_with_their_types")
class ItemsAsText(_Append):
    @override
    def bend(self, event: Event) -> Event:
        return replace(event, item_id=str(event.item_id))


@caught_by("test_events_come_back_with_their_types")
class KindsLost(_Append):
    @override
    def bend(self, event: Event) -> Event:
        return replace(event, kind=None)


@caught_by("test_events_come_back_with_their_types")
class ReadUsersLosesKinds(SharedMetadataStore):
    @override
    def _read_users(
        self, kind: str, user_ids: list[Id], limit: int | None
    ) -> tuple[dict[Id, Record], dict[Id, list[Event]]]:
        records, events = super()._read_users(kind, user_ids, limit)
        return records, {user: [replace(e, kind=None) for e in history] for user, history in events.items()}


@caught_by("test_other_kinds_are_other_events")
class OneEventAnItemAndTime(_Read):
    @override
    def bend(self, history: list[Event], limit: int | None) -> list[Event]:
        kept = list({(event.item_id, event.time): event for event in history}.values())
        return kept[-limit:] if limit else kept


@caught_by("test_other_kinds_are_other_events")
class KindsFolded(_Append):
    @override
    def bend(self, event: Event) -> Event:
        return replace(event, kind=event.kind.strip().lower()) if event.kind else event


@caught_by("test_the_latest_event_of_a_call_is_kept")
class CutsTheNewest(SharedMetadataStore):
    @override
    def _append_events(self, events: list[Event]) -> None:
        super()._append_events(events)
        for user, history in self._events.items():
            latest = max((e.time or 0.0 for e in events if e.user_id == user), default=0.0)
            if len(history) == self.max_events_per_user and next(iter(history))[1] == latest:
                self._events[user] = dict(list(history.items())[1:])


@caught_by("test_deleting_some_events_leaves_the_others")
class DeletesWithoutCondition(SharedMetadataStore):
    @override
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        super()._delete_events(user_ids, None)


@caught_by("test_deleting_some_events_leaves_the_others")
class DeletesByItemOnly(SharedMetadataStore):
    @override
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        super()._delete_events(user_ids, only and replace(only, kinds=None, time=None))


@caught_by("test_deleting_some_events_leaves_the_others")
class DeletesOneEventMore(SharedMetadataStore):
    @override
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        super()._delete_events(user_ids, only)
        for user in user_ids:
            if self._events.get(user):
                self._events[user].popitem()


@caught_by("test_deleting_some_events_leaves_the_others")
class NoKindIsAnyKind(SharedMetadataStore):
    @override
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        any_kind = only is not None and only.kinds is not None and None in only.kinds
        super()._delete_events(user_ids, replace(only, kinds=None) if any_kind and only else only)


@caught_by("test_deleting_the_last_event_leaves_no_history")
class LeavesEmptyHistories(SharedMetadataStore):
    @override
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        held = [user for user in user_ids if user in self._events]
        super()._delete_events(user_ids, only)
        if only is not None:
            for user in held:
                self._events.setdefault(user, {})


@caught_by("test_of_equal_times_the_first_appended_is_the_earlier")
class TiesByItem(_Read):
    @override
    def bend(self, history: list[Event], limit: int | None) -> list[Event]:
        ordered = sorted(history, key=lambda event: (event.time, str(event.item_id)))
        return ordered[-limit:] if limit else ordered


@caught_by("test_an_event_appended_again_keeps_its_place")
class AppendedAgainMoves(SharedMetadataStore):
    @override
    def _append_events(self, events: list[Event]) -> None:
        for event in events:
            assert event.user_id is not None
            self._events.get(event.user_id, {}).pop((event.item_id, event.time, event.kind), None)
        super()._append_events(events)


@caught_by("test_an_event_appended_again_keeps_its_place")
class KeepsTheFirstRating(SharedMetadataStore):
    @override
    def _append_events(self, events: list[Event]) -> None:
        held = {(user, *event) for user, history in self._events.items() for event in history}
        super()._append_events([e for e in events if (e.user_id, e.item_id, e.time, e.kind) not in held])


@caught_by("test_other_items_and_times_are_other_events")
class OneEventAnItem(_Read):
    @override
    def bend(self, history: list[Event], limit: int | None) -> list[Event]:
        kept = list({event.item_id: event for event in history}.values())
        return kept[-limit:] if limit else kept


@caught_by("test_repeating_an_append_changes_nothing")
class AppendsAlways(SharedMetadataStore):
    @override
    def _append_events(self, events: list[Event]) -> None:
        for event in events:
            assert event.user_id is not None
            history = self._events.setdefault(event.user_id, {})
            history[len(history), event.time, event.kind] = event


@caught_by("test_the_last_of_an_event_given_twice_counts")
class FirstOfTwiceCounts(SharedMetadataStore):
    @override
    def append_events(self, events: Sequence[Event]) -> None:
        if isinstance(events, list) and all(isinstance(event, Event) for event in events):
            events = list({(e.item_id, e.time, e.user_id): e for e in events[::-1]}.values())[::-1]
        super().append_events(events)


@caught_by("test_the_last_of_an_event_given_twice_counts")
class PlaceOfTheFirst(SharedMetadataStore):
    @override
    def append_events(self, events: Sequence[Event]) -> None:
        if isinstance(events, list) and all(isinstance(event, Event) for event in events):
            events = list({(e.user_id, e.item_id, e.time, e.kind): e for e in events}.values())
        super().append_events(events)


@caught_by("test_a_limit_gives_the_latest")
class LimitGivesTheOldest(_Read):
    @override
    def bend(self, history: list[Event], limit: int | None) -> list[Event]:
        return history[:limit]


@caught_by("test_a_limit_gives_the_latest")
class LimitForAllUsers(SharedMetadataStore):
    @override
    def _recent_events(self, user_ids: list[Id], limit: int | None) -> dict[Id, list[Event]]:
        found = super()._recent_events(user_ids, limit)
        latest = sorted((event for history in found.values() for event in history), key=lambda e: e.time or 0.0)
        kept = latest[-limit:] if limit else latest
        return {user: [event for event in history if event in kept] for user, history in found.items()}


@caught_by("test_every_user_asked_for_has_a_list")
class OmitsUsersWithoutEvents(SharedMetadataStore):
    @override
    def recent_events(self, user_ids: Sequence[Id], limit: int | None = None) -> dict[Id, list[Event]]:
        return {user: events for user, events in super().recent_events(user_ids, limit).items() if events}


@caught_by("test_every_string_and_integer_names_a_user")
class UsersFolded(_Append):
    @override
    def bend(self, event: Event) -> Event:
        return replace(event, user_id=event.user_id.lower()) if isinstance(event.user_id, str) else event


@caught_by("test_every_string_and_integer_names_a_user")
class UsersAsText(_Append):
    @override
    def bend(self, event: Event) -> Event:
        return replace(event, user_id=str(event.user_id))


@caught_by("test_every_string_and_integer_names_an_item")
class ItemsFolded(_Append):
    @override
    def bend(self, event: Event) -> Event:
        return replace(event, item_id=event.item_id.strip()) if isinstance(event.item_id, str) else event


@caught_by("test_batches_of_events_may_have_any_size")
class LosesTheLastOfABatch(SharedMetadataStore):
    @override
    def _append_events(self, events: list[Event]) -> None:
        super()._append_events(events[: max(1, len(events) - 1)])


@caught_by("test_batches_of_events_may_have_any_size")
class AppendsAThousand(SharedMetadataStore):
    @override
    def _append_events(self, events: list[Event]) -> None:
        super()._append_events(events[:1000])


@caught_by("test_the_latest_events_are_kept")
class KeepsTheFirstEvents(SharedMetadataStore):
    @override
    def _append_events(self, events: list[Event]) -> None:
        room = {user: self.max_events_per_user - len(history) for user, history in self._events.items()}
        for event in events:
            assert event.user_id is not None
            room.setdefault(event.user_id, self.max_events_per_user)
            room[event.user_id] -= 1
            if room[event.user_id] >= 0:
                super()._append_events([event])


@caught_by("test_the_latest_events_are_kept")
class KeepsTooFew(SharedMetadataStore):
    def __init__(self) -> None:
        super().__init__()
        self.max_events_per_user = 100


@caught_by("test_deleting_events_leaves_other_users_alone")
class DeletesAllEvents(SharedMetadataStore):
    @override
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        self._events.clear()


@caught_by("test_deleting_events_leaves_other_users_alone")
class DeletesTheRecordToo(SharedMetadataStore):
    @override
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        super()._delete_events(user_ids, only)
        for kind in self._records:
            self._delete(kind, user_ids)


@caught_by("test_read_users_is_get_and_recent_events")
class ReadUsersForgetsTheLimit(SharedMetadataStore):
    @override
    def _read_users(
        self, kind: str, user_ids: list[Id], limit: int | None
    ) -> tuple[dict[Id, Record], dict[Id, list[Event]]]:
        return super()._read_users(kind, user_ids, None)


@caught_by("test_read_users_is_get_and_recent_events")
class ReadUsersNeedsARecord(SharedMetadataStore):
    @override
    def _read_users(
        self, kind: str, user_ids: list[Id], limit: int | None
    ) -> tuple[dict[Id, Record], dict[Id, list[Event]]]:
        records, events = super()._read_users(kind, user_ids, limit)
        return records, {user: history for user, history in events.items() if user in records}


@caught_by("test_scan_events_gives_every_user_once")
class ScanEventsDropsTheRest(SharedMetadataStore):
    @override
    def _scan_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]:
        pairs = list(super()._scan_events(batch_size))
        return iter(pairs[: len(pairs) // batch_size * batch_size])


@caught_by("test_scan_events_gives_every_user_once")
class ScanEventsByEvent(SharedMetadataStore):
    @override
    def _scan_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]:
        for user, history in super()._scan_events(batch_size):
            for start in range(0, len(history), 2):
                yield user, history[start : start + 2]


@caught_by("test_bad_events_are_refused_before_anything_is_written")
class NoTimeIsZero(SharedMetadataStore):
    @override
    def append_events(self, events: Any) -> None:
        known = [replace(e, time=e.time or 0.0) if isinstance(e, Event) else e for e in events or [None]]
        super().append_events(known if isinstance(events, list) else events)


@caught_by("test_bad_events_are_refused_before_anything_is_written")
class StopsAtTheBadEvent(SharedMetadataStore):
    @override
    def append_events(self, events: Any) -> None:
        if not isinstance(events, list):
            super().append_events(events)
        for event in events:
            super().append_events([event])


@caught_by("test_bad_user_ids_are_refused")
class UserIdsUnchecked(SharedMetadataStore):
    @override
    def delete_events(self, user_ids: Sequence[Id], **only: Any) -> None:
        if only:
            super().delete_events(user_ids, **only)
        else:
            self._delete_events(list(user_ids), None)


@caught_by("test_bad_user_ids_are_refused")
class ConditionsUnchecked(SharedMetadataStore):
    @override
    def delete_events(self, user_ids: Sequence[Id], **only: Any) -> None:
        try:
            super().delete_events(user_ids, **only)
        except InvalidDataError:
            if not only:
                raise
