"""``completion``: a script by which a shell completes the commands and their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from vecrec._internal.dependencies import requires
from vecrec.cli.arguments import Command
from vecrec.cli.output import Output

__all__ = ["command"]

_SHELLS = ("bash", "zsh", "tcsh")


def command(parser: Callable[[], argparse.ArgumentParser]) -> Command:
    """The command, which describes the parser of all commands, itself included."""

    def add(to: argparse.ArgumentParser) -> None:
        to.add_argument("shell", choices=_SHELLS, help="whose script is printed")

    def run(arguments: argparse.Namespace, output: Output) -> int:
        with requires("shtab", extra="completion", purpose="the completion of a shell"):
            import shtab
        described = parser()
        for action in _actions(described):
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        output.stdout.write(shtab.complete(described, arguments.shell) + "\n")
        return 0

    return Command("completion", "Print what lets a shell complete commands and arguments.", add, run)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of its commands."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other list of them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for inner in action.choices.values():
                yield from _actions(inner)
