"""``doctor``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vecrec.cli.arguments import Command, add_data, add_stores, dataset_of, settings_of
from vecrec.cli.output import Output
from vecrec.config.compose import compose
from vecrec.doctor import Finding, diagnose_data, diagnose_system, installed
from vecrec.errors import InvalidDataError
from vecrec.releases import Archive

__all__ = ["COMMANDS"]


def _add(parser: argparse.ArgumentParser) -> None:
    add_data(parser, required=False)
    parser.add_argument("--full", action="store_true", help="compare the whole catalogue of both stores")
    add_stores(parser)


def _doctor(arguments: argparse.Namespace, output: Output) -> int:
    versions = installed()
    with_data = arguments.data is not None or arguments.interactions is not None
    found = _of_data(arguments, output) if with_data else _of_system(arguments)
    output.value({"versions": versions, "findings": [finding.to_json() for finding in found]})
    output.table("Versions", ["package", "version"], versions.items())
    _show(found, output)
    return 1 if any(finding.severity == "error" for finding in found) else 0


def _of_data(arguments: argparse.Namespace, output: Output) -> Sequence[Finding]:
    try:
        return diagnose_data(dataset_of(arguments, progress=output.progress))
    except InvalidDataError as error:
        return [Finding("error", "data", error.problem, error.cure or "correct the data")]


def _of_system(arguments: argparse.Namespace) -> Sequence[Finding]:
    settings = settings_of(arguments)
    if Archive(settings.artifacts, settings.name).live()[0] is None:
        cure = f"vecrec train --name {settings.name} --artifacts {settings.artifacts} ..., or correct these two"
        return [Finding("error", "release", f"{settings.artifacts} holds no live release of {settings.name!r}", cure)]
    with compose(settings) as recommender:
        return diagnose_system(recommender, full=arguments.full)


def _show(found: Sequence[Finding], output: Output) -> None:
    colours = {"error": "red", "warning": "yellow", "hint": "cyan"}
    for finding in found:
        output.text(
            f"[bold {colours[finding.severity]}]{finding.severity}[/]",
            _plain(finding.subject) + ":",
            _plain(finding.problem),
        )
        output.text("  cure:", _plain(finding.cure))
    if not found:
        output.text("[bold green]Nothing is wrong.[/]")


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


COMMANDS = (Command("doctor", "Report what is wrong with the stores or with a data set, and the cure.", _add, _doctor),)
