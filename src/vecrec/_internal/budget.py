"""The time that a request may take: one deadline, from which every call to a store takes what it may wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from vecrec.errors import StoreError, StoreTimeoutError

__all__ = ["ENDING", "BudgetSpentError", "BusyError", "Opening", "budget", "ended_by", "remaining", "share"]

_WAITS = 4
"""How many timeouts a thread waits for another one that is opening a connection: it may have tables to create."""

_deadline: ContextVar[float | None] = ContextVar("vecrec_deadline", default=None)
ENDING: ContextVar[threading.Event | None] = ContextVar("vecrec_ending", default=None)
"""Set where the caller no longer waits for the request; see `ended_by`."""


class BudgetSpentError(StoreTimeoutError):
    """The request had no time left for this call, which says nothing about the engine."""


class BusyError(StoreTimeoutError):
    """The engine has answered that the call waits too long for others, such as for a lock: it does not hang."""


@contextmanager
def budget(seconds: float | None) -> Iterator[None]:
    """Let the calls in the block take so long together; within a shorter budget that one counts.

    It holds for this thread, and for threads that are started with a copy of its context, as those of `asyncio` are.

    Args:
        seconds: At most; ``None`` for no further bound.
    """
    if seconds is None:
        yield
        return
    outer, mine = _deadline.get(), time.monotonic() + seconds
    token = _deadline.set(mine if outer is None else min(mine, outer))
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def ended_by(event: threading.Event | None) -> Iterator[None]:
    """Refuse further calls to stores in the block once an event is set; ``None`` for calls that nothing ends."""
    token = ENDING.set(event)
    try:
        yield
    finally:
        ENDING.reset(token)


@contextmanager
def share(part: float) -> Iterator[None]:
    """Let the calls in the block take a part of the time that is left, so that some remains for what follows."""
    end = _deadline.get()
    with budget(None if end is None else part * max(0.0, end - time.monotonic())):
        yield


def remaining(most: float) -> float:
    """How many seconds a call may wait: what is left of the budget, ``most`` where that is more.

    Raises:
        BudgetSpentError: when nothing is left.
    """
    end = _deadline.get()
    if end is None:
        return most
    left = end - time.monotonic()
    if left <= 0:
        raise BudgetSpentError(
            "the time of the request was spent before this call to a store", "give it a longer timeout"
        )
    return min(left, most)


class _Attempt:
    def __init__(self, hurried: bool) -> None:
        self.ended = threading.Event()
        self.hurried = hurried
        self.error: StoreError | None = None


class Opening:
    """Work that one thread does for all that need it, such as opening a connection.

    Those that wait for it share its failure, instead of trying one after the other; unless it had a budget shorter
    than the store's timeout, which says little.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempt: _Attempt | None = None

    @contextmanager
    def turn(self, timeout: float) -> Iterator[None]:
        """Hold the turn to do the work; the block looks first whether it is done already.

        Raises:
            StoreError: what another thread has met that did the work meanwhile.
            BudgetSpentError: when another thread is still at it after some times ``timeout`` seconds.
        """
        mine = _Attempt(remaining(timeout) < timeout)
        while (other := self._begin(mine)) is not None:
            if not other.ended.wait(remaining(_WAITS * timeout)):
                raise BudgetSpentError("another thread is still connecting to the store", "try again in some seconds")
            if other.error is not None and not other.hurried:
                raise type(other.error)(other.error.problem, other.error.cure) from other.error.__cause__
        try:
            yield
        except StoreError as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                self._attempt = None
            mine.ended.set()

    def _begin(self, mine: _Attempt) -> _Attempt | None:
        """Begin an attempt; the one that is under way, if there is one."""
        with self._lock:
            if self._attempt is not None:
                return self._attempt
            self._attempt = mine
            return None
