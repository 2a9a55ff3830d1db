"""Starts servers by hand: `python -m tests.servers redis mariadb milvus -- COMMAND`.

The command finds each server's address in its environment (VECREC_TEST_REDIS_URL, ...), which is also
where the tests look first. Without a command the addresses are printed, for a shell to evaluate, and
the servers run until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.servers.base import ServerError
from tests.servers.pool import SERVERS

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run the command line and give the command's exit status."""
    names, command = _parse(arguments)
    # A plain `kill` must end the servers in order as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        try:
            urls = {SERVERS[name].variable: stack.enter_context(SERVERS[name]()).url for name in names}
            return _run(command, urls) if command else _wait(urls)
        except ServerError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        except KeyboardInterrupt:
            return 130


def _parse(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    words = list(arguments)
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("server", nargs="+", choices=list(SERVERS), help=", ".join(SERVERS))
    return parser.parse_args(words[:cut]).server, words[cut + 1 :]


def _run(command: Sequence[str], urls: dict[str, str]) -> int:
    return subprocess.run(command, env={**os.environ, **urls}, check=False).returncode


def _wait(urls: dict[str, str]) -> int:
    for variable, url in urls.items():
        sys.stdout.write(f"export {variable}={shlex.quote(url)}\n")
    sys.stdout.flush()
    sys.stderr.write("The servers run until Ctrl-C.\n")
    signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
