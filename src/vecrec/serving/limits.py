"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

__all__ = ["Keys", "RateLimit"]

_CLIENTS = 10_000


class Keys:
    """The keys that open a service; it is open to everybody where there are none."""

    def __init__(self, keys: Iterable[str]) -> None:
        # Of equal length, so that the comparison takes the same time for every key.
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, key: str) -> bool:
        """Whether a key is one of them, in a time that does not tell how near it came."""
        given = _digest(key)
        return sum(hmac.compare_digest(given, digest) for digest in self._digests) > 0


class RateLimit:
    """A bucket of tokens for each client: so many a minute, with room for a sixth of them at once.

    It remembers the latest clients only, so its memory is bounded; a client that was forgotten starts with a full
    bucket. It belongs to one event loop.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._size, self._clock = per_minute / 60, max(per_minute / 6, 1.0), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Take a token; the seconds until there is one where there is none, else 0."""
        if not self._rate:
            return 0.0
        now = self._clock()
        tokens, since = self._buckets.pop(client, (self._size, now))
        tokens = min(self._size, tokens + (now - since) * self._rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._rate


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
