"""Free ports on the loopback interface."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which the kernel takes the ports of outgoing connections: a stopped server finds its
# port free again. And low enough that a Redis node's bus, 10,000 above its port, is a port too.
_FIRST, _LAST = 15_000, 32_000

_random = random.SystemRandom()
_given: set[int] = set()


def free_port(*, beside: int | None = None) -> int:
    """Give a port that nobody listens on, and never the same one twice.

    Args:
        beside: An offset whose port must be free as well.
    """
    while True:
        port = _random.randrange(_FIRST, _LAST)
        wanted = {port} if beside is None else {port, port + beside}
        if not wanted & _given and all(map(_is_free, wanted)):
            _given.update(wanted)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
