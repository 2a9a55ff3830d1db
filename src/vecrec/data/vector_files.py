"""Vectors in files: Parquet, NumPy's npz, and lines of text like ``42:[0.1, 0.2]``.

The suffix says which: ``.parquet``, ``.npz``, ``.txt``. Ids keep their types. The lines of text cannot tell ``1`` from
``"1"``, so a text that looks like an integer is refused there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec._internal import validation
from vecrec._internal.files import reading, writing
from vecrec._internal.storage import load_arrays
from vecrec.errors import InvalidDataError
from vecrec.ids import Id, check_id, decode_id, encode_id, written_integer

__all__ = ["Batch", "read_vectors", "write_vectors"]

Batch: TypeAlias = tuple[list[Id], NDArray[np.float32]]
"""Ids and their vectors, shape (n, dim)."""

_AT_A_TIME = 2_000
_TAGGED = "vecrec.tagged_ids"


def read_vectors(path: str | Path) -> Iterator[Batch]:
    """The vectors of a file, some thousands at a time.

    Raises:
        InvalidDataError: for another suffix, a file that cannot be read, an invalid id, a vector of another
            length than the first one, NaN or infinity. The message names the line or the row.
    """
    file = Path(path)
    width: int | None = None
    row = 0
    for ids, matrix in _format(file)[0](file):
        if matrix.ndim != 2 or (width is not None and matrix.shape[1] != width) or len(ids) != len(matrix):
            raise InvalidDataError(
                f"{file}: the vectors near row {row} have another length than the first one",
                "write vectors of one length",
            )
        if not np.isfinite(matrix).all():
            bad = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
            raise InvalidDataError(f"{file}: the vector of {ids[bad]!r} holds NaN or infinity", "leave it out")
        width, row = matrix.shape[1], row + len(ids)
        yield ids, matrix


def write_vectors(path: str | Path, batches: Iterable[Batch]) -> int:
    """Write vectors into a file, which is whole or not there.

    Returns:
        How many were written.

    Raises:
        InvalidDataError: for another suffix, or an id that the format cannot hold.
    """
    file = validation.path_of(path, "path")
    write = _format(file)[1]
    unfinished = file.with_name(f".{file.name}.unfinished")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            count = write(unfinished, batches)
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    return count


# -- Parquet


def _read_parquet(path: Path) -> Iterator[Batch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            tagged = (file.schema_arrow.metadata or {}).get(_TAGGED.encode()) == b"1"
            for batch in file.iter_batches(_AT_A_TIME, columns=["id", "vector"]):
                ids = batch.column("id").to_pylist()
                rows = batch.column("vector").to_pylist()
                yield _ids(ids, tagged), _matrix(rows, path)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise InvalidDataError(
            f"{path} cannot be read as vectors ({error})", "write Parquet with the columns id and vector"
        ) from error


def _write_parquet(path: Path, batches: Iterable[Batch]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, mode, writer = 0, "", None
    try:
        for ids, matrix in batches:
            if writer is None:
                mode = _mode(ids)
                kinds = [
                    ("id", pa.int64() if mode == "integer" else pa.string()),
                    ("vector", pa.list_(pa.float32(), matrix.shape[1])),
                ]
                writer = pq.ParquetWriter(path, pa.schema(kinds, {_TAGGED: "1"} if mode == "mixed" else None))
            if mode not in ("mixed", _mode(ids)):
                raise InvalidDataError("integers and texts are mixed among the ids", "export them to .npz")
            values = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1), pa.float32()), matrix.shape[1])
            writer.write_table(pa.table([pa.array(_plain(ids, mode)), values], schema=writer.schema))
            count += len(ids)
    finally:
        if writer is not None:
            writer.close()
    if not count:
        raise InvalidDataError("there are no vectors to write", "publish items first")
    return count


# -- npz


def _read_npz(path: Path) -> Iterator[Batch]:
    with reading(f"{path} cannot be read", "write an npz file of the arrays ids and vectors"):
        arrays = load_arrays(path)
        ids, matrix = arrays["ids"].tolist(), np.asarray(arrays["vectors"], np.float32)
        tagged = "tagged" in arrays
    if matrix.ndim != 2 or len(ids) != len(matrix):
        raise InvalidDataError(f"{path} has {len(ids)} ids and vectors of shape {matrix.shape}", "give as many of each")
    for start in range(0, len(ids), _AT_A_TIME):
        yield _ids(ids[start : start + _AT_A_TIME], tagged), matrix[start : start + _AT_A_TIME]


def _write_npz(path: Path, batches: Iterable[Batch]) -> int:
    ids: list[Id] = []
    parts: list[NDArray[np.float32]] = []
    for keys, matrix in batches:
        ids += keys
        parts.append(matrix)
    if not ids:
        raise InvalidDataError("there are no vectors to write", "publish items first")
    if any(isinstance(key, str) and key.endswith("\0") for key in ids):
        raise InvalidDataError("NumPy drops null characters at the end of a text", "export these ids to .parquet")
    mode = _mode(ids)
    arrays: dict[str, Any] = {"ids": np.array(_plain(ids, mode))} | ({"tagged": True} if mode == "mixed" else {})
    with path.open("wb") as file:
        np.savez(file, vectors=np.concatenate(parts), **arrays)
    return len(ids)


# -- text


def _read_text(path: Path) -> Iterator[Batch]:
    ids: list[Id] = []
    rows: list[list[float]] = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    key, row = _line(line, f"{path}, line {number}")
                    ids.append(key)
                    rows.append(row)
                if len(ids) == _AT_A_TIME:
                    yield ids, _matrix(rows, path)
                    ids, rows = [], []
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDataError(f"{path} cannot be read ({error})", "check the path and its encoding, UTF-8") from error
    if ids:
        yield ids, _matrix(rows, path)


def _line(line: str, where: str) -> tuple[Id, list[float]]:
    key, colon, values = line.strip().rpartition(":[")
    try:
        row = json.loads(f"[{values}")
        if not colon or not all(type(value) in (int, float) and math.isfinite(value) for value in row):
            raise ValueError("not a list of finite numbers")
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidDataError(f"{where} is {line[:60]!r}", f"write it like 42:[0.1, 0.2] ({error})") from error
    number = written_integer(key)
    return check_id(key if number is None else number, where), row


def _is_broken(key: str) -> bool:
    return "\n" in key or "\r" in key or key != key.strip()


def _write_text(path: Path, batches: Iterable[Batch]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for ids, matrix in batches:
            for key, row in zip(ids, matrix):
                if isinstance(key, str) and (written_integer(key) is not None or _is_broken(key)):
                    raise InvalidDataError(f"lines of text cannot hold the id {key!r}", "export to .parquet or .npz")
                # The shortest text that gives the same float32 again.
                file.write(f"{key}:[{', '.join(map(str, row))}]\n")
                count += 1
    if not count:
        raise InvalidDataError("there are no vectors to write", "publish items first")
    return count


# -- what they share


def _mode(ids: Sequence[Id]) -> str:
    """Whether ids are all integers, all texts, or both, which are told apart by a letter before each."""
    kinds = {type(key) for key in ids}
    return "mixed" if len(kinds) > 1 else "integer" if kinds == {int} else "string"


def _plain(ids: Sequence[Id], mode: str) -> list[Any]:
    return [encode_id(key) for key in ids] if mode == "mixed" else list(ids)


def _ids(values: Sequence[Any], tagged: bool) -> list[Id]:
    return [decode_id(value) if tagged else check_id(value, "id") for value in values]


def _matrix(rows: Sequence[Any], path: Path) -> NDArray[np.float32]:
    try:
        return np.array(rows, np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidDataError(
            f"{path} has vectors of several lengths, or values that are not numbers", "write vectors of one length"
        ) from error


_Reader: TypeAlias = Callable[[Path], Iterator[Batch]]
_Writer: TypeAlias = Callable[[Path, Iterable[Batch]], int]
_FORMATS: dict[str, tuple[_Reader, _Writer]] = {
    ".parquet": (_read_parquet, _write_parquet),
    ".npz": (_read_npz, _write_npz),
    ".txt": (_read_text, _write_text),
}


def _format(path: Path) -> tuple[_Reader, _Writer]:
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise InvalidDataError(f"{path} has the suffix {path.suffix!r}", f"use one of {', '.join(_FORMATS)}")
    return found
