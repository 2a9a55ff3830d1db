"""What the service watches beside its requests: how much of the exact result its own searches find."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from vecrec.errors import VecrecError
from vecrec.filters import Filter, check_filter
from vecrec.ids import Id
from vecrec.recommender import LoadedRelease, Recall, Recommender
from vecrec.recommender.recall import Repeated, repeat
from vecrec.recommender.users import user_vectors
from vecrec.serving.metrics import Metrics
from vecrec.types import User

__all__ = ["RecallWatch"]

_SAMPLE = 64
"""Searches that one pass repeats at most."""
_KEPT = 500
"""Repeated searches that a figure is made of, the latest ones."""
_ITEMS = 100_000
"""Items that a pass reads at most."""
_REST = 9.0
"""Seconds of pause for each second of work: a pass takes a tenth of a core."""
_K = 10
_RANGES = (1.0, 0.1, 0.01, 0.0)
"""The lower ends of the ranges of selectivity."""

_log = logging.getLogger("vecrec.serving")


class RecallWatch:
    """Repeats a sample of the searches exactly, every so often, in a thread that lives as long as a pass.

    Between two passes it keeps at most 64 searches, each as likely as the others.
    """

    def __init__(
        self,
        recommender: Recommender,
        metrics: Metrics,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch every ``seconds`` seconds; 0 for never."""
        self._recommender, self._metrics, self._seconds, self._clock = recommender, metrics, seconds, clock
        self._lock = threading.Lock()
        self._sample: list[tuple[User | Id, Filter | None]] = []
        self._seen = 0
        self._next = clock() + seconds
        self._release = ""
        self._repeated: dict[float, deque[Repeated]] = {}

    def note(self, user: User | Id, where: Filter | None) -> None:
        """A search was answered by vectors. Costs a random number, and now and then the start of a thread."""
        if not self._seconds:
            return
        with self._lock:
            self._seen += 1
            if len(self._sample) < _SAMPLE:
                self._sample.append((user, where))
            elif (place := random.randrange(self._seen)) < _SAMPLE:  # noqa: S311 - a sample, not a secret
                self._sample[place] = (user, where)
            if self._clock() < self._next:
                return
            self._next, sample, self._sample, self._seen = float("inf"), self._sample, [], 0
        threading.Thread(target=self._pass, args=(sample,), name="vecrec-recall", daemon=True).start()

    def _pass(self, sample: list[tuple[User | Id, Filter | None]]) -> None:
        try:
            with self._recommender.live() as live:
                self._repeat(live, sample)
        except VecrecError as error:
            _log.warning("recall was not measured: %s", error)
        finally:
            self._next = self._clock() + self._seconds

    def _repeat(self, live: LoadedRelease, sample: list[tuple[User | Id, Filter | None]]) -> None:
        stored: Any = self._recommender.get_users([user for user, _ in sample if not isinstance(user, User)])
        users = [user if isinstance(user, User) else stored.get(user, User()) for user, _ in sample]
        wheres = [None if where is None else check_filter(where, live.filter_fields) for _, where in sample]
        queries = np.asarray(user_vectors(live, users))
        found = repeat(
            self._recommender.vector_store, live.collection, queries, wheres, _K, most=_ITEMS, rest=_REST
        )  # fmt: skip
        if self._release != live.release.id:
            self._release, self._repeated = live.release.id, {}
        for each in found:
            low = next(low for low in _RANGES if each.selectivity >= low)
            self._repeated.setdefault(low, deque(maxlen=_KEPT)).append(each)
        self._metrics.recall({low: Recall.of(_K, each) for low, each in self._repeated.items()})
