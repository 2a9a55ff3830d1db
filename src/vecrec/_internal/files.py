"""Files that are whole or not there, whatever happens while they are written, and the errors of those that are not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vecrec.errors import InvalidDataError, VecrecError

__all__ = [
    "checksum", "read_json", "reading", "replacing", "sweep_temporary", "sync_directory", "sync_file", "write_json",
    "writing",
]  # fmt: skip

_DAMAGE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError, EOFError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a damaged file may raise: JSON that is nested too deeply, an archive that is cut off, other types."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\Z")


@contextlib.contextmanager
def reading(what: str, cure: str, kind: type[VecrecError] = InvalidDataError) -> Iterator[None]:
    """Turn the errors of a file that is missing or damaged into one of vecrec.

    Args:
        what: Begins the message, such as ``"/tmp/x is damaged"``.
        cure: What to do next.
        kind: The class of the error.
    """
    try:
        yield
    except VecrecError:
        raise
    except _DAMAGE as error:
        raise kind(f"{what} ({_reason(error)})", cure) from error


@contextlib.contextmanager
def writing(path: Path | str, kind: type[VecrecError] = InvalidDataError) -> Iterator[None]:
    """Turn the errors of a disk that is full, or of a place that is closed, into one of vecrec."""
    try:
        yield
    except VecrecError:
        raise
    except (OSError, UnicodeEncodeError) as error:
        raise kind(
            f"{path} cannot be written to ({_reason(error)})", "make room on the disk, or check the rights"
        ) from error


def _reason(error: BaseException) -> str:
    return str(error)[:300] or type(error).__name__


def write_json(path: Path, value: Any) -> None:
    """Replace a file by the JSON text of ``value`` in one step that survives a power cut."""
    with replacing(path) as temporary, temporary.open("x", encoding="utf-8") as file:  # with the rights of the umask
        json.dump(value, file, ensure_ascii=False, indent=1)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file to write; at the end of the block it takes the place of ``path``, in a step that survives a power cut.

    What a crash leaves of it is removed by `sweep_temporary`.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sweep_temporary(directory: Path) -> None:
    """Remove what a crash in `replacing` has left in a directory; the caller keeps others from writing there."""
    for path in directory.glob(".*"):
        if _TEMPORARY.match(path.name) and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """The value of a JSON file, or ``None`` when there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    import hashlib  # slow to import, and not needed to serve

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where the system can."""
    if os.name == "posix":
        sync_file(path)


def sync_file(path: Path) -> None:
    """Make what a file holds durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
