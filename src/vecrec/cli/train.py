"""``train`` and ``publish``."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vecrec._internal.times import written_seconds
from vecrec.cli.arguments import Command, add_data, add_stores, dataset_of, settings_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.recommender import ReleaseChecks
from vecrec.recommender.candidate import Check
from vecrec.registry import find_part
from vecrec.releases import Release
from vecrec.rerankers.base import Reranker

__all__ = ["COMMANDS", "add_checks", "add_encoder", "checks_of", "encoder_named", "encoder_of", "show_release"]


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """Add which encoder is trained."""
    group = parser.add_argument_group("encoder")
    group.add_argument("--encoder", default="two_tower", help="the name that it is registered under (%(default)s)")
    group.add_argument("--dim", type=int, default=256, help="the length of the vectors (%(default)s)")
    group.add_argument("--seed", type=int, default=7, help="equal seeds give equal vectors (%(default)s)")
    group.add_argument("--workers", type=int, metavar="N", help="processes that train the towers together (1)")
    group.add_argument(
        "--device", help="where the towers are trained: cpu, gpu, gpu:1; by default a GPU if there is one"
    )
    group.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE",
        help="another argument of the encoder, its value as JSON; may be repeated",
    )  # fmt: skip


def encoder_of(arguments: argparse.Namespace) -> Encoder:
    """The encoder that the arguments name."""
    options = dict(map(_option, arguments.option))
    options |= {name: value for name in ("workers", "device") if (value := getattr(arguments, name)) is not None}
    return encoder_named(arguments.encoder, dim=options.pop("dim", arguments.dim), seed=arguments.seed, **options)


def encoder_named(name: str, **options: Any) -> Encoder:
    """The encoder of a registered name and its arguments; those of its settings may be named by themselves."""
    factory: Any = find_part("vecrec.encoders", name)
    known = inspect.signature(factory).parameters if isinstance(factory, type) else options
    kept = {key for key in options if key in known}
    made = _made("encoder", name, [], **{key: options[key] for key in kept})
    if isinstance(made, Encoder) and options.keys() - kept:
        return made.set_params(**{key: value for key, value in options.items() if key not in kept})
    if not isinstance(made, Encoder):
        raise InvalidDataError(
            f"{name!r} is registered, but makes {made!r}, which is not an encoder",
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
    add_data(parser, from_stores=True)
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
    add_checks(parser)
    add_stores(parser)


def _train(arguments: argparse.Namespace, output: Output) -> int:
    settings, encoder, reranker = settings_of(arguments), encoder_of(arguments), _reranker_of(arguments)
    given = None if arguments.from_stores else dataset_of(arguments, progress=output.progress)
    limits, checks = checks_of(arguments)
    with ExitStack() as stack:
        recommender = stack.enter_context(compose(settings, encoder, reranker, checks=limits))
        times = {name: written_seconds(text) for name in ("since", "until") if (text := getattr(arguments, name))}
        data = recommender.dataset(**times) if given is None else given
        stack.enter_context(output.noticed(data))
        # Before hours of training, not after them.
        recommender.vector_store.ping()
        recommender.metadata_store.ping()
        show_release(
            recommender.fit(data, drop_fields=arguments.drop_field, checks=checks, progress=output.progress),
            output,
            f"{data.name} is trained and live",
        )
    return 0


def add_checks(parser: argparse.ArgumentParser) -> None:
    """Add what a release must pass."""
    group = parser.add_argument_group("checks before it goes live")
    group.add_argument("--no-beat-popularity", action="store_true", help="also where popularity finds clearly more")
    group.add_argument("--no-beat-live", action="store_true", help="also where it is clearly worse than the live one")
    group.add_argument("--index-recall", type=float, metavar="SHARE", help="the least recall of the index (0.9)")
    group.add_argument("--sampled-users", type=int, metavar="N", help="how many users to check with (256)")
    group.add_argument(
        "--check", action="append", default=[], metavar="MODULE:FUNCTION",
        help="a function of your own that takes the candidate and refuses it by False or an error; may be repeated",
    )  # fmt: skip


def checks_of(arguments: argparse.Namespace) -> tuple[ReleaseChecks, list[Check]]:
    """The limits of vecrec's own checks, and the caller's."""
    given = {"index_recall": arguments.index_recall, "sampled_users": arguments.sampled_users}
    limits = ReleaseChecks(
        beat_popularity=not arguments.no_beat_popularity,
        beat_live=not arguments.no_beat_live,
        **{name: value for name, value in given.items() if value is not None},
    )
    return limits, [_imported(text) for text in arguments.check]


def _imported(text: str) -> Check:
    module, _, name = text.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # a script's own directory, as `python -m` does
    try:
        found: Check = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidDataError(f"the check {text!r} cannot be imported ({error})", "write MODULE:FUNCTION") from error
    finally:
        sys.path.pop(0)
    return found


def _add_publish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trained", action="store_true",
        help="go on from what the last training has made and could not bring live, instead of the live encoder",
    )  # fmt: skip
    add_checks(parser)
    parser.add_argument("--allow-empty", action="store_true", help="let a release without items replace one with items")
    add_stores(parser)


def _publish(arguments: argparse.Namespace, output: Output) -> int:
    limits, checks = checks_of(arguments)
    with compose(settings_of(arguments), checks=limits) as recommender:
        release = recommender.publish(
            allow_empty=arguments.allow_empty, trained=arguments.trained, checks=checks, progress=output.progress
        )
        show_release(release, output, "Published")
    return 0


COMMANDS = (
    Command("train", "Train an encoder, publish it with the data's records, and make it live.", _add_train, _train),
    Command("publish", "Publish the live encoder again, over what the stores hold now.", _add_publish, _publish),
)
