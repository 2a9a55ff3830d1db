"""The events of a data set, in order, and what a feedback policy says about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.data.columns import Kinds
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id, encode_id

__all__ = ["EventLog", "Order"]

Order: TypeAlias = Literal["time", "rows", "unknown"]
"""What the order of a user's events comes from."""


@dataclass(frozen=True, slots=True)
class EventLog:
    """Events sorted by user, those of one user by time.

    Events of a user with the same time, or without times, stand in the order of the rows where the caller declared it,
    else in an order drawn from their users and items: the same for the same events, whatever the rows' order was.
    """

    user_codes: NDArray[np.int32]
    """Shape (n,), ascending."""
    item_codes: NDArray[np.int32]
    """Shape (n,)."""
    times: NDArray[np.float64] | None
    """Shape (n,), seconds since 1970."""
    ratings: NDArray[np.float32] | None
    """Shape (n,), NaN where there is none."""
    kinds: Kinds | None
    """Codes of shape (n,), -1 where there is none, and the names."""
    offsets: NDArray[np.int64]
    """Shape (n_users + 1,): the events of user ``u`` are ``offsets[u]:offsets[u + 1]``."""
    order: Order
    """What their order comes from."""

    def __post_init__(self) -> None:
        # Codes, offsets and the cached digest belong together: they must not change.
        for array in (*self._columns(), self.offsets):
            if array is not None:
                array.flags.writeable = False

    @classmethod
    def of(
        cls,
        user_codes: NDArray[np.int32],
        item_codes: NDArray[np.int32],
        n_users: int,
        *,
        times: NDArray[np.float64] | None,
        ratings: NDArray[np.float32] | None,
        kinds: Kinds | None,
        rows_in_order: bool,
    ) -> EventLog:
        """The log of events that come in any order.

        Args:
            user_codes: Shape (n,).
            item_codes: Shape (n,).
            n_users: How many users there are.
            times: Seconds since 1970, shape (n,).
            ratings: Shape (n,), NaN where there is none.
            kinds: Codes of shape (n,), and names.
            rows_in_order: Whether events that times do not tell apart happened in the order of the rows.
        """
        # Stable sorts, so that the order of the rows settles equal times.
        order = np.argsort(user_codes, kind="stable") if times is None else np.lexsort((times, user_codes))
        log = cls(
            user_codes[order],
            item_codes[order],
            None if times is None else times[order],
            None if ratings is None else ratings[order],
            None if kinds is None else (kinds[0][order], kinds[1]),
            _offsets(user_codes, n_users),
            _order(times, rows_in_order),
        )
        return log if rows_in_order else log._with_ties_drawn()

    def select(self, mask: NDArray[np.bool_]) -> EventLog:
        """The log with the events of a mask of shape (n,)."""
        log = self._taken(mask)
        return replace(log, offsets=_offsets(log.user_codes, len(self.offsets) - 1))

    def recoded(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> EventLog:
        """The log with the codes that the users and items have when only these, ascending, are left."""
        user_codes = np.searchsorted(users, self.user_codes).astype(np.int32)
        item_codes = np.searchsorted(items, self.item_codes).astype(np.int32)
        return replace(self, user_codes=user_codes, item_codes=item_codes, offsets=_offsets(user_codes, len(users)))

    def digest(self, *others: Any) -> str:
        """32 hexadecimal digits that stand for the events and for the JSON values in ``others``."""
        state = hashlib.blake2b(digest_size=16)
        _add_columns(state.update, self._columns()[:4])
        if self.kinds is not None:
            _add_columns(state.update, (self.kinds[0],))
            others = (*others, list(self.kinds[1]))
        for value in others:
            text = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
            state.update(f"json:{len(text)}".encode() + text)
        return state.hexdigest()

    def digest_of_events(self, user_ids: list[Id], item_ids: list[Id]) -> str:
        """32 hexadecimal digits of the events alone: equal whatever other users and items the data set has."""
        users, items = np.unique(self.user_codes), np.unique(self.item_codes)
        named = (
            [encode_id(ids[code]) for code in codes.tolist()] for ids, codes in ((user_ids, users), (item_ids, items))
        )
        return self.recoded(users, items).digest(*named)

    # -- what the events mean

    def by_policy(self, ask: Callable[..., NDArray[Any]]) -> NDArray[Any]:
        """What a method of a policy for logs says of each event, shape (n,); asked once for each kind and rating."""
        n = len(self.user_codes)
        if self.kinds is None:
            return ask(n, None, self.ratings)
        codes, names = self.kinds
        ratings = np.full(n, np.nan, np.float32) if self.ratings is None else self.ratings
        rated, of_rating = np.unique(ratings, return_inverse=True)
        width = len(names) + 1
        pairs, places = np.unique(of_rating.astype(np.int64) * width + (codes + 1), return_inverse=True)
        kinds = [(None, *names)[pair % width] for pair in pairs.tolist()]
        return np.asarray(ask(len(pairs), kinds, rated[pairs // width])[places])

    def positive(self, policy: FeedbackPolicy) -> NDArray[np.bool_]:
        """Which events are positive and of items that their users do not dislike in the end, shape (n,).

        The latest event of a user with an item that is not neutral decides; where the order is unknown, a negative one.
        """
        signs = self.by_policy(policy.signs)
        found: NDArray[np.bool_] = signs > 0
        if (signs >= 0).all():
            return found
        said = np.flatnonzero(signs)[::-1]  # latest first
        pairs = self.pairs()[said]
        if self.order == "unknown":
            said = said[np.argsort(signs[said], kind="stable")]
            pairs = self.pairs()[said]
        _, first, places = np.unique(pairs, return_index=True, return_inverse=True)
        disliked = (signs[said][first] < 0)[places]
        found[said[disliked]] = False
        return found

    def pairs(self) -> NDArray[np.int64]:
        """One number for each user and item, shape (n,)."""
        width = int(self.item_codes.max()) + 1 if len(self.item_codes) else 1
        return self.user_codes.astype(np.int64) * width + self.item_codes

    # -- parts

    def _columns(self) -> tuple[NDArray[Any] | None, ...]:
        kinds = None if self.kinds is None else self.kinds[0]
        return self.user_codes, self.item_codes, self.times, self.ratings, kinds

    def _taken(self, rows: NDArray[Any]) -> EventLog:
        users, items, times, ratings, kinds = (None if each is None else each[rows] for each in self._columns())
        assert users is not None and items is not None  # noqa: PT018, S101 - both are always there
        named = None if kinds is None or self.kinds is None else (kinds, self.kinds[1])
        return replace(self, user_codes=users, item_codes=items, times=times, ratings=ratings, kinds=named)

    def _with_ties_drawn(self) -> EventLog:
        new = np.diff(self.user_codes) != 0
        if self.times is not None:
            new |= np.diff(self.times) != 0
        first = np.concatenate(([True], new)) if len(self.user_codes) else np.zeros(0, np.bool_)
        tied = ~first
        tied[:-1] |= ~first[1:]
        rows = np.flatnonzero(tied)
        if not len(rows):
            return self
        keys = [each[rows] for each in self._columns()[3:] if each is not None]
        keys += [_drawn(self.user_codes[rows], self.item_codes[rows]), np.cumsum(first)[rows]]
        order = np.arange(len(first))
        order[rows] = rows[np.lexsort(keys)]
        return self._taken(order)


def _order(times: NDArray[np.float64] | None, rows_in_order: bool) -> Order:
    if times is not None and (len(times) < 2 or times.min() < times.max()):
        return "time"
    return "rows" if rows_in_order else "unknown"


def _drawn(user_codes: NDArray[np.int32], item_codes: NDArray[np.int32]) -> NDArray[np.uint64]:
    """A number for each pair that looks drawn at random: the finaliser of SplitMix64."""
    mixed = (user_codes.astype(np.uint64) << np.uint64(32)) | item_codes.astype(np.uint64)
    mixed += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), np.uint64)


def _add_columns(add: Callable[[Any], None], columns: Iterable[NDArray[Any] | None]) -> None:
    for column in columns:
        # The type and the length go in too, or else a column could pass for the end of the one before.
        add(b"none" if column is None else f"{column.dtype.str[1:]}:{len(column)}".encode())
        if column is not None:
            add(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).view(np.uint8).data)


def _offsets(user_codes: NDArray[Any], n_users: int) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(np.bincount(user_codes, minlength=n_users)))).astype(np.int64)
