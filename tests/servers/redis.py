"""Redis: one server, and a cluster of three."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from tests.servers import provision
from tests.servers.base import ProcessServer, Server, ServerError
from tests.servers.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SLOTS = 16_384
_BUS = 10_000


class RedisServer(ProcessServer):
    """One Redis server that keeps what it acknowledged: append-only file on, nothing evicted.

    Args:
        options: Further options of `redis-server`, such as `("--maxmemory", "20mb")`.
    """

    name = "redis"
    variable = "VECREC_TEST_REDIS_URL"

    def __init__(self, options: Sequence[str] = ()) -> None:
        super().__init__()
        self.port = 0
        self._options = tuple(options)

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def command(self, *words: str, seconds: float = 60.0) -> str:
        """Send one command and give its reply as text.

        Args:
            words: The command.
            seconds: The time to wait for the reply.

        Raises:
            TimeoutError: No reply in time.
            ServerError: Redis answered with an error.
        """
        reply = _ask(self.port, words, seconds)
        if reply.startswith("-"):
            raise ServerError(f"{' '.join(words)} was refused: {reply[1:]}")
        return reply

    def _prepare(self, directory: Path) -> None:
        del directory
        self.port = free_port(beside=_BUS)

    def _command(self, directory: Path) -> Sequence[str]:
        return [
            str(redis_program()),
            *("--bind", LOOPBACK, "--port", str(self.port), "--dir", str(directory)),
            *("--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"),
            *self._options,
        ]

    def _healthy(self) -> bool:
        return _ask(self.port, ["PING"]) == "+PONG"


class RedisClusterServer(Server):
    """A Redis cluster of three masters without replicas: the smallest in which keys really part."""

    name = "redis-cluster"
    variable = "VECREC_TEST_REDIS_CLUSTER_URL"

    def __init__(self) -> None:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
        self.nodes = [RedisServer(options) for _ in range(3)]
        self._formed = False

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.nodes[0].port}"

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        if not self._formed:
            self._form()
            self._formed = True
        self._wait_whole()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def pause(self) -> None:
        for node in self.nodes:
            node.pause()

    def resume(self) -> None:
        for node in self.nodes:
            node.resume()

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self._formed = False

    def _form(self) -> None:
        share = -(-_SLOTS // len(self.nodes))
        for number, node in enumerate(self.nodes):
            first, last = number * share, min((number + 1) * share, _SLOTS) - 1
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            node.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            if number:
                node.command("CLUSTER", "MEET", LOOPBACK, str(self.nodes[0].port))

    def _wait_whole(self) -> None:
        deadline = time.monotonic() + ProcessServer.start_timeout
        while not all(map(self._sees_all, self.nodes)):
            if time.monotonic() > deadline:
                raise ServerError(f"the cluster did not form:\n{self.nodes[0].log_tail()}")
            time.sleep(0.02)

    def _sees_all(self, node: RedisServer) -> bool:
        info = node.command("CLUSTER", "INFO")
        known = f"cluster_known_nodes:{len(self.nodes)}"
        return "cluster_state:ok" in info and f"cluster_slots_ok:{_SLOTS}" in info and known in info


def redis_program() -> Path:
    """Find `redis-server`, or make it from what Debian's package of tools carries.

    The package `redis-server` would install a service; `redis-tools` has the same program under the name
    `redis-check-rdb`, and by its name the program tells which of the two it is.
    """
    found = provision.find("redis-server")
    if found is not None:
        return found
    tool = provision.require("redis-check-rdb", ["redis-tools"])
    link = provision.cache_directory() / "redis-server"
    with provision.locked("redis"):
        if not link.exists():
            link.unlink(missing_ok=True)  # one whose target has gone
            link.symlink_to(tool)
    return link


def _ask(port: int, words: Sequence[str], seconds: float = 2.0) -> str:
    """Send a command in Redis's inline form; give a simple reply with its mark, or a bulk reply's text."""
    with socket.create_connection((LOOPBACK, port), timeout=seconds) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        with connection.makefile("rb") as stream:
            line = stream.readline().decode().rstrip()
            return stream.read(int(line[1:])).decode() if line.startswith("$") else line
