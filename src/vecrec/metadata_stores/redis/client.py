"""The client of Redis: connections, and commands that are sent together.

Commands are sent and read on the connections themselves. A response callback and a retry loop around each would cost a
hot read as much as the server does; and where a node does not answer, the pipeline of redis-py's cluster client sends
each of the node's commands again, one by one, and waits a whole timeout for each.
"""

from __future__ import annotations

import contextlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from typing_extensions import override

from vecrec._internal.budget import Opening, remaining
from vecrec._internal.dependencies import requires
from vecrec.errors import InvalidDataError, StoreTimeoutError, StoreUnavailableError
from vecrec.metadata_stores.redis.errors import engine_errors, translate

__all__ = ["Client", "Command", "Settings", "connect"]

_Pool: TypeAlias = Any
"""A BlockingConnectionPool of redis-py, whose methods are untyped."""


class Command(NamedTuple):
    """A command and the key that decides which node of a cluster it goes to."""

    key: str
    words: tuple[str | int | bytes, ...]


class Settings(NamedTuple):
    """How connections are made."""

    url: str
    address: str
    timeout: float
    max_connections: int
    options: Mapping[str, Any]


class Client(ABC):
    """Sends commands and returns replies. Every method raises `StoreError` and its subclasses only."""

    shards: int
    """In how many keys a large family of records is kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self, commands: Sequence[Command], *, again: bool) -> list[Any]:
        """The replies to commands sent together, in order.

        Args:
            commands: What to send, in one round trip for each node that holds any of the keys.
            again: Whether to try once more when the connection was lost, which only reads may.
        """
        with self._translated():
            try:
                return self._run(commands)
            except engine_errors().ConnectionError as error:
                if not again or isinstance(error, engine_errors().AuthenticationError):
                    raise
            return self._run(commands)

    @abstractmethod
    def run_together(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands all of which take effect or none, where the engine can."""

    @abstractmethod
    def load_script(self, script: str) -> str:
        """Make a script known to the server, or to all of them; its digest."""

    @abstractmethod
    def on_each_node(self, *words: str | int) -> Iterator[tuple[_Pool, Any]]:
        """The reply of every node that holds keys, with the pool that talks to it."""

    def on_node(self, pool: _Pool, *words: str | int) -> Any:
        """The reply of one node to a command that reads."""
        with self._translated():
            return _checked(_exchange([(pool, [words])])[0])[0]

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""

    @abstractmethod
    def _run(self, commands: Sequence[Command]) -> list[Any]: ...

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            translated = translate(error, self._settings.address, self._settings.timeout)
            if translated is None:
                raise
            raise translated from error


class Server(Client):
    """One Redis server."""

    shards = 1

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._pool = _pool(settings)

    @override
    def _run(self, commands: Sequence[Command]) -> list[Any]:
        return _checked(_exchange([(self._pool, [command.words for command in commands])])[0])

    @override
    def run_together(self, commands: Sequence[Command]) -> list[Any]:
        words: list[tuple[Any, ...]] = [("MULTI",), *(command.words for command in commands), ("EXEC",)]
        with self._translated():
            # A command that is refused while it is queued makes EXEC refuse them all, and says more than EXEC does.
            return _checked(list(_checked(_exchange([(self._pool, words)])[0])[-1]))

    @override
    def load_script(self, script: str) -> str:
        return str(self.on_node(self._pool, "SCRIPT", "LOAD", script), "ascii")

    @override
    def on_each_node(self, *words: str | int) -> Iterator[tuple[_Pool, Any]]:
        yield self._pool, self.on_node(self._pool, *words)

    @override
    def close(self) -> None:
        self._pool.disconnect()


