"""Columns of a frame turned into what a data set holds: ids with codes, times, ratings, kinds, records."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.validation import json_scalar
from vecrec.data.frames import Column, Frame, plain_array
from vecrec.errors import InvalidDataError
from vecrec.ids import Id, check_id
from vecrec.records import Record, check_record
from vecrec.types import check_kind

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Kinds", "as_arrow", "read_ids", "read_kinds", "read_ratings", "read_records", "sort_ids"]

_CONTAINERS = (list, tuple, dict)
_DEEPEST = 32

Kinds: TypeAlias = tuple[NDArray[np.int16], tuple[str, ...]]
"""The place of each event's kind among the names, -1 where it has none, and the names, sorted."""


def sort_ids(ids: Collection[Id]) -> list[Id]:
    """The different ids in the order of `vecrec.ids.id_order`: integers, then text."""
    different = set(ids)
    # Two sorts of plain values instead of one with a key: a million ids take half a second less.
    numbers: list[Id] = sorted(value for value in different if isinstance(value, int))
    texts: list[Id] = sorted(value for value in different if isinstance(value, str))
    return numbers + texts


def read_ids(frame: Frame, name: str, what: str, known: dict[Id, int]) -> NDArray[np.int32]:
    """The code of each row's id: its place in the order in which the different ids were first seen.

    Args:
        frame: The table.
        name: The column.
        what: What messages call an id, such as ``"user id"``.
        known: The codes of the ids of the pieces before; those that are new here are added.

    Raises:
        InvalidDataError: for a missing id, or one that is neither an integer of 64 bits nor text.
    """
    column = frame.columns[name]
    where = f"column {name!r} of {frame.what}"
    if isinstance(column, list):
        return _ids_of_list(column, where, what, known)
    import pyarrow as pa

    if len(column) and pa.types.is_floating(column.type):
        raise _float_ids(column, where, what)
    _refuse_missing(column, where, f"every row needs a {what}", frame.first)
    encoded = column if pa.types.is_dictionary(column.type) else None
    kind = column.type if encoded is None else column.type.value_type
    if len(column) and not (pa.types.is_integer(kind) or pa.types.is_large_string(kind) or pa.types.is_string(kind)):
        raise InvalidDataError(f"{where} holds {kind}, but ids are int or str", "convert it to one of them")
    encoded = column.dictionary_encode() if encoded is None else encoded
    values, places = _used(encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False))
    if frame.untyped and "" in values:
        row = frame.first + int((places == values.index("")).argmax())
        raise InvalidDataError(f"{where} is empty in row {row}", f"every row needs a {what}")
    return _codes(values, where, what, known)[places]


def read_kinds(frame: Frame, name: str) -> Kinds | None:
    """The kinds of events; ``None`` when there is not a single one.

    Raises:
        InvalidDataError: for a kind that is not a text of 1 to 64 characters.
    """
    import pyarrow as pa

    where = f"column {name!r} of {frame.what}"
    column = as_arrow(frame.columns[name], where)
    if frame.untyped and not pa.types.is_large_string(column.type):
        column = column.cast(pa.large_string())  # codes of kinds, which a file without types gives as integers
    encoded = column.dictionary_encode()
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found = encoded.dictionary.to_pylist()
    if frame.untyped and "" in found:
        places = np.where(places == found.index(""), -1, places)
    texts = [value for code, value in enumerate(found) if value is not None and (places == code).any()]
    names = sorted(_kind(value, where) for value in texts)
    if len(names) > np.iinfo(np.int16).max:
        raise InvalidDataError(f"{where} holds {len(names):,} different texts", "is it the kind of an event?")
    codes = {value: code for code, value in enumerate(names)}
    table = np.array([codes.get(value, -1) for value in found] + [-1], np.int16)
    return (table[places], tuple(names)) if names else None


def read_ratings(frame: Frame, name: str) -> NDArray[np.float32] | None:
    """Ratings, shape (n,), NaN where there is none; ``None`` when there is none at all.

    Raises:
        InvalidDataError: for an infinite rating or a column of another type.
    """
    where = f"column {name!r} of {frame.what}"
    with np.errstate(over="ignore"):  # what is too large for float32 is refused below
        ratings = _numbers(as_arrow(frame.columns[name], where), where).astype(np.float32)
    _refuse_row(np.isinf(ratings), ratings, where, "leave it out where it is unknown", frame.first)
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
    columns = [_values(frame.columns[name], name in whole, f"column {name!r} of {frame.what}") for name in names]
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

    if not isinstance(column, list):
        return column
    if _is_too_deep(column):  # Arrow would end the process
        raise InvalidDataError(f"{where} holds values that are nested deeper than {_DEEPEST} levels", "flatten them")
    try:
        return plain_array(pa.array(column, from_pandas=True))
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise InvalidDataError(f"{where} cannot be read: {error}", "give it one type") from error


def _is_too_deep(column: list[Any]) -> bool:
    level = [value for value in column if isinstance(value, _CONTAINERS)]
    for _ in range(_DEEPEST):
        if not level:
            return False
        inner = (each for value in level for each in (value.values() if isinstance(value, dict) else value))
        # Each once, since one that holds itself twice would double at each level.
        level = list({id(each): each for each in inner if isinstance(each, _CONTAINERS)}.values())
    return True


