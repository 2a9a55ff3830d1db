"""``refresh``."""

from __future__ import annotations

import argparse

from vecrec._internal.times import written_seconds
from vecrec.cli.arguments import Command, add_stores, settings_of
from vecrec.cli.output import Output
from vecrec.cli.train import add_checks, checks_of, show_release
from vecrec.config.compose import compose

__all__ = ["COMMANDS"]


def _add_refresh(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since", metavar="TIME",
        help="events after this time, ISO or seconds, may be new; by default those that it has not counted",
    )  # fmt: skip
    add_checks(parser)
    add_stores(parser)


def _refresh(arguments: argparse.Namespace, output: Output) -> int:
    limits, checks = checks_of(arguments)
    since = None if arguments.since is None else written_seconds(arguments.since)
    with compose(settings_of(arguments), checks=limits) as recommender:
        before = [release.id for release in recommender.releases()]
        release = recommender.refresh(since=since, checks=checks, progress=output.progress)
        show_release(release, output, "Nothing is new, so this goes on" if release.id in before else "Refreshed")
    return 0


COMMANDS = (
    Command("refresh", "Renew the live release from what was recorded, without training.", _add_refresh, _refresh),
)
