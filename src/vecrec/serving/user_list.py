"""The stored users in an order that pages can follow, which no metadata store has."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import islice

from vecrec.ids import Id, id_order
from vecrec.recommender import Recommender
from vecrec.types import User

__all__ = ["UserList"]

_MOST = 1_000_000
_SECONDS = 60.0


class UserList:
    """The ids of stored users, integers first, read when they are first needed and again every minute.

    What this service itself writes is in it at once. Of more users it holds the first million read.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._ids: list[Id] | None = None
        self._made = 0.0
        self._making, self._changing = threading.Lock(), threading.Lock()
        # What was written since a reading of the store has begun; None while there is none.
        self._written: set[Id] | None = None

    def wrote(self, ids: Iterable[Id]) -> None:
        """Take over users who may be new. Those that were removed are left out when a page is read."""
        new = set(ids)
        with self._changing:
            if self._written is not None:
                self._written |= new
            if self._ids is not None and self._is_old():
                self._ids = None
            elif self._ids is not None:
                self._ids = _merged(self._ids, new)

    def page(self, after: Id | None, limit: int) -> tuple[list[User], Id | None]:
        """The users who follow an id, or the first ones, and the last one's id where more follow."""
        ids = self._fresh()
        start = 0 if after is None else bisect_right(ids, id_order(after), key=id_order)
        found: list[User] = []
        while start < len(ids) and len(found) <= limit:
            chosen = ids[start : start + limit + 1]
            found += self._recommender.get_users(chosen).values()
            start += len(chosen)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    def _fresh(self) -> list[Id]:
        with self._making:  # while one request reads the ids, the others wait for its list
            held = self._ids
            if held is not None and not self._is_old():
                return held
            with self._changing:
                written = self._written = set()
            made, began = sorted(islice(self._recommender.user_ids(), _MOST), key=id_order), time.monotonic()
            with self._changing:
                self._ids, self._made, self._written = _merged(made, written), began, None
                return self._ids

    def _is_old(self) -> bool:
        return time.monotonic() - self._made >= _SECONDS


def _merged(ids: list[Id], more: Iterable[Id]) -> list[Id]:
    """A sorted list with more ids; another list, since pages may be reading this one."""
    new = [key for key in more if not _holds(ids, key)]
    return sorted([*ids, *new], key=id_order) if new else ids


def _holds(ids: list[Id], key: Id) -> bool:
    at = bisect_left(ids, id_order(key), key=id_order)
    return at < len(ids) and ids[at] == key
