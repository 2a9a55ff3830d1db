"""The large file of MovieLens, read by columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec.errors import InvalidDataError
from vecrec.ids import Id

__all__ = ["Ratings", "read_ratings"]

_COLUMNS = ("user_id", "item_id", "rating", "time")


@dataclass(frozen=True, slots=True)
class Ratings:
    """The file, read."""

    path: Path
    """Which file."""
    header: bool
    """Whether it begins with the names of its columns."""
    columns: dict[str, NDArray[Any]]
    """``user_id``, ``item_id``, ``rating`` and ``time``, each of shape (n,), in the order of the file."""

    def check_known(self, column: str, known: Sequence[Id | None], other: Path) -> None:
        """Refuse a rating of a movie or by a user that is not in the other file.

        Raises:
            InvalidDataError: naming the first line that has one.
        """
        unknown = ~np.isin(self.columns[column], np.array(known, np.int64))
        if unknown.any():
            where, row = self._first(unknown)
            name = self.columns[column][row]
            raise InvalidDataError(f"{where}: {column} {name} is not in {other.name}", "one of the two files is cut")

    def check_values(self) -> None:
        """Refuse a rating or a time out of range.

        Raises:
            InvalidDataError: naming the first line that has one.
        """
        rating, time = self.columns["rating"], self.columns["time"]
        bad = ~((rating >= 0.5) & (rating <= 5) & (time >= 0))
        if bad.any():
            where, row = self._first(bad)
            found = f"rating {rating[row]:g} at time {time[row]}"
            raise InvalidDataError(f"{where}: {found}, expected a rating from 0.5 to 5 and a time from 0 on")

    def _first(self, bad: NDArray[np.bool_]) -> tuple[str, int]:
        """The place of the first bad row, for messages, and the row."""
        row = int(bad.argmax())
        return f"{self.path}, line {row + 1 + self.header}", row


def read_ratings(path: Path, separator: str, *, header: bool) -> Ratings:
    """The file, each line of it checked.

    Raises:
        InvalidDataError: naming the file and the line of what cannot be read.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    try:
        # Arrow reads a million rows in a fraction of a second, but only with separators of one character.
        content = path.read_bytes().replace(separator.encode(), b",")
    except OSError as error:
        raise InvalidDataError(f"{path} cannot be read: {error}") from error
    types = {name: pa.float64() if name == "rating" else pa.int64() for name in _COLUMNS}
    try:
        table = pc.read_csv(
            pa.BufferReader(content),
            pc.ReadOptions(column_names=list(_COLUMNS), skip_rows=int(header)),
            pc.ParseOptions(ignore_empty_lines=False),
            # Nothing counts as missing, so an empty field is an error.
            pc.ConvertOptions(column_types=types, null_values=[]),
        )
    except pa.ArrowException as error:
        _explain(path, content, header)
        raise InvalidDataError(f"{path} cannot be read: {error}") from error
    ratings = Ratings(path, header, {name: table[name].to_numpy() for name in _COLUMNS})
    ratings.check_values()
    return ratings


def _explain(path: Path, content: bytes, header: bool) -> None:
    """Find the first line that is wrong and say so. Slow, and only done for a file that cannot be read."""
    lines = content.splitlines()
    if len(lines) <= header:
        raise InvalidDataError(f"{path} has no ratings", "the file is cut") from None
    for number, line in enumerate(lines, 1):
        if number > header and not _is_row(line.decode("latin-1").split(",")):
            raise InvalidDataError(
                f"{path}, line {number}", f"expected a user id, a movie id, a rating and a time, got {line[:80]!r}"
            ) from None


def _is_row(fields: list[str]) -> bool:
    if len(fields) != len(_COLUMNS):
        return False
    try:
        whole = [int(fields[at]) for at in (0, 1, 3)]
        return all(-(2**63) <= value < 2**63 for value in whole) and float(fields[2]) >= 0
    except ValueError:
        return False
