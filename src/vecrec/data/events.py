"""The events of a data set, in order."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EventLog"]


@dataclass(frozen=True, slots=True)
class EventLog:
    """Events sorted by user, those of one user by time, those of one time as they came."""

    user_codes: NDArray[np.int32]
    """Shape (n,), ascending."""
    item_codes: NDArray[np.int32]
    """Shape (n,)."""
    times: NDArray[np.float64] | None
    """Shape (n,), seconds since 1970."""
    ratings: NDArray[np.float32] | None
    """Shape (n,), NaN where there is none."""
    offsets: NDArray[np.int64]
    """Shape (n_users + 1,): the events of user ``u`` are ``offsets[u]:offsets[u + 1]``."""

    def __post_init__(self) -> None:
        # Codes, offsets and the cached digest belong together: nobody may change one of them.
        for array in (self.user_codes, self.item_codes, self.times, self.ratings, self.offsets):
            if array is not None:
                array.flags.writeable = False

    @classmethod
    def of(
        cls,
        user_codes: NDArray[np.int64],
        item_codes: NDArray[np.int64],
        times: NDArray[np.float64] | None,
        ratings: NDArray[np.float32] | None,
        n_users: int,
    ) -> EventLog:
        """The log of events that come in any order."""
        # Both sorts are stable, which is what makes the order of the rows settle equal times.
        order = np.argsort(user_codes, kind="stable") if times is None else np.lexsort((times, user_codes))
        return cls(
            user_codes[order].astype(np.int32),
            item_codes[order].astype(np.int32),
            None if times is None else times[order],
            None if ratings is None else ratings[order],
            _offsets(user_codes, n_users),
        )

    def select(self, mask: NDArray[np.bool_]) -> EventLog:
        """The log with the events of a mask of shape (n,)."""
        users = self.user_codes[mask]
        return replace(
            self,
            user_codes=users,
            item_codes=self.item_codes[mask],
            times=None if self.times is None else self.times[mask],
            ratings=None if self.ratings is None else self.ratings[mask],
            offsets=_offsets(users, len(self.offsets) - 1),
        )

    def recoded(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> EventLog:
        """The log with the codes that the users and items have when only these, ascending, are left."""
        user_codes = np.searchsorted(users, self.user_codes).astype(np.int32)
        item_codes = np.searchsorted(items, self.item_codes).astype(np.int32)
        return replace(self, user_codes=user_codes, item_codes=item_codes, offsets=_offsets(user_codes, len(users)))

    def digest(self, *others: Any) -> str:
        """32 hexadecimal digits that stand for the events and for the JSON values in ``others``."""
        state = hashlib.blake2b(digest_size=16)
        for column in (self.user_codes, self.item_codes, self.times, self.ratings):
            # The type and the length go in too, or else a column could pass for the end of the one before.
            state.update(b"none" if column is None else f"{column.dtype.str[1:]}:{len(column)}".encode())
            if column is not None:
                state.update(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).view(np.uint8).data)
        for value in others:
            text = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
            state.update(f"json:{len(text)}".encode() + text)
        return state.hexdigest()


def _offsets(user_codes: NDArray[Any], n_users: int) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(np.bincount(user_codes, minlength=n_users)))).astype(np.int64)
