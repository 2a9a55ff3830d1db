"""Real servers for tests and benchmarks, each a private process that dies with its parent.

A server is a context manager with a `url`. It runs on a free port of the loopback interface, keeps
its data in a directory of its own, and leaves nothing behind:

    with RedisServer() as server:
        client = redis.Redis.from_url(server.url)

Fault tests use `stop`, `kill`, `start` (same port, same data), `pause` and `resume`.
Tests that only need an engine share one server a run, through the fixtures of `tests.servers.plugin`.
By hand: `python -m tests.servers redis mariadb milvus -- COMMAND`.
"""

from tests.servers.base import ProcessServer, Server, ServerError
from tests.servers.mariadb import MariaDBServer
from tests.servers.milvus import MilvusServer
from tests.servers.pool import SERVERS, ServerPool
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisClusterServer, RedisServer

__all__ = [
    "SERVERS",
    "MariaDBServer",
    "MilvusServer",
    "PostgresServer",
    "ProcessServer",
    "RedisClusterServer",
    "RedisServer",
    "Server",
    "ServerError",
    "ServerPool",
]
