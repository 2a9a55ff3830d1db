"""Directories on a disk or an object storage, whose files are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecrec._internal.dependencies import requires
from vecrec._internal.files import reading, writing
from vecrec._internal.validation import path_of
from vecrec.errors import InvalidDataError, shown

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

__all__ = ["Folder", "locate"]

_CURE = "check the address, the rights and the connection"


def locate(where: str | Path, filesystem: Any = None, name: str = "path") -> tuple[fs.FileSystem, str]:
    """The file system of a path or URI, and the path in it.

    Args:
        where: A path of this machine, or a URI such as ``s3://bucket/lists``. Arrow opens the schemes that it knows,
            fsspec all others. With ``filesystem`` it is a path in that.
        filesystem: A file system of Arrow or fsspec, which holds the credentials or the endpoint that a URI lacks.
        name: What messages call it.

    Raises:
        InvalidDataError: for an invalid path, or a URI that names no file system.
        MissingDependencyError: for a scheme that only fsspec may know, where fsspec is not installed.
    """
    import pyarrow as pa
    from pyarrow import fs

    path = path_of(where, name)
    if filesystem is not None:
        return _of_arrow(filesystem), str(where)
    text = str(where)
    if "://" not in text:
        return fs.LocalFileSystem(), os.path.abspath(path.expanduser())  # noqa: PTH100 - links stay
    try:
        found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(text)
    except (pa.ArrowInvalid, NotImplementedError):
        return _by_fsspec(text, name)
    except OSError as error:
        raise InvalidDataError(f"{name} is {shown(text)}, which does not open ({error})", _CURE) from error
    return found


def _by_fsspec(text: str, name: str) -> tuple[fs.FileSystem, str]:
    with requires("fsspec", extra="fsspec", purpose=f"{name} {text!r}"):
        from fsspec.core import url_to_fs
    try:
        filesystem, path = url_to_fs(text)
    except (ImportError, ValueError, OSError) as error:
        raise InvalidDataError(f"{name} is {shown(text)}, which does not open ({error})", _CURE) from error
    return _of_arrow(filesystem), path


def _of_arrow(filesystem: Any) -> fs.FileSystem:
    from pyarrow import fs

    if isinstance(filesystem, fs.FileSystem):
        return filesystem
    if not hasattr(filesystem, "protocol"):
        problem = f"filesystem is {shown(filesystem)} of type {type(filesystem).__name__}"
        raise InvalidDataError(problem, "give a pyarrow.fs.FileSystem or a file system of fsspec")
    return fs.PyFileSystem(fs.FSSpecHandler(filesystem))


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory that the processes of one call share; it travels to each of them."""

    filesystem: fs.FileSystem = field(repr=False)
    """Where it is."""
    path: str
    """Its path there."""

    def __str__(self) -> str:
        return self.path

    def make(self) -> None:
        """Make it, if it is not there."""
        with writing(self.path):
            self.filesystem.create_dir(self.path, recursive=True)

    def names(self) -> set[str]:
        """The names of its files; empty where it is not there."""
        from pyarrow import fs

        with reading(f"{self.path} cannot be read", _CURE):
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return {each.base_name for each in found if each.type == fs.FileType.File}

    @contextmanager
    def open(self, name: str) -> Iterator[pa.NativeFile]:
        """A file to read from.

        Raises:
            InvalidDataError: when it cannot be read, also in the block.
        """
        path = f"{self.path}/{name}"
        with reading(f"{path} cannot be read", _CURE), self.filesystem.open_input_file(path) as file:
            yield file

    @contextmanager
    def replace(self, name: str) -> Iterator[pa.NativeFile]:
        """A file to write to, which takes its name at the end of the block; until then the one before stays."""
        # Readers of directories pass over what begins with an underscore. Of two that write the same, each has its own.
        path = f"{self.path}/_{name}.{os.urandom(8).hex()}"
        try:
            with writing(f"{self.path}/{name}"):
                with self.filesystem.open_output_stream(path) as file:
                    yield file
                self.filesystem.move(path, f"{self.path}/{name}")
        except BaseException:
            with suppress(OSError):
                self.filesystem.delete_file(path)
            raise

    def sweep(self, name: str) -> None:
        """Remove what processes that ended early have left of files whose names begin so."""
        for each in self.names():
            if each.startswith(f"_{name}"):
                with suppress(OSError):  # another process sweeps too
                    self.filesystem.delete_file(f"{self.path}/{each}")
