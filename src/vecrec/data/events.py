"""The events of a data set, in order, and what a feedback policy says about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import counts_of, slices, user_batches
from vecrec.data.columns import Kinds
from vecrec.data.room import Room
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id, encode_id

__all__ = ["EventLog", "Order"]

Order: TypeAlias = Literal["time", "rows", "unknown"]
"""What the order of a user's events comes from."""

_MEMORY = Room()
_NAMES = ("user_codes", "item_codes", "times", "ratings", "kinds")


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
    room: Room = _MEMORY
    """Where the columns are kept."""

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
        room: Room = _MEMORY,
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
            room: Where the columns are kept.
        """
        offsets = _offsets(user_codes, n_users)
        codes_of_kinds = None if kinds is None else kinds[0]
        given = zip(_NAMES, (user_codes, item_codes, times, ratings, codes_of_kinds))
        # First into batches of users, then each batch by itself: so little is held at a time, in the processor's cache.
        batches = list(user_batches(offsets))
        columns = {name: each for name, each in given if each is not None}
        columns = _grouped(columns, offsets, [users.start for users in batches], room)
        for users in batches:
            events = slice(int(offsets[users.start]), int(offsets[users.stop]))
            batch = {name: each[events] for name, each in columns.items()}
            order = _sorted(batch, rows_in_order)
            for each in batch.values():
                each[:] = each[order]
        return cls._of(columns, kinds, offsets=offsets, order=_order(times, rows_in_order), room=room)

    @classmethod
    def _of(cls, columns: Mapping[str, NDArray[Any]], kinds: Kinds | None, **others: Any) -> EventLog:
        named = None if kinds is None else (columns["kinds"], kinds[1])
        times, ratings = columns.get("times"), columns.get("ratings")
        return cls(columns["user_codes"], columns["item_codes"], times, ratings, named, **others)

    def select(self, mask: NDArray[np.bool_]) -> EventLog:
        """The log with the events of a mask of shape (n,)."""
        columns = {
            name: self.room.chosen(each, mask) for name, each in zip(_NAMES, self._columns()) if each is not None
        }
        offsets = _offsets(columns["user_codes"], len(self.offsets) - 1)
        return self._of(columns, self.kinds, offsets=offsets, order=self.order, room=self.room)

    def recoded(self, users: NDArray[Any], items: NDArray[Any]) -> EventLog:
        """The log with the codes that the users and items have when only these, ascending, are left."""
        user_codes = np.searchsorted(users, self.user_codes).astype(np.int32)
        item_codes = np.searchsorted(items, self.item_codes).astype(np.int32)
        return replace(self, user_codes=user_codes, item_codes=item_codes, offsets=_offsets(user_codes, len(users)))

    def active(self, n_items: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The codes of the users and of the items, of so many, that have an event, ascending."""
        return np.flatnonzero(np.diff(self.offsets)), np.flatnonzero(counts_of(self.item_codes, n_items))

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
        users, items = self.active(len(item_ids))
        named = (
            [encode_id(ids[code]) for code in codes.tolist()] for ids, codes in ((user_ids, users), (item_ids, items))
        )
        return self.recoded(users, items).digest(*named)

    # -- what the events mean

    def by_policy(self, ask: Callable[..., NDArray[Any]]) -> NDArray[Any]:
        """What a method of a policy for logs says of each event, shape (n,); asked once for each kind and rating."""
        n = len(self.user_codes)
        found = self.room.empty(n, ask(0, None, None).dtype)
        for piece in slices(n):
            ratings = None if self.ratings is None else self.ratings[piece]
            if self.kinds is None:
                found[piece] = ask(piece.stop - piece.start, None, ratings)
            else:
                found[piece] = _by_kind(ask, self.kinds[0][piece], self.kinds[1], ratings)
        return found

    def positive(self, policy: FeedbackPolicy) -> NDArray[np.bool_]:
        """Which events are positive and of items that their users do not dislike in the end, shape (n,).

        The latest event of a user with an item that is not neutral decides; where the order is unknown, a negative one.
        """
        signs = self.by_policy(policy.signs)
        found: NDArray[np.bool_] = signs > 0
        if signs.min(initial=1) >= 0:
            return found
        for events, pairs in self._pairs(int(self.item_codes.max(initial=0)) + 1):
            said = np.flatnonzero(signs[events])[::-1]  # latest first
            if self.order == "unknown":
                said = said[np.argsort(signs[events][said], kind="stable")]
            _, first, places = np.unique(pairs[said], return_index=True, return_inverse=True)
            disliked = (signs[events][said][first] < 0)[places]
            found[events.start + said[disliked]] = False
        return found

    def users_of_items(self, mask: NDArray[np.bool_], n_items: int) -> NDArray[np.int64]:
        """How many users have an event of the mask, shape (n,), with each item, shape (n_items,)."""
        counts = np.zeros(n_items, np.int64)
        for events, pairs in self._pairs(n_items):
            some = np.sort(pairs[mask[events]])
            first = np.append(True, some[1:] != some[:-1])[: len(some)]
            counts += np.bincount(some[first] % n_items, minlength=n_items)
        return counts

    def _pairs(self, n_items: int) -> Iterator[tuple[slice, NDArray[np.int64]]]:
        """The events of some users, and one number for each of their users and items."""
        for users in user_batches(self.offsets):
            events = slice(int(self.offsets[users.start]), int(self.offsets[users.stop]))
            yield events, self.user_codes[events].astype(np.int64) * n_items + self.item_codes[events]

    # -- parts

    def _columns(self) -> tuple[NDArray[Any] | None, ...]:
        kinds = None if self.kinds is None else self.kinds[0]
        return self.user_codes, self.item_codes, self.times, self.ratings, kinds


