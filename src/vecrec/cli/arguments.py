"""A command, the arguments that several commands share, and what they stand for."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecrec._internal.files import reading
from vecrec.cli.output import Output
from vecrec.config.settings import Settings
from vecrec.errors import InvalidDataError
from vecrec.filters import Filter
from vecrec.filters.text import parse_conditions
from vecrec.ids import Id, written_integer

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.recommender import Recommender

__all__ = [
    "Command", "add_data", "add_id_type", "add_k", "add_stores", "add_where", "dataset_of", "id_of", "json_object",
    "read_rows", "settings_of", "where_of",
]  # fmt: skip


_COLUMNS = ("user", "item", "time", "rating", "kind")


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
    number = None if arguments.string_ids else written_integer(text)
    return text if number is None else number


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
        "--interactions",
        type=Path,
        metavar="FILE",
        help="Parquet, CSV, TSV or JSON lines, also compressed: one row an event",
    )
    group.add_argument("--items", type=Path, metavar="FILE", help="one row an item")
    group.add_argument("--users", type=Path, metavar="FILE", help="one row a user")
    group.add_argument("--schema", type=Path, metavar="FILE", help="the features as JSON; inferred by default")
    for what in _COLUMNS:
        group.add_argument(f"--{what}-column", metavar="NAME", help="the column's name in all files")
    group.add_argument("--ids", choices=("auto", "text", "integer"), default="auto", help="what ids are (%(default)s)")
    group.add_argument("--rows-in-order", action="store_true", help="without times, take the order of the rows")


def dataset_of(arguments: argparse.Namespace, *, progress: bool) -> Dataset:
    """The data set that the arguments name."""
    if arguments.data is not None:
        from vecrec.datasets import movielens

        return movielens.load(arguments.data, progress=progress)
    from vecrec.data import Columns, Dataset, Schema

    names = {what: getattr(arguments, f"{what}_column") for what in _COLUMNS}
    columns = Columns(**{what: name for what, name in names.items() if name})
    schema = None if arguments.schema is None else Schema.from_json(_json(arguments.schema))
    return Dataset(
        arguments.interactions,
        arguments.items,
        arguments.users,
        schema,
        columns=columns,
        order="rows" if arguments.rows_in_order else None,
        ids=arguments.ids,
        name=arguments.interactions.stem,
    )


def read_rows(path: Path, id_columns: Sequence[str], *, text: bool = False) -> list[Mapping[str, Any]]:
    """The rows of a file, without what is missing in them.

    Args:
        path: Any file that a `Dataset` reads.
        id_columns: The columns with ids, each of which must be there. The ids of a file without types are integers
            where every one of a column is written as one.
        text: Whether ids are text, also where they are written as integers.

    Raises:
        InvalidDataError: for a file that cannot be read, without one of the columns, or with a row without an id.
    """
    from vecrec.data.files import open_file

    names, load, untyped = open_file(path, "rows")
    missing = [name for name in id_columns if name not in names]
    if missing:
        raise InvalidDataError(f"{path} has no column {missing[0]!r}", f"there are {names}")
    rows: list[dict[str, Any]] = load(names, id_columns).to_pylist()
    for name in id_columns:
        for number, row in enumerate(rows, 1):
            if row[name] is None:
                raise InvalidDataError(f"row {number} of {path} has no {name}", "complete or remove it")
        numbers = [written_integer(row[name]) for row in rows] if untyped and not text else [None]
        if None not in numbers:
            for row, key in zip(rows, numbers):
                row[name] = key
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _json(path: Path) -> Any:
    with reading(f"{path} cannot be read", "give a file of JSON"):
        return json.loads(path.read_text(encoding="utf-8"))
