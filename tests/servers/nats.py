"""NATS with JetStream."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tests.servers import provision
from tests.servers.base import ProcessServer
from tests.servers.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class NatsServer(ProcessServer):
    """One NATS server with JetStream, whose streams are files."""

    name = "nats"
    variable = "VECREC_TEST_NATS_URL"

    def __init__(self) -> None:
        super().__init__()
        self.port = 0

    @property
    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    def _prepare(self, directory: Path) -> None:
        del directory
        self.port = free_port()

    def _command(self, directory: Path) -> Sequence[str]:
        program = str(provision.require("nats-server", ["nats-server"]))
        return [program, "-js", "-sd", str(directory / "data"), "-a", LOOPBACK, "-p", str(self.port)]

    def _healthy(self) -> bool:
        with socket.create_connection((LOOPBACK, self.port), timeout=2.0) as connection:
            return connection.recv(5) == b"INFO "
