"""Calls of several threads of one process, answered together, so that many cost little more than one.

The thread that has a turn answers its own call with all those that wait and can share it, and hands the turn on to the
first that came too late. `vecrec.recommender.group_commit` does so for changes of the catalogue, `RequestCoalescer` for
recommendations: one read of the users, one forward pass, one search and one read of the records for all of them.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import Any, Generic, TypeVar, cast

from vecrec._internal.budget import BudgetSpentError, budget, ended_by
from vecrec.errors import StoreError, VecrecError
from vecrec.ids import Id
from vecrec.recommendations import Recommendations
from vecrec.recommender.request import Request
from vecrec.types import User

__all__ = ["Coalescer", "RequestCoalescer", "Waiting"]

_V = TypeVar("_V")
_R = TypeVar("_R")

_WINDOW = 0.002
"""Seconds at most that a request waits for others to share its search."""
_IDLE = 0.05
"""Seconds after which earlier requests say nothing about how many others are on their way."""
_MOST = 128
"""Requests that are answered together at most."""
_KEPT = 0.75
"""How many of those that were expected still are, after a group of fewer."""
_TURNS = 2
"""Groups of requests that are answered at a time: while one waits for an engine, the other one computes."""
_ALIKE = 2.0
"""How many times longer the one of two requests that are answered together may have than the other."""


@dataclass(slots=True, eq=False)
class Waiting(Generic[_V, _R]):
    """One call, and what has become of it."""

    value: _V
    until: float
    """When its time ends, on the monotonic clock."""
    ready: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    """Whether its thread has a turn, or is about to."""
    result: _R | None = None
    error: BaseException | None = None


class Coalescer(ABC, Generic[_V, _R]):
    """Answers calls in groups; a subclass says which calls make one, and what answers it.

    Args:
        turns: How many groups are answered at a time.
    """

    def __init__(self, turns: int) -> None:
        self._turns = turns
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Condition(threading.Lock())
        self._waiting: list[Waiting[_V, _R]] = []
        self._busy = 0

    def ask(self, value: _V, seconds: float | None) -> _R:
        """The answer to a call, alone or with others.

        Args:
            value: What the call is about.
            seconds: How long it may take; ``None`` for no bound.

        Raises:
            StoreTimeoutError: when no answer has come in time.
            Exception: what answering it raises. A call that cannot be answered fails alone.
        """
        if self._process != os.getpid():  # the threads of the others stayed in the parent
            self._start()
        mine: Waiting[_V, _R] = Waiting(value, inf if seconds is None else time.monotonic() + seconds)
        with self._lock:
            self._waiting.append(mine)
            if self._busy < self._turns:
                self._busy += 1
                mine.leads = True
            self._notify()
        if not mine.leads and not mine.ready.wait(seconds):
            self._withdraw(mine, seconds or 0.0)
        if mine.leads:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        return cast("_R", mine.result)

    # -- what a subclass says

    @abstractmethod
    def _turn(self, mine: Waiting[_V, _R]) -> AbstractContextManager[None]:
        """What to hold while a group is taken and answered; entered before, so that more can come meanwhile."""

    @abstractmethod
    def _choose(self, mine: Waiting[_V, _R], others: list[Waiting[_V, _R]]) -> list[Waiting[_V, _R]]:
        """Those that are answered together with a call, in the order of their coming."""

    @abstractmethod
    def _answer(self, group: Sequence[Waiting[_V, _R]]) -> Sequence[_R]:
        """The results of the calls of a group."""

    @abstractmethod
    def _withdraw(self, mine: Waiting[_V, _R], seconds: float) -> None:
        """Raise that the time of a call has ended, or return when it has been answered."""

    @abstractmethod
    def _is_of_one(self, error: Exception) -> bool:
        """Whether an error may concern one call of a group only."""

    def _notify(self) -> None:
        """Something has come; the lock is held."""

    # -- answering

    def _take_back(self, mine: Waiting[_V, _R]) -> bool:
        """Whether a call that waits was taken out again before a thread began to answer it."""
        with self._lock:
            waits = mine in self._waiting and not mine.leads
            if waits:
                self._waiting.remove(mine)
        return waits

    def _lead(self, mine: Waiting[_V, _R]) -> None:
        group: list[Waiting[_V, _R]] = []
        try:
            with self._turn(mine):
                with self._lock:
                    others = [each for each in self._waiting if not each.leads]
                    group = [mine, *self._choose(mine, others)]
                    taken = set(group)
                    self._waiting = [each for each in self._waiting if each not in taken]
                with ended_by(None):  # cancelling the call that leads does not cancel the others
                    self._answer_all(group)
        except BaseException as error:
            if not isinstance(error, Exception) and group:  # such as Ctrl-C, which is this thread's alone
                with self._lock:
                    self._waiting[:0] = group[1:]
                group = [mine]
            raise
        finally:
            self._hand_on(mine, group)

    def _hand_on(self, mine: Waiting[_V, _R], group: Sequence[Waiting[_V, _R]]) -> None:
        with self._lock:
            if not group:
                self._waiting.remove(mine)
            following = next((each for each in self._waiting if not each.leads), None)
            if following is None:
                self._busy -= 1
            else:
                following.leads = True
        for each in group if following is None else [*group, following]:
            each.ready.set()

    def _answer_all(self, group: Sequence[Waiting[_V, _R]]) -> None:
        try:
            for each, result in zip(group, self._answer(group), strict=True):
                each.result = result
        except Exception as error:  # noqa: BLE001 - each thread raises its own
            if len(group) == 1 or not self._is_of_one(error):
                for each in group[1:]:
                    each.error = _copy(error)
                group[0].error = error
                return
            for each in group:
                self._answer_all([each])


class RequestCoalescer(Coalescer["tuple[User | Id, Request]", Recommendations]):
    """Answers concurrent requests for recommendations together, as far as their options are equal.

    A request that is alone is answered at once, by its own thread: it holds `alone` meanwhile. Where the last group had
    several, the next one waits until as many have come, at most 2 milliseconds.

    Args:
        answer: Answers some users, stored or not, with the same options.
    """

    alone: threading.Lock
    """Held by the request that is answered by itself, and by the others while there are many."""

    def __init__(self, answer: Callable[[Sequence[User | Id], Request], list[Recommendations]]) -> None:
        self._answer_users = answer
        super().__init__(_TURNS)

    def _start(self) -> None:
        super()._start()
        self.alone, self._holds_alone = threading.Lock(), False
        self._expected, self._ended = 1, 0.0

    @contextmanager
    def _turn(self, mine: Waiting[tuple[User | Id, Request], Recommendations]) -> Iterator[None]:
        end = time.monotonic()
        with self._lock:
            if end - self._ended > _IDLE:
                self._expected = 1
            end += _WINDOW
            while len(self._waiting) < self._expected and (left := end - time.monotonic()) > 0:
                self._lock.wait(left)
        try:
            yield
        finally:
            self._ended = time.monotonic()

    def _notify(self) -> None:
        if len(self._waiting) >= self._expected > 1:
            self._lock.notify()

    def _choose(self, mine: Any, others: list[Any]) -> list[Any]:
        options, now = mine.value[1], time.monotonic()
        left = max(mine.until - now, 0.0)
        alike = (each for each in others if options.agrees(each.value[1]) and _alike(left, each.until - now))
        group = list(islice(alike, _MOST - 1))
        self._expected = max(len(group) + 1, int(_KEPT * self._expected))
        if group and not self._holds_alone:
            self._holds_alone = self.alone.acquire(blocking=False)
        elif not group and self._holds_alone:
            self._holds_alone = False
            self.alone.release()
        return group

    def _answer(self, group: Sequence[Waiting[tuple[User | Id, Request], Recommendations]]) -> list[Recommendations]:
        until = min(each.until for each in group)
        with budget(None if until == inf else max(0.0, until - time.monotonic())):
            return self._answer_users([each.value[0] for each in group], group[0].value[1])

    def _withdraw(self, mine: Waiting[tuple[User | Id, Request], Recommendations], seconds: float) -> None:
        self._take_back(mine)
        if not mine.leads and not mine.ready.is_set():
            raise BudgetSpentError(
                f"the request was not answered within {seconds:.3g} s",
                "give it a longer timeout, or look at the stores",
            )

    def _is_of_one(self, error: Exception) -> bool:
        return not isinstance(error, StoreError)


def _alike(one: float, other: float) -> bool:
    """Whether the times that two requests have left are so alike that the shorter one may count for both."""
    return one == other or one / _ALIKE <= other <= one * _ALIKE


def _copy(error: BaseException) -> BaseException:
    """An error for another thread, which writes its own traceback into it."""
    if not isinstance(error, VecrecError):
        return error
    made = type(error)(error.problem, error.cure)
    made.__cause__ = error
    return made
