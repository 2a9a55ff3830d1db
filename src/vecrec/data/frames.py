"""Tables of any make: pandas, Polars, PyArrow, DuckDB, files, rows and columns of plain Python or NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vecrec.data.engines import EngineTable, open_engine
from vecrec.data.files import Pieces, open_file
from vecrec.errors import InvalidDataError, shown

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Choice", "Column", "Frame", "FrameLike", "as_rows", "plain_array", "read_frame", "read_pieces"]

FrameLike: TypeAlias = Any
"""A pandas data frame; a Polars data frame or lazy frame; a PyArrow table or dataset; a DuckDB relation; a data frame
of Dask or Spark, a data set of Ray; another object with ``__arrow_c_stream__``; the path of a file (see
`vecrec.data.files.open_file`); a mapping of names to columns, each a list, a NumPy array or an Arrow array; or an
iterable of rows, each a mapping or a dataclass."""

Column: TypeAlias = "pa.Array | list[Any]"
"""A column as it is kept here: an Arrow array, or a list of Python objects where it came as such, since Arrow would
change some of them (it gives every object of a column the keys of all)."""

Choice: TypeAlias = "Callable[[list[str]], tuple[list[str], Collection[str]]]"
"""Says, of a table's columns, which to read and which of those hold ids."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A table that has been read."""

    what: str
    """What messages call it, such as ``"interactions"``."""
    columns: dict[str, Column]
    """The columns, all of one length."""
    n_rows: int
    """That length."""
    untyped: bool = False
    """Whether ids are text because the table has no types, as in a CSV file."""
    unused: tuple[str, ...] = ()
    """The columns that were not read."""
    first: int = 0
    """The row that messages call the first one here: of the table or file that this is a piece of."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A table before its columns are read."""

    names: list[str]
    load: Callable[[list[str], Collection[str]], dict[str, Column]]
    untyped: bool = False
    pieces: Callable[[list[str], Collection[str]], Iterator[tuple[str, dict[str, Column]]]] | None = None


def read_frame(source: FrameLike, what: str, choose: Choice | None = None, *, as_written: bool = False) -> Frame:
    """The table, of whatever make, with the columns that are needed; others are not even read where that can be.

    Args:
        source: See `FrameLike`.
        what: What messages call it, such as ``"interactions"``.
        choose: Which columns to read; all by default.
        as_written: Whether a column of a CSV file stays text where it holds numbers with leading zeros or more digits
            than 64 bits have, such as postcodes and EANs.

    Raises:
        InvalidDataError: for something that is not a table, an unreadable file, columns of different lengths, or no
            column; and whatever ``choose`` raises.
    """
    if isinstance(source, Frame):
        return source
    table = _open(source, what, as_written)
    _check_names(table.names, what)
    names, ids = (table.names, ()) if choose is None else choose(table.names)
    return _frame(what, table.load(names, ids), table)


def read_pieces(source: FrameLike, what: str, choose: Choice) -> Iterator[Frame]:
    """The table as at least one frame of some of its rows, in order: by piece where it is not in memory as a whole.

    Args:
        source: As for `read_frame`.
        what: Likewise.
        choose: Likewise.

    Raises:
        InvalidDataError: as `read_frame`.
    """
    table = _open(source, what, False)
    _check_names(table.names, what)
    names, ids = choose(table.names)
    if table.pieces is None:
        yield _frame(what, table.load(names, ids), table)
        return
    last, first = "", 0
    for where, columns in table.pieces(names, ids):
        first = first if where == last else 0
        frame = _frame(where, columns, table, first)
        yield frame
        last, first = where, first + frame.n_rows
    if not last:
        yield _frame(what, table.load(names, ids), table)


def _frame(what: str, columns: dict[str, Column], table: _Table, first: int = 0) -> Frame:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidDataError(f"the columns of {what} differ in length: {lengths}", "give one value a row in each")
    unused = tuple(name for name in table.names if name not in columns)
    return Frame(what, columns, next(iter(lengths.values())), table.untyped, unused, first)


def as_rows(source: FrameLike) -> FrameLike:
    """An iterator of rows as a list, since it can be read only once; anything else as it is."""
    return list(source) if isinstance(source, Iterator) and not hasattr(source, "__arrow_c_stream__") else source


