"""The rule by which a schema is inferred; `vecrec.data.Schema.infer` states it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from vecrec._internal.times import seconds
from vecrec.data.columns import as_arrow
from vecrec.data.features import MAX_EMBEDDING, Categorical, Date, Embedding, Feature, MultiCategorical, Numeric, Text
from vecrec.data.frames import Frame
from vecrec.errors import InvalidDataError
from vecrec.filters import check_field_name

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["infer_features"]

_MAX_VALUES = 1000
_MAX_LENGTH = 64
_DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"


def infer_features(frame: Frame, exclude: Collection[str], *, filterable: bool) -> tuple[Feature, ...]:
    """The features that a frame's columns suggest.

    Args:
        frame: The table.
        exclude: Columns that are not features.
        filterable: Whether the features become filterable where their names allow it.
    """
    wanted = [name for name in frame.columns if name and name not in exclude]
    found = (_infer(frame, name, filterable and _may_filter(name)) for name in wanted)
    return tuple(feature for feature in found if feature is not None)


def _infer(frame: Frame, name: str, filterable: bool) -> Feature | None:
    try:
        array = as_arrow(frame.columns[name], name)
    except InvalidDataError:
        return None  # a list of objects of several types has its place in the record only
    if array.null_count == len(array):
        return None
    return _infer_single(array, name, filterable) or _infer_list(array, name, filterable)


def _infer_single(array: pa.Array, name: str, filterable: bool) -> Feature | None:
    import pyarrow as pa

    kind = array.type
    if pa.types.is_boolean(kind):
        return Categorical(name, dtype="boolean", filterable=filterable)
    if pa.types.is_integer(kind):
        return Numeric(name, dtype="integer", filterable=filterable)
    if pa.types.is_floating(kind):
        return Numeric(name, filterable=filterable)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind) or (pa.types.is_large_string(kind) and _are_dates(array)):
        return Date(name, filterable=filterable)
    if pa.types.is_large_string(kind):
        return Categorical(name, filterable=filterable) if _repeats(array) else Text(name)
    return None


def _infer_list(array: pa.Array, name: str, filterable: bool) -> Feature | None:
    import pyarrow as pa

    kind = array.type
    if not (pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)):
        return None
    if pa.types.is_floating(kind.value_type):
        lengths = array.value_lengths().drop_null().unique().to_pylist()
        return Embedding(name, lengths[0]) if len(lengths) == 1 and 2 <= lengths[0] <= MAX_EMBEDDING else None
    if pa.types.is_large_string(kind.value_type):
        return MultiCategorical(name, filterable=filterable)
    if pa.types.is_integer(kind.value_type):
        return MultiCategorical(name, dtype="integer", filterable=filterable)
    return None


def _are_dates(texts: pa.Array) -> bool:
    import pyarrow.compute as pc

    if not bool(pc.all(pc.match_substring_regex(texts.drop_null(), _DATE)).as_py()):
        return False
    try:
        for value in texts.drop_null().unique().to_pylist():
            seconds(value)
    except InvalidDataError:
        return False
    return True


def _repeats(texts: pa.Array) -> bool:
    import pyarrow.compute as pc

    different = texts.drop_null().unique()
    longest = pc.max(pc.utf8_length(different)).as_py()
    return bool(
        2 * len(different) <= len(texts) - texts.null_count and len(different) <= _MAX_VALUES and longest <= _MAX_LENGTH
    )


def _may_filter(name: str) -> bool:
    try:
        return not check_field_name(name).startswith("_")
    except InvalidDataError:
        return False
