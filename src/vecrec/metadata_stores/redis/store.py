"""The metadata store on Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from typing_extensions import override

from vecrec.errors import StoreError
from vecrec.ids import Id, decode_id, encode_id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.metadata_stores.events import by_user
from vecrec.metadata_stores.redis.client import Command, Settings, Wire, connect
from vecrec.metadata_stores.redis.errors import UnknownScriptError
from vecrec.metadata_stores.redis.history import APPEND, decode_history, encode_rows
from vecrec.metadata_stores.redis.layout import BATCH, Keys, address_of, server_url
from vecrec.metadata_stores.settings import MAX_EVENTS, check_count, check_seconds, parts
from vecrec.records import Record, dump_record
from vecrec.types import Event

__all__ = ["RedisMetadataStore"]

_TOGETHER = 100_000
"""Records or events a transaction: they keep the server from others for a part of a second."""


class RedisMetadataStore(MetadataStore):
    """Records and events in one Redis server (5 or later) or a Redis cluster.

    Where things are, for the prefix ``vecrec``:

    =======================  ========================================================================================
    ``vecrec/records/item``  a hash of all items, id to JSON; in a cluster 64 of them, ``vecrec/records/item/0`` and on
    ``vecrec/events/i42``    the history of user 42 as text, a row an event: time, rating, item
    =======================  ========================================================================================

    An id is written ``i42`` for ``42`` and ``s42`` for ``"42"``. By hand: ``HGET vecrec/records/item i42``.

    What it promises beyond the contract, and what it cannot:

    - One server writes up to 100,000 records or events of a call together or not at all; a larger call goes in several
      such steps. A cluster has no transactions over several keys: of a failed call a part may have been written.
      Repeating the call is safe.
    - A read is tried once more when its connection turns out to be lost. Writes are not.
    - ``scan`` and ``scan_events`` remember the ids that they have given (about 100 bytes each), since Redis may repeat
      some.
    - Memory is bounded by the records that you put and, for each user, ``max_events_per_user`` events of some 30 bytes.
    - A forked process gets connections of its own.
    """

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
            InvalidDataError: for a URL, a prefix or a number that is none.
        """
        url, cluster = server_url(url, cluster)
        self.max_events_per_user = check_count(max_events_per_user, "max_events_per_user", MAX_EVENTS)
        self.event_ttl = None if event_ttl is None else check_count(event_ttl, "event_ttl", 2**31)
        seconds = check_seconds(timeout, "timeout")
        connections = check_count(max_connections, "max_connections", 100_000)
        self._address = address_of(url)
        self._wire = connect(Settings(url, self._address, seconds, connections, dict(options or {})), cluster=cluster)
        self._keys = Keys(prefix, self._wire.shards)
        self._script = ""
        self._closed = False

    def __repr__(self) -> str:
        mode = " cluster" if self._wire.shards > 1 else ""
        return f"<RedisMetadataStore{mode} at {self._address}, prefix {self._keys.prefix!r}>"

    @override
    def ping(self) -> None:
        for _ in self._open.on_each_node("PING"):
            pass

    @override
    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._wire.close()

    def warnings(self) -> list[str]:
        """What endangers the data in the way that the server is configured; nothing where it may not be asked."""
        found = {}
        for _, reply in self._open.on_each_node("INFO"):
            info = dict(line.split(":", 1) for line in _text(reply).splitlines() if ":" in line)
            found.update(dict.fromkeys(_risks(info)))
        return [f"Redis at {self._address} {risk}" for risk in found]

    # -- records

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        for part in parts(list(records.items()), _TOGETHER):
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
        for part in parts(ids, _TOGETHER):
            batches = self._keys.batches(kind, map(encode_id, part))
            self._open.run_together([Command(key, ("HDEL", key, *fields)) for key, fields in batches])

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
        for part in parts(events, _TOGETHER):
            histories = {self._keys.history(user): encode_rows(theirs) for user, theirs in by_user(part).items()}
            try:
                self._append(histories)
            except UnknownScriptError:
                # Nothing ran: the server has been restarted since the script was made known to it, or was never told.
                self._script = self._open.load_script(APPEND)
                self._append(histories)

    def _append(self, histories: Mapping[str, Sequence[str]]) -> None:
        script = self._script = self._script or self._open.load_script(APPEND)
        limits = (self.max_events_per_user, self.event_ttl or 0)
        commands = [Command(key, ("EVALSHA", script, 1, key, *limits, *rows)) for key, rows in histories.items()]
        self._open.run_together(commands)

    @override
    def _recent_events(self, user_ids: list[Id], limit: int | None) -> dict[Id, list[Event]]:
        return self._histories(user_ids, self._open.run(self._history_reads(user_ids), again=True), limit)

    @override
    def _read_users(
        self, kind: str, user_ids: list[Id], limit: int | None
    ) -> tuple[dict[Id, Record], dict[Id, list[Event]]]:
        commands, fields = self._reads(kind, user_ids)
        replies = self._open.run(commands + self._history_reads(user_ids), again=True)
        records = self._records(kind, fields, replies[: len(commands)])
        return records, self._histories(user_ids, replies[len(commands) :], limit)

    @override
    def _delete_events(self, user_ids: list[Id]) -> None:
        for part in parts(user_ids, _TOGETHER):
            keys = [self._keys.history(user) for user in part]
            self._open.run_together([Command(key, ("UNLINK", key)) for key in keys])

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
            yield from map(self._keys.user, keys)
            while cursor != b"0":
                cursor, keys = self._open.on_node(node, "SCAN", _text(cursor), *scan)
                yield from map(self._keys.user, keys)

    # -- commands and replies

    def _reads(self, kind: str, ids: list[Id]) -> tuple[list[Command], list[str]]:
        batches = list(self._keys.batches(kind, map(encode_id, ids)))
        commands = [Command(key, ("HMGET", key, *fields)) for key, fields in batches]
        return commands, [field for _, fields in batches for field in fields]

    def _records(self, kind: str, fields: list[str], replies: list[list[bytes | None]]) -> dict[Id, Record]:
        texts = [text for reply in replies for text in reply]
        found = [(field, text) for field, text in zip(fields, texts) if text is not None]
        try:
            # One call of the parser for all: its start costs as much as a small record.
            records = json.loads(b"[%b]" % b",".join(text for _, text in found))
        except ValueError:
            records = [_record(kind, field, text) for field, text in found]
        return {decode_id(field): record for (field, _), record in zip(found, records)}

    def _history_reads(self, user_ids: list[Id]) -> list[Command]:
        keys = [self._keys.history(user) for user in user_ids]
        if self._wire.shards == 1:
            return [Command(part[0], ("MGET", *part)) for part in parts(keys, BATCH)]
        return [Command(key, ("MGET", key)) for key in keys]

    def _histories(
        self, user_ids: list[Id], replies: list[list[bytes | None]], limit: int | None
    ) -> dict[Id, list[Event]]:
        most = self.max_events_per_user if limit is None else min(limit, self.max_events_per_user)
        texts = (text for reply in replies for text in reply)
        return {user: decode_history(user, text, most) for user, text in zip(user_ids, texts) if text is not None}

    @property
    def _open(self) -> Wire:
        self._check_open()
        return self._wire

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("this metadata store was closed", "make a new one")


def _record(kind: str, field: str, text: bytes) -> Record:
    try:
        record: Record = json.loads(text)
    except ValueError as error:
        raise StoreError(
            f"the record of {kind} {decode_id(field)!r} is no JSON but {text[:60]!r}", "put it again"
        ) from error
    return record


def _risks(info: Mapping[str, str]) -> Iterator[str]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield f"drops data when its memory is full (maxmemory-policy {policy}): set maxmemory-policy noeviction"
    if info.get("aof_enabled") == "0":
        yield "loses the latest writes when it ends unexpectedly (appendonly no): set appendonly yes"


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else str(value, "utf-8")
