"""MariaDB, which stands for the MySQL family."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from tests.servers import provision
from tests.servers.base import ProcessServer
from tests.servers.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# The cores, not `mariadb-server`: that one would install a service.
_PACKAGES = ["mariadb-server-core", "mariadb-client-core"]

_USER = "vecrec"
_PASSWORD = "pass-of-vecrec"  # a real one, so that tests can look for it in messages and logs

_ACCOUNT = f"""\
CREATE DATABASE IF NOT EXISTS vecrec;
CREATE USER IF NOT EXISTS '{_USER}'@'%' IDENTIFIED BY '{_PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO '{_USER}'@'%' WITH GRANT OPTION;
"""


class MariaDBServer(ProcessServer):
    """One MariaDB server, with an empty database `vecrec` and a user who may create others.

    Args:
        options: Further options of `mariadbd`, such as `("--max-allowed-packet=1M",)`.
    """

    name = "mariadb"
    variable = "VECREC_TEST_MYSQL_URL"

    def __init__(self, options: Sequence[str] = ()) -> None:
        super().__init__()
        self.port = 0
        self._options = tuple(options)

    @property
    def url(self) -> str:
        return f"mysql+pymysql://{_USER}:{_PASSWORD}@{LOOPBACK}:{self.port}/vecrec"

    def _prepare(self, directory: Path) -> None:
        self.port = free_port()
        (directory / "account.sql").write_text(_ACCOUNT)
        provision.require("my_print_defaults", _PACKAGES)
        install = provision.require("mariadb-install-db", _PACKAGES)
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self._run([str(install), *self._files(directory), *options], directory)

    def _command(self, directory: Path) -> Sequence[str]:
        return [
            str(provision.require("mariadbd", _PACKAGES)),
            *self._files(directory),
            *(f"--bind-address={LOOPBACK}", f"--port={self.port}", "--skip-name-resolve"),
            *(f"--socket={directory / 'socket'}", f"--pid-file={directory / 'pid'}"),
            f"--init-file={directory / 'account.sql'}",
            *self._options,
        ]

    def _files(self, directory: Path) -> Sequence[str]:
        # It refuses to run as root unless it is told to.
        user = [] if os.geteuid() else ["--user=root"]
        return ["--no-defaults", f"--datadir={directory / 'data'}", *user]

    def _healthy(self) -> bool:
        # A server that takes connections greets each with a packet: length, number 0, protocol 10.
        with socket.create_connection((LOOPBACK, self.port), timeout=2) as connection:
            return connection.recv(5)[3:5] == b"\x00\x0a"
