"""PgBouncer in front of a PostgreSQL."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.servers import provision
from tests.servers.base import ProcessServer
from tests.servers.ports import LOOPBACK, free_port
from tests.servers.postgres import HELLO, unprivileged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class PgBouncerServer(ProcessServer):
    """One PgBouncer that gives a connection of PostgreSQL to a client for one transaction at a time.

    Args:
        url: The PostgreSQL behind it.
        connections: How many connections to it the clients share.
    """

    name = "pgbouncer"
    variable = "VECREC_TEST_PGBOUNCER_URL"

    def __init__(self, url: str, connections: int) -> None:
        super().__init__()
        self._behind, self._connections, self.port = urlsplit(url), connections, 0

    @property
    def url(self) -> str:
        behind = self._behind
        return f"{behind.scheme}://{behind.username}:{behind.password}@{LOOPBACK}:{self.port}{behind.path}"

    def _prepare(self, directory: Path) -> None:
        self.port, behind = free_port(), self._behind
        (directory / "users").write_text(f'"{behind.username}" "{behind.password}"\n')
        (directory / "settings").write_text(
            f"[databases]\n* = host={behind.hostname} port={behind.port}\n[pgbouncer]\nlisten_addr = {LOOPBACK}\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {directory}/users\n"
            f"pool_mode = transaction\ndefault_pool_size = {self._connections}\n"
        )

    def _command(self, directory: Path) -> Sequence[str]:
        return [str(provision.require("pgbouncer", ["pgbouncer"])), str(directory / "settings")]

    def _owner(self) -> tuple[int, int]:
        return (0, 0) if os.geteuid() else unprivileged()  # it refuses to run as root

    def _healthy(self) -> bool:
        with socket.create_connection((LOOPBACK, self.port), timeout=2) as connection:
            connection.sendall(HELLO)
            return connection.recv(1) == b"R"
