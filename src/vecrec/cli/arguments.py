"""A command, the arguments that several commands share, and what they stand for."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vecrec._internal.files import reading
from vecrec.cli.output import Output
from vecrec.config.settings import Settings
from vecrec.errors import InvalidDataError
from vecrec.filters import Filter
from vecrec.filters.text import parse_conditions
from vecrec.ids import Id

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.recommender import Recommender

__all__ = [
    "Command", "add_data", "add_id_type", "add_list", "add_stores", "as_stored", "dataset_of", "id_of",
    "json_object", "read_table", "settings_of", "where_of",
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
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="the most that one request may take in all")
    group.add_argument("--metadata-store", metavar="URL", help="sqlite:///file, redis://..., mysql+pymysql://...")


def settings_of(arguments: argparse.Namespace, **more: Any) -> Settings:
    """The settings of the arguments, the environment and the file."""
    names = ("name", "artifacts", "vector_store", "metadata_store")
    given = {name: getattr(arguments, name) for name in names} | {"request_seconds": arguments.timeout}
    return Settings.load(arguments.config, **given, **more)


def add_list(parser: argparse.ArgumentParser) -> None:
    """Add how many, under which conditions, and where the parts are."""
    parser.add_argument("-k", type=int, default=10, metavar="K", help="how many (%(default)s)")
    parser.add_argument(
        "--where", action="append", default=[], metavar="CONDITION",
        help="such as 'year>=1990' or 'genres:Comedy'; given several times, all must hold",
    )  # fmt: skip
    add_stores(parser)


def where_of(recommender: Recommender, texts: Sequence[str]) -> Filter | None:
    """The filter of ``--where``, typed by the live release's schema."""
    if not texts:
        return None
    with recommender.live() as live:
        return parse_conditions(texts, live.filter_fields)


def add_id_type(parser: argparse.ArgumentParser) -> None:
    """Add whether ids are texts."""
    parser.add_argument("--string-ids", action="store_true", help="ids are texts, also where they look like integers")


def id_of(text: str, side: Literal["items", "users"], arguments: argparse.Namespace, recommender: Recommender) -> Id:
    """An id of the command line: see `Recommender.written_id`, unless ``--string-ids`` is given."""
    return text if arguments.string_ids else recommender.written_id(text, side)


def read_table(
    path: Path, side: Literal["interactions", "items", "users"], arguments: argparse.Namespace, recommender: Recommender
) -> Dataset:
    """The events, items or users of a file, read as a `Dataset` reads them, with ids as the live release has them."""
    from vecrec.data import Dataset

    nothing: dict[str, list[Id]] = {"user_id": [], "item_id": []}
    tables: dict[str, Any] = {"interactions": nothing, side: path}
    data = Dataset(**tables, order="rows", ids="text" if arguments.string_ids else "auto")
    if not arguments.string_ids:
        data.item_ids = as_stored(data.item_ids, "items", recommender)
        data.user_ids = as_stored(data.user_ids, "users", recommender)
    return data


def as_stored(ids: Sequence[Id], side: Literal["items", "users"], recommender: Recommender) -> list[Id]:
    """The ids of a file, with texts for the integers where the live release has only texts."""
    return [key if isinstance(key, str) else recommender.written_id(str(key), side) for key in ids]


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


def add_data(parser: argparse.ArgumentParser, *, required: bool = True, from_stores: bool = False) -> None:
    """Add a data set: MovieLens, or files."""
    group = parser.add_argument_group("data")
    source = group.add_mutually_exclusive_group(required=required)
    source.add_argument("--data", metavar="1m|100k|latest-small|DIR", help="MovieLens, by name or in a directory")
    source.add_argument(
        "--interactions",
        metavar="FILE",
        help="one row an event: Parquet, also a directory or a URI of it; CSV, TSV or JSON lines, also compressed",
    )
    group.add_argument(
        "--folder", type=Path, metavar="DIR",
        help="with --interactions: keep columns of events that are larger than 64 MB in files there, not in memory",
    )  # fmt: skip
    if from_stores:
        source.add_argument("--from-stores", action="store_true", help="what the stores hold, to train on it again")
        group.add_argument("--since", metavar="TIME", help="with --from-stores: only events from this time on")
        group.add_argument("--until", metavar="TIME", help="with --from-stores: only events before this time")
    group.add_argument("--items", type=Path, metavar="FILE", help="one row an item")
    group.add_argument("--users", type=Path, metavar="FILE", help="one row a user")
    group.add_argument("--schema", type=Path, metavar="FILE", help="the features as JSON; inferred by default")
    group.add_argument(
        "--filter-only", action="append", default=[], metavar="NAME",
        help="a field of the items that filters use and the encoder does not read, such as price; may be repeated",
    )  # fmt: skip
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
        filter_only=arguments.filter_only,
        name=Path(arguments.interactions).stem,
        folder=arguments.folder,
    )


def _json(path: Path) -> Any:
    with reading(f"{path} cannot be read", "give a file of JSON"):
        return json.loads(path.read_text(encoding="utf-8"))
