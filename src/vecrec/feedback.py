"""The meaning of events: which are positive and with which weight, which are negative, which mean consumed.

This is the only module that interprets a rating or a kind. Training, popularity, release checks, dislikes, exclusion,
evaluation, the service and the command line use it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import compress, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.validation import flag, instance, number
from vecrec.errors import InvalidDataError, shown
from vecrec.ids import Id, check_ids
from vecrec.types import Event, User, check_kind, column

__all__ = ["FeedbackPolicy", "Taste", "seen_kinds"]


@dataclass(frozen=True, slots=True)
class Taste:
    """A user as encoders read them, with the items that they dislike or have consumed."""

    user: User
    """The user with profile and history: the positive events of items that the user does not dislike."""
    disliked: tuple[Id, ...]
    """The items that the user dislikes, the latest last."""
    consumed: frozenset[Id]
    """The items that ``exclude_seen`` leaves out."""


@dataclass(frozen=True, slots=True)
class FeedbackPolicy:
    """The meaning of the events of a recommender. It is stored in the release.

    An event is **neutral** by its kind, else **negative** by its kind or rating, else **positive**. Of several events
    of a user with one item, the latest that is not neutral decides. Neutral events, such as impressions, do not count.

    ::

        FeedbackPolicy(weights={"view": 1, "cart": 2, "purchase": 5}, negative={"return"}, consumed={"purchase"})
        FeedbackPolicy(negative_rating=2, rating_weights=((3, 0.5), (5, 1)))  # stars from 1 to 5
        FeedbackPolicy(negative_rating=None)  # where 0 means "not rated"

    Raises:
        InvalidDataError: for an invalid kind, a kind with two meanings (weighted, negative, neutral; or a target that
            is not positive; or consumed and neutral), a weight that is not a positive number, or points of
            ``rating_weights`` that do not ascend.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    """The weight of a positive event by its kind; 1 for a kind that is not named and for events without a kind."""
    negative: Collection[str] = frozenset({"dislike"})
    """Kinds that say "not this"."""
    neutral: Collection[str] = frozenset({"impression"})
    """Kinds that say nothing about taste. They are stored, and neither training nor exclusion uses them."""
    consumed: Collection[str] | None = None
    """Kinds whose items ``exclude_seen`` leaves out; events without a kind always count. ``None`` for all kinds
    that are not neutral."""
    targets: Collection[str] | None = None
    """Kinds that models predict; ``None`` for all positive ones."""
    states: Collection[str] = frozenset({"like", "dislike"})
    """Kinds that are a state and not an occurrence: a new event of a user with an item replaces the earlier one."""
    negative_rating: float | None = 0.0
    """Events with this rating or a lower one are negative, for every kind; ``None`` where no rating is negative. Set it
    to 2 for stars from 1 to 5."""
    rating_weights: Sequence[tuple[float, float]] = ()
    """Points (rating, weight), ascending by rating, between which the weight of a positive event is interpolated; empty
    where ratings do not change the weight. It is multiplied by the weight of the kind."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _weights(self.weights))
        for name in ("negative", "neutral", "states"):
            object.__setattr__(self, name, _kinds(getattr(self, name), name))
        for name in ("consumed", "targets"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else _kinds(value, name))
        low = self.negative_rating
        object.__setattr__(self, "negative_rating", None if low is None else number(low, "negative_rating"))
        object.__setattr__(self, "rating_weights", _points(self.rating_weights))
        for left, right in (
            ("weights", "negative"), ("weights", "neutral"), ("negative", "neutral"),
            ("targets", "negative"), ("targets", "neutral"), ("consumed", "neutral"),
        ):  # fmt: skip
            both = sorted({*(getattr(self, left) or ())} & {*getattr(self, right)})
            if both:
                raise InvalidDataError(f"{both} are in {left} and in {right}", "name each kind in one of them")

    # -- one event

    def sign(self, event: Event) -> int:
        """Return 1 for a positive event, -1 for a negative one, 0 for a neutral one."""
        instance(event, "the event", Event)
        return self._signs([event.kind], [event.rating])[0]

    def _signs(self, kinds: Sequence[str | None], ratings: Sequence[float | None]) -> list[int]:
        low = -np.inf if self.negative_rating is None else self.negative_rating
        negative, neutral = self.negative, self.neutral
        low_ones = [each for each in {*ratings} if each is not None and each <= low]
        if not low_ones and {*kinds}.isdisjoint({*negative, *neutral}):
            return [1] * len(kinds)  # the usual history, not looked at event by event
        return [
            0 if kind in neutral
            else -1 if kind in negative or (rating is not None and rating <= low)
            else 1
            for kind, rating in zip(kinds, ratings)
        ]  # fmt: skip

    def weight(self, event: Event) -> float:
        """Return the weight of an event: 0 where it is not positive."""
        if self.sign(event) <= 0:
            return 0.0
        worth = 1.0 if event.kind is None else self.weights.get(event.kind, 1.0)
        if self.rating_weights and event.rating is not None:
            at, worths = zip(*self.rating_weights)
            worth *= float(np.interp(event.rating, at, worths))
        return worth

    def predicts(self, event: Event) -> bool:
        """Whether an event is a target: positive, and of a kind in ``targets`` or without a kind."""
        wanted = self.targets is None or event.kind is None or event.kind in self.targets
        return wanted and self.sign(event) > 0

    def negative_event(self, user_id: Id | None, item_id: Id) -> Event:
        """Return an event without a time that is negative under this policy."""
        kind = "dislike" if "dislike" in self.negative else min(self.negative, default=None)
        return Event(user_id, item_id, rating=self.negative_rating, kind=kind)

    # -- a user's history

    def taste(
        self,
        user: User,
        disliked: Iterable[Id] = (),
        *,
        consumed: Collection[str] | None = None,
    ) -> Taste:
        """Split a user into what encoders read, the disliked items and the consumed items.

        All events of a disliked item leave the history; of the other items, only the events that are not positive.

        Args:
            user: A user with history.
            disliked: Further items that the user dislikes, in addition to the events.
            consumed: Kinds whose items count as consumed, instead of the policy's.

        Example:
            >>> FeedbackPolicy().taste(User(1, history=[Event(1, 7), Event(1, 8, kind="dislike")])).disliked
            (8,)
        """
        said = dict.fromkeys(check_ids(disliked, "item id"))
        history = instance(user, "the user", User).history
        items, kinds = column(history, "item_id"), column(history, "kind")
        signs = self._signs(kinds, column(history, "rating"))
        seen = self._consumed(items, kinds, signs, consumed)
        if not said and min(signs, default=1) > 0:
            return Taste(user, (), seen)
        last = {key: sign for key, sign in zip(items, signs) if sign}
        # In the order of their last events; a dict keeps the place of the first.
        latest = dict.fromkeys(key for key, sign in zip(reversed(items), reversed(signs)) if sign)
        bad = [key for key in reversed(latest) if last[key] < 0 and key not in said]
        gone = {*bad, *said}
        kept = [event for event, sign in zip(history, signs) if sign > 0 and event.item_id not in gone]
        return Taste(User(user.id, user.features, kept, user.at), (*bad, *said), seen)

    def _consumed(
        self, items: Iterable[Id], kinds: Iterable[str | None], signs: Iterable[int], consumed: Collection[str] | None
    ) -> frozenset[Id]:
        chosen = self.consumed if consumed is None else consumed
        if chosen is None:
            return frozenset(compress(items, signs))
        return frozenset(
            [key for key, kind, sign in zip(items, kinds, signs) if sign and (kind is None or kind in chosen)]
        )

    # -- the columns of a log

    def signs(
        self, n_events: int, kinds: Sequence[str | None] | None = None, ratings: NDArray[Any] | None = None
    ) -> NDArray[np.int8]:
        """Return the `sign` of each event of a log, shape (n_events,): 1, -1 or 0.

        Args:
            n_events: How many events there are.
            kinds: Their kinds; ``None`` where events have no kinds.
            ratings: Their ratings, NaN for an event without one; ``None`` where events have no ratings.
        """
        found = np.ones(n_events, np.int8)
        if ratings is not None and self.negative_rating is not None:
            found[ratings <= self.negative_rating] = -1  # False for NaN
        if kinds is not None:
            found[self._among(kinds, self.negative)] = -1
            found[self._among(kinds, self.neutral)] = 0
        return found

    def event_weights(
        self, n_events: int, kinds: Sequence[str | None] | None = None, ratings: NDArray[Any] | None = None
    ) -> NDArray[np.float32]:
        """Return the `weight` of each event of a log, shape (n_events,): 0 where it is not positive.

        Args:
            n_events: As for `signs`.
            kinds: As for `signs`.
            ratings: As for `signs`.
        """
        found = (self.signs(n_events, kinds, ratings) > 0).astype(np.float32)
        if kinds is not None and self.weights:
            found *= np.array([1.0 if kind is None else self.weights.get(kind, 1.0) for kind in kinds], np.float32)
        if ratings is not None and self.rating_weights:
            at, worth = np.array(self.rating_weights, np.float64).T
            weighed = np.interp(ratings, at, worth)
            found *= np.where(np.isnan(ratings), 1.0, weighed).astype(np.float32)
        return found

    def is_target(
        self, n_events: int, kinds: Sequence[str | None] | None = None, ratings: NDArray[Any] | None = None
    ) -> NDArray[np.bool_]:
        """Return which events of a log are targets, shape (n_events,): positive ones of the kinds in ``targets``.

        Args:
            n_events: As for `signs`.
            kinds: As for `signs`.
            ratings: As for `signs`.
        """
        found: NDArray[np.bool_] = self.signs(n_events, kinds, ratings) > 0
        if kinds is not None and self.targets is not None:
            found &= self._among(kinds, {*self.targets, None})
        return found

    def is_consumed(
        self,
        n_events: int,
        kinds: Sequence[str | None] | None = None,
        ratings: NDArray[Any] | None = None,
        *,
        consumed: Collection[str] | None = None,
    ) -> NDArray[np.bool_]:
        """Return which events of a log mean that their item is consumed, shape (n_events,).

        Args:
            n_events: As for `signs`.
            kinds: As for `signs`.
            ratings: As for `signs`.
            consumed: Kinds that mean so, instead of the policy's.
        """
        found: NDArray[np.bool_] = self.signs(n_events, kinds, ratings) != 0
        chosen = self.consumed if consumed is None else consumed
        if kinds is not None and chosen is not None:
            found &= self._among(kinds, {*chosen, None})
        return found

    @staticmethod
    def _among(kinds: Sequence[str | None], chosen: Collection[str | None]) -> NDArray[np.bool_]:
        return np.fromiter((kind in chosen for kind in kinds), np.bool_, len(kinds))

    # -- kept in a release

    def to_json(self) -> dict[str, Any]:
        """Return the policy as a JSON object, which `from_json` reads."""
        value = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {name: sorted(held) if isinstance(held, frozenset) else held for name, held in value.items()}
        return {**plain, "rating_weights": [list(point) for point in self.rating_weights]}

    @classmethod
    def from_json(cls, value: Any) -> FeedbackPolicy:
        """Return the policy that `to_json` wrote.

        Raises:
            InvalidDataError: for an unknown name, which a later version may have written, or a value of another type.
        """
        known = {each.name for each in fields(cls)}
        if not isinstance(value, Mapping) or not {*value} <= known:
            raise InvalidDataError(
                f"{shown(value)} is not a feedback policy", f"use {sorted(known)}, or upgrade vecrec"
            )
        return cls(**value)


def seen_kinds(value: Any) -> bool | frozenset[str]:
    """Check an argument ``exclude_seen``: true or false, or the kinds of events whose items are left out.

    Raises:
        InvalidDataError: for another type, or an invalid kind.
    """
    if isinstance(value, (set, frozenset, list, tuple)):
        return frozenset(map(check_kind, value))
    return flag(value, "exclude_seen")


def _weights(values: Any) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise InvalidDataError(
            f"weights is {shown(values)}", 'give a mapping of kinds to numbers, such as {"purchase": 5}'
        )
    return {check_kind(name): number(value, f"the weight of {name!r}", above=0) for name, value in values.items()}


def _kinds(names: Any, what: str) -> frozenset[str]:
    if isinstance(names, (str, Mapping)) or not isinstance(names, Collection):
        raise InvalidDataError(f"{what} is {shown(names)}", "give a set of kinds, such as {'dislike'}")
    return frozenset(check_kind(name) for name in names)


def _points(values: Any) -> tuple[tuple[float, float], ...]:
    try:
        points = tuple(
            (number(at, "a rating"), number(worth, f"the weight of the rating {at!r}", low=0)) for at, worth in values
        )
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidDataError):
            raise
        raise InvalidDataError(f"rating_weights is {shown(values)}", "give pairs of rating and weight") from error
    if any(left[0] >= right[0] for left, right in pairwise(points)):
        raise InvalidDataError(f"rating_weights is {values!r}", "give pairs whose ratings ascend")
    return points
