"""How the parts that are made of arrays are saved: one JSON file, one npz file, no pickle."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.files import read_json, reading, replacing, write_json
from vecrec.errors import InvalidDataError

__all__ = [
    "array_digest",
    "load_arrays",
    "load_parts",
    "load_values",
    "map_arrays",
    "save_arrays",
    "save_parts",
    "save_values",
]

FORMAT = 1
"""The layout of the files; a reader refuses a newer one."""

_ARRAYS = "arrays.npz"
_BLOCK = 1 << 20
_LOCAL = struct.Struct("<26xHH")
"""The header before a member of a zip file; the last two numbers are the lengths of what follows: name and extra."""
_EXTRA = struct.Struct("<HH")
"""The number of an extra field, and its length without this."""
_FILLING, _ZIP64 = 0xD935, 20
"""The number of Android's extra field for alignment, and the length of the one that 64-bit sizes take."""


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
    """Read what `save_parts` has written; the arrays are mapped, see `map_arrays`.

    Raises:
        InvalidDataError: when there is none, or it is damaged, another part's or of a newer layout.
    """
    values = load_values(directory, name, kind)
    with reading(f"{directory / _ARRAYS} is damaged", f"save the {kind} again"):
        return values, map_arrays(directory / _ARRAYS)


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of numbers or text as an npz file that survives a power cut, and that `map_arrays` can map.

    A file that is there already is replaced: arrays that are mapped from it stay as they are.
    """
    with replacing(path) as temporary, temporary.open("xb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(_aligned(f"{name}.npy", file.tell()), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _aligned(name: str, at: int) -> zipfile.ZipInfo:
    """A member whose array begins at a multiple of 64 bytes, where its local header begins at ``at``.

    Its header is filled up by an extra field, as Android's zipalign does; readers pass over it.
    """
    member = zipfile.ZipInfo(name)
    begin = at + _LOCAL.size + len(member.filename.encode()) + _ZIP64 + _EXTRA.size
    filling = -begin % np.lib.format.ARRAY_ALIGN
    member.extra = _EXTRA.pack(_FILLING, filling) + bytes(filling)
    return member


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` has written, or any other npz file.

    Raises:
        ValueError: for a header that asks for more than its file holds, found before the memory is taken. A damaged
            file may raise other errors: see `vecrec._internal.files.reading`.
    """
    # Opened here, because NumPy leaves a file open that turns out to be no archive.
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as archive:
            for each in archive.infolist():
                with archive.open(each) as member:
                    _header(member, each)
        file.seek(0)
        with np.load(file, allow_pickle=False) as held:
            return {key: held[key] for key in held.files}


def map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The read-only arrays of an npz file without compression, mapped into memory: what is not used takes none.

    The checksums of the file are compared first, by one pass over it. Arrays that are not aligned, as in the files of
    earlier versions, are read into memory.

    Raises:
        ValueError: as `load_arrays`, and for an array of objects.
    """
    found = {}
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        held = np.memmap(file, np.uint8, "r")
        for each in archive.infolist():
            if each.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{each.filename} is compressed")
            with archive.open(each) as member:
                shape, fortran, dtype = _header(member, each)
                if dtype.hasobject:
                    raise ValueError(f"{each.filename} holds objects")
                begin = _begin(held, each) + member.tell()
                while member.read(_BLOCK):  # at the end, its checksum is compared
                    pass
            array: NDArray[Any] = np.ndarray(shape, dtype, held, begin, order="F" if fortran else "C")
            found[each.filename.removesuffix(".npy")] = array if array.flags.aligned else array.copy(order="K")
    return found


def _begin(held: NDArray[np.uint8], member: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin in its file, after its local header."""
    *_, name, extra = _LOCAL.unpack_from(held.data, member.header_offset)
    return int(member.header_offset + _LOCAL.size + name + extra)


def _header(member: IO[bytes], info: zipfile.ZipInfo) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array, whether its columns are contiguous, and its type."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(member)
    # In Python's integers, which do not overflow.
    if math.prod(shape) * dtype.itemsize > (size := info.file_size - member.tell()):
        held = f"its {size:,} bytes do not hold"
        raise ValueError(f"{info.filename} is said to have the shape {shape}, which {held}")
    return shape, fortran, dtype


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
