"""Tables of engines that hold more than memory does, read by piece: Arrow, Polars, DuckDB, Dask, Ray, Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from vecrec.data.files import ROWS
from vecrec.errors import InvalidDataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EngineTable", "open_engine"]


@dataclass(frozen=True, slots=True)
class EngineTable:
    """A table before its columns are read."""

    names: list[str]
    """The columns."""
    pieces: Callable[[list[str]], Iterator[Any]]
    """Reads some of them: at least one piece of the rows, in order, each an Arrow table, or a pandas one of Dask."""


def open_engine(source: Any, what: str) -> EngineTable | None:
    """The table of an engine; ``None`` for anything else.

    Args:
        source: A PyArrow table or dataset, a Polars frame or lazy frame, a DuckDB relation, a data frame of Dask or
            Spark, a data set of Ray, or another object with ``__arrow_c_stream__``.
        what: What messages call it, such as ``"interactions"``.

    Raises:
        InvalidDataError: for a stream that does not hold rows, also while it is read.
    """
    kind = type(source).__module__.split(".")[0].lstrip("_"), type(source).__name__
    if hasattr(source, "to_table") and hasattr(source, "schema"):  # a dataset of PyArrow
        return EngineTable(source.schema.names, partial(_scanned, source))
    if kind in _READERS:
        names, read = _READERS[kind]
        return EngineTable(names(source), partial(read, source))
    if kind in _SELECTS:
        names, select = _SELECTS[kind]
        return EngineTable(names(source), lambda chosen: _read(_reader(select(source, chosen), what), what))
    if not hasattr(source, "__arrow_c_stream__"):
        return None
    reader = _reader(source, what)
    return EngineTable(reader.schema.names, lambda chosen: (each.select(chosen) for each in _read(reader, what)))


def _scanned(source: Any, chosen: list[str]) -> Iterator[pa.Table]:
    import pyarrow as pa

    scanner, given = source.scanner(columns=chosen, batch_size=ROWS, batch_readahead=2, fragment_readahead=1), False
    for batch in scanner.to_batches():
        given = True
        yield pa.Table.from_batches([batch])
    if not given:
        yield scanner.projected_schema.empty_table()


def _partitions(source: Any, chosen: list[str]) -> Iterator[Any]:
    return (part.compute() for part in source[chosen].partitions)


def _blocks(source: Any, chosen: list[str]) -> Iterator[pa.Table]:
    import pyarrow as pa

    batches = iter(source.select_columns(chosen).iter_batches(batch_size=ROWS, batch_format="pyarrow"))
    yield next(batches, pa.table({name: pa.nulls(0) for name in chosen}))
    yield from batches


def _columns(source: Any) -> list[str]:
    return list(source.columns)


def _schema_names(source: Any) -> list[str]:
    return list(source.schema().names)


def _reader(source: Any, what: str) -> pa.RecordBatchReader:
    import pyarrow as pa

    try:
        return source if isinstance(source, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _unreadable(source, what, error) from error


def _read(reader: pa.RecordBatchReader, what: str) -> Iterator[pa.Table]:
    import pyarrow as pa

    given = False
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            break
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(reader, what, error) from error
        given = True
        yield from (pa.Table.from_batches([batch.slice(at, ROWS)]) for at in range(0, max(batch.num_rows, 1), ROWS))
    if not given:
        yield reader.schema.empty_table()


def _unreadable(source: Any, what: str, error: Exception) -> InvalidDataError:
    problem = f"{what}, a {type(source).__name__}, cannot be read as a table: {error}"
    return InvalidDataError(problem, "make a table of it first")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_Names: TypeAlias = Callable[[Any], list[str]]

_READERS: dict[tuple[str, str], tuple[_Names, Callable[[Any, list[str]], Iterator[Any]]]] = {
    ("dask", "DataFrame"): (_columns, _partitions),
    ("ray", "Dataset"): (_schema_names, _blocks),
    ("ray", "MaterializedDataset"): (_schema_names, _blocks),
}
"""What names the columns of an engine's table, and what reads some of them."""

_SELECTS: dict[tuple[str, str], tuple[_Names, Callable[[Any, list[str]], Any]]] = {
    ("duckdb", "DuckDBPyRelation"): (_columns, lambda source, chosen: source.project(", ".join(map(_quoted, chosen)))),
    ("polars", "DataFrame"): (_columns, lambda source, chosen: source.select(chosen)),
    ("polars", "LazyFrame"): (
        lambda source: source.collect_schema().names(),
        lambda source, chosen: source.select(chosen).collect(),
    ),
    ("pyspark", "DataFrame"): (_columns, lambda source, chosen: source.select(*chosen)),
}
"""What names the columns, and what leaves some of them of a table that gives a stream of Arrow batches."""
