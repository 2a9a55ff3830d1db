"""Tables in files: Parquet, CSV, TSV and JSON lines, each also compressed, read by column."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vecrec._internal.folders import locate
from vecrec.errors import InvalidDataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow import csv, fs

__all__ = ["ROWS", "FileTable", "Pieces", "open_file"]

Load: TypeAlias = "Callable[[list[str], Collection[str]], pa.Table]"
"""Reads some columns; those among them that hold ids are also named, since text files have no types."""
Pieces: TypeAlias = "Callable[[list[str], Collection[str]], Iterator[tuple[str, pa.Table]]]"
"""Reads some columns, likewise, piece by piece: where each comes from, for messages, and some of its rows in order."""


@dataclass(frozen=True, slots=True)
class FileTable:
    """A table in files before its columns are read."""

    names: list[str]
    """The columns."""
    load: Load
    """Reads some of them."""
    untyped: bool = False
    """Whether there are no types, so that ids are text."""
    pieces: Pieces | None = None
    """Reads some of them by piece; ``None`` where that is not possible."""


_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LINES = (".jsonl", ".ndjson", ".json")
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
_MARKS = ",;\t|"
_ZEROS = r"^[+-]?0[0-9]+$"
_DIGITS = r"^[+-]?(0[0-9]+|[0-9]{19,})$"
_BLOCK = 4 << 20
"""Bytes read at a time, and the longest row of a CSV file."""
_DEEPEST = 1_000
"""Levels of a row of JSON."""
ROWS = 1 << 20
"""Rows of a piece, at most."""


def open_file(path: str | Path, what: str, *, as_written: bool = False) -> FileTable:
    """A table in a file, or in a directory of Parquet files, before its columns are read.

    Args:
        path: A Parquet file or a directory of them, also by a URI such as ``s3://bucket/log``; or a file that ends in
            ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson``, optionally followed by ``.gz``, ``.bz2``, ``.zst`` or
            ``.lz4``. Text is UTF-8.
        what: What messages call it, such as ``"interactions"``.
        as_written: Whether a column of a CSV file stays text where it holds numbers with leading zeros or more digits
            than 64 bits have.

    Raises:
        InvalidDataError: for another suffix, or a file that cannot be read; `FileTable`'s reader raises it too.
    """
    if "://" in str(path):
        filesystem, there = locate(str(path), name=what)
        return _open_parquet(there, what, filesystem)
    file = _existing(path, what)
    suffixes = [suffix.lower() for suffix in file.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix not in _COMPRESSED), "")
    if kind in _DELIMITERS:
        return _open_csv(file, _DELIMITERS[kind], what, as_written)
    if kind in _LINES:
        return _open_json(file, what)
    if kind in (".parquet", ".pq") or file.is_dir():
        return _open_parquet(str(file), what)
    problem = f"{what} in {str(path)!r} are not a Parquet (.parquet), CSV (.csv, .tsv) or JSON lines (.jsonl) file"
    raise InvalidDataError(problem, "convert it, or rename it if it is one of these")


def _existing(path: str | Path, what: str) -> Path:
    try:
        file = Path(path).expanduser()
        if file.exists():
            return file
    except (OSError, ValueError, RuntimeError):
        pass  # a name that no file can have
    raise InvalidDataError(f"{what}: there is no file {str(path)[:200]!r}", "give the path of an existing file")


def _open_parquet(path: str, what: str, filesystem: fs.FileSystem | None = None) -> FileTable:
    import pyarrow as pa
    import pyarrow.dataset as ds

    def opened(ids: Collection[str], schema: pa.Schema | None = None) -> ds.Dataset:
        try:
            # Repeated texts are kept once, as Parquet stores them.
            form = ds.ParquetFileFormat(dictionary_columns=set(ids))  # type: ignore[arg-type, unused-ignore]
            options = {"format": form, "partitioning": "hive", "exclude_invalid_files": False}
            return ds.dataset(path, schema, filesystem=filesystem, **options)
        except (OSError, pa.ArrowException) as error:
            problem = f"{what} cannot be read from the Parquet file {path!r}: {error}"
            raise InvalidDataError(problem, "give the path of a Parquet file or of a directory of them") from error

    def scanned(names: list[str], ids: Collection[str]) -> ds.Scanner:
        untyped = sorted(keys.intersection(ids))
        if untyped:
            problem = f"column {untyped[0]!r} of {what} stands in the names of directories, which have no types"
            raise InvalidDataError(problem, "write it into the files, as text where ids have leading zeros")
        texts = [name for name in ids if _is_text(schema.field(name).type)]
        # Pieces ahead of the reader cost memory, and save little where the columns are few.
        ahead = {"batch_readahead": 2, "fragment_readahead": 1, "batch_size": ROWS}
        return opened(texts, _with_dictionaries(schema, texts)).scanner(columns=names, **ahead)

    def load(names: list[str], ids: Collection[str]) -> pa.Table:
        with _damaged(path, what):
            return scanned(names, ids).to_table()

    def pieces(names: list[str], ids: Collection[str]) -> Iterator[tuple[str, pa.Table]]:
        scanner = scanned(names, ids)
        with _damaged(path, what):
            for found in scanner.scan_batches():
                where = found.fragment.path.removeprefix(path).lstrip("/")
                yield f"{what} in {where!r}" if where else what, pa.Table.from_batches([found.record_batch])

    schema, keys = _common_schema(opened(()), path, what)
    return FileTable(list(schema.names), load, pieces=pieces)


@contextmanager
def _damaged(path: str, what: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        problem = f"{what} cannot be read from the Parquet file {path!r}: {error}"
        raise InvalidDataError(problem, "write it again") from error


def _common_schema(files: ds.Dataset, path: str, what: str) -> tuple[pa.Schema, set[str]]:
    """The columns of all files, in types that hold every file's values, and those that directories name."""
    import pyarrow as pa

    try:
        schemas = [fragment.physical_schema for fragment in files.get_fragments()]
        whole = pa.unify_schemas([files.schema, *schemas], promote_options="permissive")
    except (OSError, pa.ArrowException) as error:
        problem = f"the Parquet files of {what} in {path!r} do not go together: {error}"
        raise InvalidDataError(problem, "write a column in one type in all files") from error
    return whole, set(whole.names).difference(*(schema.names for schema in schemas))


