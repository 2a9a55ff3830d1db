"""A command, the arguments that several commands share, and what they stand for."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecrec.cli.output import Output
from vecrec.config.settings import Settings
from vecrec.errors import InvalidDataError
from vecrec.filters import Filter
from vecrec.filters.text import parse_conditions
from vecrec.ids import Id

if TYPE_CHECKING:
    import pyarrow as pa

    from vecrec.data import Dataset
    from vecrec.recommender import Recommender

__all__ = [
    "Command", "add_data", "add_id_type", "add_k", "add_stores", "add_where", "dataset_of", "id_of", "json_object",
    "read_rows", "read_table", "settings_of", "where_of",
]  # fmt: skip

_INTEGER = re.compile(r"(0|-?[1-9][0-9]*)\Z")


@dataclass(frozen=True, slots=True)
class Command:
    """One word after ``vecrec``."""

    name: str
    """The word."""
    help: str
    """What it does, in one line."""
    add: Callable[[argparse.ArgumentParser], None]
    """Adds its arguments."""
    run: Callable[[argparse.Namespace, Output], int]
    """Does it, and returns the exit status."""


def add_stores(parser: argparse.ArgumentParser) -> None:
    """Add where the parts are; each also comes from the environment and the file of settings."""
    group = parser.add_argument_group("parts", "each also as a variable VECREC_... of the environment, or in --config")
    group.add_argument("--config", type=Path, metavar="FILE", help="a TOML file of settings")
    group.add_argument("--name", help="the recommender's name (vecrec)")
    group.add_argument("--artifacts", metavar="DIR", help="the directory of its releases (artifacts)")
    group.add_argument("--vector-store", metavar="URI", help="a path that ends in .db, or http://host:19530")
    group.add_argument("--metadata-store", metavar="URL", help="sqlite:///file, redis://..., mysql+pymysql://...")


def settings_of(arguments: argparse.Namespace, **more: Any) -> Settings:
    """The settings of the arguments, the environment and the file."""
    names = ("name", "artifacts", "vector_store", "metadata_store")
    given = {name: getattr(arguments, name) for name in names}
    return Settings.load(arguments.config, **given, **more)


def add_k(parser: argparse.ArgumentParser) -> None:
    """Add how many."""
    parser.add_argument("-k", type=int, default=10, metavar="K", help="how many (%(default)s)")


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add conditions."""
    parser.add_argument(
        "--where", action="append", default=[], metavar="CONDITION",
        help="such as 'year>=1990' or 'genres:Comedy'; given several times, all must hold",
    )  # fmt: skip


def where_of(recommender: Recommender, texts: Sequence[str]) -> Filter | None:
    """The filter of ``--where``, typed by the live release's schema."""
    if not texts:
        return None
    with recommender.live() as live:
        return parse_conditions(texts, live.filter_fields)


def add_id_type(parser: argparse.ArgumentParser) -> None:
    """Add whether ids are texts."""
    parser.add_argument("--string-ids", action="store_true", help="ids are texts, also where they look like integers")


def id_of(text: str, arguments: argparse.Namespace) -> Id:
    """An id of the command line: an integer where it looks like one, unless ``--string-ids`` is given."""
    return int(text) if not arguments.string_ids and _INTEGER.match(text) else text


def json_object(text: str | None, what: str) -> dict[str, Any]:
    """The JSON object of an argument, empty where it was not given.

    Raises:
        InvalidDataError: for anything else.
    """
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise InvalidDataError(f"{what} is {text!r}, which is not JSON ({error})", "quote it for the shell") from error
    if not isinstance(value, dict):
        raise InvalidDataError(f"{what} is {text!r}", "give a JSON object")
    return value


def add_data(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add a data set: MovieLens, or files."""
    group = parser.add_argument_group("data")
    source = group.add_mutually_exclusive_group(required=required)
    source.add_argument("--data", metavar="1m|100k|latest-small|DIR", help="MovieLens, by name or in a directory")
    source.add_argument(
        "--interactions", type=Path, metavar="FILE", help="Parquet, CSV or JSON lines: one row an event"
    )
    group.add_argument("--items", type=Path, metavar="FILE", help="one row an item")
    group.add_argument("--users", type=Path, metavar="FILE", help="one row a user")
    group.add_argument("--schema", type=Path, metavar="FILE", help="the features as JSON; inferred by default")
    for what in ("user", "item", "time", "rating"):
        group.add_argument(f"--{what}-column", metavar="NAME", help="the column's name in all files")


def dataset_of(arguments: argparse.Namespace, *, progress: bool) -> Dataset:
    """The data set that the arguments name."""
    if arguments.data is not None:
        from vecrec.datasets import movielens

        return movielens.load(arguments.data, progress=progress)
    from vecrec.data import Columns, Dataset, Schema

    names = {what: getattr(arguments, f"{what}_column") for what in ("user", "item", "time", "rating")}
    columns = Columns(**{what: name for what, name in names.items() if name})
    schema = None if arguments.schema is None else Schema.from_json(_json(arguments.schema))
    items, users = (None if path is None else read_table(path) for path in (arguments.items, arguments.users))
    log = read_table(arguments.interactions)
    return Dataset(log, items, users, schema, columns=columns, name=arguments.interactions.stem)


def read_table(path: Path) -> pa.Table:
    """A file as an Arrow table; its suffix says how to read it.

    Raises:
        InvalidDataError: for another suffix, or a file that cannot be read.
    """
    import pyarrow as pa

    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            import pyarrow.parquet

            return pyarrow.parquet.read_table(path)
        if kind == ".csv":
            import pyarrow.csv

            return _as_text(pyarrow.csv.read_csv(path), path)
        if kind in (".jsonl", ".ndjson"):
            import pyarrow.json

            return pyarrow.json.read_json(path)
    except (OSError, pa.ArrowException) as error:
        raise InvalidDataError(f"{path} cannot be read ({error})", "correct the path or the file") from error
    raise InvalidDataError(f"{path} is not a Parquet (.parquet), CSV (.csv) or JSON lines (.jsonl) file", "convert it")


def _as_text(table: pa.Table, path: Path) -> pa.Table:
    import pyarrow as pa

    # Arrow reads a column as bytes where it is not UTF-8.
    for field in table.schema:
        if pa.types.is_binary(field.type):
            raise InvalidDataError(
                f"the column {field.name!r} of {path} is not UTF-8 text",
                "convert the file, such as by iconv -f latin1 -t utf-8",
            )
    return table


def read_rows(path: Path, id_column: str) -> list[tuple[Id, Mapping[str, Any]]]:
    """The rows of a file as ids and records, without what is missing in them.

    Raises:
        InvalidDataError: for a file that `read_table` refuses, without the column, or with a row without an id.
    """
    table = read_table(path)
    if id_column not in table.column_names:
        raise InvalidDataError(f"{path} has no column {id_column!r}", f"there are {table.column_names}")
    rows: list[tuple[Id, Mapping[str, Any]]] = []
    for number, row in enumerate(table.to_pylist(), 1):
        key = row.pop(id_column)
        if key is None:
            raise InvalidDataError(f"row {number} of {path} has no {id_column}", "complete or remove it")
        rows.append((key, {name: value for name, value in row.items() if value is not None}))
    return rows


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidDataError(f"{path} cannot be read ({error})", "correct the path or the file") from error
