"""How the parts that are made of arrays are saved: one JSON file, one npz file, no pickle."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.files import read_json, reading, write_json
from vecrec.errors import InvalidDataError

__all__ = ["array_digest", "load_arrays", "load_parts", "load_values", "save_arrays", "save_parts", "save_values"]

FORMAT = 1
"""The layout of the files; a reader refuses a newer one."""

_ARRAYS = "arrays.npz"


def save_parts(
    directory: Path, name: str, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], kind: str = "encoder"
) -> None:
    """Write the values and arrays of an encoder or another part.

    Args:
        directory: Where; it is there.
        name: The part's name, which the reader wants to find again.
        values: What JSON can carry.
        arrays: Numbers only.
        kind: What it is, which is also the name of the JSON file.
    """
    save_arrays(directory / _ARRAYS, arrays)
    save_values(directory, name, values, kind)


def load_parts(directory: Path, name: str, kind: str = "encoder") -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `save_parts` has written.

    Raises:
        InvalidDataError: when there is none, or it is damaged, another part's or of a newer layout.
    """
    values = load_values(directory, name, kind)
    with reading(f"{directory / _ARRAYS} is damaged", f"save the {kind} again"):
        return values, load_arrays(directory / _ARRAYS)


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of numbers or text as an npz file that survives a power cut."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` has written, or any npz file without compression.

    Raises:
        ValueError: for a header that asks for more than its file holds, found before the memory is taken. A damaged
            file may raise other errors: see `vecrec._internal.files.reading`.
    """
    # Opened here, because NumPy leaves a file open that turns out to be no archive.
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as archive:
            for each in archive.infolist():
                with archive.open(each) as member:
                    _check_header(member, each.file_size, each.filename)
        file.seek(0)
        with np.load(file, allow_pickle=False) as held:
            return {key: held[key] for key in held.files}


def _check_header(member: IO[bytes], size: int, name: str) -> None:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    # In Python's integers, which do not overflow.
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"{name} is said to have the shape {shape}, which its {size:,} bytes do not hold")


def save_values(directory: Path, name: str, values: Mapping[str, Any], kind: str) -> None:
    """Write a part that has no arrays, as `save_parts` does."""
    write_json(directory / f"{kind}.json", {"format": FORMAT, kind: name, **values})


def load_values(directory: Path, name: str, kind: str) -> dict[str, Any]:
    """Read what `save_values` has written.

    Raises:
        InvalidDataError: when there is none, or it is another part's or of a newer layout.
    """
    path = directory / f"{kind}.json"
    with reading(f"{path} is damaged", f"save the {kind} again"):
        values = read_json(path)
    if not isinstance(values, dict) or values.get(kind) != name:
        raise InvalidDataError(f"{directory} holds no {kind} {name!r}", "name the directory that save() wrote")
    if not isinstance(values.get("format"), int) or values["format"] > FORMAT:
        raise InvalidDataError(
            f"{directory} has the layout {values.get('format')!r}, this vecrec knows {FORMAT}", "upgrade vecrec"
        )
    return values


def array_digest(values: Any, *arrays: NDArray[Any]) -> str:
    """32 hexadecimal digits that stand for JSON values and arrays."""
    import hashlib  # slow to import, and not needed to serve

    state = hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16)
    for array in arrays:
        state.update(f"{array.dtype.str[1:]}{array.shape}".encode())
        state.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).view(np.uint8).data)
    return state.hexdigest()
