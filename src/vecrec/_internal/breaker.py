"""What is remembered of an engine that does not answer, so that one call waits for it and not every call."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from vecrec._internal.budget import budget
from vecrec.errors import StoreTimeoutError, StoreUnavailableError

__all__ = ["Breaker"]

_PAUSE = 0.5
"""Seconds between two probes."""
_PROBE = 4.0
"""Seconds that a probe may take: with the pause, an engine that is back is used within five seconds."""
_NOTICEABLE = 0.05
"""Seconds: a connection that is refused sooner need not be remembered, since to try again costs nothing."""
_PATIENT = 0.25
"""Seconds: an engine that did not answer within a shorter budget may only be slow."""


class _Store(Protocol):
    def ping(self) -> None: ...


class Breaker:
    """Guards the calls to one engine.

    A call that fails since the engine does not answer opens it. While it is open, calls fail at once, and one
    background thread asks ``store.ping()`` until the engine answers, which closes it. All threads share it.
    """

    def __init__(self, store: _Store) -> None:
        self._store = weakref.ref(store)
        self._lock = threading.Lock()
        self._failure: StoreUnavailableError | None = None
        self._process = os.getpid()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around a call to the engine.

        Raises:
            StoreUnavailableError: at once, where an earlier call has found that the engine does not answer. It is a
                `StoreTimeoutError` where that call has waited in vain.
        """
        failure = self._failure
        if failure is not None:
            self._refuse(failure)
        began = time.monotonic()
        try:
            yield
        except StoreUnavailableError as error:
            least = _PATIENT if isinstance(error, StoreTimeoutError) else _NOTICEABLE
            if time.monotonic() - began >= least:
                self._open(error)
            raise

    def _refuse(self, failure: StoreUnavailableError) -> None:
        if self._process != os.getpid():  # the thread that probes stayed in the parent
            self._failure = None
            return
        raise type(failure)(failure.problem, failure.cure)

    def _open(self, error: StoreUnavailableError) -> None:
        kind = StoreTimeoutError if isinstance(error, StoreTimeoutError) else StoreUnavailableError
        with self._lock:
            if self._failure is not None:
                return
            # A new error, since the one on its way holds the frames of its call.
            self._failure = kind(f"{error.problem}; until it answers again, calls fail at once", error.cure)
            self._process = os.getpid()
        try:
            threading.Thread(target=self._probe, name="vecrec-probe", daemon=True).start()
        except RuntimeError:  # the interpreter ends, or there are too many threads
            self._failure = None

    def _probe(self) -> None:
        while not self._answers():
            time.sleep(_PAUSE)
        self._failure = None

    def _answers(self) -> bool:
        store = self._store()
        try:
            with budget(_PROBE):
                if store is not None:
                    store.ping()
        except StoreUnavailableError:
            return False
        except Exception:  # noqa: BLE001 - such as that the store was closed: the next call says it
            return True
        return True
