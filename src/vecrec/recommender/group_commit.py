"""Changes of the catalogue that wait for each other in one process, committed together.

A change costs a server of vectors some hundred milliseconds, one item or a thousand. So the thread that holds the turn
commits its own change with all those that have come meanwhile, and the first that came too late has the turn next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from typing_extensions import override

from vecrec.errors import InvalidDataError, ItemNotFoundError, StoreTimeoutError
from vecrec.ids import Id
from vecrec.recommender.coalesce import Coalescer, Waiting

__all__ = ["GroupCommit"]

_V = TypeVar("_V")

_MOST = 2_000
"""Items of a group, unless its first change alone has more."""


class GroupCommit(Coalescer[Mapping[Id, _V], None]):
    """Changes of one kind, by item.

    Args:
        commit: Commits values by item.
        exclusive: Keeps other processes out, after at most so many seconds of waiting for them.
        merge: The value of an item that two changes name, the earlier one first; by default the later one's.
    """

    def __init__(
        self,
        commit: Callable[[dict[Id, _V]], None],
        exclusive: Callable[[float], AbstractContextManager[None]],
        merge: Callable[[_V, _V], _V] = lambda earlier, later: later,
    ) -> None:
        super().__init__(turns=1)
        self._commit, self._exclusive, self._merge = commit, exclusive, merge

    def add(self, values: Mapping[Id, _V], seconds: float) -> None:
        """Commit a change, alone or with others, and return when that is done.

        Raises:
            StoreTimeoutError: when its turn has not come within ``seconds``; then nothing of it was written.
            VecrecError: what its commit raises. A change that cannot be used fails alone.
        """
        self.ask(values, seconds)

    @override
    def _withdraw(self, mine: Waiting[Mapping[Id, _V], None], seconds: float) -> None:
        if not self._take_back(mine):
            mine.ready.wait()  # it is being committed, which the timeouts of the stores bound
            return
        with self._exclusive(0.0):  # raises, and says who keeps it
            pass
        raise StoreTimeoutError(
            f"the change has waited {seconds:g} s for earlier changes of the catalogue, and was not written",
            "look at the stores, which are slow or do not answer, and try again",
        )

    @override
    def _turn(self, mine: Waiting[Mapping[Id, _V], None]) -> AbstractContextManager[None]:
        return self._exclusive(max(0.0, mine.until - time.monotonic()))

    @override
    def _choose(
        self, mine: Waiting[Mapping[Id, _V], None], others: list[Waiting[Mapping[Id, _V], None]]
    ) -> list[Waiting[Mapping[Id, _V], None]]:
        total, chosen = len(mine.value), 0
        for change in others:
            total += len(change.value)
            if total > _MOST:
                break
            chosen += 1
        return others[:chosen]

    @override
    def _answer(self, group: Sequence[Waiting[Mapping[Id, _V], None]]) -> list[None]:
        merged: dict[Id, _V] = {}
        for change in group:
            for key, value in change.value.items():
                merged[key] = self._merge(merged[key], value) if key in merged else value
        self._commit(merged)
        return [None] * len(group)

    @override
    def _is_of_one(self, error: Exception) -> bool:
        return isinstance(error, (InvalidDataError, ItemNotFoundError))