class Cluster(Client):
    """A Redis cluster. Its layout is read at the first command and again whenever a node says that it has changed."""

    # Enough to spread over nodes that come later; few enough that a hundred ids are a few dozen commands.
    shards = 64

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._client: Any = None
        self._opening = Opening()

    @override
    def _run(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return self._run_once(commands)
        except (engine_errors().MovedError, engine_errors().AskError, engine_errors().TryAgainError):
            # None of the redirected commands ran. The others run twice, which no command of the store minds.
            self._refresh()
            return self._run_once(commands)
        except engine_errors().ConnectionError:
            self._try_refresh()
            raise

    def _run_once(self, commands: Sequence[Command]) -> list[Any]:
        client = self._connected()
        groups: dict[str, tuple[_Pool, list[tuple[Any, ...]]]] = {}
        places: dict[str, list[int]] = {}
        for place, command in enumerate(commands):
            node = client.get_node_from_key(command.key)
            if node.name not in groups:
                groups[node.name] = client.get_redis_connection(node).connection_pool, []
            groups[node.name][1].append(command.words)
            places.setdefault(node.name, []).append(place)
        replies: list[Any] = [None] * len(commands)
        for name, answered in zip(groups, _exchange(list(groups.values()))):
            for place, reply in zip(places[name], answered):
                replies[place] = reply
        return _checked(replies)

    @override
    def run_together(self, commands: Sequence[Command]) -> list[Any]:
        return self.run(commands, again=False)

    @override
    def load_script(self, script: str) -> str:
        replies = [reply for _, reply in self.on_each_node("SCRIPT", "LOAD", script)]
        return str(replies[0], "ascii")

    @override
    def on_each_node(self, *words: str | int) -> Iterator[tuple[_Pool, Any]]:
        with self._translated():
            client = self._connected()
            pools = [client.get_redis_connection(node).connection_pool for node in client.get_primaries()]
        for pool in pools:
            yield pool, self.on_node(pool, *words)

    @override
    def on_node(self, pool: _Pool, *words: str | int) -> Any:
        try:
            return super().on_node(pool, *words)
        except (StoreUnavailableError, StoreTimeoutError):
            # Its replica may have taken over. After an outage only this is called, until every node answers.
            self._try_refresh()
            raise

    @override
    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        return self._client or self._connect()

    def _connect(self) -> Any:
        with self._opening.turn(self._settings.timeout), self._translated():
            if self._client is None:
                self._client = _cluster_client(self._settings)
            return self._client

    def _try_refresh(self) -> None:
        with contextlib.suppress(engine_errors().RedisError, engine_errors().RedisClusterException):
            self._refresh()

    def _refresh(self) -> None:
        self._connected().nodes_manager.initialize()


def connect(settings: Settings, *, cluster: bool) -> Client:
    """The client of a server or a cluster. Nothing is sent yet.

    Raises:
        MissingDependencyError: if redis-py is not installed.
        InvalidDataError: for a URL or an option that redis-py does not know.
    """
    with requires("redis", extra="redis", purpose="RedisMetadataStore"):
        import redis  # noqa: F401
    try:
        pool = _pool(settings)
        # Made and not connected: an option that redis-py does not know is refused now.
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise InvalidDataError(
            f"redis-py does not accept the options given for {settings.address!r}: {_option(error)}",
            "see the options of redis-py's connections",
        ) from None
    return Cluster(settings) if cluster else Server(settings)


def _option(error: Exception) -> str:
    # The rest of a message may hold a value, and a value may be a secret.
    named = re.findall(r"(?:argument|value for) '(\w+)'", str(error))
    return ", ".join(named) or type(error).__name__


def _options(settings: Settings) -> dict[str, Any]:
    from redis.backoff import NoBackoff
    from redis.connection import BlockingConnectionPool
    from redis.retry import Retry

    defaults = {
        # redis-py retries ten times by itself, so that a refused connection takes four seconds.
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        # The older protocol: Redis 5 and some proxies know no other, and the store's commands need no other.
        "protocol": 2,
        # How long to wait for a free connection of the pool.
        "timeout": settings.timeout,
        "max_connections": settings.max_connections,
        **_no_maintenance(),
        "connection_pool_class": BlockingConnectionPool,
    }
    if not settings.url.startswith("unix:"):
        defaults["socket_keepalive"] = True
    return defaults | dict(settings.options)


def _no_maintenance() -> dict[str, Any]:
    # With them, redis-py stretches timeouts, and no longer checks a pooled connection before its use.
    try:
        from redis.maint_notifications import MaintNotificationsConfig
    except ImportError:  # redis-py before 7
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}


def _pool(settings: Settings) -> _Pool:
    options = _options(settings)
    pool = options.pop("connection_pool_class").from_url(settings.url, **options)
    pool.connection_class = type("Connection", (_Bounded, pool.connection_class), {})
    return pool


class _Bounded:
    """A connection whose replies are waited for as long as the budget of the request allows."""

    socket_timeout: float | None

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        most = self.socket_timeout
        left = None if most is None else remaining(most)
        connection: Any = super()
        if left != most and not connection.can_read(left):
            raise engine_errors().TimeoutError("Timeout reading from socket")
        return connection.read_response(*arguments, **options)


def _cluster_client(settings: Settings) -> Any:
    import redis

    return redis.RedisCluster.from_url(settings.url, **_options(settings))


def _exchange(groups: Sequence[tuple[_Pool, Sequence[tuple[Any, ...]]]]) -> list[list[Any]]:
    """What each pool's server answers; errors of single commands are among the replies.

    All servers are asked before the first is heard.
    """
    unread: list[tuple[_Pool, Any, int]] = []
    try:
        for pool, commands in groups:
            connection = pool.get_connection()
            unread.append((pool, connection, len(commands)))
            connection.send_packed_command(connection.pack_commands(commands))
        answers = []
        while unread:
            pool, connection, expected = unread[0]
            answers.append([_reply(connection) for _ in range(expected)])
            del unread[0]
            pool.release(connection)
        return answers
    finally:
        # A connection with replies still to come would give them to its next user.
        for pool, connection, _ in unread:
            connection.disconnect()
            pool.release(connection)


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except engine_errors().ResponseError as error:
        return error


def _checked(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
