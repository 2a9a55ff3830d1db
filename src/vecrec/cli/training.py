"""``train`` and ``publish``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vecrec.cli.arguments import add_data, add_stores, dataset_of, settings_of
from vecrec.cli.command import Command
from vecrec.cli.output import Output
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.parts import compose
from vecrec.registry import find_part
from vecrec.releases import Release

__all__ = ["COMMANDS", "add_encoder", "encoder_of", "show_release"]


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """Which encoder learns."""
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
    kind: Any = find_part("vecrec.encoders", arguments.encoder)
    options = dict(map(_option, arguments.option))
    try:
        made = kind(dim=arguments.dim, seed=arguments.seed, **options)
    except TypeError as error:
        raise InvalidDataError(f"the encoder {arguments.encoder!r} does not take these arguments: {error}") from error
    if not isinstance(made, Encoder):
        raise InvalidDataError(f"{arguments.encoder!r} is registered as {kind!r}, which is no encoder")
    return made


def show_release(release: Release, output: Output, title: str) -> None:
    """A release for people or programs."""
    output.value(release.to_json())
    rows = [
        ("release", release.id),
        ("encoder", f"{release.encoder}, {release.dim} dimensions"),
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
    add_stores(parser)


def _train(arguments: argparse.Namespace, output: Output) -> int:
    settings, encoder = settings_of(arguments), encoder_of(arguments)
    data = dataset_of(arguments, progress=output.progress)
    with compose(settings, encoder) as recommender:
        show_release(recommender.fit(data, progress=output.progress), output, f"{data.name} is trained and live")
    return 0


def _publish(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        show_release(recommender.publish(progress=output.progress), output, "Published")
    return 0


COMMANDS = (
    Command("train", "Train an encoder, publish it with the data's records, and make it live.", _add_train, _train),
    Command("publish", "Publish the live encoder anew, over what the stores hold now.", add_stores, _publish),
)
