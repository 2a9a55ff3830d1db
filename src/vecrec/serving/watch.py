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
from vecrec.recommender.recall import Repeated, note_effort, repeat
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
_LEAST = 20
"""Repeated searches at least by which searches are found to miss too much."""
_EFFORTS = (2, 4, 8, 16, None)
"""How many times as much as usual a search looks at, step by step; at last all vectors."""
_EXACT = 20_000
"""Items at most of which all vectors are compared: reading them takes seconds where there are more."""
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
        target: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch every ``seconds`` seconds, 0 for never; widen the searches while their recall is under a target."""
        self._recommender, self._metrics, self._seconds, self._clock = recommender, metrics, seconds, clock
        self._target, self._efforts = target, list(_EFFORTS)
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
            self._release, self._repeated, self._efforts = live.release.id, {}, list(_EFFORTS)
            self._metrics.effort.set(1)
        for each in found:
            low = next(low for low in _RANGES if each.selectivity >= low)
            self._repeated.setdefault(low, deque(maxlen=_KEPT)).append(each)
        recalls = {low: Recall.of(_K, each) for low, each in self._repeated.items()}
        self._metrics.recall(recalls)
        poor = [each for each in recalls.values() if each.queries >= _LEAST and each.interval[1] < self._target]
        if poor and self._efforts:
            self._widen(live, min(poor, key=lambda each: each.recall))

    def _widen(self, live: LoadedRelease, poor: Recall) -> None:
        """Take the next step that changes searches; what was measured before it no longer counts."""
        store, collection = self._recommender.vector_store, live.collection
        while self._efforts:
            effort = self._efforts.pop(0)
            if effort is None and store.count(collection) > _EXACT:
                break
            if store.widen(collection, effort):
                self._metrics.effort.set(effort or 0)
                self._repeated = {}
                what = "read all vectors" if effort is None else f"look at {effort} times as much as usual"
                _log.warning("%s, less than the target of %g: searches %s from now on", poor, self._target, what)
                note_effort(self._recommender.metadata_store, live.release.id, effort, str(poor))
                return
        _log.warning("%s, less than the target of %g: the index cannot be searched better", poor, self._target)
