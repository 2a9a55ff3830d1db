"""The errors that vecrec raises.

::

    VecrecError
    ├── InvalidDataError (ValueError)          an argument cannot be used; nothing was written
    │   └── DimensionMismatchError             the length of a vector is not the dimension
    ├── NotFittedError (RuntimeError)          there is no trained encoder or live release yet
    ├── ItemNotFoundError (KeyError)           the item of the call is not in the catalogue
    ├── ReleaseError (RuntimeError)            a release cannot be built, checked, read or switched to
    ├── BatchError (RuntimeError)              a process of a batch ended early; the finished files stay
    ├── TrainingError (RuntimeError)           a process that trains together with others ended early
    ├── DownloadError (ConnectionError)        a data set cannot be fetched; the message names other sources
    ├── MissingDependencyError (ImportError)   an optional package is not installed or does not load
    └── StoreError (RuntimeError)              a store refused or failed an operation
        ├── StoreUnavailableError (ConnectionError)   no server answers at the store's address
        │   └── StoreTimeoutError (TimeoutError)      no answer within the store's timeout
        ├── CollectionNotFoundError (KeyError)        no collection has that name
        └── CollectionExistsError                     a collection of that name exists already

Each one is also the builtin error that it resembles, so ``except ValueError`` keeps working. An error that comes from
an engine keeps the engine's own error as its ``__cause__``.
"""

from __future__ import annotations

__all__ = [
    "BatchError",
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
    "TrainingError",
    "VecrecError",
    "shown",
]

_LONGEST = 200


class VecrecError(Exception):
    """Base class of the errors of vecrec. ``str(error)`` is the problem and the cure, separated by a colon.

    Args:
        problem: What is wrong, with the value.
        cure: What to do next.
    """

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(f"{problem}: {cure}" if cure else problem)
        self.problem = problem
        """What is wrong, with the value."""
        self.cure = cure
        """What to do next; empty where the problem says enough."""

    def add_cure(self, more: str) -> None:
        """Append a sentence to the cure."""
        self.cure = f"{self.cure}; {more}" if self.cure else more
        self.args = (f"{self.problem}: {self.cure}", *self.args[1:])

    def __str__(self) -> str:
        # KeyError would show the repr of the message, quotes and escapes included.
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[VecrecError], tuple[str, str]]:
        return type(self), (self.problem, self.cure)


def shown(value: object) -> str:
    """A value of the caller's for a message: its ``repr``, cut at 200 characters.

    A value without one, such as a list that is nested too deeply or an int of 5,000 digits, is named by its type.
    """
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - whatever a value's repr raises, the message is about the value
        return f"a value of type {type(value).__name__} that cannot be shown"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


class InvalidDataError(VecrecError, ValueError):
    """An argument cannot be used. Nothing was written."""


class DimensionMismatchError(InvalidDataError):
    """The length of a vector is not the dimension of the collection or the encoder."""


class NotFittedError(VecrecError, RuntimeError):
    """The call needs a trained encoder or a live release, and there is none yet."""


class ItemNotFoundError(VecrecError, KeyError):
    """The item of the call is not in the catalogue."""


class ReleaseError(VecrecError, RuntimeError):
    """A release cannot be built, checked, read or switched to. The live release is unchanged."""


class BatchError(VecrecError, RuntimeError):
    """A process of a batch ended early, or its engine failed. The finished files stay, and the next call goes on."""


class TrainingError(VecrecError, RuntimeError):
    """A process that trains together with others ended early. Nothing was learnt but what a checkpoint keeps."""


class DownloadError(VecrecError, ConnectionError):
    """A data set cannot be fetched. The cache is unchanged."""


class MissingDependencyError(VecrecError, ImportError):
    """An optional package is not installed, or it is installed and does not load."""


class StoreError(VecrecError, RuntimeError):
    """A store refused or failed an operation; the engine's own error is the cause."""


class StoreUnavailableError(StoreError, ConnectionError):
    """No server answers at the store's address, or the connection was lost."""


class StoreTimeoutError(StoreUnavailableError, TimeoutError):
    """The store did not answer within its timeout."""


class CollectionNotFoundError(StoreError, KeyError):
    """No collection of the vector store has that name."""


class CollectionExistsError(StoreError):
    """A collection of that name exists already in the vector store."""
