"""What a user's vector is made of: parts that add up to it, each from an event, a feature, the id, or everything else.

The score of an item is the inner product of the two vectors, so the inner product of each part with the item's vector
is the part's share of the score, and the shares add up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from vecrec.ids import Id
from vecrec.types import User

__all__ = ["Method", "Part", "PartKind", "UserParts", "by_permutations", "collected", "named", "weakest"]

Method: TypeAlias = Literal["exact", "linearised", "permutations"]
"""How parts were found: ``"exact"`` where the vector is their sum; ``"linearised"`` where it is their sum for the
lengths and gates that this user has; ``"permutations"`` where each part is the mean of what it changes when everything
is put together in several orders."""

PartKind: TypeAlias = Literal["event", "earlier", "feature", "user", "base"]
"""``"event"``: one event; ``"earlier"``: all events before those; ``"feature"``: one feature of the profile;
``"user"``: the id; ``"base"``: what every user has, such as what is popular."""

MOST_EVENTS = 20
"""How many of the latest events `by_permutations` tells apart."""

_ROTATIONS = 4
"""How many orders it takes, each also in reverse."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part of a user's vector comes from."""

    kind: PartKind
    """What it is."""
    place: int | None = None
    """Of an event: its place in the user's history."""
    feature: str | None = None
    """Of a feature: its name."""
    source: str = ""
    """The encoder that it comes from: its ``name``, or that of a member of a combination."""


@dataclass(frozen=True, slots=True)
class UserParts:
    """The parts of one user's vector."""

    parts: tuple[Part, ...]
    """Where each comes from."""
    vectors: NDArray[np.float32]
    """The parts, shape (n, dim)."""
    residual: NDArray[np.float32]
    """What they lack to the user's vector, shape (dim,)."""
    method: Method
    """How they were found."""

    @property
    def total(self) -> NDArray[np.float32]:
        """The user's vector, shape (dim,)."""
        found: NDArray[np.float32] = self.vectors.sum(axis=0) + self.residual
        return found


def collected(vectors: Mapping[Part, NDArray[np.float32]], dim: int, method: Method = "exact") -> UserParts:
    """Parts in the form of `UserParts`, without a residual.

    Args:
        vectors: Each part, shape (dim,).
        dim: The length of a vector.
        method: How they were found.
    """
    rows = np.array(list(vectors.values()), np.float32).reshape(-1, dim)
    return UserParts(tuple(vectors), rows, np.zeros(dim, np.float32), method)


def weakest(methods: Iterable[Method]) -> Method:
    """The method that promises least among several."""
    order: tuple[Method, ...] = get_args(Method)
    return max(methods, key=order.index)


def by_permutations(
    encode: Callable[[Sequence[User]], NDArray[np.float32]], user: User, knows: Callable[[Id], bool]
) -> UserParts:
    """The parts of a vector by an encoder's answers alone, whatever the encoder.

    Everything known of the user is put together one by one, in four orders that begin at different places and in their
    reverse, and each part is the mean of what it changes (Shapley values by antithetic permutations: Mitchell et al.,
    *Sampling Permutations for Shapley Value Estimation*, 2022). So the parts always add up to the vector. Events that
    the encoder does not know are in it from the beginning. It takes eight vectors for each part.

    Args:
        encode: ``encode_users`` of the encoder.
        user: As the encoder reads them.
        knows: ``knows`` of the encoder.
    """
    known = [place for place, event in enumerate(user.history) if knows(event.item_id)]
    told = known[-MOST_EVENTS:]
    earlier = {*known[: len(known) - len(told)]}
    parts = [Part("user")] if user.id is not None else []
    parts += [Part("feature", feature=name) for name, value in user.features.items() if value is not None]
    parts += [Part("earlier")] if earlier else []
    parts += [Part("event", place=place) for place in told]
    n = len(parts)
    starts = sorted({n * turn // _ROTATIONS for turn in range(_ROTATIONS)})
    orders = np.array([order for start in starts for order in _both_ways(np.roll(np.arange(n), -start))])
    asked = [
        _with(user, {parts[at] for at in order[:count]}, earlier, {*told}) for order in orders for count in range(n + 1)
    ]
    vectors = encode(asked).reshape(len(orders), n + 1, -1)
    changes = np.zeros((n, vectors.shape[-1]), np.float64)
    for order, steps in zip(orders, np.diff(vectors, axis=1)):
        changes[order] += steps
    rows = np.concatenate([vectors[0, :1], (changes / len(orders)).astype(np.float32)])
    return UserParts((Part("base"), *parts), rows, np.zeros(rows.shape[1], np.float32), "permutations")


def _both_ways(order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return order, order[::-1]


def _with(user: User, parts: set[Part], earlier: set[int], told: set[int]) -> User:
    """The user with some of the parts."""
    left_out = told - {part.place for part in parts if part.place is not None}
    if Part("earlier") not in parts:
        left_out |= earlier
    features = {name: value for name, value in user.features.items() if Part("feature", feature=name) in parts}
    history = tuple(event for place, event in enumerate(user.history) if place not in left_out)
    return User.unchecked(user.id if Part("user") in parts else None, features, history, user.at)


def named(parts: UserParts, source: str) -> UserParts:
    """The same, with a source for each part that has none."""
    return replace(parts, parts=tuple(part if part.source else replace(part, source=source) for part in parts.parts))