def plain_array(column: pa.Array | pa.ChunkedArray, *, dictionaries: bool = False) -> pa.Array:
    """One Arrow array without views, decimals, runs and extension types, which few functions take.

    Args:
        column: Any column.
        dictionaries: Whether to keep dictionaries of text as they are.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries() if pa.types.is_dictionary(array.type) else array
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # combine_chunks keeps a column that is too large for one array
        array = pa.concat_arrays(array.chunks)
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if pa.types.is_dictionary(array.type):
        return array if dictionaries else plain_array(array.dictionary).take(array.indices)
    try:
        return array.cast(_plain_type(array.type))
    except pa.ArrowInvalid:
        return array.cast(pa.float64())  # whole decimals beyond 64 bits
    except pa.ArrowNotImplementedError:
        # Nested dictionaries and views, for which Arrow lacks some casts: by way of Python, slowly.
        return pa.array(array.to_pylist())


def _plain_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    tests = pa.types
    if tests.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if tests.is_string(kind) or tests.is_string_view(kind):
        return pa.large_string()
    if tests.is_decimal(kind):
        return pa.float64() if kind.scale else pa.int64()
    if tests.is_list(kind) or tests.is_large_list(kind) or tests.is_fixed_size_list(kind):
        return pa.large_list(_plain_type(kind.value_type))
    return kind


# -- the makes


def _open(source: Any, what: str, as_written: bool) -> _Table:
    if isinstance(source, (str, Path)):
        file = open_file(source, what, as_written=as_written)
        pieces = None if file.pieces is None else partial(_file_pieces, file.pieces)
        return _Table(file.names, lambda n, ids: _arrow_columns(file.load(n, ids), what, ids), file.untyped, pieces)
    if isinstance(source, Mapping):
        return _Table(list(source), lambda chosen, ids: {n: _plain_column(source[n], n, what) for n in chosen})
    # Not by __arrow_c_stream__: it fails on the columns of mixed objects that pandas allows.
    if _is_of(source, "pandas", "DataFrame"):
        return _open_pandas(source, what)
    if (engine := open_engine(source, what)) is not None:
        return _of_engine(engine, what)
    if isinstance(source, Iterable) and (rows := _rows(source)):
        return _open_rows(rows, what)
    raise InvalidDataError(
        f"{what} are of type {type(source).__name__}",
        "give a pandas, Polars or PyArrow table, a DuckDB relation, a data frame of Dask, Ray or Spark, the path of a "
        "Parquet, CSV or JSON lines file, a mapping of names to columns, or a list of rows",
    )


def _file_pieces(pieces: Pieces, names: list[str], ids: Collection[str]) -> Iterator[tuple[str, dict[str, Column]]]:
    return ((where, _arrow_columns(table, where, ids)) for where, table in pieces(names, ids))


def _of_engine(engine: EngineTable, what: str) -> _Table:
    def pieces(names: list[str], ids: Collection[str]) -> Iterator[tuple[str, dict[str, Column]]]:
        return ((what, _engine_columns(piece, what, ids)) for piece in engine.pieces(names))

    def load(names: list[str], ids: Collection[str]) -> dict[str, Column]:
        return _whole(columns for _, columns in pieces(names, ids))

    return _Table(list(engine.names), load, pieces=pieces)


def _whole(pieces: Iterable[dict[str, Column]]) -> dict[str, Column]:
    """Pieces of columns, which are Arrow arrays or lists, put together."""
    import pyarrow as pa

    held = list(pieces)
    if len(held) == 1:
        return held[0]
    whole: dict[str, Column] = {}
    for name in held[0]:
        parts = [piece[name] for piece in held]
        kinds = {None if isinstance(part, list) else part.type for part in parts}
        whole[name] = (
            [value for part in parts for value in (part if isinstance(part, list) else part.to_pylist())]
            if None in kinds or len(kinds) > 1
            else plain_array(pa.chunked_array(parts), dictionaries=True)
        )
    return whole


def _engine_columns(piece: Any, what: str, ids: Collection[str]) -> dict[str, Column]:
    if _is_of(piece, "pandas", "DataFrame"):
        return _open_pandas(piece, what).load(list(piece.columns), ids)
    return _arrow_columns(piece, what, ids)


def _arrow_columns(table: pa.Table, what: str, ids: Collection[str]) -> dict[str, Column]:
    import pyarrow as pa

    _check_names(table.column_names, what)
    for field in table.schema:
        if _extension(field) in ("pandas.period", "pandas.interval"):
            problem = f"column {field.name!r} of {what} holds {_extension(field)}"
            raise InvalidDataError(problem, "convert it first, a period by .dt.to_timestamp()")
    try:
        # Text in a file need not be valid Unicode, and would fail much later.
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        bad = [name for name in table.column_names if not _is_valid(table[name])]
        problem = f"column {bad[0]!r} of {what} is damaged: {error}"
        raise InvalidDataError(problem, "write it again, text as UTF-8") from error
    return {name: plain_array(table[name], dictionaries=name in ids) for name in table.column_names}


def _extension(field: pa.Field) -> str:
    """The name of the extension type, which Arrow knows only where its package was imported."""
    held = (field.metadata or {}).get(b"ARROW:extension:name", b"").decode()
    return str(getattr(field.type, "extension_name", held))


def _is_valid(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _is_of(source: Any, package: str, name: str) -> bool:
    # By name, so that the package is not imported for those who do not use it.
    return type(source).__module__.split(".")[0] == package and type(source).__name__ == name


def _open_pandas(source: Any, what: str) -> _Table:
    named = [name for name in source.index.names if name is not None and name not in source.columns]
    frame = source.reset_index(level=named) if named else source
    _check_names(list(frame.columns), what)
    return _Table(list(frame.columns), lambda chosen, ids: {n: _pandas_column(frame[n], n, what) for n in chosen})


def _pandas_column(series: Any, name: str, what: str) -> Column:
    import pyarrow as pa

    series = _without_categories(series)
    kind = type(series.dtype).__name__
    if kind == "SparseDtype":
        series = series.sparse.to_dense()
    if kind == "PeriodDtype":
        series = series.dt.to_timestamp()  # its start
    if series.dtype == object:
        missing = series.isna().to_numpy()
        return [None if gone else value for value, gone in zip(series.tolist(), missing)]
    try:
        return plain_array(pa.Array.from_pandas(series))
    except (pa.ArrowException, UnicodeEncodeError) as error:
        problem = f"column {name!r} of {what}, of type {series.dtype}, cannot be read: {error}"
        raise InvalidDataError(problem, "convert it to numbers, text or timestamps") from error


def _without_categories(series: Any) -> Any:
    """The values of categories that Arrow does not take, or takes for integers: several types, and periods."""
    if type(series.dtype).__name__ != "CategoricalDtype":
        return series
    held = series.cat.categories
    if type(held.dtype).__name__ == "PeriodDtype":
        return series.astype(held.dtype)
    return series.astype(object) if held.inferred_type.startswith("mixed") else series


def _plain_column(values: Any, name: str, what: str) -> Column:
    import pyarrow as pa

    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return plain_array(values)
    if isinstance(values, np.ndarray):
        return _numpy_column(values, name, what)
    if type(values).__module__.split(".")[0] == "pandas" and hasattr(values, "isna"):
        return _pandas_column(values.to_series() if hasattr(values, "to_series") else _series(values), name, what)
    if hasattr(values, "__arrow_c_stream__"):
        return _stream_column(values, name, what)
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, (Sequence, Iterable)):
        raise InvalidDataError(f"column {name!r} of {what} is {shown(values)}", "give a list or an array of values")
    return list(values)


def _series(values: Any) -> Any:
    if hasattr(values, "tolist") and hasattr(values, "index"):
        return values
    import pandas as pd

    if isinstance(values, pd.DataFrame):
        raise InvalidDataError("a column is a whole DataFrame", "give one of its columns")
    return pd.Series(values)  # an array of pandas' own, such as a SparseArray


def _stream_column(values: Any, name: str, what: str) -> Column:
    import pyarrow as pa

    try:
        return plain_array(pa.chunked_array(values))
    except (pa.ArrowException, TypeError, ValueError) as error:
        problem = f"column {name!r} of {what}, a {type(values).__name__}, cannot be read: {error}"
        raise InvalidDataError(problem, "convert it to numbers, text or timestamps") from error


def _numpy_column(values: Any, name: str, what: str) -> Column:
    import pyarrow as pa

    if values.ndim != 1:
        raise InvalidDataError(f"column {name!r} of {what} has the shape {values.shape}", "give one value a row")
    if values.dtype == object:
        return list(values.tolist())
    if values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] in ("ps", "fs", "as"):
        values = values.astype("datetime64[ns]")  # Arrow takes the finer ones for integers
    try:
        return plain_array(pa.array(values, from_pandas=True))
    except (pa.ArrowException, TypeError, UnicodeEncodeError):
        return list(values.tolist())


# -- rows


def _rows(source: Iterable[Any]) -> list[Mapping[str, Any]]:
    """The rows as mappings; none where they are not all mappings, dataclasses or named tuples of one class."""
    rows: list[Mapping[str, Any]] = []
    kind = None
    for row in source:
        kind = type(row) if kind is None else kind
        if not isinstance(row, (kind, Mapping)):
            return []
        if isinstance(row, Mapping):
            rows.append(row)
        elif dataclasses.is_dataclass(row) and not isinstance(row, type):
            rows.append({field.name: getattr(row, field.name) for field in dataclasses.fields(row)})
        elif isinstance(row, tuple) and hasattr(row, "_asdict"):
            rows.append(row._asdict())
        else:
            return []
    return rows


def _open_rows(rows: list[Mapping[str, Any]], what: str) -> _Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _Table(names, lambda chosen, ids: {name: [row.get(name) for row in rows] for name in chosen})


# -- names


def _check_names(names: Sequence[Any], what: str) -> None:
    if not names:
        raise InvalidDataError(f"{what} have no columns", "give at least the ids")
    for name in names:
        if not isinstance(name, str):
            problem = f"{what} have a column named {name!r} of type {type(name).__name__}"
            raise InvalidDataError(problem, "names must be str")
    repeated = sorted({repr(name) for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidDataError(f"{what} have several columns named {', '.join(repeated)}", "rename them")
