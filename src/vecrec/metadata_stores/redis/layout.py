"""Names: of the server and of the keys in it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from vecrec.errors import InvalidDataError
from vecrec.ids import Id, decode_id, encode_id
from vecrec.metadata_stores.settings import parts

__all__ = ["BATCH", "Keys", "address_of", "server_url"]

BATCH = 1000
"""Ids a command: a command of this size keeps the server from others for less than a millisecond."""

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_SCHEMES = ("redis", "rediss", "unix")


class Keys:
    """The keys of one store. The slash, which no prefix holds, keeps the keys of two stores apart."""

    def __init__(self, prefix: Any, shards: int) -> None:
        if not isinstance(prefix, str) or not _PREFIX.match(prefix):
            raise InvalidDataError(f"{prefix!r} is no prefix of keys", "use up to 64 letters, digits and _.:-")
        self.prefix = prefix
        self._shards = shards
        self._events = f"{prefix}/events/"

    def records(self, kind: str) -> list[str]:
        """The keys that hold the records of a kind."""
        key = f"{self.prefix}/records/{kind}"
        return [key] if self._shards == 1 else [f"{key}/{shard}" for shard in range(self._shards)]

    def batches(self, kind: str, fields: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
        """Encoded ids of a kind by the key that holds them, at most a batch at a time."""
        keys = self.records(kind)
        if len(keys) == 1:
            grouped = {keys[0]: list(fields)}
        else:
            grouped = {}
            for field in fields:
                grouped.setdefault(keys[zlib.crc32(field.encode()) % len(keys)], []).append(field)
        for key, held in grouped.items():
            for part in parts(held, BATCH):
                yield key, list(part)

    def history(self, user: Id) -> str:
        """The key of a user's events."""
        return self._events + encode_id(user)

    def history_pattern(self) -> str:
        """The glob pattern of the keys of all users' events."""
        return re.sub(r"([*?\[\]\\^-])", r"\\\1", self._events) + "*"

    def user(self, history: bytes) -> Id:
        """The user of the key of a history."""
        return decode_id(history.decode()[len(self._events) :])


def server_url(url: Any, cluster: bool) -> tuple[str, bool]:
    """The URL as redis-py knows it, and whether it names a cluster."""
    if not isinstance(url, str) or "://" not in url:
        raise InvalidDataError("a Redis store is reached by a URL, such as redis://localhost:6379/0")
    scheme, rest = url.split("://", 1)
    if scheme.endswith("+cluster"):
        scheme, cluster = scheme[: -len("+cluster")], True
    if scheme not in _SCHEMES:
        raise InvalidDataError(f"{scheme!r} is no scheme of a Redis URL", f"use one of {_SCHEMES}, or redis+cluster")
    return f"{scheme}://{rest}", cluster


def address_of(url: str) -> str:
    """What messages may show of a URL: neither its credentials nor its options, which may hold some."""
    parts_of_url = urlsplit(url)
    return f"{parts_of_url.netloc.rpartition('@')[2]}{parts_of_url.path}"