def _with_dictionaries(schema: pa.Schema, names: Collection[str]) -> pa.Schema:
    import pyarrow as pa

    for name in names:
        at = schema.get_field_index(name)
        schema = schema.set(at, pa.field(name, pa.dictionary(pa.int32(), schema.field(at).type)))
    return schema


def _open_csv(path: Path, delimiter: str, what: str, as_written: bool) -> FileTable:
    import pyarrow as pa
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)

    def load(names: list[str], ids: Collection[str]) -> pa.Table:
        text = pa.dictionary(pa.int32(), pa.string())
        convert = csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(ids, text))
        try:
            table = _read_csv(str(path), parse, convert)
            table = _as_written(table, str(path), parse, ids) if as_written else table
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, what, error) from error
        _refuse_bytes(table, path, what)
        return table

    try:
        # Columns of text, so that no value of the first piece can be wrong.
        with csv.open_csv(str(path), parse_options=parse, convert_options=csv.ConvertOptions(check_utf8=False)) as file:
            names = list(file.schema.names)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise _unreadable(path, what, error) from error
    other = next((mark for mark in _MARKS if len(names) == 1 and mark != delimiter and mark in names[0]), None)
    if other is not None:
        problem = f"{what} in {str(path)!r} are separated by {other!r}, where a {path.suffix} file has {delimiter!r}"
        raise InvalidDataError(problem, "write it with that separator; .tsv files have tabs")
    return FileTable(names, load, untyped=True)


def _read_csv(path: str, parse: csv.ParseOptions, convert: csv.ConvertOptions) -> pa.Table:
    """The columns of a CSV file, piece by piece.

    The types are those of the first piece. Where a later one does not have them, the file is read again as a whole,
    which finds types that hold every value and keeps the text of all rows in memory until it has.
    """
    import pyarrow as pa
    from pyarrow import csv

    read = csv.ReadOptions(block_size=_BLOCK)
    try:
        with csv.open_csv(path, read_options=read, parse_options=parse, convert_options=convert) as pieces:
            return pieces.read_all()
    except pa.ArrowInvalid:
        return csv.read_csv(path, read_options=read, parse_options=parse, convert_options=convert)


