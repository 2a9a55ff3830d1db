"""The promises about events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.testing.base import expected, refused, same, same_ids
from vecrec.testing.data import BAD_IDS, HOSTILE_IDS
from vecrec.testing.metadata_stores.base import MetadataStoreKit, histories
from vecrec.types import MAX_KIND, Event

__all__ = ["EventTests"]


_KINDS = [None, "view", "VIEW", "view ", "é,\"\\'", "null", "\U0001f44d" * MAX_KIND, "a,null"]


class EventTests(MetadataStoreKit):
    """Tests of ``append_events``, ``recent_events``, ``read_users``, ``delete_events`` and ``scan_events``."""

    def test_events_come_back_oldest_first(self, store: MetadataStore, users: list[Id]) -> None:
        """A history is ordered by time, in whatever order and in however many calls its events were appended."""
        times = np.random.default_rng(1).permutation(40).tolist()
        events = [Event(users[0], f"item {time}", time, rating=time / 2) for time in times]
        for start in range(0, 40, 13):
            store.append_events(events[start : start + 13])

        found = store.recent_events(users[:1])[users[0]]
        assert found == sorted(expected(events), key=lambda event: event.time or 0.0)

    def test_events_come_back_with_their_types(self, store: MetadataStore, users: list[Id]) -> None:
        """Ids keep their type, times and ratings every digit; unknown ratings and kinds stay unknown."""
        times = [-5.5, 0.0, 1e-7, 0.1, 1 / 3, 978300760.0, 1700000000.1234567, 9e10]
        ratings = [None, 0.0, 5.0, 1 / 3, -1.5, 1e-300, 3.5, 1e300]
        ids: list[Id] = [1, "1", "", "é", 2**63 - 1, -(2**63), "\U0001f3ac", "x" * 512]
        for user in (users[0], users[-1]):
            events = [Event(user, *row) for row in zip(ids, times, ratings, _KINDS)]
            store.append_events(events)
            assert _same_events(store.recent_events([user])[user], events)
            assert _same_events(store.read_users("user", [user])[1][user], events)
            assert _same_events(histories(store, [user])[user], events)

    def test_of_equal_times_the_first_appended_is_the_earlier(self, store: MetadataStore, users: list[Id]) -> None:
        """Events of one moment keep the order in which they were appended, within a call and between calls."""
        items: list[Id] = ["m", "z", 5, "a", 10, "b", 2, "y"]
        store.append_events([Event(users[0], item, 7.0) for item in items[:5]])
        store.append_events([Event(users[0], "late", 8.0), Event(users[0], "early", 6.0)])
        store.append_events([Event(users[0], item, 7.0) for item in items[5:]])

        found = [event.item_id for event in store.recent_events(users[:1])[users[0]]]
        assert same(found, ["early", *items, "late"])
        limited = store.recent_events(users[:1], limit=4)[users[0]]
        assert same([event.item_id for event in limited], [*items[-3:], "late"])

    def test_an_event_appended_again_keeps_its_place(self, store: MetadataStore, users: list[Id]) -> None:
        """User, item, time and kind name an event: the second takes the rating, the first keeps the place."""
        events = [Event(users[0], item, 7.0, 1.0) for item in "cab"]
        store.append_events([*events, Event(users[1], "c", 7.0, 1.0)])
        store.append_events([Event(users[0], "c", 7.0, 5.0)])
        store.append_events([Event(users[0], "a", 7.0)])

        found = store.recent_events(users[:2])
        assert [(event.item_id, event.rating) for event in found[users[0]]] == [("c", 5.0), ("a", None), ("b", 1.0)]
        assert found[users[1]] == [Event(users[1], "c", 7.0, 1.0)]

    def test_other_items_and_times_are_other_events(self, store: MetadataStore, users: list[Id]) -> None:
        """The same item at another time, and ``1`` beside ``"1"``, are events of their own."""
        events = [Event(users[0], 1, 1.0), Event(users[0], "1", 1.0), Event(users[0], 1, 1.5), Event(users[0], 1, 2.0)]
        store.append_events(events)
        assert _same_events(store.recent_events(users[:1])[users[0]], events)

    def test_other_kinds_are_other_events(self, store: MetadataStore, users: list[Id]) -> None:
        """Events of one user, item and time with different kinds stay apart, and each can be replaced."""
        events = [Event(users[0], "item", 1.0, float(n), kind) for n, kind in enumerate(_KINDS)]
        store.append_events(events)
        assert _same_events(store.recent_events(users[:1])[users[0]], events)
        events[1] = Event(users[0], "item", 1.0, 9.0, "view")
        store.append_events(events[1:2])
        assert _same_events(store.recent_events(users[:1])[users[0]], events)

    def test_repeating_an_append_changes_nothing(self, store: MetadataStore, users: list[Id]) -> None:
        """The same batch appended again leaves the same history, each event once."""
        events = [Event(user, item, 1.0, 2.0) for user in users[:3] for item in ("b", "a")]
        for _ in range(3):
            store.append_events(events)
            assert store.recent_events(users[:3]) == {
                user: [e for e in events if e.user_id == user] for user in users[:3]
            }

    def test_the_last_of_an_event_given_twice_counts(self, store: MetadataStore, users: list[Id]) -> None:
        """Of an event that stands twice in one call, the last one counts, at the place of the last."""
        store.append_events(
            [Event(users[0], item, 1.0, rating) for item, rating in (("b", 1.0), ("a", 2.0), ("b", 3.0))]
        )
        found = store.recent_events(users[:1])[users[0]]
        assert [(event.item_id, event.rating) for event in found] == [("a", 2.0), ("b", 3.0)]

    def test_a_limit_gives_the_latest(self, store: MetadataStore, users: list[Id]) -> None:
        """With a limit the latest events come, still oldest first; a limit beyond the number gives all there are."""
        events = [Event(users[0], item, float(item)) for item in range(20)]
        store.append_events([*events, Event(users[1], "other", 99.0)])
        for limit, wanted in {1: events[-1:], 7: events[-7:], 20: events, 1000: events, None: events}.items():
            assert store.recent_events(users[:2], limit) == {
                users[0]: wanted,
                users[1]: [Event(users[1], "other", 99.0)],
            }

        bad: list[Any] = [0, -1, True, 1.5, "3"]
        refused(
            {f"recent_events {limit!r}": partial(store.recent_events, users, limit) for limit in bad}
            | {f"read_users {limit!r}": partial(store.read_users, "user", users, limit) for limit in bad}
        )

    def test_every_user_asked_for_has_a_list(self, store: MetadataStore, users: list[Id]) -> None:
        """A user without events has an empty list; the lists come in the order of the ids, each once."""
        store.append_events([Event(users[1], "a", 1.0), Event(users[-1], "b", 1.0)])
        asked = [users[-1], users[0], users[1], users[-1]]
        found = store.recent_events(asked)
        assert same(list(found), [users[-1], users[0], users[1]])
        assert [[event.item_id for event in events] for events in found.values()] == [["b"], [], ["a"]]
        assert store.recent_events([]) == {}

    def test_every_string_and_integer_names_a_user(self, store: MetadataStore, users: list[Id]) -> None:
        """Histories of hostile user ids, and of an integer and its text, stay apart, and go one by one."""
        store.delete_events(HOSTILE_IDS)  # this test alone cannot choose its users
        store.append_events([Event(user, number, 1.0) for number, user in enumerate(expected(HOSTILE_IDS))])
        try:
            found = store.recent_events(HOSTILE_IDS)
            assert same(list(found), list(HOSTILE_IDS))
            assert [[event.item_id for event in events] for events in found.values()] == [
                [n] for n in range(len(found))
            ]
            assert same([events[0].user_id for events in found.values()], list(HOSTILE_IDS))
            assert same_ids(histories(store, HOSTILE_IDS), HOSTILE_IDS)
            store.delete_events(HOSTILE_IDS[1::2])
            left = [user for user, events in store.recent_events(HOSTILE_IDS).items() if events]
            assert same(left, list(HOSTILE_IDS[::2]))
        finally:
            store.delete_events(HOSTILE_IDS)

    def test_every_string_and_integer_names_an_item(self, store: MetadataStore, users: list[Id]) -> None:
        """Events with hostile item ids stay apart."""
        events = [Event(users[0], item, 1.0, float(n)) for n, item in enumerate(expected(HOSTILE_IDS))]
        store.append_events(events)
        assert _same_events(store.recent_events(users[:1])[users[0]], events)

    def test_batches_of_events_may_have_any_size(self, store: MetadataStore, users: list[Id]) -> None:
        """One call appends, reads and deletes nothing, or the events of thousands of users."""
        store.append_events([])
        store.delete_events([])
        many = [f"{users[0]} {number}" for number in range(2500)]
        store.append_events([Event(user, "item", 1.0) for user in many])
        assert store.recent_events(many) == {user: [Event(user, "item", 1.0)] for user in expected(many)}
        store.delete_events(many[1:])
        assert [user for user, events in store.recent_events(many).items() if events] == many[:1]

    def test_the_latest_events_are_kept(self, store: MetadataStore, users: list[Id]) -> None:
        """A store that keeps a part of a long history keeps the latest by time, not those that came last."""
        count = self.kept_events + 60
        order = np.random.default_rng(3).permutation(count).tolist()
        store.append_events([Event(users[0], time, float(time)) for time in order[: count // 2]])
        store.append_events([Event(users[0], time, float(time)) for time in order[count // 2 :]])

        found = [event.time for event in store.recent_events(users[:1])[users[0]]]
        assert len(found) >= self.kept_events
        assert found == [float(time) for time in range(count - len(found), count)]
        assert [event.time for event in histories(store, users)[users[0]]] == found

    def test_the_latest_event_of_a_call_is_kept(self, store: MetadataStore, users: list[Id]) -> None:
        """An event older than a full history, from a clock that is behind, is read by the next call."""
        count = self.kept_events + 60
        store.append_events([Event(users[0], time, 1000.0 + time) for time in range(count)])
        kept = len(store.recent_events(users[:1])[users[0]])
        for late in range(3):
            store.append_events([Event(users[0], "older", 1.0), Event(users[0], f"late {late}", 10.0 + late)])
            found = [event.item_id for event in store.recent_events(users[:1])[users[0]]]
            assert f"late {late}" in found
            assert found[-kept + 3 :] == list(range(count - kept + 3, count))
            assert [event.item_id for event in histories(store, users)[users[0]]] == found

    def test_deleting_some_events_leaves_the_others(self, store: MetadataStore, users: list[Id]) -> None:
        """Only events that agree with every condition go: items, kinds, time; an empty list of them deletes nothing."""
        items, kinds, times = (1, "1", 'a,"b'), (None, "view", 'a,"view"'), (1.0, 2.5)
        events = [
            Event(user, item, time, None, kind)
            for user in users[:3]
            for time in times
            for item in items
            for kind in kinds
        ]
        cases: list[dict[str, Any]] = [
            {"item_ids": [1]},
            {"item_ids": ["1", 'a,"b', "missing"]},
            {"kinds": ["view"]},
            {"kinds": [None, 'a,"view"']},
            {"time": 2.5},
            {"time": 7.0},
            {"item_ids": []},
            {"kinds": []},
            {"item_ids": ["1"], "kinds": [None]},
            {"item_ids": [1, "1"], "kinds": ["view", 'a,"view"'], "time": 1.0},
            {"item_ids": range(2000), "kinds": ["view", *map(str, range(600))]},
        ]
        for only in cases:
            store.append_events(events)
            store.delete_events([users[0], users[1], "stranger"], **only)
            wanted = {user: [e for e in events if e.user_id == user and not _matches(e, only)] for user in users[:2]}
            wanted[users[2]] = [event for event in events if event.user_id == users[2]]
            found = store.recent_events(users[:3])
            for user in users[:3]:
                assert sorted(map(repr, found[user])) == sorted(map(repr, wanted[user])), only
                assert [event.time for event in found[user]] == sorted(event.time or 0.0 for event in wanted[user])

    def test_deleting_the_last_event_leaves_no_history(self, store: MetadataStore, users: list[Id]) -> None:
        """A user whose events went one by one is not scanned, and can be given events again."""
        store.append_events([Event(user, "a", 1.0, 1.0, kind) for user in users[:2] for kind in ("like", None)])
        for kind in ("like", None):
            store.delete_events(users[:1], item_ids=["a"], kinds=[kind])
        assert same_ids(histories(store, users), users[1:2])
        store.append_events([Event(users[0], "a", 1.0)])
        assert store.recent_events(users[:1])[users[0]] == [Event(users[0], "a", 1.0)]

    def test_deleting_events_leaves_other_users_alone(self, store: MetadataStore, users: list[Id], kind: str) -> None:
        """All events of the named users go, no others, no record; users without events are not an error."""
        store.append_events([Event(user, item, 1.0) for user in users for item in "ab"])
        store.put(kind, {users[0]: {"kept": True}})
        store.delete_events([users[0], users[-1], users[0], f"{users[0]} missing"])
        store.delete_events([users[0]])

        found = store.recent_events(users)
        assert {user for user, events in found.items() if len(events) == 2} == set(expected(users[1:-1]))
        assert found[users[0]] == found[users[-1]] == []
        assert store.get(kind, users) == {users[0]: {"kept": True}}
        store.append_events([Event(users[0], "again", 2.0)])
        assert store.recent_events(users[:1])[users[0]] == [Event(users[0], "again", 2.0)]

    def test_read_users_is_get_and_recent_events(self, store: MetadataStore, users: list[Id], kind: str) -> None:
        """One call gives what the two give, for users with a record, with events, with both and with neither."""
        store.put(kind, {user: {"n": n} for n, user in enumerate(users[:3])})
        store.append_events([Event(user, n, float(n)) for user in users[2:6] for n in range(4)])
        asked = [users[5], users[0], "stranger", users[2], users[0]]
        for limit in (None, 1, 2, 100):
            records, events = store.read_users(kind, asked, limit)
            assert same(records, store.get(kind, asked))
            assert events == store.recent_events(asked, limit)
            assert same([*records, *events], [users[0], users[2], users[5], users[0], "stranger", users[2]])
        assert store.read_users(kind, []) == ({}, {})

    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_scan_events_gives_every_user_once(self, store: MetadataStore, users: list[Id], batch_size: int) -> None:
        """Whatever the size of its batches, the scan gives each user who has events once, with all that are kept."""
        store.append_events([Event(user, item, float(item), 1.0) for user in users for item in (3, 1, 2)])
        store.append_events([Event(users[1], 1, 1.0, 2.0)])
        store.delete_events(users[:1])

        assert histories(store, users, batch_size) == store.recent_events(expected(users[1:]))
        sizes: list[Any] = [0, -1, True, 1.5, None]
        refused({repr(size): partial(store.scan_events, size) for size in sizes})

    def test_bad_events_are_refused_before_anything_is_written(self, store: MetadataStore, users: list[Id]) -> None:
        """Something else than an event, or an event without a user or a time: nothing of the batch is written."""
        good = Event(users[0], "new", 1.0)
        bad: list[Any] = [Event(None, "a", 1.0), Event(users[0], "a"), None, ("u", "i", 1.0), {"user_id": "u"}, "event"]
        batches: list[Any] = ["events", None, {"a": good}, good, iter([good]), 5]
        refused(
            {repr(event): partial(store.append_events, [good, event]) for event in bad}
            | {f"the batch {batch!r}": partial(store.append_events, batch) for batch in batches}
        )
        assert store.recent_events(users[:1]) == {users[0]: []}

    def test_bad_user_ids_are_refused(self, store: MetadataStore, users: list[Id]) -> None:
        """An invalid id, item, kind or time is refused, and the events of the valid ids beside it stay."""
        store.append_events([Event(users[0], "kept", 1.0)])
        cases: dict[str, Callable[[], object]] = {}
        for bad in BAD_IDS:
            cases[f"recent_events {bad!r:.40}"] = partial(store.recent_events, [users[0], bad])
            cases[f"delete_events {bad!r:.40}"] = partial(store.delete_events, [users[0], bad])
        one: Any = users[0]
        cases["delete_events of one string"] = partial(store.delete_events, one)
        conditions: list[dict[str, Any]] = [
            {"item_ids": "a"}, {"item_ids": [None]}, {"kinds": "view"}, {"kinds": [1]}, {"kinds": [""]}, {"kinds": 5},
            {"time": "1"}, {"time": float("nan")}, {"time": True},
        ]  # fmt: skip
        cases |= {f"delete_events {only}": partial(store.delete_events, users, **only) for only in conditions}
        refused(cases)
        assert len(store.recent_events(users[:1])[users[0]]) == 1


def _same_events(left: Sequence[Event], right: Sequence[Event]) -> bool:
    return same([_values(event) for event in left], [_values(event) for event in expected(right)])


def _values(event: Event) -> list[Any]:
    return [event.user_id, event.item_id, event.time, event.rating, event.kind]


def _matches(event: Event, only: dict[str, Any]) -> bool:
    return (
        _among(event.item_id, only.get("item_ids"))
        and _among(event.kind, only.get("kinds"))
        and only.get("time") in (None, event.time)
    )


def _among(value: Id | None, values: Any) -> bool:
    return values is None or any(same(value, other) for other in values)
