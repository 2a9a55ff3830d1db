"""``upsert`` and ``update``: items and users from the command line or a file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vecrec.cli.arguments import Command, add_id_type, add_stores, id_of, json_object, read_rows, settings_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.types import Item, User

__all__ = ["COMMANDS"]


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("items", "users"), help="what is added or replaced")
    _add_records(parser, 'its features, such as \'{"title": "Heat", "year": 1995}\'', "item_id or user_id")


def _add_records(parser: argparse.ArgumentParser, record: str, column: str) -> None:
    parser.add_argument("id", nargs="?", help="the id of one, with --record")
    parser.add_argument("--record", metavar="JSON", help=record)
    parser.add_argument("--file", type=Path, metavar="FILE", help=f"instead: Parquet, CSV or JSON lines with {column}")
    add_id_type(parser)
    add_stores(parser)


def _upsert(arguments: argparse.Namespace, output: Output) -> int:
    records = _records(arguments, arguments.what[:-1])
    with compose(settings_of(arguments)) as recommender:
        if arguments.what == "items":
            recommender.upsert_items([Item(key, record) for key, record in records])
        else:
            recommender.upsert_users([User(key, record) for key, record in records])
    output.value({"written": len(records)})
    output.text(f"{len(records):,} {arguments.what} written")
    return 0


def _add_update(parser: argparse.ArgumentParser) -> None:
    record = 'the fields that change, such as \'{"price": 9.9, "sale": null}\'; null removes a field'
    _add_records(parser, record, "item_id and the fields that change; an empty value changes nothing")


def _update(arguments: argparse.Namespace, output: Output) -> int:
    records = _records(arguments, "item")
    if arguments.file is not None:  # a file without types has an empty text where a value is missing
        records = [(key, {name: value for name, value in row.items() if value != ""}) for key, row in records]
    with compose(settings_of(arguments)) as recommender:
        recommender.update_items(dict(records))
    output.value({"updated": len(records)})
    output.text(f"{len(records):,} items updated")
    return 0


def _records(arguments: argparse.Namespace, what: str) -> list[tuple[Id, Mapping[str, Any]]]:
    if (arguments.file is None) == (arguments.id is None) or (arguments.id is None) != (arguments.record is None):
        raise InvalidDataError("the records are missing or given twice", "give an id and --record, or --file")
    if arguments.file is not None:
        column = f"{what}_id"
        rows = read_rows(arguments.file, (column,), text=arguments.string_ids)
        return [(row[column], {name: row[name] for name in row if name != column}) for row in rows]
    return [(id_of(arguments.id, arguments), json_object(arguments.record, "--record"))]


COMMANDS = (
    Command("upsert", "Add or replace items or users.", _add, _upsert),
    Command("update", "Change single fields of items.", _add_update, _update),
)
