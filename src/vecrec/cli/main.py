"""From the arguments to the exit status."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial

from vecrec import __version__
from vecrec.cli import (
    batch,
    completion,
    doctor,
    evaluate,
    export,
    ingest,
    migrate,
    recommend,
    record,
    refresh,
    releases,
    serve,
    train,
    tune,
    upsert,
    verify,
)
from vecrec.cli.output import Output
from vecrec.errors import InvalidDataError, NotFittedError, StoreUnavailableError, VecrecError

__all__ = ["main"]

_COMMANDS = tuple(
    command
    for module in (
        train, refresh, recommend, record, ingest, upsert, evaluate, releases, verify, serve, doctor, export, batch,
        migrate, tune,
    )
    for command in module.COMMANDS
)  # fmt: skip
_EPILOG = """\
exit status: 0 all is well, 1 something failed or was found, 2 arguments or data
that cannot be used, 3 a store does not answer, 4 nothing is published yet, 130
after Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if "run" not in given:
        parser.print_help()
        return 0
    output = Output(json=given.json, quiet=given.quiet)
    try:
        status: int = given.run(given, output)
    except VecrecError as error:
        output.error(error)
        return _status(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader has closed the pipe, as "| head" does; the interpreter must not fail on it again at its end.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _status(error: VecrecError) -> int:
    if isinstance(error, InvalidDataError):
        return 2
    if isinstance(error, StoreUnavailableError):
        return 3
    return 4 if isinstance(error, NotFittedError) else 1


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON, for programs")
    shared.add_argument("--quiet", "-q", action="store_true", help="show no progress")
    parser = argparse.ArgumentParser(
        prog="vecrec", description="Recommendations from vectors.", epilog=_EPILOG,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=16),
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"vecrec {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in (*_COMMANDS, completion.command(_parser)):
        added = commands.add_parser(command.name, help=command.help, description=command.help, parents=[shared])
        command.add(added)
        added.set_defaults(run=command.run)
    return parser
