"""The metadata store on Redis."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from typing_extensions import override

from vecrec._internal.batching import batched
from vecrec._internal.validation import flag, instance, integer, mapping
from vecrec.errors import InvalidDataError, StoreError, StoreUnavailableError
from vecrec.ids import Id, decode_id, encode_id
from vecrec.metadata_stores.base import (
    MAX_EVENTS,
    EventFilter,
    MetadataStore,
    Risk,
    by_user,
    closed_error,
    read_records,
    seconds,
)
from vecrec.metadata_stores.redis.client import Client, Command, Settings, connect
from vecrec.metadata_stores.redis.errors import UnknownScriptError
from vecrec.metadata_stores.redis.layout import (
    BATCH,
    Keys,
    address_of,
    decode_history,
    encode_filter,
    encode_rows,
    history_script,
    server_url,
)
from vecrec.records import Record, dump_record
from vecrec.types import Event, EventColumns

__all__ = ["RedisMetadataStore"]

_TOGETHER = 100_000
"""Records or events in one step of the server, which keep it from other clients for a part of a second."""

_Call: TypeAlias = tuple[Sequence[str], Sequence[str | int]]
"""The keys and the arguments of a call of the script."""

_LOG = logging.getLogger(__name__)


class RedisMetadataStore(MetadataStore):
    """Records and events in one Redis server (5 or later) or a Redis cluster.

    Where things are, for the prefix ``vecrec``:

    =======================  ========================================================================================
    ``vecrec/records/item``  a hash of all items, id to JSON; in a cluster 64 of them, ``vecrec/records/item/0`` and on
    ``vecrec/events/i42``    the history of user 42 as text, a row an event: time, rating, item, kind
    =======================  ========================================================================================

    An id is written ``i42`` for ``42`` and ``s42`` for ``"42"``. By hand: ``HGET vecrec/records/item i42``.

    What it promises beyond the contract, and where it falls short:

    - One server writes up to 100,000 records or events of a call together or not at all; a larger call goes in several
      such steps. A cluster has no transactions over several keys: of a failed call a part may have been written. So it
      is where one of the histories was written by a later version of vecrec, which is refused. Repeating is safe.
    - A server whose memory is full refuses writes, and accepts deletions.
    - Histories of older versions of vecrec are read; the next change of a history rewrites it.
    - A read is tried once more when its connection turns out to be lost. Writes are not.
    - ``scan`` and ``scan_events`` remember the ids that they have yielded (some 100 bytes each): Redis may repeat some.
    - Memory is bounded by the records that you put and, for each user, ``max_events_per_user`` events of some 30 bytes.
    - A forked process gets connections of its own.
    """

    db_system = "redis"

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "vecrec",
        cluster: bool = False,
        timeout: float = 5.0,
        max_connections: int = 50,
        max_events_per_user: int = 10_000,
        event_ttl: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """A store that connects when it is first used.

        Args:
            url: ``redis://[user:password@]host:port/db``, ``rediss://`` for TLS, ``unix://``; with ``redis+cluster://``
                or ``rediss+cluster://`` any node of a cluster.
            prefix: What the store's keys begin with: up to 64 letters, digits and ``_.:-``. Stores may share a server.
            cluster: Whether the URL names a node of a cluster.
            timeout: Seconds to wait for a connection, for an answer, and for a free connection of the pool.
            max_connections: The most connections, to each node of a cluster.
            max_events_per_user: How many of a user's latest events are kept.
            event_ttl: Seconds after the last event of a user when all of their events are dropped; ``None`` keeps them.
            options: Further options of redis-py's connections, such as ``{"ssl_ca_certs": "ca.pem"}``.

        Raises:
            MissingDependencyError: if redis-py is not installed.
            InvalidDataError: for a URL, an option, a prefix or a number that is not valid.
        """
        url, cluster = server_url(instance(url, "the URL of Redis", str), flag(cluster, "cluster"))
        self.max_events_per_user = integer(max_events_per_user, "max_events_per_user", low=1, high=MAX_EVENTS)
        self.event_ttl = None if event_ttl is None else integer(event_ttl, "event_ttl", low=1, high=2**31)
        self.timeout = wait = seconds(timeout, "timeout")
        connections = integer(max_connections, "max_connections", low=1, high=100_000)
        self._address = address_of(url)
        self._client = connect(
            Settings(url, self._address, wait, connections, mapping(options, "options")),
            cluster=cluster,
        )
        self._keys = Keys(prefix, self._client.shards)
        self._script = ""
        self._closed = False

    def __repr__(self) -> str:
        mode = " cluster" if self._client.shards > 1 else ""
        return f"<RedisMetadataStore{mode} at {self._address}, prefix {self._keys.prefix!r}>"

    @override
    def ping(self) -> None:
        for _ in self._open.on_each_node("PING"):
            pass

    @override
    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._client.close()

    def warnings(self) -> list[Risk]:
        """Settings of the server that endanger the data; empty where this user may not ask for them (INFO)."""
        found: dict[Risk, None] = {}
        try:
            for _, reply in self._open.on_each_node("INFO"):
                info = dict(line.split(":", 1) for line in _text(reply).splitlines() if ":" in line)
                found.update(dict.fromkeys(_risks(f"Redis at {self._address}", info)))
        except StoreUnavailableError:
            raise
        except StoreError as error:
            self._check_open()
            _LOG.info("the settings of Redis cannot be read: %s", error)
        return list(found)

    # -- records

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        for part in batched(records.items(), _TOGETHER):
            texts = {encode_id(key): dump_record(record) for key, record in part}
            self._open.run_together(
                [
                    Command(key, ("HSET", key, *(word for field in fields for word in (field, texts[field]))))
                    for key, fields in self._keys.batches(kind, texts)
                ]
            )

    @override
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        commands, fields = self._reads(kind, ids)
        return self._records(kind, fields, self._open.run(commands, again=True))

    @override
    def _delete(self, kind: str, ids: list[Id]) -> None:
        # Each command is a step by itself: within a transaction, a server whose memory is full refuses deletions too.
        for part in batched(ids, _TOGETHER):
            batches = self._keys.batches(kind, map(encode_id, part), _TOGETHER)
            self._open.run([Command(key, ("HDEL", key, *fields)) for key, fields in batches], again=False)

    @override
    def _count(self, kind: str) -> int:
        commands = [Command(key, ("HLEN", key)) for key in self._keys.records(kind)]
        return sum(self._open.run(commands, again=True))

    @override
    def _scan(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]:
        self._check_open()
        return self._scanned(kind, batch_size)

    def _scanned(self, kind: str, batch_size: int) -> Iterator[tuple[Id, Record]]:
        for shard in self._keys.records(kind):
            seen: set[Id] = set()
            cursor = b"0"
            while True:
                scan = Command(shard, ("HSCAN", shard, cursor, "COUNT", batch_size))
                cursor, pairs = self._open.run([scan], again=True)[0]
                page = self._records(kind, [_text(field) for field in pairs[::2]], [pairs[1::2]])
                # A hash that shrinks while it is scanned gives some of its fields again.
                new = [key for key in page if key not in seen]
                seen.update(new)
                yield from ((key, page[key]) for key in new)
                if cursor == b"0":
                    break

    # -- events

    @override
    def _append_events(self, events: list[Event]) -> None:
        limits = ("append", self.max_events_per_user, self.event_ttl or 0)
        for part in batched(events, _TOGETHER):
            histories = by_user(part).items()
            calls: list[_Call] = [
                ([self._keys.history(user)], [*limits, *encode_rows(theirs)]) for user, theirs in histories
            ]
            self._change(calls, self._open.run_together)

    def _change(self, calls: Sequence[_Call], send: Callable[[list[Command]], object]) -> None:
        """Run the script of histories once for each call, all of them sent together."""
        try:
            send(self._commands(calls))
        except UnknownScriptError:
            # Nothing ran: the server was restarted since it was told the script.
            self._script = ""
            send(self._commands(calls))

    def _commands(self, calls: Sequence[_Call]) -> list[Command]:
        script = self._script = self._script or self._open.load_script(history_script())
        return [Command(keys[0], ("EVALSHA", script, len(keys), *keys, *words)) for keys, words in calls]

    @override
    def _recent_events(self, user_ids: list[Id], limit: int | None) -> dict[Id, list[Event]]:
        replies = self._open.run(self._history_reads(user_ids), again=True)
        return {user: list(events) for user, events in self._histories(user_ids, replies, limit).items()}

    @override
    def _read_users(
        self, kind: str, user_ids: list[Id], limit: int | None
    ) -> tuple[dict[Id, Record], dict[Id, EventColumns]]:
        commands, fields = self._reads(kind, user_ids)
        replies = self._open.run(commands + self._history_reads(user_ids), again=True)
        records = self._records(kind, fields, replies[: len(commands)])
        return records, self._histories(user_ids, replies[len(commands) :], limit)

    @override
    def _delete_events(self, user_ids: list[Id], only: EventFilter | None) -> None:
        for part in batched(user_ids, _TOGETHER):
            keys = [self._keys.history(user) for user in part]
            # One command for all, where they may lie on one server: it is a step by itself, and frees memory.
            groups = [keys] if self._client.shards == 1 else [[key] for key in keys]
            if only is None:
                self._open.run([Command(group[0], ("UNLINK", *group)) for group in groups], again=False)
            else:
                words = ("delete", *encode_filter(only))
                self._change([(group, words) for group in groups], functools.partial(self._open.run, again=False))

    @override
    def _scan_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]:
        self._check_open()
        return self._scanned_events(batch_size)

    def _scanned_events(self, batch_size: int) -> Iterator[tuple[Id, list[Event]]]:
        seen: set[Id] = set()
        page: list[Id] = []
        for user in self._users():
            if user not in seen:
                seen.add(user)
                page.append(user)
            if len(page) == batch_size:
                yield from self._recent_events(page, None).items()
                page = []
        if page:
            yield from self._recent_events(page, None).items()

    def _users(self) -> Iterator[Id]:
        scan = ("MATCH", self._keys.history_pattern(), "COUNT", BATCH)
        for node, reply in self._open.on_each_node("SCAN", 0, *scan):
            cursor, keys = reply
            yield from self._users_of(keys)
            while cursor != b"0":
                cursor, keys = self._open.on_node(node, "SCAN", _text(cursor), *scan)
                yield from self._users_of(keys)

    def _users_of(self, keys: Sequence[bytes]) -> Iterator[Id]:
        for key in keys:
            try:
                yield self._keys.user(key)
            except ValueError:  # of another program: no id encodes to it
                _LOG.warning("the key %r is not one of vecrec and is left out", key)

    # -- commands and replies

    def _reads(self, kind: str, ids: list[Id]) -> tuple[list[Command], list[str]]:
        batches = list(self._keys.batches(kind, map(encode_id, ids)))
        commands = [Command(key, ("HMGET", key, *fields)) for key, fields in batches]
        return commands, [field for _, fields in batches for field in fields]

    def _records(self, kind: str, fields: list[str], replies: list[list[bytes | None]]) -> dict[Id, Record]:
        ids, texts = [], []
        for field, text in zip(fields, (text for reply in replies for text in reply)):
            if text is not None:
                try:
                    ids.append(decode_id(field))
                    texts.append(str(text, "utf-8", "replace"))
                except InvalidDataError:  # of another program: no id encodes to it
                    _LOG.warning("the field %r among the records of %s is not an id and is left out", field, kind)
        return read_records(kind, ids, texts)

    def _history_reads(self, user_ids: list[Id]) -> list[Command]:
        keys = [self._keys.history(user) for user in user_ids]
        if self._client.shards == 1:
            return [Command(part[0], ("MGET", *part)) for part in batched(keys, BATCH)]
        return [Command(key, ("MGET", key)) for key in keys]

    def _histories(
        self, user_ids: list[Id], replies: list[list[bytes | None]], limit: int | None
    ) -> dict[Id, EventColumns]:
        most = self.max_events_per_user if limit is None else min(limit, self.max_events_per_user)
        texts = (text for reply in replies for text in reply)
        return {user: decode_history(user, text, most) for user, text in zip(user_ids, texts) if text is not None}

    @property
    def _open(self) -> Client:
        self._check_open()
        return self._client

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error()


def _risks(where: str, info: Mapping[str, str]) -> Iterator[Risk]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Risk(
            f"{where} drops data when its memory is full (maxmemory-policy {policy})", "set maxmemory-policy noeviction"
        )
    if info.get("aof_enabled") == "0":
        yield Risk(f"{where} loses the latest writes when it ends unexpectedly (appendonly no)", "set appendonly yes")


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else str(value, "utf-8", "replace")
