"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["checksum", "read_json", "sync_directory", "write_json"]


def write_json(path: Path, value: Any) -> None:
    """Replace a file by the JSON text of ``value`` in one step that survives a power cut."""
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with temporary.open("x", encoding="utf-8") as file:  # with the rights that the umask leaves
            json.dump(value, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


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
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
