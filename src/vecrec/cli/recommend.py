"""``recommend``, ``explain``, ``similar``, ``search`` and ``popular``."""

from __future__ import annotations

import argparse

from rich.markup import escape

from vecrec._internal.times import written_seconds
from vecrec.cli.arguments import (
    Command,
    add_id_type,
    add_list,
    id_of,
    json_object,
    settings_of,
    where_of,
)
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.errors import InvalidDataError
from vecrec.recommendations import Recommendations
from vecrec.recommender import Recommender
from vecrec.types import User

__all__ = ["COMMANDS"]


def _add_recommend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", nargs="?", help="a stored user's id; without one, give --liked or --profile")
    parser.add_argument("--liked", action="append", default=[], metavar="ITEM", help="an item that they liked")
    parser.add_argument("--profile", default=None, metavar="JSON", help='such as \'{"gender": "F", "age": 25}\'')
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument("--include-seen", action="store_true", help="keep the items of their events")
    seen.add_argument(
        "--seen-kind", action="append", metavar="KIND", help="leave out the items of events of this kind, and no others"
    )
    _add_at(parser)
    add_id_type(parser)
    add_list(parser)


def _add_at(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at", metavar="TIME", default="now", help="when they ask: seconds since 1970 or an ISO text; now by default"
    )


def _at(arguments: argparse.Namespace) -> float | str:
    return arguments.at if arguments.at == "now" else written_seconds(arguments.at)


def _recommend(arguments: argparse.Namespace, output: Output) -> int:
    if (arguments.user is None) == (not arguments.liked and arguments.profile is None):
        raise InvalidDataError("the user is missing or given twice", "give a user's id, or --liked and --profile")
    with compose(settings_of(arguments)) as recommender:
        found = _found(recommender, arguments)
        output.recommendations(f"For {arguments.user or 'the profile given'}", found)
    return 0


def _found(recommender: Recommender, arguments: argparse.Namespace) -> Recommendations:
    where, seen = where_of(recommender, arguments.where), arguments.seen_kind or not arguments.include_seen
    at = _at(arguments)
    if arguments.user is not None:
        user_id = id_of(arguments.user, "users", arguments, recommender)
        return recommender.recommend(user_id, arguments.k, where=where, exclude_seen=seen, at=at)
    liked = [id_of(each, "items", arguments, recommender) for each in arguments.liked]
    user = User(None, json_object(arguments.profile, "--profile"), liked)
    return recommender.recommend_for(user, arguments.k, where=where, exclude_seen=seen, at=at)


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", help="a stored user's id")
    parser.add_argument("item", help="the item's id")
    parser.add_argument("--include-seen", action="store_true", help="as for recommend")
    _add_at(parser)
    add_id_type(parser)
    add_list(parser)


def _explain(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        where, seen = where_of(recommender, arguments.where), not arguments.include_seen
        user = id_of(arguments.user, "users", arguments, recommender)
        item = id_of(arguments.item, "items", arguments, recommender)
        at = _at(arguments)
        found = recommender.explain(user, item, arguments.k, where=where, exclude_seen=seen, at=at)
    output.value(found.to_dict())
    output.text(escape(str(found)))
    return 0


def _add_similar(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("item", help="the item's id")
    parser.add_argument("--user", help="a stored user who looks: without what they have seen, ordered by taste too")
    add_id_type(parser)
    add_list(parser)


def _similar(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        where = where_of(recommender, arguments.where)
        item_id = id_of(arguments.item, "items", arguments, recommender)
        user = None if arguments.user is None else id_of(arguments.user, "users", arguments, recommender)
        found = recommender.similar_items(item_id, arguments.k, where=where, user=user)
        output.recommendations(f"Similar to {arguments.item}", found)
    return 0


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", help="words of the records")
    parser.add_argument("--user", help="a stored user, by whose taste what has the words is ordered")
    add_id_type(parser)
    add_list(parser)


def _search(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        where = where_of(recommender, arguments.where)
        user = None if arguments.user is None else id_of(arguments.user, "users", arguments, recommender)
        found = recommender.search(arguments.text, arguments.k, where=where, user=user)
        output.recommendations(f"With {arguments.text!r}", found)
    return 0


def _add_popular(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--half-life", type=float, metavar="SECONDS", help="an event so much older than the latest one counts half"
    )
    parser.add_argument("--segment", metavar="JSON", help="only users whose profile has these values")
    add_list(parser)


def _popular(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        found = recommender.popular(
            arguments.k,
            where=where_of(recommender, arguments.where),
            half_life=arguments.half_life,
            segment=None if arguments.segment is None else json_object(arguments.segment, "--segment"),
        )
        output.recommendations("Popular", found)
    return 0


COMMANDS = (
    Command("recommend", "Recommend items to a user.", _add_recommend, _recommend),
    Command("explain", "Say why an item is recommended to a user, or is not.", _add_explain, _explain),
    Command("similar", "Find the items most similar to one.", _add_similar, _similar),
    Command("search", "Find items by words, in the order of a user's taste.", _add_search, _search),
    Command("popular", "List the most popular items.", _add_popular, _popular),
)
