"""Changes of the catalogue that wait for each other in one process, committed together.

A change costs a server of vectors some hundred milliseconds, one item or a thousand. So the thread that holds the turn
commits its own change with all those that have come meanwhile, and the first that came too late has the turn next.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vecrec.errors import InvalidDataError, ItemNotFoundError, StoreTimeoutError, VecrecError
from vecrec.ids import Id

__all__ = ["GroupCommit"]

_V = TypeVar("_V")

_MOST = 2_000
"""Items of a group, unless its first change alone has more."""


@dataclass(slots=True, eq=False)
class _Change(Generic[_V]):
    values: Mapping[Id, _V]
    until: float
    ready: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    error: BaseException | None = None


class GroupCommit(Generic[_V]):
    """Changes of one kind, by item.

    Args:
        commit: Commits values by item.
        exclusive: Keeps other processes out, after at most so many seconds of waiting for them.
        merge: The value of an item that two changes name, the earlier one first; by default the later one's.
    """

    def __init__(
        self,
        commit: Callable[[dict[Id, _V]], None],
        exclusive: Callable[[float], AbstractContextManager[None]],
        merge: Callable[[_V, _V], _V] = lambda earlier, later: later,
    ) -> None:
        self._commit, self._exclusive, self._merge = commit, exclusive, merge
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: list[_Change[_V]] = []
        self._busy = False

    def add(self, values: Mapping[Id, _V], seconds: float) -> None:
        """Commit a change, alone or with others, and return when that is done.

        Raises:
            StoreTimeoutError: when its turn has not come within ``seconds``; then nothing of it was written.
            VecrecError: what its commit raises. A change that cannot be used fails alone.
        """
        if self._process != os.getpid():  # the threads of the others stayed in the parent
            self._start()
        mine = _Change(values, time.monotonic() + seconds)
        with self._lock:
            self._waiting.append(mine)
            if not self._busy:
                self._busy = mine.leads = True
        if not mine.leads and not mine.ready.wait(seconds):
            self._withdraw(mine, seconds)
        if mine.leads:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error

    def _withdraw(self, mine: _Change[_V], seconds: float) -> None:
        with self._lock:
            withdrawn = mine in self._waiting and not mine.leads
            if withdrawn:
                self._waiting.remove(mine)
        if not withdrawn:
            mine.ready.wait()  # it is being committed, which the timeouts of the stores bound
            return
        with self._exclusive(0.0):  # raises, and says who keeps it
            pass
        raise StoreTimeoutError(
            f"the change has waited {seconds:g} s for earlier changes of the catalogue, and was not written",
            "look at the stores, which are slow or do not answer, and try again",
        )

    def _lead(self, mine: _Change[_V]) -> None:
        group: list[_Change[_V]] = []
        try:
            with self._exclusive(max(0.0, mine.until - time.monotonic())):
                with self._lock:
                    group = self._take()
                self._commit_all(group)
        finally:
            with self._lock:
                if not group:
                    self._waiting.remove(mine)
                following = self._waiting[0] if self._waiting else None
                self._busy = following is not None
                if following is not None:
                    following.leads = True
            for change in group if following is None else [*group, following]:
                change.ready.set()

    def _take(self) -> list[_Change[_V]]:
        """The changes that are committed together, from the first one on."""
        total = n = 0
        for change in self._waiting:
            total += len(change.values)
            if n and total > _MOST:
                break
            n += 1
        group = self._waiting[:n]
        del self._waiting[:n]
        return group

    def _commit_all(self, group: list[_Change[_V]]) -> None:
        merged: dict[Id, _V] = {}
        for change in group:
            for key, value in change.values.items():
                merged[key] = self._merge(merged[key], value) if key in merged else value
        try:
            self._commit(merged)
        except (InvalidDataError, ItemNotFoundError) as error:
            if len(group) == 1:
                group[0].error = error
            for change in group if len(group) > 1 else ():
                self._commit_all([change])
        except BaseException as error:  # noqa: BLE001 - each thread raises its own
            for change in group[1:]:
                change.error = _copy(error)
            group[0].error = error


def _copy(error: BaseException) -> BaseException:
    """An error for another thread, which writes its own traceback into it."""
    if not isinstance(error, VecrecError):
        return error
    made = type(error)(error.problem, error.cure)
    made.__cause__ = error
    return made