def _as_written(table: pa.Table, path: str, parse: csv.ParseOptions, ids: Collection[str]) -> pa.Table:
    """The table with numbers that are not written as numbers are, as text."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    numbers = {
        field.name: _ZEROS if pa.types.is_integer(field.type) else _DIGITS
        for field in table.schema
        if field.name not in ids and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    }
    if not numbers:
        return table
    text = csv.ConvertOptions(include_columns=list(numbers), column_types=dict.fromkeys(numbers, pa.string()))
    texts = csv.read_csv(path, parse_options=parse, convert_options=text)
    for name, pattern in numbers.items():
        if pc.any(pc.match_substring_regex(texts[name], pattern)).as_py():
            values = pc.if_else(pc.equal(texts[name], ""), pa.scalar(None, pa.string()), texts[name])
            table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


def _open_json(path: Path, what: str) -> FileTable:
    """A file of JSON lines, read twice in pieces: for the names and types of all rows, and for the columns needed."""
    import pyarrow as pa
    import pyarrow.json

    def pieces(schema: pa.Schema | None) -> Iterator[pa.Table]:
        wanted = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore" if schema else "infer")
        for text in _lines_of(path):
            options = pa.json.ReadOptions(block_size=len(text) + 1)
            yield pa.json.read_json(pa.BufferReader(text), read_options=options, parse_options=wanted)

    def load(names: list[str], ids: Collection[str]) -> pa.Table:
        schema = pa.schema([whole.field(name) for name in names])
        try:
            tables = [_with_encoded(table.select(names), ids) for table in pieces(schema)]
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, what, error) from error
        return pa.concat_tables(tables)

    _check_rows(path, what)
    try:
        whole = pa.schema([])
        for table in pieces(None):
            whole = _joined(whole, table.schema)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, what, error) from error
    return FileTable(list(whole.names), load)


def _lines_of(path: Path) -> Iterator[bytes]:
    """The text of a file of lines in pieces that end with a line; an empty one for an empty file."""
    import pyarrow as pa

    rest, given = b"", False
    with pa.input_stream(str(path), compression="detect") as file:
        while block := file.read(_BLOCK):
            end = block.rfind(b"\n") + 1
            text, rest = (rest + block[:end], block[end:]) if end else (b"", rest + block)
            if text.strip():
                given = True
                yield text
    if rest.strip() or not given:
        yield rest


def _joined(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """The columns of two pieces, in types that hold the values of both; text where only one reads as a time."""
    import pyarrow as pa

    try:
        return pa.unify_schemas([one, other], promote_options="permissive")
    except pa.ArrowException:
        plain = (
            pa.schema([each.with_type(pa.string()) if pa.types.is_timestamp(each.type) else each for each in schema])
            for schema in (one, other)
        )
        return pa.unify_schemas(list(plain), promote_options="permissive")


def _with_encoded(table: pa.Table, names: Collection[str]) -> pa.Table:
    """The table with dictionaries of the texts of some columns, which keep repeated ones once."""
    for name in names:
        if _is_text(table.schema.field(name).type):
            table = table.set_column(table.schema.get_field_index(name), name, table[name].dictionary_encode())
    return table


def _check_rows(path: Path, what: str) -> None:
    """Refuse rows with which Arrow would end the process: what is not an object, or is nested too deeply."""
    import pyarrow as pa

    try:
        with pa.input_stream(str(path), compression="detect") as file:
            for number, line in enumerate(io.BufferedReader(file), 1):
                if line.lstrip()[:1] not in (b"{", b""):
                    raise InvalidDataError(f"row {number} of {path} ({what}) is not a JSON object", "correct the file")
                if line.count(b"{") + line.count(b"[") > _DEEPEST and _depth(line) > _DEEPEST:
                    raise InvalidDataError(f"row {number} of {path} ({what}) is nested too deeply", "flatten it")
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, what, error) from error


def _depth(line: bytes) -> int:
    # "{" and "[" differ by 32, as do their ends. Those within texts count too, and seldom are so many.
    signs = np.frombuffer(line, np.uint8) & 0xDF
    steps = (signs == ord("[")).astype(np.int32) - (signs == ord("]")).astype(np.int32)
    return int(np.cumsum(steps, dtype=np.int32).max())


def _refuse_bytes(table: pa.Table, path: Path, what: str) -> None:
    """Arrow makes bytes of text that is not UTF-8."""
    import pyarrow as pa

    for field in table.schema:
        if pa.types.is_binary(field.type):
            raise InvalidDataError(f"column {field.name!r} of {what} in {str(path)!r} is not UTF-8", _ENCODING)


_ENCODING = "save the file as UTF-8; from Latin-1, `iconv -f latin1 -t utf-8` does so"


_LONG = "shorten the rows to less than 4 megabytes"


def _unreadable(path: Path, what: str, error: Exception) -> InvalidDataError:
    text = str(error).lower()
    cure = _ENCODING if "utf" in text else _LONG if "straddl" in text else "correct the file"
    return InvalidDataError(f"{what} cannot be read from {str(path)!r}: {error}", cure)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
