"""Tables in files: Parquet, CSV, TSV and JSON lines, each also compressed, read by column."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vecrec.errors import InvalidDataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FileTable", "open_file"]

Load: TypeAlias = "Callable[[list[str], Collection[str]], pa.Table]"
"""Reads some columns; those among them that hold ids are also named, since text files have no types."""
FileTable: TypeAlias = tuple[list[str], Load, bool]
"""The columns' names, what reads some of them, and whether the file is untyped, so that its ids are text."""

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LINES = (".jsonl", ".ndjson", ".json")
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
_JSON_BLOCK = 16 << 20
"""Bytes read at a time, and the longest line of JSON."""


def open_file(path: str | Path, what: str) -> FileTable:
    """A table in a file, or in a directory of Parquet files, before its columns are read.

    Args:
        path: A Parquet file or a directory of them, or a file that ends in ``.csv``, ``.tsv``, ``.jsonl`` or
            ``.ndjson``, optionally followed by ``.gz``, ``.bz2``, ``.zst`` or ``.lz4``. Text is UTF-8.
        what: What messages call it, such as ``"interactions"``.

    Raises:
        InvalidDataError: for another suffix, or a file that cannot be read; `FileTable`'s reader raises it too.
    """
    file = Path(path)
    suffixes = [suffix.lower() for suffix in file.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix not in _COMPRESSED), "")
    if kind in _DELIMITERS:
        return _open_csv(file, _DELIMITERS[kind], what)
    if kind in _LINES:
        return _open_json(file, what)
    if kind in (".parquet", ".pq") or file.is_dir():
        return _open_parquet(file, what)
    problem = f"{what} in {str(path)!r} are not a Parquet (.parquet), CSV (.csv, .tsv) or JSON lines (.jsonl) file"
    raise InvalidDataError(problem, "convert it, or rename it if it is one of these")


def _open_parquet(path: Path, what: str) -> FileTable:
    import pyarrow as pa
    import pyarrow.dataset as ds

    def opened(ids: Collection[str]) -> ds.Dataset:
        try:
            # Repeated texts are kept once, as Parquet stores them.
            form = ds.ParquetFileFormat(dictionary_columns=set(ids))  # type: ignore[arg-type, unused-ignore]
            return ds.dataset(path, format=form, partitioning="hive", exclude_invalid_files=False)
        except (OSError, pa.ArrowException) as error:
            problem = f"{what} cannot be read from the Parquet file {str(path)!r}: {error}"
            raise InvalidDataError(problem, "give the path of a Parquet file or of a directory of them") from error

    def load(names: list[str], ids: Collection[str]) -> pa.Table:
        texts = [name for name in ids if _is_text(schema.field(name).type)]
        try:
            # Pieces ahead of the reader cost memory, and save little where the columns are few.
            scanner = opened(texts).scanner(columns=names, batch_readahead=2, fragment_readahead=1)
            return scanner.to_table()
        except (OSError, pa.ArrowException) as error:
            problem = f"{what} cannot be read from the Parquet file {str(path)!r}: {error}"
            raise InvalidDataError(problem, "write it again") from error

    schema = opened(()).schema
    return list(schema.names), load, False


def _open_csv(path: Path, delimiter: str, what: str) -> FileTable:
    import pyarrow as pa
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)

    def load(names: list[str], ids: Collection[str]) -> pa.Table:
        text = pa.dictionary(pa.int32(), pa.string())
        convert = csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(ids, text))
        try:
            table = csv.read_csv(str(path), parse_options=parse, convert_options=convert)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, what, error) from error
        _refuse_bytes(table, path, what)
        return table

    try:
        # Columns of text, so that no value of the first piece can be wrong.
        with csv.open_csv(str(path), parse_options=parse, convert_options=csv.ConvertOptions(check_utf8=False)) as file:
            return list(file.schema.names), load, True
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, what, error) from error


def _open_json(path: Path, what: str) -> FileTable:
    import pyarrow as pa
    import pyarrow.json

    try:
        with pa.input_stream(str(path), compression="detect") as file:
            table = pa.json.read_json(file, read_options=pa.json.ReadOptions(block_size=_JSON_BLOCK))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, what, error) from error

    return list(table.column_names), lambda names, ids: table.select(names), False


def _refuse_bytes(table: pa.Table, path: Path, what: str) -> None:
    """Arrow makes bytes of text that is not UTF-8."""
    import pyarrow as pa

    for field in table.schema:
        if pa.types.is_binary(field.type):
            raise InvalidDataError(f"column {field.name!r} of {what} in {str(path)!r} is not UTF-8", _ENCODING)


_ENCODING = "save the file as UTF-8; from Latin-1, `iconv -f latin1 -t utf-8` does so"


def _unreadable(path: Path, what: str, error: Exception) -> InvalidDataError:
    encoding = "utf" in str(error).lower()
    cure = _ENCODING if encoding else "correct the file"
    return InvalidDataError(f"{what} cannot be read from {str(path)!r}: {error}", cure)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
