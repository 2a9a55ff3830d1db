"""What encoders and rerankers have in common: they learn, are kept in a directory, and can be told apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from typing_extensions import Self

from vecrec.errors import InvalidDataError, NotFittedError, VecrecError

__all__ = ["FittedPart"]


class FittedPart(ABC):
    """Something that learns from data, and keeps what it has learnt in files."""

    name: ClassVar[str]
    """Its name among the entry points, by which a release finds the class again."""

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """Whether it has learnt what it needs."""

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that stand for everything that its answers depend on.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
        """
        self._check_fitted()
        return self._fingerprint()

    def save(self, directory: str | Path) -> None:
        """Write it into a directory, which is made if it is not there.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
        """
        self._check_fitted()
        path = Path(directory)
        path.mkdir(parents=True, exist_ok=True)
        self._save(path)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """What `save` has written.

        Raises:
            InvalidDataError: when the directory holds none, or its files are damaged or of a newer version.
        """
        path = Path(directory)
        try:
            return cls._load(path)
        except VecrecError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidDataError(f"{path} holds no readable {cls.__name__}: {error}") from error

    # -- what a part implements

    @abstractmethod
    def _save(self, directory: Path) -> None: ...

    @classmethod
    @abstractmethod
    def _load(cls, directory: Path) -> Self: ...

    @abstractmethod
    def _fingerprint(self) -> str: ...

    def _check_fitted(self) -> None:
        if not self.is_fitted:
            raise NotFittedError(f"this {type(self).__name__} has learnt nothing yet", "call fit, or load(directory)")
