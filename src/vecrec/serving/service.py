"""What the endpoints share: the recommender, the settings, and who is asking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from fastapi import Depends, Query, Request

from vecrec.config.settings import Settings
from vecrec.errors import InvalidDataError
from vecrec.filters import Filter
from vecrec.filters.text import parse_conditions
from vecrec.ids import Id
from vecrec.recommender import Recommender
from vecrec.recommender.users import as_encoded
from vecrec.serving.facets import Directory
from vecrec.serving.metrics import Metrics
from vecrec.serving.models import WhoIn
from vecrec.types import Event, User

__all__ = ["Conditions", "K", "Ours", "Person", "Service"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to recommend to, with what they have said."""

    user: User
    """Profile and history, what they dislike left out of it."""
    liked: tuple[Id, ...]
    """Items that they liked, the latest last."""
    disliked: tuple[Id, ...]
    """Items that they disliked, the latest last."""


@dataclass(frozen=True)
class Service:
    """One recommender behind one application."""

    recommender: Recommender
    settings: Settings
    metrics: Metrics
    directory: Directory = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", Directory(self.recommender, self.settings.title_field))

    def stored(self, user_id: Id) -> User | None:
        """A stored user with their history; ``None`` where nothing is stored."""
        return self.recommender.get_users([user_id]).get(user_id)

    def person(self, who: WhoIn) -> Person:
        """Whom a request is about."""
        for what in ("liked", "disliked"):
            self.check_batch(getattr(who, what), what)
        stored = None if who.user_id is None else self.stored(who.user_id)
        return self._person(who, stored or User(who.user_id))

    def _person(self, who: WhoIn, stored: User) -> Person:
        with self.recommender.live() as live:
            # What was stored under an earlier schema may not fit this one; what was posted has to.
            known = live.schema.drop_invalid_features(stored)
            said = User(
                known.id,
                {**known.features, **who.features},
                [*known.history, *(Event(known.id, item_id) for item_id in who.liked)],
            )
            live.schema.check_user(said)
            taste = as_encoded(live, said, who.disliked)
        liked = [
            event.item_id
            for event in taste.user.history
            if event.rating is None or event.rating >= self.settings.liked_from
        ]
        return Person(taste.user, (*_unique(liked),), taste.disliked)

    def has_disliked(self, user: User) -> bool:
        """Whether a user has said so of anything."""
        return bool(self.recommender.taste(user).disliked)

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


def _unique(*lists: Iterable[Id]) -> list[Id]:
    """Each value once, at its last place."""
    values = [value for each in lists for value in each]
    return list(dict.fromkeys(reversed(values)))[::-1]


async def _service(request: Request) -> Service:
    service: Service = request.app.state.vecrec
    return service


Ours: TypeAlias = Annotated[Service, Depends(_service)]
"""The service of the application that is asked."""

K: TypeAlias = Annotated[int, Query(ge=1, description="How many.")]

Conditions: TypeAlias = Annotated[
    list[str],
    Query(
        alias="where",
        max_length=50,
        description="Conditions that must all hold, each like `year>=1990` or `genres:Comedy`.",
        examples=[["year>=1990"]],
    ),
]
