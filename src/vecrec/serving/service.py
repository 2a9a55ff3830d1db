"""What the endpoints share: the recommender, the settings, and the user that a request is about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from vecrec._internal.budget import budget
from vecrec._internal.connection import Connection
from vecrec.config.settings import Settings
from vecrec.errors import InvalidDataError, StoreTimeoutError, VecrecError
from vecrec.feedback import FeedbackPolicy
from vecrec.filters import Filter
from vecrec.filters.text import parse_conditions
from vecrec.ids import Id
from vecrec.recommendations import Recommendations
from vecrec.recommender import Explanation, Recommender
from vecrec.serving.bulkheads import Bulkheads
from vecrec.serving.errors import UserNotFoundError
from vecrec.serving.facets import Directory
from vecrec.serving.idempotency import KeptAnswers
from vecrec.serving.metrics import Metrics
from vecrec.serving.models import WhoIn
from vecrec.serving.user_list import UserList
from vecrec.serving.watch import RecallWatch
from vecrec.types import Event, Item, User

__all__ = ["Health", "Service"]

_HEALTH_SECONDS = 1.0
_PING_SECONDS = 1.0
"""How long a store may take to say that it is there."""
_PART_SECONDS = 1.25
"""How long a part is waited for in any case."""


@dataclass(frozen=True)
class Service:
    """One recommender behind one application."""

    recommender: Recommender
    settings: Settings
    metrics: Metrics
    directory: Directory = field(init=False)
    users: UserList = field(init=False)
    health: Health = field(init=False)
    bulkheads: Bulkheads = field(init=False)
    answers: KeptAnswers = field(init=False)
    recall: RecallWatch = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", Directory(self.recommender))
        object.__setattr__(self, "users", UserList(self.recommender))
        object.__setattr__(self, "health", Health(self.recommender, self.metrics))
        object.__setattr__(self, "bulkheads", Bulkheads(self.settings.max_in_flight))
        object.__setattr__(self, "answers", KeptAnswers(self.recommender))
        seconds, target = self.settings.recall_seconds, self.settings.recall_target
        watch = RecallWatch(self.recommender, self.metrics, seconds, target)
        object.__setattr__(self, "recall", watch)

    # -- users; the listing knows at once what this service has written

    @property
    def policy(self) -> FeedbackPolicy:
        """What users' events mean."""
        with self.recommender.live() as live:
            return live.feedback

    def stored(self, user_id: Id) -> User | None:
        """A stored user with their history; ``None`` where nothing is stored."""
        return self.recommender.get_users([user_id]).get(user_id)

    def known(self, user_id: Id) -> User:
        """A stored user with their history.

        Raises:
            UserNotFoundError: where nothing is stored.
        """
        user = self.stored(user_id)
        if user is None:
            raise UserNotFoundError(f"nothing is stored about the user {user_id!r}")
        return user

    def user(self, who: WhoIn) -> User:
        """The user that a request is about: what is stored, and after it what was posted.

        Posted likes and dislikes become events, so that the recommender's feedback policy decides what they mean.
        """
        for what in ("liked", "disliked"):
            self.check_batch(getattr(who, what), what)
        stored = (None if who.user_id is None else self.stored(who.user_id)) or User(who.user_id)
        with self.recommender.live() as live:
            # What was stored under an earlier schema may not fit this one; what was posted must.
            known = live.schema.drop_invalid_features(stored)
            self.metrics.features(live.seen, "users", [who.features])
        said = [
            self.state_event(known.id, item_id, kind)
            for kind, ids in (("like", who.liked), ("dislike", who.disliked))
            for item_id in ids
        ]
        return User(known.id, {**known.features, **who.features}, [*known.history, *said])

    def upsert_users(self, users: Sequence[User]) -> None:
        """Write profiles."""
        self.recommender.upsert_users(users)
        self.users.wrote(user.id for user in users if user.id is not None)
        self._watch("users", [user.features for user in users])

    def update_user(self, key: Id, change: Mapping[str, Any]) -> None:
        """Change fields of the profile of a stored user.

        Raises:
            UserNotFoundError: when nothing is stored about the user.
        """
        self.known(key)
        self.recommender.update_users({key: change})
        self.users.wrote([key])
        self._watch("users", [change])

    def record(self, events: Sequence[Event]) -> None:
        """Record what users did."""
        self.recommender.record(events)
        self.users.wrote(event.user_id for event in events if event.user_id is not None)

    def state_event(self, user_id: Id | None, item_id: Id, kind: str) -> Event:
        """A like or a dislike.

        Raises:
            InvalidDataError: when the feedback policy gives the kind another meaning.
        """
        event = Event(user_id, item_id, kind=kind)
        if self.policy.sign(event) != (-1 if kind == "dislike" else 1):
            raise InvalidDataError(
                f"the feedback policy does not count {kind!r} as {'negative' if kind == 'dislike' else 'positive'}",
                "add 'dislike' to its negative kinds, and leave 'like' out of them and of the neutral ones",
            )
        return event

    def titled(self, found: Explanation) -> Explanation:
        """An explanation with the titles of the field that the settings name."""
        field_name = self.settings.title_field
        told = [part.item_id for part in found.reasons if part.item_id is not None]
        if field_name == "title" or not told:
            return found
        items = self.recommender.get_items(told)
        titles = {key: str(item.features[field_name]) for key, item in items.items() if field_name in item.features}
        return found.with_titles(titles)

    # -- items; the listing knows at once what this service has written

    def upsert_items(self, items: Sequence[Item]) -> None:
        """Write items."""
        self.recommender.upsert_items(items)
        self._watch("items", [item.features for item in items])
        self.directory.wrote({item.id: item.features for item in items if item.id is not None})

    def update_items(self, changes: Mapping[Id, Mapping[str, Any]]) -> None:
        """Change fields of items."""
        self.recommender.update_items(changes)
        self._watch("items", changes.values())
        found = self.recommender.get_items(list(changes))
        self.directory.wrote({key: item.features for key, item in found.items()})

    def delete_items(self, ids: Sequence[Id]) -> None:
        """Remove items."""
        self.recommender.delete_items(ids)
        self.directory.wrote(dict.fromkeys(ids))

    def served(self, found: Recommendations, user: User | Id, where: Filter | None) -> None:
        """Count a list, and let its search be among those that are repeated exactly."""
        self.metrics.served([found])
        if found.served_by == "vectors":
            self.recall.note(user, where)

    def _watch(self, side: Literal["items", "users"], records: Iterable[Mapping[str, Any]]) -> None:
        with self.recommender.live() as live:
            self.metrics.features(live.seen, side, records)

    # -- limits

    def check_batch(self, values: Sized, what: str) -> None:
        """Refuse more values than the settings allow.

        Raises:
            InvalidDataError: naming the limit.
        """
        if len(values) > self.settings.max_batch:
            raise InvalidDataError(
                f"{what} has {len(values)} entries, more than {self.settings.max_batch}", "send several requests"
            )

    def check_k(self, k: int) -> int:
        """Refuse a larger k than the settings allow."""
        if k > self.settings.max_k:
            raise InvalidDataError(f"k is {k}, more than {self.settings.max_k}", "ask for fewer items")
        return k

    def conditions(self, texts: Sequence[str]) -> Filter | None:
        """The filter of a query's ``where`` parameters."""
        if not texts:
            return None
        with self.recommender.live() as live:
            return parse_conditions(texts, live.filter_fields)

    def unknown_features(self, features: Mapping[str, object]) -> list[str]:
        """A warning for each feature of a posted profile that the schema does not name, and that nothing reads."""
        if not features:
            return []
        with self.recommender.live() as live:
            known = {feature.name for feature in live.schema.users}
        return [
            f"the feature {name[:64]!r} is not in the schema and is not read" for name in sorted({*features} - known)
        ]


