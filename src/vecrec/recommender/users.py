"""Users: as they are stored, as the encoder reads them, and the events that are recorded or taken back."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.times import check_not_future, moment
from vecrec.feedback import FeedbackPolicy, Taste
from vecrec.ids import Id
from vecrec.metadata_stores.base import EventFilter, MetadataStore
from vecrec.recommender.catalogue import USER
from vecrec.recommender.edits import DeletedEvents
from vecrec.recommender.live import LoadedRelease
from vecrec.types import Event, User

__all__ = [
    "as_encoded", "as_read", "delete_events", "known_of", "record_events", "stored_ids", "stored_users",
    "user_vectors",
]  # fmt: skip

_TICK = 1e-6
"""Seconds between an event and the next one of a user, where the clock is behind."""


# -- as they are stored


def stored_users(metadata: MetadataStore, ids: Sequence[Id], max_history: int | None = None) -> list[User]:
    """The users of some ids as they are stored, in one round trip; an unknown user is empty.

    Args:
        metadata: Where they are stored.
        ids: Which users.
        max_history: The most events of each, the latest ones; ``None`` for all.
    """
    profiles, events = metadata.read_users(USER, ids, max_history)
    histories = {key: tuple(each) if isinstance(each, list) else each for key, each in events.items()}
    return [User.unchecked(key, profiles.get(key, {}), histories[key]) for key in ids]


def stored_ids(metadata: MetadataStore) -> Iterator[Id]:
    """Each user about whom a profile or an event is stored, once, in any order; only the ids are held in memory."""
    seen = set()
    for key, _ in metadata.scan(USER):
        seen.add(key)
        yield key
    yield from (key for key, _ in metadata.scan_events() if key not in seen)


def record_events(metadata: MetadataStore, policy: FeedbackPolicy, events: Sequence[Event]) -> None:
    """Add events to the histories of their users; see `vecrec.recommender.Recommender.record`.

    An event of a kind of ``policy.states`` replaces the earlier ones of its user and item. It is appended before they
    are deleted, and what is deleted is what the store says came before the last one: a crash between the two, or
    another process that records at the same time, never loses the last state.

    Args:
        metadata: Where they are stored.
        policy: Says which kinds are states.
        events: With users.

    Raises:
        InvalidDataError: for an event without a user, or more than a day ahead of the clock.
    """
    now = time.time()
    for event in events:
        if event.time is not None:
            check_not_future(event.time, "the time of an event", now)
    times = _times_of_now(metadata, events, now)
    metadata.append_events([
        replace(event, time=times[event.user_id]) if event.time is None and event.user_id is not None else event
        for event in events
    ])  # fmt: skip
    said = {(event.user_id, event.item_id) for event in events if event.kind in policy.states}
    for (user_id, item_id), states in _states(metadata, policy, said).items():
        for event in states[:-1]:
            metadata.delete_events([user_id], item_ids=[item_id], kinds=[event.kind], time=event.time)


def _times_of_now(metadata: MetadataStore, events: Iterable[Event], now: float) -> dict[Id, float]:
    """The time of what each user does now: after the latest stored event, also where the clock is behind it."""
    users = {event.user_id for event in events if event.time is None and event.user_id is not None}
    return {
        user_id: max(now, *((event.time or 0.0) + _TICK for event in latest)) if latest else now
        for user_id, latest in metadata.recent_events(list(users), 1).items()
    }


def _states(
    metadata: MetadataStore, policy: FeedbackPolicy, places: Collection[tuple[Id | None, Id]]
) -> dict[tuple[Id, Id], list[Event]]:
    """The stored events of users with items that are states, oldest first; pairs without one are left out."""
    found: dict[tuple[Id, Id], list[Event]] = {}
    for user_id, events in (
        metadata.recent_events([user_id for user_id, _ in places if user_id is not None]).items() if places else ()
    ):
        for event in events:
            if event.kind in policy.states and (user_id, event.item_id) in places:
                found.setdefault((user_id, event.item_id), []).append(event)
    return found


def delete_events(metadata: MetadataStore, user_id: Id, item_ids: Sequence[Id] | None, kinds: Any, when: Any) -> int:
    """Remove events of a user and return how many there were; see `vecrec.recommender.Recommender.delete_events`."""
    kinds = [kinds] if isinstance(kinds, str) else kinds
    at = None if when is None else moment(when, "time")
    only = EventFilter.of(item_ids, kinds, at)
    DeletedEvents(metadata).remember(user_id, only, time.time())
    events = metadata.recent_events([user_id])[user_id]
    metadata.delete_events([user_id], item_ids=item_ids, kinds=kinds, time=at)
    return sum(only is None or only.matches(event) for event in events)


# -- as the encoder reads them


def as_encoded(
    live: LoadedRelease,
    user: User,
    disliked: Iterable[Id] = (),
    *,
    consumed: Collection[str] | None = None,
    at: float | None = None,
) -> Taste:
    """A user as the encoder of a release reads them, apart from what they dislike.

    Features that do not fit the release's schema count as missing: a profile may have been stored under an earlier one.

    Args:
        live: The release.
        user: As stored or as posted, with the whole history.
        disliked: More items that they dislike, whatever the events say.
        consumed: Kinds of events whose items count as consumed, instead of the policy's.
        at: When they are recommended to, unless the user says it; ``None`` where it does not matter.
    """
    if at is not None and user.at is None:
        user = User.unchecked(user.id, user.features, user.history, at)
    fitting = live.schema.drop_invalid_features(user) if user.features else user
    return live.feedback.taste(fitting, disliked, consumed=consumed)


def as_read(
    live: LoadedRelease, user: User, disliked: Iterable[Id], *, consumed: Collection[str] | None, at: float | None
) -> tuple[Taste, tuple[str, ...], tuple[str, ...]]:
    """`as_encoded`, what is known of the user by `known_of`, and what an answer says about it."""
    taste = as_encoded(live, user, disliked, consumed=consumed, at=at)
    based_on = known_of(live, taste.user)
    return taste, based_on, _notes_on(user, taste.user, based_on, bool(taste.disliked))


def user_vectors(live: LoadedRelease, users: Sequence[User]) -> NDArray[np.float32]:
    """The vectors that users are searched with, shape (n, dim)."""
    return live.encoder.encode_users([as_encoded(live, user).user for user in users])


def known_of(live: LoadedRelease, user: User) -> tuple[str, ...]:
    """What is known about a user that the encoder can read: ``"features"``, ``"history"``, both or nothing."""
    profile = any(user.features.get(feature.name) is not None for feature in live.schema.users)
    history = any(live.encoder.knows(event.item_id) for event in reversed(user.history))
    return (("features",) if profile else ()) + (("history",) if history else ())


def _notes_on(given: User, user: User, based_on: tuple[str, ...], dislikes_some: bool) -> tuple[str, ...]:
    """What an answer says about a user as they were given, and as they were read."""
    left_out = sorted(given.features.keys() - user.features.keys()) if given.features is not user.features else ()
    unfit = f"the stored features {left_out} do not fit the live release and were left out"
    strange = f"the live release knows none of the {len(user.history):,} items of the history"
    known = "only what they dislike" if dislikes_some else "nothing"
    unknown = strange if user.history else f"{known} is known about this user"
    about: tuple[str, ...]
    if not based_on:
        about = (f"{unknown}, popularity serves",)
    else:
        about = (strange,) if user.history and "history" not in based_on else ()
    return ((unfit,) if left_out else ()) + about
