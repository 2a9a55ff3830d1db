"""What every store has in common: a connection to an engine, which its owner closes."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

from typing_extensions import ParamSpec, Self

from vecrec._internal.budget import ENDING, BudgetSpentError, BusyError, budget
from vecrec._internal.tables import html_facts
from vecrec._internal.tracing import METRICS as _METRICS
from vecrec._internal.tracing import MODULE as _TRACE
from vecrec._internal.tracing import engine_span
from vecrec.errors import StoreTimeoutError, StoreUnavailableError

__all__ = ["Connection"]

_T = TypeVar("_T")
_P = ParamSpec("_P")


_loaded = sys.modules
_PAUSE = 0.5
"""Seconds between two probes."""
_PROBE = 4.0
"""Seconds that a probe may take: with the pause, an engine that is back is used within five seconds."""
_NOTICEABLE = 0.05
"""Seconds: a connection that is refused sooner need not be remembered, since to try again costs nothing."""
_PATIENT = 0.25
"""Seconds: an engine that did not answer within a shorter budget may only be slow."""


class Connection(ABC):
    """A connection that can be tried and closed; a context manager that closes it.

    What the public methods of a store ask of its engine goes through `guard`. Where the engine does not answer, one
    call waits for it; until it answers again, the other calls raise `StoreUnavailableError` at once.
    """

    timeout: float | None = None
    """Seconds in which the engine has to answer a request; ``None`` where the store does not bound it."""

    db_system: str = "other"
    """The engine's name in traces."""

    one_process: bool = False
    """Whether the data can be used by one process at a time only."""

    _breaker: Breaker

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        # Here, so that a store of another package need not call the constructor of its base.
        made = super().__new__(cls)
        object.__setattr__(made, "_breaker", Breaker(made))
        return made

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "ping" in vars(cls):
            cls.ping = _closing(cls.ping)  # type: ignore[assignment, method-assign]

    def _repr_html_(self) -> str:
        timeout = "the engine's own" if self.timeout is None else f"{self.timeout:g} seconds"
        processes = "one at a time" if self.one_process else "several"
        return html_facts({"store": repr(self), "timeout of a request": timeout, "processes": processes})

    @abstractmethod
    def ping(self) -> None:
        """Return if the engine answers. After that, calls no longer fail because it did not before.

        Raises:
            StoreUnavailableError: if it does not, within the store's timeout.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the connection. A second call does nothing."""

    def guard(self) -> AbstractContextManager[None]:
        """A context manager around calls to the engine.

        Raises:
            StoreUnavailableError: at once, where an earlier call has found that the engine does not answer.
        """
        return self._breaker.guard()

    def connect(self) -> None:
        """Ask the engine in the background whether it is there; until it answers, calls fail at once."""
        self._breaker.presume(StoreTimeoutError(f"{self} has not answered yet", "see whether it is overloaded"))

    @property
    def answers(self) -> bool:
        """Whether no call is known to have waited in vain, and `connect` is not under way."""
        return not self._breaker.is_open

    def _asked(self, ask: Callable[_P, _T], /, *arguments: _P.args, **options: _P.kwargs) -> _T:
        """What the engine answers to one call, under the guard; traced and timed where the application asks for it."""
        observed = _TRACE in _loaded or _METRICS in _loaded
        span = engine_span(self.db_system, getattr(ask, "__name__", "call"), arguments) if observed else None
        if span is None:
            with self.guard():
                return ask(*arguments, **options)
        with span, self.guard():
            return ask(*arguments, **options)

    def _guarded(self, rows: Iterator[_T]) -> Iterator[_T]:
        """The rows of an engine, read under the guard."""
        with self.guard():
            yield from rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _closing(ping: Callable[[Any], None]) -> Callable[[Any], None]:
    """A `ping` that tells the breaker when the engine has answered."""

    @wraps(ping)
    def answered(self: Connection) -> None:
        ping(self)
        self._breaker.close()

    return answered


class Breaker:
    """Guards the calls to one engine.

    A call that fails since the engine does not answer opens it. While it is open, calls fail at once, and one
    background thread asks ``store.ping()`` until the engine answers, which closes it. All threads share it.
    """

    def __init__(self, store: Connection) -> None:
        self._store = weakref.ref(store)
        self._lock = threading.Lock()
        self._failure: StoreUnavailableError | None = None
        self._presumed = False
        self._process = os.getpid()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around a call to the engine.

        Raises:
            StoreUnavailableError: at once, where an earlier call has found that the engine does not answer. It is a
                `StoreTimeoutError` where that call has waited in vain.
        """
        failure, ending = self._failure, ENDING.get()
        if failure is not None:
            self._refuse(failure)
        if ending is not None and ending.is_set():
            raise BudgetSpentError("the request was cancelled before this call to a store", "ask again")
        began = time.monotonic()
        try:
            yield
        except (BudgetSpentError, BusyError):
            raise
        except StoreUnavailableError as error:
            least = _PATIENT if isinstance(error, StoreTimeoutError) else _NOTICEABLE
            if time.monotonic() - began >= least:
                self._open(error)
            raise

    def close(self) -> None:
        """The engine has answered."""
        self._failure = None

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once."""
        return self._failure is not None

    def presume(self, error: StoreUnavailableError) -> None:
        """Open before any call has failed, so that none waits; the first probe tells the reason where there is one."""
        self._presumed = True
        self._open(error)

    def _refuse(self, failure: StoreUnavailableError) -> None:
        if self._process != os.getpid():  # the thread that probes stayed in the parent
            self._failure = None
            return
        raise type(failure)(failure.problem, failure.cure)

    def _open(self, error: StoreUnavailableError) -> None:
        with self._lock:
            if self._failure is not None:
                return
            self._failure, self._process = _remembered(error), os.getpid()
        try:
            threading.Thread(target=self._probe, name="vecrec-probe", daemon=True).start()
        except RuntimeError:  # the interpreter ends, or there are too many threads
            self._failure = None

    def _probe(self) -> None:
        while not self._answers() and self._failure is not None:
            time.sleep(_PAUSE)
        self._failure = None

    def _answers(self) -> bool:
        store = self._store()
        try:
            with budget(_PROBE):
                if store is not None:
                    store.ping()
        except StoreUnavailableError as error:
            with self._lock:
                if self._presumed and self._failure is not None and not isinstance(error, BudgetSpentError):
                    self._failure, self._presumed = _remembered(error), False
            return False
        except Exception:  # noqa: BLE001 - such as that the store was closed: the next call says it
            return True
        return True


def _remembered(error: StoreUnavailableError) -> StoreUnavailableError:
    """A new error for later calls, since the one on its way holds the frames of its call."""
    kind = StoreTimeoutError if isinstance(error, StoreTimeoutError) else StoreUnavailableError
    return kind(f"{error.problem}; until it answers again, calls fail at once", error.cure)
