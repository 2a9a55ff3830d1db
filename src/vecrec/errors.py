"""Every error that vecrec raises, drawn once.

::

    VecrecError
    ├── InvalidDataError (ValueError)          a value handed in cannot be used; nothing was written
    │   └── DimensionMismatchError             a vector has another length than its collection or encoder
    ├── NotFittedError (RuntimeError)          there is no trained encoder or live release yet
    ├── ItemNotFoundError (KeyError)           an item that a call is about is not in the catalogue
    ├── ReleaseError (RuntimeError)            a release cannot be built, checked, read or switched to
    ├── DownloadError (ConnectionError)        a data set cannot be fetched; the message says where else it comes from
    ├── MissingDependencyError (ImportError)   an optional package is not installed or does not load
    └── StoreError (RuntimeError)              a store refused or failed an operation
        ├── StoreUnavailableError (ConnectionError)   nobody answers at the store's address
        │   └── StoreTimeoutError (TimeoutError)      no answer within the store's timeout
        ├── CollectionNotFoundError (KeyError)        no collection of that name
        └── CollectionExistsError                     a collection of that name is there already

Each one is also the builtin error that it resembles, so ``except ValueError`` keeps working. An error that comes from
an engine keeps the engine's own error as its ``__cause__``.
"""

from __future__ import annotations

__all__ = [
    "CollectionExistsError",
    "CollectionNotFoundError",
    "DimensionMismatchError",
    "DownloadError",
    "InvalidDataError",
    "ItemNotFoundError",
    "MissingDependencyError",
    "NotFittedError",
    "ReleaseError",
    "StoreError",
    "StoreTimeoutError",
    "StoreUnavailableError",
    "VecrecError",
]


class VecrecError(Exception):
    """Base of every error raised by vecrec: what is wrong, and what to do next.

    ``str(error)`` is both, with a colon between them.
    """

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(f"{problem}: {cure}" if cure else problem)
        self.problem = problem
        """What is wrong, with the value that is."""
        self.cure = cure
        """What to do next; empty where the problem says it all."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message, quotes and escapes included.
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[VecrecError], tuple[str, str]]:
        return type(self), (self.problem, self.cure)


class InvalidDataError(VecrecError, ValueError):
    """A value handed in cannot be used. Nothing was written."""


class DimensionMismatchError(InvalidDataError):
    """A vector has another length than the collection or the encoder that it meets."""


class NotFittedError(VecrecError, RuntimeError):
    """The call needs a trained encoder or a live release, and there is none yet."""


class ItemNotFoundError(VecrecError, KeyError):
    """The item that the call is about is not in the catalogue."""


class ReleaseError(VecrecError, RuntimeError):
    """A release cannot be built, checked, read or switched to. The live release is untouched."""


class DownloadError(VecrecError, ConnectionError):
    """A data set cannot be fetched. What was there before is untouched."""


class MissingDependencyError(VecrecError, ImportError):
    """An optional package is not installed, or is installed and does not load; the message says which."""


class StoreError(VecrecError, RuntimeError):
    """A store refused or failed an operation; the engine's own error is the cause."""


class StoreUnavailableError(StoreError, ConnectionError):
    """Nobody answers at the store's address, or the connection was lost."""


class StoreTimeoutError(StoreUnavailableError, TimeoutError):
    """The store did not answer within its timeout."""


class CollectionNotFoundError(StoreError, KeyError):
    """The vector store has no collection of that name."""


class CollectionExistsError(StoreError):
    """The vector store has a collection of that name already."""
