"""What is where in Redis: the server, the keys, and the text of a history.

A history is one text under one key: a count of eight characters and the version of the layout, then a row for each
event, oldest first::

           2,2,
    978300019,5,1193,null,
    978302109.5,null,"tt0073486","view",

Each row is time, rating, item and kind as JSON, and ends with a comma and a newline. JSON escapes newlines, so no row
contains one. Within brackets the whole text is one flat JSON array, which one call of the C parser reads. Version 1 had
no kinds, and no version in its first line; it is read, and the next change of a history rewrites it. ``history.lua``
changes histories on the server.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring
from typing import Any
from urllib.parse import urlsplit

from vecrec._internal.batching import batched
from vecrec.errors import InvalidDataError, StoreError, shown
from vecrec.ids import Id, decode_id, encode_id
from vecrec.metadata_stores.base import EventFilter
from vecrec.types import Event, EventColumns

__all__ = [
    "BATCH",
    "Keys",
    "address_of",
    "decode_history",
    "encode_filter",
    "encode_rows",
    "history_script",
    "server_url",
]

BATCH = 1000
"""Ids a command: a command of this size keeps the server from others for less than a millisecond."""

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_SCHEMES = ("redis", "rediss", "unix")
_EXACT = 1e15
_VERSION_1, _VERSION_2 = b",\n", b",2,\n"  # what follows the count


class Keys:
    """The keys of one store. The slash, which a prefix cannot hold, keeps the keys of two stores apart."""

    def __init__(self, prefix: Any, shards: int) -> None:
        if not isinstance(prefix, str) or not _PREFIX.match(prefix):
            raise InvalidDataError(
                f"{shown(prefix)} is not a valid prefix of keys", "use up to 64 letters, digits and _.:-"
            )
        self.prefix = prefix
        self._shards = shards
        self._events = f"{prefix}/events/"

    def records(self, kind: str) -> list[str]:
        """The keys that hold the records of a kind."""
        key = f"{self.prefix}/records/{kind}"
        return [key] if self._shards == 1 else [f"{key}/{shard}" for shard in range(self._shards)]

    def batches(self, kind: str, fields: Iterable[str], size: int = BATCH) -> Iterator[tuple[str, list[str]]]:
        """Encoded ids of a kind by the key that holds them, at most ``size`` at a time."""
        keys = self.records(kind)
        if len(keys) == 1:
            grouped = {keys[0]: list(fields)}
        else:
            grouped = {}
            for field in fields:
                grouped.setdefault(keys[zlib.crc32(field.encode()) % len(keys)], []).append(field)
        for key, held in grouped.items():
            for part in batched(held, size):
                yield key, part

    def history(self, user: Id) -> str:
        """The key of a user's events."""
        return self._events + encode_id(user)

    def history_pattern(self) -> str:
        """The glob pattern of the keys of all users' events."""
        return re.sub(r"([*?\[\]\\^-])", r"\\\1", self._events) + "*"

    def user(self, history: bytes) -> Id:
        """The user of the key of a history."""
        return decode_id(history.decode()[len(self._events) :])


def history_script() -> str:
    """The Lua script that changes histories."""
    from importlib.resources import files  # slow to import, and not needed by the other stores

    return files(__package__).joinpath("history.lua").read_text(encoding="utf-8")


def encode_rows(events: Iterable[Event]) -> list[str]:
    """The rows of one user's events, ordered by time; of equal times the given order stays."""
    ordered = sorted(events, key=lambda event: event.time or 0.0)
    return [f"{_number(e.time)},{_number(e.rating)},{_item(e.item_id)},{_kind(e.kind)},\n" for e in ordered]


def encode_filter(only: EventFilter) -> list[str | int]:
    """The arguments of the script for a deletion."""
    items = None if only.item_ids is None else map(_item, only.item_ids)
    kinds = None if only.kinds is None else map(_kind, only.kinds)
    return ["" if only.time is None else _number(only.time), *_counted(items), *_counted(kinds)]


def decode_history(user_id: Id, text: bytes, limit: int) -> EventColumns:
    """The last ``limit`` events of a history, oldest first.

    Raises:
        StoreError: for a text that is not a history, or one of a later version.
    """
    width, start = (4, 12) if text[8:12] == _VERSION_2 else (3, 10) if text[8:10] == _VERSION_1 else (0, 0)
    if not width:
        raise _unreadable(user_id, text)
    try:
        flat = json.loads(b"[%b]" % text[start:-2])
        if len(flat) % width:
            raise _unreadable(user_id, text)
        first = max(0, len(flat) - width * limit)
        times, ratings, items = flat[first::width], flat[first + 1 :: width], flat[first + 2 :: width]
        kinds = flat[first + 3 :: width] if width == 4 else [None] * len(times)
        floats = [None if rating is None else float(rating) for rating in ratings]
        return EventColumns(user_id, items, [*map(float, times)], floats, kinds)
    except (ValueError, TypeError) as error:
        raise _unreadable(user_id, text) from error


def _unreadable(user_id: Id, text: bytes) -> StoreError:
    if re.match(rb"[ \d]{8},\d+,\n", text):
        return StoreError(
            f"the events of user {user_id!r} were written by a later version of vecrec", "update this vecrec"
        )
    return StoreError(
        f"the events of user {user_id!r} cannot be read: {text[:60]!r}",
        "another program wrote them; delete_events removes them",
    )


def _counted(values: Iterable[str] | None) -> list[str | int]:
    held = None if values is None else list(values)
    return [-1] if held is None else [len(held), *held]


def _number(value: float | None) -> str:
    # Whole numbers are written as such: Python parses them three times faster than floats.
    if value is None:
        return "null"
    return str(int(value)) if -_EXACT < value < _EXACT and value.is_integer() else repr(value)


def _item(item: Id) -> str:
    return encode_basestring(item) if isinstance(item, str) else str(item)


def _kind(kind: str | None) -> str:
    return "null" if kind is None else encode_basestring(kind)


def server_url(url: Any, cluster: bool) -> tuple[str, bool]:
    """The URL as redis-py knows it, and whether it names a cluster.

    Raises:
        InvalidDataError: for anything else. The message shows no part of the URL but its scheme.
    """
    if not isinstance(url, str) or "://" not in url:
        raise InvalidDataError("the address of Redis is not a URL", "give one such as redis://localhost:6379/0")
    scheme, rest = url.split("://", 1)
    if scheme.endswith("+cluster"):
        scheme, cluster = scheme[: -len("+cluster")], True
    if scheme not in _SCHEMES:
        raise InvalidDataError(
            f"{scheme!r} is not a scheme of a Redis URL", f"use one of {', '.join(_SCHEMES)}, redis+cluster"
        )
    plain = f"{scheme}://{rest}"
    try:
        parts = urlsplit(plain)
        _ = parts.port
        misplaced = "@" in f"{parts.path}{parts.query}{parts.fragment}" or bool(parts.fragment)
    except ValueError:
        misplaced = True
    if misplaced:
        # A password with one of these characters ends the host, and would be shown as a path or a port.
        raise InvalidDataError(
            "the URL of Redis cannot be read",
            "write / ? # and @ of a user or password as %2F %3F %23 and %40, and give the port as a number",
        ) from None
    return plain, cluster


def address_of(url: str) -> str:
    """What messages may show of a URL: neither its credentials nor its options, which may hold some."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"