def _ids_of_list(column: list[Any], where: str, what: str, known: dict[Id, int]) -> NDArray[np.int32]:
    checked = column
    # Types first: True and 1.0 equal 1 as keys of a dict.
    if not set(map(type, column)) <= {int, str}:
        checked = [_checked(value, where, what) for value in column]
    ids = list(dict.fromkeys(checked))
    place = dict(zip(ids, _codes(ids, where, what, known).tolist()))
    return np.fromiter((place[value] for value in checked), np.int32, len(checked))


def _codes(values: list[Any], where: str, what: str, known: dict[Id, int]) -> NDArray[np.int32]:
    """The codes of different values, after those that are new were checked and added."""
    for value in values:
        if value not in known:
            known[_checked(value, where, what)] = len(known)
    return np.fromiter(map(known.__getitem__, values), np.int32, len(values))


def _used(dictionary: pa.Array, indices: NDArray[Any]) -> tuple[list[Any], NDArray[np.int32]]:
    """The values of a dictionary that rows refer to, each once: a file's dictionary may hold more, and one twice.

    Returns:
        The values, and for each row the place of its value among them.
    """
    used = np.bincount(indices, minlength=len(dictionary)) > 0
    if not used.all():
        dictionary = dictionary.take(np.flatnonzero(used))
        indices = (np.cumsum(used, dtype=np.int32) - 1)[indices]
    values = dictionary.to_pylist()
    if len(set(values)) < len(values):
        place: dict[Any, int] = {}
        moved = [place.setdefault(value, len(place)) for value in values]
        return list(place), np.array(moved, np.int32)[indices]
    return values, indices.astype(np.int32, copy=False)


def _checked(value: Any, where: str, what: str) -> Id:
    try:
        return check_id(value, what)
    except InvalidDataError as error:
        raise InvalidDataError(f"{where}: {error.problem}", error.cure) from error


def _kind(value: Any, where: str) -> str:
    try:
        return check_kind(value)
    except InvalidDataError as error:
        raise InvalidDataError(f"{where}: {error.problem}", error.cure) from error


def _float_ids(column: pa.Array, where: str, what: str) -> InvalidDataError:
    values = _to_numpy(column)
    known = values[np.isfinite(values)]
    if len(known) and np.abs(known).max() >= 2**53:
        return InvalidDataError(
            f"{where} holds floats beyond 2**53, such as {np.abs(known).max():.17g}, which stand for several ids each",
            "read the column as text at its source, in pandas by dtype=str",
        )
    missing = column.null_count or len(values) - len(known)
    if missing:
        return InvalidDataError(
            f"{where} holds floats and {missing:,} missing values, which pandas makes of integers beside them",
            f"drop the rows without a {what}, then .astype('int64'); or read the column as text",
        )
    return InvalidDataError(
        f"{where} holds floats, but ids are int or str",
        "convert it, with .astype('int64') if they are whole numbers, or read the column as text",
    )


def _refuse_missing(array: pa.Array, where: str, cure: str, first: int) -> None:
    if array.null_count:
        row = first + int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise InvalidDataError(f"{where} has {array.null_count:,} missing values, the first in row {row}", cure)


def _refuse_row(bad: NDArray[np.bool_], values: NDArray[Any], where: str, cure: str, first: int) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise InvalidDataError(f"{where} is {values[row]} in row {first + row}", cure)


def _numbers(array: pa.Array, where: str) -> NDArray[np.float64]:
    import pyarrow as pa

    if not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type) or pa.types.is_null(array.type)):
        raise InvalidDataError(f"{where} holds {array.type}", "give numbers")
    return _to_numpy(array.cast(pa.float64(), safe=False))


def _to_numpy(array: pa.Array) -> NDArray[Any]:
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def _values(column: Column, whole: bool, where: str) -> list[Any]:
    """The values as JSON has them, ``None`` where one is missing, and no missing ones within lists."""
    try:
        values = column if isinstance(column, list) else column.to_pylist()
    except (OverflowError, ValueError) as error:
        raise InvalidDataError(
            f"{where} cannot be read: {error}", "give dates of the years 1 to 9999, or text"
        ) from error
    kinds = set(map(type, values))
    if not kinds <= {str, int, bool, type(None)}:
        values = [_plain(value) for value in values]
    if whole and not kinds <= {int, type(None)}:
        values = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
        return [plain for item in value if (plain := _plain(item)) is not None]
    if isinstance(value, dict):
        # A float stays, since an object without one of its values would be another object.
        return {key: item if isinstance(item, float) else _plain(item) for key, item in value.items()}
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, (float, Decimal)):
        missing = value.is_nan() if isinstance(value, Decimal) else math.isnan(value)
        return None if missing else float(value)
    # Neither equals itself: NaT of NumPy and of pandas.
    if isinstance(value, (np.datetime64, date)) and value != value:  # noqa: PLR0124
        return None
    return None if type(value).__name__ == "NAType" else json_scalar(value)  # pandas' NA
