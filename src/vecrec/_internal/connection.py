"""What every store has in common: a connection to an engine, which its owner closes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from typing_extensions import Self

from vecrec._internal.breaker import Breaker

__all__ = ["Connection"]

_T = TypeVar("_T")


class Connection(ABC):
    """A connection that can be tried and closed; a context manager that closes it.

    What the public methods of a store ask of its engine goes through `guard`. Where the engine does not answer, one
    call waits for it; until it answers again, the other calls raise `StoreUnavailableError` at once.
    """

    timeout: float | None = None
    """Seconds in which the engine has to answer a request; ``None`` where the store does not bound it."""

    _breaker: Breaker

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        # Here, so that a store of another package need not call the constructor of its base.
        made = super().__new__(cls)
        object.__setattr__(made, "_breaker", Breaker(made))
        return made

    @abstractmethod
    def ping(self) -> None:
        """Return if the engine answers.

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
