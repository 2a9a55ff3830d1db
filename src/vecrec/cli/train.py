"""``train`` and ``publish``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vecrec.cli.arguments import Command, add_data, add_stores, dataset_of, settings_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.recommender import ReleaseChecks
from vecrec.registry import find_part
from vecrec.releases import Release
from vecrec.rerankers.base import Reranker

__all__ = ["COMMANDS", "add_encoder", "encoder_of", "show_release"]


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """Add which encoder is trained."""
    group = parser.add_argument_group("encoder")
    group.add_argument("--encoder", default="two_tower", help="the name that it is registered under (%(default)s)")
    group.add_argument("--dim", type=int, default=256, help="the length of the vectors (%(default)s)")
    group.add_argument("--seed", type=int, default=7, help="equal seeds give equal vectors (%(default)s)")
    group.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE",
        help="another argument of the encoder, its value as JSON; may be repeated",
    )  # fmt: skip


def encoder_of(arguments: argparse.Namespace) -> Encoder:
    """The encoder that the arguments name."""
    made = _made("encoder", arguments.encoder, arguments.option, dim=arguments.dim, seed=arguments.seed)
    if not isinstance(made, Encoder):
        raise InvalidDataError(
            f"{arguments.encoder!r} is registered, but makes {made!r}, which is not an encoder",
            "correct its entry point",
        )
    return made


def _reranker_of(arguments: argparse.Namespace) -> Reranker | None:
    """The second stage that the arguments name, if any."""
    if arguments.reranker is None:
        if arguments.reranker_option:
            raise InvalidDataError("there are options of a reranker and no --reranker", "name one, such as mmr")
        return None
    made = _made("reranker", arguments.reranker, arguments.reranker_option)
    if not isinstance(made, Reranker):
        raise InvalidDataError(
            f"{arguments.reranker!r} is registered, but makes {made!r}, which is not a reranker",
            "correct its entry point",
        )
    return made


def _made(what: str, name: str, options: list[str], **more: Any) -> Any:
    factory: Any = find_part(f"vecrec.{what}s", name)
    try:
        return factory(**more, **dict(map(_option, options)))
    except TypeError as error:
        raise InvalidDataError(
            f"the {what} {name!r} does not take these arguments ({error})", "see its constructor"
        ) from error


def show_release(release: Release, output: Output, title: str) -> None:
    """A release for people or programs."""
    output.value(release.to_json())
    rows = [
        ("release", release.id),
        ("encoder", f"{release.encoder}, {release.dim} dimensions"),
        *([("reranker", release.reranker)] if release.reranker else []),
        *release.counts.items(),
        *release.checks.items(),
    ]
    output.table(title, ["", ""], rows)


def _option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    try:
        return name.replace("-", "_"), json.loads(value) if sign else True
    except ValueError:
        return name.replace("-", "_"), value  # a text need not be quoted


def _add_train(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    add_encoder(parser)
    group = parser.add_argument_group("second stage")
    group.add_argument(
        "--reranker", metavar="NAME", help="one to train and keep with the release, such as mmr or rating"
    )
    group.add_argument(
        "--reranker-option", action="append", default=[], metavar="NAME=VALUE",
        help="an argument of it, its value as JSON; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--drop-field", action="append", default=[], metavar="NAME",
        help="a filterable field of the live release that the new one may lack; may be repeated",
    )  # fmt: skip
    _add_checks(parser)
    add_stores(parser)


def _add_checks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("checks before the release goes live")
    group.add_argument(
        "--index-recall", type=float, default=None, metavar="SHARE", help="what the index must find (0.9)"
    )
    group.add_argument("--allow-worse-than-popularity", action="store_true", help="accept it all the same")
    group.add_argument("--check-users", type=int, default=None, metavar="N", help="how many users to check with (256)")


def _checks(arguments: argparse.Namespace) -> ReleaseChecks:
    given = {"index_recall": arguments.index_recall, "sampled_users": arguments.check_users}
    beats: dict[str, Any] = {"beat_popularity": False} if arguments.allow_worse_than_popularity else {}
    return ReleaseChecks(**beats, **{name: value for name, value in given.items() if value is not None})


def _train(arguments: argparse.Namespace, output: Output) -> int:
    settings, encoder, reranker = settings_of(arguments), encoder_of(arguments), _reranker_of(arguments)
    data = dataset_of(arguments, progress=output.progress)
    with output.noticed(data), compose(settings, encoder, reranker, _checks(arguments)) as recommender:
        # Before hours of training, not after them.
        recommender.vector_store.ping()
        recommender.metadata_store.ping()
        show_release(
            recommender.fit(data, drop_fields=arguments.drop_field, progress=output.progress),
            output,
            f"{data.name} is trained and live",
        )
    return 0


def _add_publish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--allow-empty", action="store_true", help="let a release without items replace one with items")
    _add_checks(parser)
    add_stores(parser)


def _publish(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments), checks=_checks(arguments)) as recommender:
        show_release(
            recommender.publish(allow_empty=arguments.allow_empty, progress=output.progress), output, "Published"
        )
    return 0


COMMANDS = (
    Command("train", "Train an encoder, publish it with the data's records, and make it live.", _add_train, _train),
    Command("publish", "Publish the live encoder again, over what the stores hold now.", _add_publish, _publish),
)