def _grouped(
    columns: Mapping[str, NDArray[Any]], offsets: NDArray[np.int64], firsts: Sequence[int], room: Room
) -> dict[str, NDArray[Any]]:
    """Copies of the columns in which the events of each batch of users stand together.

    Args:
        columns: The columns by name.
        offsets: Where each user's events are to begin.
        firsts: The first user of each batch.
        room: Where the copies are kept.
    """
    user_codes = columns["user_codes"]
    grouped = {name: room.empty(len(each), each.dtype) for name, each in columns.items()}
    starts = np.array(firsts, np.int64)
    ends = offsets[starts]
    for piece in slices(len(user_codes)):
        batches = np.searchsorted(starts, user_codes[piece], "right") - 1
        order = np.argsort(batches.astype(np.uint16), kind="stable")  # so few bits are sorted in linear time
        sizes = np.bincount(batches, minlength=len(starts))
        for name, each in columns.items():
            _scatter(each[piece][order], grouped[name], ends, sizes)
        ends += sizes
    return grouped


def _scatter(values: NDArray[Any], target: NDArray[Any], ends: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
    begin = 0
    for place in np.flatnonzero(sizes).tolist():
        at, size = int(ends[place]), int(sizes[place])
        target[at : at + size] = values[begin : begin + size]
        begin += size


def _sorted(batch: Mapping[str, NDArray[Any]], rows_in_order: bool) -> NDArray[np.int64]:
    """The order of some events by user and time; where that leaves it open, by rows or drawn."""
    user_codes, item_codes, times = batch["user_codes"], batch["item_codes"], batch.get("times")
    # Stable sorts, so that the order of the rows settles equal times.
    order = np.arange(len(user_codes)) if times is None else np.argsort(times, kind="stable")
    order = order[_by_code(user_codes[order])]
    if rows_in_order or not len(order):
        return order
    new = np.diff(user_codes[order]) != 0
    if times is not None:
        new |= np.diff(times[order]) != 0
    first = np.append(True, new)
    tied = ~first
    tied[:-1] |= ~first[1:]
    places = np.flatnonzero(tied)
    rows = order[places]
    keys = [batch[name][rows] for name in ("ratings", "kinds") if name in batch]
    keys += [_drawn(user_codes[rows], item_codes[rows]), np.cumsum(first)[places]]
    order[places] = rows[np.lexsort(keys)]
    return order


def _by_code(codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """The order of codes, stable: by 16 bits after the other, since NumPy sorts so few in linear time."""
    codes = codes - codes.min(initial=0)
    order = np.argsort(codes.astype(np.uint16), kind="stable")
    high = (codes >> 16).astype(np.uint16)
    return order[np.argsort(high[order], kind="stable")] if high.any() else order


def _by_kind(
    ask: Callable[..., NDArray[Any]],
    codes: NDArray[np.int16],
    names: Sequence[str],
    ratings: NDArray[np.float32] | None,
) -> NDArray[Any]:
    ratings = np.full(len(codes), np.nan, np.float32) if ratings is None else ratings
    rated, of_rating = np.unique(ratings, return_inverse=True)
    width = len(names) + 1
    pairs, places = np.unique(of_rating.astype(np.int64) * width + (codes + 1), return_inverse=True)
    kinds = [(None, *names)[pair % width] for pair in pairs.tolist()]
    return np.asarray(ask(len(pairs), kinds, rated[pairs // width])[places])


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
    return np.append(0, np.cumsum(counts_of(user_codes, n_users)))
