"""PostgreSQL."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import provision
from tests.servers.base import ProcessServer, ServerError
from tests.servers.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGES = ["postgresql"]
_USER = "vecrec"
_PASSWORD = "pass-of-vecrec"  # a real one, so that tests can look for it in messages and logs

HELLO = f"user\0{_USER}\0database\0postgres\0\0".encode()
HELLO = struct.pack("!ii", 8 + len(HELLO), 3 << 16) + HELLO


class PostgresServer(ProcessServer):
    """One PostgreSQL server, with a superuser `vecrec` who owns the database `postgres`."""

    name = "postgres"
    variable = "VECREC_TEST_POSTGRES_URL"

    def __init__(self) -> None:
        super().__init__()
        self.port = 0

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{_USER}:{_PASSWORD}@{LOOPBACK}:{self.port}/postgres"

    def _prepare(self, directory: Path) -> None:
        self.port = free_port()
        password = directory / "password"
        password.write_text(_PASSWORD)
        account = [f"--username={_USER}", f"--pwfile={password}", "--auth=scram-sha-256"]
        options = ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        files = [f"--pgdata={directory / 'data'}"]
        self._run([_program("initdb"), *files, *account, *options], directory)

    def _command(self, directory: Path) -> Sequence[str]:
        return [
            *(_program("postgres"), "-D", str(directory / "data")),
            *("-h", LOOPBACK, "-p", str(self.port), "-k", str(directory)),
        ]

    def _owner(self) -> tuple[int, int]:
        # It refuses to run as root, with no way around.
        if os.geteuid():
            return 0, 0
        _program("initdb")  # its package brings the user
        return unprivileged()

    def stop(self) -> None:
        # On SIGTERM it would wait for its clients to leave, and pools keep their connections.
        self._end(signal.SIGINT)

    def _healthy(self) -> bool:
        # A server that takes connections asks for the password: "R". While it starts it says "E".
        with socket.create_connection((LOOPBACK, self.port), timeout=2) as connection:
            connection.sendall(HELLO)
            return connection.recv(1) == b"R"


def unprivileged() -> tuple[int, int]:
    """Give the user and group ids of a user who is not root.

    Raises:
        ServerError: There is none.
    """
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise ServerError("PostgreSQL can't run as root, and there is no user postgres or nobody")


def _program(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return str(provision.require(name, _PACKAGES, [str(folder) for folder in versions]))
