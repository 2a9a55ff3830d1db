"""Reading tables of any make: pandas, Polars, PyArrow, DuckDB, Parquet files, columns of plain Python or NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vecrec.errors import InvalidDataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Column", "Frame", "FrameLike", "read_frame"]

FrameLike: TypeAlias = Any
"""A pandas or Polars data frame, a PyArrow table, a DuckDB relation or whatever else has ``__arrow_c_stream__``; the
path of a Parquet file; or a mapping of names to columns, each a list, a NumPy array or an Arrow array."""

Column: TypeAlias = "pa.Array | list[Any]"
"""A column as it is kept here: an Arrow array, or a list of Python objects where it came as such, since Arrow would
change some of them (it gives every object of a column the keys of all)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A table that has been read."""

    what: str
    """What messages call it, such as ``"interactions"``."""
    columns: dict[str, Column]
    """The columns, all of one length."""
    n_rows: int
    """That length."""

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            InvalidDataError: naming the columns that there are.
        """
        if name not in self.columns:
            there = ", ".join(map(repr, self.columns))
            raise InvalidDataError(
                f"{self.what} have no column {name!r}", f"there are {there}; name it with Columns(...)"
            )
        return self.columns[name]


def read_frame(source: FrameLike, what: str) -> Frame:
    """The table, whatever it comes as.

    Args:
        source: See `FrameLike`.
        what: What messages call it, such as ``"interactions"``.

    Raises:
        InvalidDataError: for something that is no table, an unreadable file, columns of different lengths, or no
            column.
    """
    if isinstance(source, Frame):
        return source
    columns = _columns(source, what)
    if not columns:
        raise InvalidDataError(f"{what} have no columns", "give at least the ids")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidDataError(f"the columns of {what} differ in length: {lengths}")
    return Frame(what, columns, next(iter(lengths.values())))


def _columns(source: Any, what: str) -> dict[str, Column]:
    if isinstance(source, (str, Path)):
        return _arrow_columns(_read_parquet(Path(source), what), what)
    if isinstance(source, Mapping):
        return _mapping_columns(source, what)
    # Not by __arrow_c_stream__: it fails on the columns of mixed objects that pandas allows.
    if _is_pandas(source):
        return _pandas_columns(source, what)
    if hasattr(source, "__arrow_c_stream__"):
        return _arrow_columns(_read_stream(source, what), what)
    raise InvalidDataError(
        f"{what} are of type {type(source).__name__}",
        "give a pandas, Polars or PyArrow table, a DuckDB relation, the path of a Parquet file, or a mapping of names "
        "to columns",
    )


def _read_parquet(path: Path, what: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InvalidDataError(f"{what} cannot be read from the Parquet file {str(path)!r}: {error}") from error


def _read_stream(source: Any, what: str) -> pa.Table:
    import pyarrow as pa

    try:
        return source if isinstance(source, pa.Table) else pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidDataError(f"{what}, a {type(source).__name__}, cannot be read as a table: {error}") from error


def _arrow_columns(table: pa.Table, what: str) -> dict[str, Column]:
    import pyarrow as pa

    _check_unique(table.column_names, what)
    try:
        # What is called text in a file need not be any, and would fail much later.
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        bad = [name for name in table.column_names if not _is_valid(table[name])]
        raise InvalidDataError(f"column {bad[0]!r} of {what} is damaged: {error}") from error
    return {name: plain_array(column) for name, column in zip(table.column_names, table.columns)}


def _is_valid(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def plain_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One Arrow array without dictionaries, views, decimals and extension types, which few functions take."""
    import pyarrow as pa

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # combine_chunks keeps a column that is too large for one array
        array = pa.concat_arrays(array.chunks)
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        return plain_array(array.dictionary).take(array.indices)
    try:
        return array.cast(_plain_type(array.type))
    except pa.ArrowNotImplementedError:
        # Nested dictionaries and views, for which Arrow lacks some casts: by way of Python, slowly.
        return pa.array(array.to_pylist())


def _plain_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    tests = pa.types
    if tests.is_string(kind) or tests.is_string_view(kind):
        return pa.large_string()
    if tests.is_decimal(kind):
        return pa.float64()
    if tests.is_list(kind) or tests.is_large_list(kind) or tests.is_fixed_size_list(kind):
        return pa.large_list(_plain_type(kind.value_type))
    return kind


def _is_pandas(source: Any) -> bool:
    # By name, so that pandas is not imported for those who do not use it.
    return type(source).__module__.split(".")[0] == "pandas" and type(source).__name__ == "DataFrame"


def _pandas_columns(source: Any, what: str) -> dict[str, Column]:
    names = [name for name in source.index.names if name is not None and name not in source.columns]
    frame = source.reset_index(level=names) if names else source
    _check_unique(list(frame.columns), what)
    return {_name(name, what): _pandas_column(frame[name], name, what) for name in frame.columns}


def _pandas_column(series: Any, name: str, what: str) -> Column:
    import pyarrow as pa

    if series.dtype == object:
        missing = series.isna().to_numpy()
        return [None if gone else value for value, gone in zip(series.tolist(), missing)]
    try:
        return plain_array(pa.Array.from_pandas(series))
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise InvalidDataError(f"column {name!r} of {what}, of type {series.dtype}, cannot be read: {error}") from error


def _mapping_columns(source: Mapping[Any, Any], what: str) -> dict[str, Column]:
    return {_name(name, what): _plain_column(values, name, what) for name, values in source.items()}


def _plain_column(values: Any, name: str, what: str) -> Column:
    import pyarrow as pa

    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return plain_array(values)
    if isinstance(values, np.ndarray):
        return _numpy_column(values, name, what)
    if type(values).__module__.split(".")[0] == "pandas" and hasattr(values, "isna"):
        return _pandas_column(values, name, what)
    if hasattr(values, "__arrow_c_stream__"):
        return plain_array(pa.chunked_array(values))
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, (Sequence, Iterable)):
        raise InvalidDataError(f"column {name!r} of {what} is {_short(values)}", "give a list or an array of values")
    return list(values)


def _numpy_column(values: Any, name: str, what: str) -> Column:
    import pyarrow as pa

    if values.ndim != 1:
        raise InvalidDataError(f"column {name!r} of {what} has the shape {values.shape}", "give one value a row")
    if values.dtype == object:
        return list(values.tolist())
    try:
        return plain_array(pa.array(values, from_pandas=True))
    except (pa.ArrowException, TypeError, UnicodeEncodeError):
        return list(values.tolist())


def _name(name: Any, what: str) -> str:
    if not isinstance(name, str):
        raise InvalidDataError(
            f"{what} have a column named {name!r} of type {type(name).__name__}", "names must be str"
        )
    return name


def _check_unique(names: Sequence[Any], what: str) -> None:
    repeated = sorted({repr(name) for name in names if list(names).count(name) > 1})
    if repeated:
        raise InvalidDataError(f"{what} have several columns named {', '.join(repeated)}", "rename them")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
