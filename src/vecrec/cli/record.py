"""``record``, ``history`` and ``forget``: what users do."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from vecrec._internal.times import written_seconds
from vecrec.cli.arguments import Command, add_id_type, add_stores, id_of, read_table, settings_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.errors import InvalidDataError
from vecrec.recommender import Recommender
from vecrec.types import Event

__all__ = ["COMMANDS"]

_FIELDS = ("user_id", "item_id", "time", "rating", "kind")


def _add_record(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", nargs="?", help="the user's id")
    parser.add_argument("item", nargs="?", help="the item's id")
    parser.add_argument("--kind", help="what they did, such as view, purchase, like or dislike")
    parser.add_argument("--rating", type=float, help="on the application's own scale")
    parser.add_argument("--time", metavar="TIME", help="seconds since 1970 or an ISO text; now by default")
    parser.add_argument(
        "--file", type=Path, metavar="FILE",
        help="instead: Parquet, CSV or JSON lines with users, items and optionally times, ratings and kinds",
    )  # fmt: skip
    add_id_type(parser)
    add_stores(parser)


def _record(arguments: argparse.Namespace, output: Output) -> int:
    _check_record(arguments)
    with compose(settings_of(arguments)) as recommender:
        events = _events(arguments, output, recommender)
        recommender.record(events)
    output.value({"recorded": len(events)})
    output.text(f"{len(events):,} events recorded")
    return 0


def _check_record(arguments: argparse.Namespace) -> None:
    if (arguments.file is None) == (arguments.user is None) or (arguments.user is None) != (arguments.item is None):
        raise InvalidDataError("the event is missing or given twice", "give a user and an item, or --file")


def _events(arguments: argparse.Namespace, output: Output, recommender: Recommender) -> list[Event]:
    if arguments.file is None:
        user = id_of(arguments.user, "users", arguments, recommender)
        item = id_of(arguments.item, "items", arguments, recommender)
        return [Event(user, item, _time(arguments), arguments.rating, arguments.kind)]
    data = read_table(arguments.file, "interactions", arguments, recommender)
    if data.unused_columns:
        raise InvalidDataError(
            f"{arguments.file} has the columns {list(data.unused_columns)}", f"events have {', '.join(_FIELDS)}"
        )
    output.notices(data)
    return list(data.events())


def _time(arguments: argparse.Namespace) -> float | None:
    return None if arguments.time is None else written_seconds(arguments.time)


def _add_undo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", help="the user's id")
    parser.add_argument("item", nargs="?", help="only events with this item")
    parser.add_argument("--kind", action="append", help="only events of this kind; can be given several times")
    parser.add_argument("--time", metavar="TIME", help="only events of this time, seconds since 1970 or an ISO text")
    parser.add_argument("--all", action="store_true", help="all events of the user")
    add_id_type(parser)
    add_stores(parser)


def _undo(arguments: argparse.Namespace, output: Output) -> int:
    conditions = (arguments.item, arguments.kind, arguments.time)
    if arguments.all == any(each is not None for each in conditions):
        raise InvalidDataError("it is not clear which events to remove", "give an item, --kind or --time; or --all")
    with compose(settings_of(arguments)) as recommender:
        item = None if arguments.item is None else id_of(arguments.item, "items", arguments, recommender)
        user = id_of(arguments.user, "users", arguments, recommender)
        removed = recommender.delete_events(user, item, kinds=arguments.kind, time=_time(arguments))
    output.value({"removed": removed})
    output.text(f"{removed:,} events removed")
    return 0


def _add_user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", help="the user's id")
    add_id_type(parser)
    add_stores(parser)


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-k", type=int, default=20, metavar="K", help="how many, the latest ones (%(default)s)")
    _add_user(parser)


def _history(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        key = id_of(arguments.user, "users", arguments, recommender)
        events = recommender.metadata_store.recent_events([key], arguments.k)[key]
    rows = [{name: getattr(event, name) for name in _FIELDS} for event in events]
    output.value({"user_id": key, "events": rows})
    output.table(f"Events of {key}", _FIELDS, [list({**row, "time": _written(row["time"])}.values()) for row in rows])
    return 0


def _written(time: float | None) -> str | None:
    """A moment for people, in UTC."""
    return None if time is None else f"{datetime.fromtimestamp(time, timezone.utc):%Y-%m-%d %H:%M:%S}"


def _forget(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        receipt = recommender.forget_user(id_of(arguments.user, "users", arguments, recommender))
    output.value(asdict(receipt))
    output.text(f"Removed the profile: {'yes' if receipt.profile else 'there was none'}; events: {receipt.events:,}")
    output.text("A keyed hash of the id is kept, so that older data does not bring the user back.")
    return 0


COMMANDS = (
    Command("record", "Record what users did with items.", _add_record, _record),
    Command("undo", "Take back events of a user.", _add_undo, _undo),
    Command("history", "Show the latest events of a user.", _add_history, _history),
    Command("forget", "Remove a user's profile and events.", _add_user, _forget),
)
