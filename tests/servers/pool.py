"""One server of each kind for a whole test run, started when the first test asks for it."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from multiprocessing.connection import Client, Listener
from typing import TYPE_CHECKING, Protocol

from tests.servers.base import Server, ServerError
from tests.servers.mariadb import MariaDBServer
from tests.servers.milvus import MilvusServer
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisClusterServer, RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SERVERS: Mapping[str, type[Server]] = {
    server.name: server for server in (RedisServer, RedisClusterServer, MariaDBServer, PostgresServer, MilvusServer)
}

# A strongly consistent read of Milvus waits for the next tick of its clock, every 200 ms by default, which would
# be most of the time of most tests. Servers that are started by hand or measured keep the default.
_FOR_TESTS: Mapping[str, Callable[[], Server]] = {
    **SERVERS,
    "milvus": lambda: MilvusServer({"proxy.timeTickInterval": 50}),
}


class Pool(Protocol):
    """What the fixtures ask for the address of a shared server."""

    def url(self, name: str) -> str:
        """Give the address of the server called `name`, started if need be.

        Raises:
            ServerError: It could not be started; the message says why.
        """

    def close(self) -> None:
        """Stop what was started."""


class ServerPool:
    """Starts each server once and owns it. A server that the environment names is used as it is."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._failures: dict[str, str] = {}

    def url(self, name: str) -> str:
        kind = SERVERS[name]
        if given := os.environ.get(kind.variable):
            return given
        if name in self._failures:
            # Without this, every test of a server that can't start would wait for its time limit.
            raise ServerError(self._failures[name])
        if name not in self._servers:
            self._start(name, _FOR_TESTS[name]())
        return self._servers[name].url

    def close(self) -> None:
        for name in reversed(list(self._servers)):
            self._servers.pop(name).close()

    def _start(self, name: str, server: Server) -> None:
        try:
            self._servers[name] = server.__enter__()
        except Exception as error:
            self._failures[name] = f"{type(error).__name__}: {error}"
            raise


class PoolListener:
    """Serves a pool to the worker processes of pytest-xdist, from a thread of the controller.

    The thread starts the servers and lives as long as the run: a server ends with the *thread* that
    started it.
    """

    def __init__(self, pool: Pool) -> None:
        self.key = secrets.token_bytes(16)
        self._pool = pool
        self._listener = Listener(family="AF_UNIX", authkey=self.key)
        self._thread = threading.Thread(target=self._serve, name="server-pool", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The path of the socket on which it listens."""
        return str(self._listener.address)

    def close(self) -> None:
        """Stop listening, and what the pool started."""
        with contextlib.suppress(OSError), Client(self.address, authkey=self.key) as connection:
            connection.send(None)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            with self._listener.accept() as connection:
                name = connection.recv()
                if name is None:
                    break
                connection.send(self._answer(name))
        self._pool.close()

    def _answer(self, name: str) -> tuple[str, str]:
        try:
            return "url", self._pool.url(name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the waiting worker must hear of it
            return "error", f"{type(error).__name__}: {error}"


class RemotePool:
    """The pool as a worker process sees it."""

    def __init__(self, address: str, key: bytes) -> None:
        self._address = address
        self._key = key

    def url(self, name: str) -> str:
        with Client(self._address, authkey=self._key) as connection:
            connection.send(name)
            kind, value = connection.recv()
        if kind == "error":
            raise ServerError(value)
        return str(value)

    def close(self) -> None:
        """Nothing to do: the controller owns the servers."""
