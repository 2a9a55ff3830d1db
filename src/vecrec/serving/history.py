"""Requests of the last two hours by the minute, for the operator's view; Prometheus has the rest."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Minute", "RequestHistory"]

_MINUTES = 120
_SAMPLED = 1_000
"""Durations that are kept of a minute, the latest ones."""


@dataclass(slots=True)
class Minute:
    """The requests of one minute."""

    start: int
    """When it began, in seconds since 1970."""
    requests: int = 0
    errors: int = 0
    """Answers with a status of 500 and above."""
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLED))
    """How long answers took."""

    def percentile(self, percent: float) -> float:
        """A percentile of the durations, in milliseconds; 0 without any."""
        return float(np.percentile(list(self.seconds), percent)) * 1e3 if self.seconds else 0.0


class RequestHistory:
    """Counts requests; a minute without any has no entry."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._minutes: deque[Minute] = deque(maxlen=_MINUTES)
        self._lock = threading.Lock()

    def note(self, status: int, seconds: float) -> None:
        """Count one request."""
        start = int(self._clock() // 60) * 60
        with self._lock:
            if not self._minutes or self._minutes[-1].start != start:
                self._minutes.append(Minute(start))
            minute = self._minutes[-1]
            minute.requests += 1
            minute.errors += status >= 500
            minute.seconds.append(seconds)

    def minutes(self) -> list[Minute]:
        """The minutes of the last two hours that had requests, oldest first."""
        since = self._clock() - 60 * _MINUTES
        with self._lock:
            return [
                Minute(each.start, each.requests, each.errors, each.seconds.copy())
                for each in self._minutes
                if each.start > since
            ]
