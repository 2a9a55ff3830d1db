"""Where the columns of events are kept: in memory, or in files that are mapped into it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from typing_extensions import Self

from vecrec._internal.batching import slices
from vecrec._internal.files import writing
from vecrec._internal.validation import path_of
from vecrec.errors import InvalidDataError, shown

__all__ = ["Growing", "Room"]

_IN_MEMORY = 1 << 26
"""Bytes of a column, at most, that stays in memory though there is a folder."""


@dataclass(frozen=True, slots=True)
class Room:
    """Makes arrays. Those of more than 64 MB lie in files of a folder, where there is one.

    The files have no names and end with their arrays. The system writes what it has no memory for, and reads it again.
    """

    folder: Path | None = None
    """``None`` for memory alone."""

    @classmethod
    def at(cls, folder: str | Path | None) -> Self:
        """The room in a folder, which must be there.

        Raises:
            InvalidDataError: where it is not.
        """
        if folder is None:
            return cls()
        path = path_of(folder, "folder")
        if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            raise InvalidDataError(f"folder is {shown(str(folder))}, which is not a folder", "make it first")
        return cls(path)

    def empty(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """A new array, shape (count,), whose values are not set.

        Raises:
            InvalidDataError: where the folder cannot hold it.
        """
        size = count * np.dtype(dtype).itemsize
        if not self.is_for(size):
            return np.empty(count, dtype)
        with self.file() as file, writing(self.folder or ""):
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk says so here and not at the first access
            return np.memmap(file, dtype, "r+", shape=(count,)).view(np.ndarray)

    def chosen(self, values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
        """The values where the mask, of the same shape (n,), is true."""
        kept, end = self.empty(int(np.count_nonzero(mask)), values.dtype), 0
        for piece in slices(len(values)):
            some = values[piece][mask[piece]]
            kept[end : end + len(some)] = some
            end += len(some)
        return kept

    def is_for(self, size: int) -> bool:
        """Whether an array of so many bytes lies in a file."""
        return self.folder is not None and size > _IN_MEMORY

    def file(self) -> IO[bytes]:
        """A new file in the folder, without a name."""
        with writing(self.folder or ""):
            return tempfile.TemporaryFile(dir=self.folder)


class Growing:
    """An array that grows piece by piece."""

    def __init__(self, dtype: DTypeLike, room: Room) -> None:
        self._room, self._count, self._held = room, 0, np.empty(0, dtype)
        self._file: IO[bytes] | None = None

    def append(self, values: NDArray[Any]) -> None:
        """Add values at the end, converted to the type of the array."""
        size = (self._count + len(values)) * self._held.itemsize
        if self._file is None and self._room.is_for(size):
            self._file = self._room.file()
            self._write(self._held[: self._count])
            self._held = self._held[:0].copy()
        if self._file is not None:
            self._write(values.astype(self._held.dtype, copy=False))
        else:
            if self._count + len(values) > len(self._held):
                # In place where the system can, without a second copy of what is there.
                self._held.resize(self._count + max(len(values), self._count // 4), refcheck=False)
            self._held[self._count : self._count + len(values)] = values
        self._count += len(values)

    def whole(self) -> NDArray[Any]:
        """The array, shape (n,). Nothing can be added after that."""
        if self._file is None:
            self._held.resize(self._count, refcheck=False)
            return self._held
        with self._file as file, writing(self._room.folder or ""):
            file.flush()
            return np.memmap(file, self._held.dtype, "r+", shape=(self._count,)).view(np.ndarray)

    def _write(self, values: NDArray[Any]) -> None:
        if self._file is not None:
            with writing(self._room.folder or ""):
                self._file.write(np.ascontiguousarray(values).data)
