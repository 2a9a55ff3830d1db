"""``serve``."""

from __future__ import annotations

import argparse
import gc

from vecrec.cli.arguments import Command, add_stores, settings_of
from vecrec.cli.output import Output

__all__ = ["COMMANDS"]


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="the port to listen on (8000)")
    parser.add_argument("--workers", type=int, metavar="N", help="how many processes answer (1)")
    parser.add_argument("--access-log", action="store_true", help="log every request")
    add_stores(parser)


def _serve(arguments: argparse.Namespace, output: Output) -> int:
    given = {name: getattr(arguments, name) for name in ("host", "port", "workers")}
    settings = settings_of(arguments, **given)
    gc.disable()  # until everything is loaded: what is loaded stays, and looking through it takes a sixth of the time
    try:
        from vecrec.serving.run import serve

        serve(settings, access_log=arguments.access_log)
    finally:
        gc.enable()
    return 0


COMMANDS = (Command("serve", "Serve recommendations and the page over HTTP.", _add, _serve),)
