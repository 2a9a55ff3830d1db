"""The service and its page on real servers of this machine, without Docker, by one command.

    python examples/quick_deploy/run.py

It starts Milvus standalone and Redis, fetching them if need be as the tests do, trains on MovieLens 100K and serves on
http://localhost:8000 until Ctrl-C. What the servers hold is deleted at the end. Arguments behind "--" are passed to
``vecrec train`` instead of the default ones.

    python examples/quick_deploy/run.py --port 9000 --metadata-store mariadb
    python examples/quick_deploy/run.py --embedded                         # Milvus Lite and SQLite: no server at all
    python examples/quick_deploy/run.py -- --interactions log.csv --items items.csv
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.base import ServerError
from tests.servers.pool import SERVERS
from vecrec.cli import main as vecrec

_MOVIELENS = {"VECREC_NOUN": "movie", "VECREC_NOUNS": "movies", "VECREC_FEEDBACK": '{"negative_rating": 2}'}
"""What the page calls the items, and what one or two stars mean; your own environment counts more."""


def main(arguments: Sequence[str]) -> int:
    """Start everything, and stop it again."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options, train = parse(arguments[:cut]), list(arguments[cut + 1 :])
    if not train:
        train = ["--data", "100k"]
        os.environ.update({name: value for name, value in _MOVIELENS.items() if name not in os.environ})
    # A plain `kill` must end the servers in order as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        if (problem := port_problem(options.port)) is not None:
            say(problem)
            return 2
        with contextlib.ExitStack() as stack:
            folder = tempfile.mkdtemp(prefix="vecrec-quick-deploy-")
            deletion = stack.enter_context(contextlib.ExitStack())
            deletion.callback(shutil.rmtree, folder, ignore_errors=True)
            parts = ["--name", "movies", "--artifacts", folder]
            if not options.embedded:
                parts += [
                    "--vector-store",
                    start("milvus", stack),
                    "--metadata-store",
                    start(options.metadata_store, stack),
                ]
            status = vecrec(["train", *train, *parts])
            if status:
                if any(Path(folder).iterdir()):
                    deletion.pop_all()
                    say(f"what was trained stays in {folder}, for vecrec publish --trained --artifacts {folder}")
                return status
            say(f"ready after {time.monotonic() - began:.0f} seconds: http://localhost:{options.port} (Ctrl-C ends it)")
            return vecrec(["serve", "--port", str(options.port), *parts])
    except ServerError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, up to ``--``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000, help="where the page is (%(default)s)")
    parser.add_argument("--metadata-store", choices=("redis", "mariadb", "postgres"), default="redis")
    parser.add_argument("--embedded", action="store_true", help="Milvus Lite and SQLite instead of servers")
    return parser.parse_args(arguments)


def port_problem(port: int) -> str | None:
    """Why the page cannot be served there, said before minutes of training; ``None`` where it can."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError) as error:
        return f"port {port} cannot be listened on ({error}): give a free one with --port, or end what listens there"
    return None


def start(name: str, stack: contextlib.ExitStack) -> str:
    """Start a server for as long as the stack lives; gives its address."""
    say(f"starting {name} ...")
    return stack.enter_context(SERVERS[name]()).url


def say(text: str) -> None:
    """Tell people what is going on."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
