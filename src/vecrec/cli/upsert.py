"""``upsert`` and ``update``: items and users from the command line or a file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from vecrec.cli.arguments import Command, add_id_type, add_stores, id_of, json_object, read_table, settings_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.recommender import Recommender
from vecrec.types import Item, User

__all__ = ["COMMANDS"]


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("items", "users"), help="what is added or replaced")
    _add_records(parser, 'its features, such as \'{"title": "Heat", "year": 1995}\'', ", one row each")


def _add_records(parser: argparse.ArgumentParser, record: str, rows: str) -> None:
    parser.add_argument("id", nargs="?", help="the id of one, with --record")
    parser.add_argument("--record", metavar="JSON", help=record)
    parser.add_argument("--file", type=Path, metavar="FILE", help=f"instead: Parquet, CSV, TSV or JSON lines{rows}")
    add_id_type(parser)
    add_stores(parser)


def _upsert(arguments: argparse.Namespace, output: Output) -> int:
    _check_given(arguments)
    side: Literal["items", "users"] = arguments.what
    with compose(settings_of(arguments)) as recommender:
        made, write = (Item, recommender.upsert_items) if side == "items" else (User, recommender.upsert_users)
        if arguments.file is None:
            rows: list[Any] = [made(*_one(arguments, side, recommender))]
        else:
            data = read_table(arguments.file, side, arguments, recommender)
            rows = list(data.items() if side == "items" else data.users())
        write(rows)
    output.value({"written": len(rows)})
    output.text(f"{len(rows):,} {side} written")
    return 0


def _add_update(parser: argparse.ArgumentParser) -> None:
    record = 'the fields that change, such as \'{"price": 9.9, "sale": null}\'; null removes a field'
    _add_records(parser, record, ", one row each; an empty value changes nothing")


def _update(arguments: argparse.Namespace, output: Output) -> int:
    _check_given(arguments)
    with compose(settings_of(arguments)) as recommender:
        if arguments.file is None:
            changes = dict([_one(arguments, "items", recommender)])
        else:
            items = read_table(arguments.file, "items", arguments, recommender).items()
            changes = {item.id: _filled(item.features) for item in items if item.id is not None}
        recommender.update_items(changes)
    output.value({"updated": len(changes)})
    output.text(f"{len(changes):,} items updated")
    return 0


def _filled(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without empty texts, which a file without types has where a value is missing."""
    return {name: value for name, value in record.items() if value != ""}


def _check_given(arguments: argparse.Namespace) -> None:
    if (arguments.file is None) == (arguments.id is None) or (arguments.id is None) != (arguments.record is None):
        raise InvalidDataError("the records are missing or given twice", "give an id and --record, or --file")


def _one(
    arguments: argparse.Namespace, side: Literal["items", "users"], recommender: Recommender
) -> tuple[Id, dict[str, Any]]:
    return id_of(arguments.id, side, arguments, recommender), json_object(arguments.record, "--record")


COMMANDS = (
    Command("upsert", "Add or replace items or users.", _add, _upsert),
    Command("update", "Change single fields of items.", _add_update, _update),
)
