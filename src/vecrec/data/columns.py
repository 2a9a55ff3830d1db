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
from vecrec.ids import MAX_ID_BYTES, Id, check_id
from vecrec.records import Record, check_record
from vecrec.types import check_kind

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Ids", "Kinds", "as_arrow", "plain_ids", "read_different_ids", "read_ids", "read_kinds", "read_ratings",
    "read_records", "sort_ids", "unite",
]  # fmt: skip

_CONTAINERS = (list, tuple, dict)
_DEEPEST = 32
_MANY = 50_000
"""Ids that Python numbers and sorts in less time than importing Arrow takes."""

Kinds: TypeAlias = tuple[NDArray[np.int16], tuple[str, ...]]
"""The place of each event's kind among the names, -1 where it has none, and the names, sorted."""

Ids: TypeAlias = "pa.Array | list[Id]"
"""Ids that were checked: an Arrow array of integers or of large texts, or a list of both, or of none."""


def sort_ids(ids: Sequence[Id]) -> tuple[list[Id], NDArray[np.int32]]:
    """The different ids in the order of `vecrec.ids.id_order`, and the place of each given one, shape (n,)."""
    different, places = unite([list(ids)])
    if isinstance(different, list):
        numbers: list[Id] = sorted(value for value in different if isinstance(value, int))
        texts: list[Id] = sorted(value for value in different if isinstance(value, str))
        ranks = {value: rank for rank, value in enumerate(numbers + texts)}
        return numbers + texts, np.fromiter(map(ranks.__getitem__, ids), np.int32, len(ids))
    import pyarrow.compute as pc

    order = pc.sort_indices(different).to_numpy()  # bytes of UTF-8 have the order of their characters
    first = np.empty(len(order), np.int64)
    first[places[::-1]] = np.arange(len(ids))[::-1]
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return [ids[place] for place in first[order].tolist()], rank[places]


def read_ids(frame: Frame, name: str, what: str) -> tuple[Ids, NDArray[np.int32]]:
    """The ids of a column, and the place of each row's id among them, shape (n,).

    An id may be there twice, as it may be in the dictionary of a file.

    Args:
        frame: The table.
        name: The column.
        what: What messages call an id, such as ``"user id"``.

    Raises:
        InvalidDataError: for a missing id, or one that is neither an integer of 64 bits nor text.
    """
    column = frame.columns[name]
    where = f"column {name!r} of {frame.what}"
    if isinstance(column, list):
        return unite([[_checked(value, where, what) for value in column]])
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(column) and pa.types.is_floating(column.type):
        raise _float_ids(column, where, what)
    _refuse_missing(column, where, f"every row needs a {what}", frame.first)
    encoded = column if pa.types.is_dictionary(column.type) else None
    kind = column.type if encoded is None else column.type.value_type
    if len(column) and not (pa.types.is_integer(kind) or pa.types.is_large_string(kind) or pa.types.is_string(kind)):
        raise InvalidDataError(f"{where} holds {kind}, but ids are int or str", "convert it to one of them")
    encoded = column.dictionary_encode() if encoded is None else encoded
    values, places = _used(encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False))
    if frame.untyped and (empty := pc.index(values, "").as_py()) >= 0:
        row = frame.first + int((places == empty).argmax())
        raise InvalidDataError(f"{where} is empty in row {row}", f"every row needs a {what}")
    return _checked_array(values, where, what), places


def read_different_ids(frame: Frame, name: str, what: str) -> tuple[list[Id], NDArray[np.int32]]:
    """As `read_ids`, with each id once."""
    ids, places = read_ids(frame, name, what)
    different, at = unite([ids])
    return plain_ids(different), at[places]


def unite(parts: Sequence[Ids]) -> tuple[Ids, NDArray[np.int32]]:
    """The different ids of all parts, first seen first, and the place of each among them, one part after the other."""
    import pyarrow as pa

    given = [part for part in parts if len(part)]
    if sum(map(len, given)) >= _MANY:
        given = [_as_array(part) for part in given]
    arrays = [part for part in given if not isinstance(part, list)]
    if len(arrays) == len(given) and len({each.type for each in arrays}) == 1:
        encoded = pa.concat_arrays(arrays).dictionary_encode()
        return encoded.dictionary, encoded.indices.to_numpy()
    known: dict[Id, int] = {}
    ids = (value for part in given for value in plain_ids(part))
    places = np.fromiter((known.setdefault(value, len(known)) for value in ids), np.int32)
    return list(known), places


def _as_array(ids: Ids) -> Ids:
    """A list of one type as an array."""
    import pyarrow as pa

    kinds = set(map(type, ids)) if isinstance(ids, list) else set()
    return pa.array(ids, pa.int64() if kinds == {int} else pa.large_string()) if len(kinds) == 1 else ids


def plain_ids(ids: Ids) -> list[Id]:
    """Ids as a list."""
    return ids if isinstance(ids, list) else ids.to_pylist()


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


def _used(dictionary: pa.Array, indices: NDArray[Any]) -> tuple[pa.Array, NDArray[np.int32]]:
    """The values of a dictionary that rows refer to, and the place of each row's: a file's dictionary may hold more."""
    used = np.zeros(len(dictionary), np.bool_)
    used[indices] = True
    if used.all():
        return dictionary, indices.astype(np.int32, copy=False)
    return dictionary.take(np.flatnonzero(used)), (np.cumsum(used, dtype=np.int32) - 1)[indices]


def _checked_array(values: pa.Array, where: str, what: str) -> Ids:
    """Ids as 64-bit integers or large texts, checked; an empty list for none, which has no type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(values):
        return []
    texts = not pa.types.is_integer(values.type)
    sizes = pc.binary_length(values) if texts else None
    if values.null_count or pa.types.is_uint64(values.type) or (texts and pc.max(sizes).as_py() > MAX_ID_BYTES):
        for value in values.to_pylist():
            _checked(value, where, what)
    return values.cast(pa.large_string() if texts else pa.int64())


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
