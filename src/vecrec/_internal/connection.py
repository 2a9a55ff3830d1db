"""What every store has in common: a connection to an engine, which its owner closes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from typing_extensions import Self

__all__ = ["Connection"]


class Connection(ABC):
    """A connection that can be tried and closed; a context manager that closes it."""

    @abstractmethod
    def ping(self) -> None:
        """Return if the engine answers.

        Raises:
            StoreUnavailableError: if it does not, within the store's timeout.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the connection. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