class Health:
    """Whether each part answers: asked at most once a second, and side by side."""

    def __init__(self, recommender: Recommender, metrics: Metrics) -> None:
        self._recommender, self._metrics = recommender, metrics
        self._lock = threading.Lock()
        self._held: dict[str, VecrecError | None] = {}
        self._until = 0.0

    def parts(self) -> dict[str, VecrecError | None]:
        """The error of each part; ``None`` for a part that answers."""
        # While one request waits for a store that hangs, the others take the answer before, and hold no threads.
        if time.monotonic() >= self._until and self._lock.acquire(blocking=not self._held):
            try:
                if time.monotonic() >= self._until:
                    self._held = self._ask_all()
                    self._until = time.monotonic() + _HEALTH_SECONDS
            finally:
                self._lock.release()
        return self._held

    def _ask_all(self) -> dict[str, VecrecError | None]:
        recommender = self._recommender
        questions: dict[str, Callable[[], None]] = {
            "vector_store": partial(_ping, recommender.vector_store),
            "metadata_store": partial(_ping, recommender.metadata_store),
            "release": self._ask_release,
        }
        # Side by side, so that two stores that are down cost one timeout; a part whose package is still being imported,
        # or that keeps no timeout, is not waited for.
        pool = ThreadPoolExecutor(len(questions), "vecrec-health")
        asked = {name: pool.submit(_ask, question) for name, question in questions.items()}
        pool.shutdown(wait=False)
        wait(asked.values(), _PART_SECONDS)
        late = StoreTimeoutError("it has not answered yet", "see whether it is overloaded")
        answers = {name: each.result() if each.done() else late for name, each in asked.items()}
        for name, error in answers.items():
            self._metrics.part(name, error is None)
        return answers

    def _ask_release(self) -> None:
        with self._recommender.live() as live:
            self._metrics.release(live)


def _ping(store: Connection) -> None:
    # Under the guard, so that requests need not find out for themselves that a store hangs.
    with store.guard(), budget(_PING_SECONDS):
        store.ping()


def _ask(question: Callable[[], None]) -> VecrecError | None:
    try:
        question()
    except VecrecError as error:
        return error
    return None
