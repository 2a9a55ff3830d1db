"""``recommend`` and ``similar``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vecrec.cli.arguments import add_k, add_stores, add_where, id_of, settings_of, where_of
from vecrec.cli.command import Command
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.errors import InvalidDataError
from vecrec.recommendations import Recommendations
from vecrec.recommender import Recommender
from vecrec.types import User

__all__ = ["COMMANDS"]


def _add_recommend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", nargs="?", help="a stored user's id; without one, --liked and --profile say who")
    parser.add_argument("--liked", action="append", default=[], metavar="ITEM", help="an item that they liked")
    parser.add_argument("--profile", default=None, metavar="JSON", help='such as \'{"gender": "F", "age": 25}\'')
    parser.add_argument("--include-seen", action="store_true", help="leave the items of their events in")
    parser.add_argument("--string-ids", action="store_true", help="ids are texts, also where they look like integers")
    add_k(parser)
    add_where(parser)
    add_stores(parser)


def _recommend(arguments: argparse.Namespace, output: Output) -> int:
    if (arguments.user is None) == (not arguments.liked and arguments.profile is None):
        raise InvalidDataError("say whom to recommend to", "give a user's id, or --liked and --profile instead")
    with compose(settings_of(arguments)) as recommender:
        found = _found(recommender, arguments)
        output.recommendations(f"For {arguments.user or 'somebody'}", found)
    return 0


def _found(recommender: Recommender, arguments: argparse.Namespace) -> Recommendations:
    kind = "string" if arguments.string_ids else "auto"
    where, seen = where_of(recommender, arguments.where), not arguments.include_seen
    if arguments.user is not None:
        return recommender.recommend(id_of(arguments.user, kind), arguments.k, where=where, exclude_seen=seen)
    user = User(None, _profile(arguments.profile), [id_of(each, kind) for each in arguments.liked])
    return recommender.recommend_for(user, arguments.k, where=where, exclude_seen=seen)


def _profile(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise InvalidDataError(f"--profile is {text!r}, which is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidDataError(f"--profile is {text!r}", "give a JSON object")
    return value


def _add_similar(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("item", help="the item's id")
    parser.add_argument(
        "--string-ids", action="store_true", help="the id is a text, also where it looks like an integer"
    )
    add_k(parser)
    add_where(parser)
    add_stores(parser)


def _similar(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        key = id_of(arguments.item, "string" if arguments.string_ids else "auto")
        found = recommender.similar_items(key, arguments.k, where=where_of(recommender, arguments.where))
        output.recommendations(f"Similar to {arguments.item}", found)
    return 0


COMMANDS = (
    Command("recommend", "Recommend items to somebody.", _add_recommend, _recommend),
    Command("similar", "Find the items most like one.", _add_similar, _similar),
)
