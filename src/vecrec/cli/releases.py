"""``releases`` and ``rollback``."""

from __future__ import annotations

import argparse

from vecrec.cli.arguments import Command, add_stores, settings_of
from vecrec.cli.output import Output
from vecrec.cli.train import show_release
from vecrec.config.compose import compose
from vecrec.releases import Archive

__all__ = ["COMMANDS"]


def _releases(arguments: argparse.Namespace, output: Output) -> int:
    settings = settings_of(arguments)
    found = Archive(settings.artifacts, settings.name).releases()  # the stores need not answer for this
    output.value([release.to_json() for release in found])
    rows = [
        (
            release.id,
            "live" if at == 0 else "previous",
            release.created_at,
            release.encoder,
            release.dim,
            release.counts,
        )
        for at, release in enumerate(found)
    ]
    output.table(f"Releases of {settings.name}", ["release", "state", "made", "encoder", "dim", "of"], rows)
    if not found:
        output.text(f"None yet: vecrec train --name {settings.name} makes one.")
    return 0


def _add_rollback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", nargs="?", help="the release to go to; the previous one by default")
    add_stores(parser)


def _rollback(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        show_release(recommender.rollback(arguments.release), output, "Live again")
    return 0


COMMANDS = (
    Command("releases", "List the live release and the one before it.", add_stores, _releases),
    Command("rollback", "Make the previous release live again.", _add_rollback, _rollback),
)
