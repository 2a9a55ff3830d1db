"""What encoders and rerankers have in common: they learn, are saved in a directory, and have a fingerprint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from typing_extensions import Self

from vecrec._internal.files import reading, writing
from vecrec._internal.validation import path_of
from vecrec.errors import NotFittedError
from vecrec.learning.settings import Configurable

__all__ = ["FittedPart"]


class FittedPart(Configurable, ABC):
    """Learns from data, and saves what it has learnt in files.

    Arguments of the constructor are attributes of the same name, so that `get_params`, `set_params`, ``repr`` and the
    ``clone`` of scikit-learn work.
    """

    name: ClassVar[str]
    """Its name among the entry points, by which a release finds the class again."""

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """Whether it has learnt what it needs."""

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that stand for everything that the answers depend on.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
        """
        self._check_fitted()
        return self._fingerprint()

    def save(self, directory: str | Path) -> None:
        """Write what was learnt.

        Args:
            directory: Created if it does not exist.

        Raises:
            NotFittedError: before ``fit`` or ``load``.
            InvalidDataError: when the directory cannot be written to.
        """
        self._check_fitted()
        where = path_of(directory, "directory")
        with writing(where):
            where.mkdir(parents=True, exist_ok=True)
            self._save(where)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` has written.

        Args:
            directory: The one that was given to `save`.

        Returns:
            A fitted part with the same answers and fingerprint.

        Raises:
            InvalidDataError: when the directory holds no such part, or its files are damaged or of a newer version.
        """
        where = path_of(directory, "directory")
        with reading(f"{where} holds no readable {cls.__name__}", "name the directory that save() wrote"):
            return cls._load(where)

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
            raise NotFittedError(f"this {type(self).__name__} is not fitted", "call fit, or load(directory)")
