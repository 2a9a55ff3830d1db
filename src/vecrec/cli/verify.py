"""``verify`` and ``repair``."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from vecrec.cli.arguments import Command, add_stores, settings_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose

__all__ = ["COMMANDS"]


def _verify(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        report = recommender.verify()
    output.value({"agree": bool(report), **asdict(report)})
    output.text(str(report))
    return 0 if report else 1


def _add_repair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="compare the whole catalogue, instead of reading the marks")
    parser.add_argument(
        "--allow-deletions", action="store_true", help="delete vectors without a record also where they are most of all"
    )
    add_stores(parser)


def _repair(arguments: argparse.Namespace, output: Output) -> int:
    with compose(settings_of(arguments)) as recommender:
        repaired = recommender.repair(full=arguments.full, allow_deletions=arguments.allow_deletions)
    output.value({"repaired": repaired})
    output.text(f"{len(repaired):,} items repaired")
    return 0


COMMANDS = (
    Command("verify", "Compare the two stores.", add_stores, _verify),
    Command("repair", "Repair what a crash has left, or what verify finds.", _add_repair, _repair),
)
