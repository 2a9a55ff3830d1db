"""Columns of a frame turned into what a data set holds: ids with codes, times, ratings, records."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecrec.data.frames import Column, Frame
from vecrec.errors import InvalidDataError
from vecrec.ids import Id, check_id
from vecrec.records import Record, check_record

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["as_arrow", "read_ids", "read_ratings", "read_records", "read_times", "sort_ids"]


def sort_ids(ids: Collection[Id]) -> list[Id]:
    """The different ids in the order of `vecrec.ids.id_order`: integers, then text."""
    different = set(ids)
    # Two sorts of plain values instead of one with a key: a million ids take half a second less.
    numbers: list[Id] = sorted(value for value in different if isinstance(value, int))
    texts: list[Id] = sorted(value for value in different if isinstance(value, str))
    return numbers + texts


def read_ids(frame: Frame, name: str, what: str) -> tuple[list[Id], NDArray[np.int64]]:
    """The different ids of a column, and for each row the position of its id among them.

    Args:
        frame: The table.
        name: The column.
        what: What messages call an id, such as ``"user id"``.

    Raises:
        InvalidDataError: for a missing id, or one that is neither an integer of 64 bits nor text.
    """
    column = frame.column(name)
    where = f"column {name!r} of {frame.what}"
    if isinstance(column, list):
        return _ids_of_list(column, where, what)
    import pyarrow as pa

    if pa.types.is_floating(column.type):
        raise InvalidDataError(_float_ids(column, where, what))
    _refuse_missing(column, where, f"every row needs a {what}")
    if len(column) and not (pa.types.is_integer(column.type) or pa.types.is_large_string(column.type)):
        raise InvalidDataError(f"{where} holds {column.type}, but ids are int or str", "convert it to one of them")
    encoded = column.dictionary_encode()
    ids = [_checked(value, where, what) for value in encoded.dictionary.to_pylist()]
    return ids, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def read_times(frame: Frame, name: str) -> NDArray[np.float64]:
    """Seconds since 1970, shape (n,), from numbers, timestamps or dates; those without a time zone count as UTC.

    Raises:
        InvalidDataError: for a missing or infinite time, or a column of another type.
    """
    import pyarrow as pa

    where = f"column {name!r} of {frame.what}"
    array = as_arrow(frame.column(name), where)
    _refuse_missing(array, where, "give every row a time, or no column of times, and the order of the rows counts")
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(array.type):
        scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit]
        return _to_numpy(array.cast(pa.int64())) / scale
    times = _numbers(array, where, "seconds since 1970, or timestamps")
    _refuse_row(~np.isfinite(times), times, where, "give every row a time")
    return times


def read_ratings(frame: Frame, name: str) -> NDArray[np.float32] | None:
    """Ratings, shape (n,), NaN where there is none; ``None`` when there is none at all.

    Raises:
        InvalidDataError: for an infinite rating or a column of another type.
    """
    where = f"column {name!r} of {frame.what}"
    with np.errstate(over="ignore"):  # what is too large for float32 is refused below
        ratings = _numbers(as_arrow(frame.column(name), where), where, "numbers").astype(np.float32)
    _refuse_row(np.isinf(ratings), ratings, where, "leave it out where it is unknown")
    return None if np.isnan(ratings).all() else ratings


def read_records(frame: Frame, skip: str, ids: Sequence[Id], whole: Collection[str], what: str) -> list[Record]:
    """Each row as a record without its missing values.

    Args:
        frame: The table.
        skip: The column of the ids.
        ids: The id of each row, for the messages.
        whole: Columns that must hold integers: whole floats, which missing values make of integers, become integers
            again.
        what: ``"item"`` or ``"user"``.

    Raises:
        InvalidDataError: for a value that JSON cannot carry.
    """
    names = [name for name in frame.columns if name != skip]
    columns = [_values(frame.columns[name], name in whole) for name in names]
    rows = zip(*columns) if columns else iter([()] * frame.n_rows)
    return [
        check_record(
            {name: value for name, value in zip(names, row) if value is not None}, f"the record of {what} {owner!r}"
        )
        for owner, row in zip(ids, rows)
    ]


def as_arrow(column: Column, where: str) -> pa.Array:
    """The column as an Arrow array.

    Raises:
        InvalidDataError: for a list of objects of several types.
    """
    import pyarrow as pa

    from vecrec.data.frames import plain_array

    if not isinstance(column, list):
        return column
    try:
        return plain_array(pa.array(column, from_pandas=True))
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise InvalidDataError(f"{where} cannot be read: {error}; give it one type") from error


def _ids_of_list(column: list[Any], where: str, what: str) -> tuple[list[Id], NDArray[np.int64]]:
    checked = column
    # Types first: True and 1.0 equal 1 as keys of a dict.
    if not set(map(type, column)) <= {int, str}:
        checked = [_checked(value, where, what) for value in column]
    ids = list(dict.fromkeys(checked))
    for value in ids:
        _checked(value, where, what)
    place = {value: position for position, value in enumerate(ids)}
    return ids, np.fromiter((place[value] for value in checked), np.int64, len(checked))


def _checked(value: Any, where: str, what: str) -> Id:
    try:
        return check_id(value, what)
    except InvalidDataError as error:
        raise InvalidDataError(f"{where}: {error}") from error


def _float_ids(column: pa.Array, where: str, what: str) -> str:
    missing = column.null_count or int(np.isnan(_to_numpy(column)).sum())
    if missing:
        return (
            f"{where} holds floats and {missing:,} missing values, which pandas makes of "
            f"integers beside missing values: drop the rows without a {what}, then .astype('int64')"
        )
    return f"{where} holds floats, but ids are int or str: convert it, with .astype('int64') if they are whole numbers"


def _refuse_missing(array: pa.Array, where: str, cure: str) -> None:
    if array.null_count:
        row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise InvalidDataError(f"{where} has {array.null_count:,} missing values, the first in row {row}: {cure}")


def _refuse_row(bad: NDArray[np.bool_], values: NDArray[Any], where: str, cure: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise InvalidDataError(f"{where} is {values[row]} in row {row}: {cure}")


def _numbers(array: pa.Array, where: str, wanted: str) -> NDArray[np.float64]:
    import pyarrow as pa

    if not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type) or pa.types.is_null(array.type)):
        raise InvalidDataError(f"{where} holds {array.type}", f"give {wanted}")
    return _to_numpy(array.cast(pa.float64(), safe=False))


def _to_numpy(array: pa.Array) -> NDArray[Any]:
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def _values(column: Column, whole: bool) -> list[Any]:
    values = column if isinstance(column, list) else column.to_pylist()
    kinds = set(map(type, values))
    if any(issubclass(kind, float) for kind in kinds):
        values = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
        if whole:
            values = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]
    if any(issubclass(kind, (date, datetime, time)) for kind in kinds):
        values = [v.isoformat() if isinstance(v, (date, datetime, time)) else v for v in values]
    return values
