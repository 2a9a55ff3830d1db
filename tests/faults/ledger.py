"""What a thread has written, on disk before and after each write, so that it outlives the thread's process.

Each key has one writer. So what a store may hold of it is what the last acknowledged write says, or a later write that
was begun and not acknowledged: its answer was lost, or its process died.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ABSENT", "Ledger", "Operation", "expected_record", "operations"]

ABSENT = 0
"""The state of an item or a profile that is not there; others are the number of the write that made it."""

_TASTES = ("crime", "love", "space", "war")


def expected_record(state: int) -> dict[str, Any] | None:
    """The record of an item whose last write has this number."""
    return None if state == ABSENT else {"year": state, "tastes": [_TASTES[state % 4]], "title": f"Written {state}"}


@dataclass(slots=True)
class Operation:
    """One call, as far as the journal knows it."""

    name: str
    began: float
    """By the monotonic clock, which all processes of a machine share."""
    ended: float | None = None
    """``None`` where the process died meanwhile."""
    outcome: str = "cut"
    """``ok``, ``refused`` by a typed error, ``wrong``, or ``cut`` with its process."""


@dataclass
class Ledger:
    """The journal of one thread, and the model that follows from it."""

    path: Path
    number: int = 0
    """Of the latest write."""
    states: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """By kind and key: the acknowledged state, then those in doubt."""
    events: dict[str, dict[int, bool]] = field(default_factory=dict)
    """By user: the numbers of events, and whether each one is sure to be there."""
    forgotten: dict[str, set[int]] = field(default_factory=dict)
    """By user: the numbers of events that must not come back."""

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """The ledger of a journal that an earlier process may have begun."""
        made = cls(path)
        begun: dict[str, Any] | None = None
        for line in _lines(path):
            if line["at"] == "begin":
                made._begin(line)
                begun = line
            elif begun is not None:
                made._end(begun, line["outcome"])
                begun = None
        return made

    def possible(self, kind: str, key: str) -> list[int]:
        """The states in which a store may hold a record."""
        return self.states.get((kind, key), [ABSENT])

    def write(self, kind: str, key: str, call: Callable[[int], object], *, remove: bool = False) -> object:
        """Make a call that writes; its number is the new state, unless it removes."""
        line = {"at": "begin", "name": kind, "key": key, "number": self.number + 1, "remove": remove}
        return self._told(line, lambda: call(self.number))

    def read(self, name: str, call: Callable[[], object]) -> object:
        """Make a call that changes nothing."""
        return self._told({"at": "begin", "name": name}, call)

    def _told(self, line: dict[str, Any], call: Callable[[], object]) -> object:
        line["time"] = time.monotonic()
        self._append(line)
        self._begin(line)
        outcome = "refused"
        try:
            answer = call()
            outcome = "ok"
        except AssertionError:
            outcome = "wrong"
            raise
        finally:
            self._append({"at": "end", "outcome": outcome, "time": time.monotonic()})
            self._end(line, outcome)
        return answer

    def _begin(self, line: dict[str, Any]) -> None:
        if "number" not in line:
            return
        self.number, kind, key = line["number"], line["name"], line["key"]
        if kind == "event":
            self.events.setdefault(key, {})[self.number] = False
        elif kind == "forget":
            self.events[key] = dict.fromkeys(self.events.get(key, ()), False)
            self.states[("user", key)] = [*self.possible("user", key), ABSENT]
        else:
            self.states[(kind, key)] = [*self.possible(kind, key), ABSENT if line["remove"] else self.number]

    def _end(self, line: dict[str, Any], outcome: str) -> None:
        if "number" not in line or outcome != "ok":
            return
        number, kind, key = line["number"], line["name"], line["key"]
        if kind == "event":
            self.events[key][number] = True
        elif kind == "forget":
            self.forgotten.setdefault(key, set()).update(self.events.pop(key, ()))
            self.states[("user", key)] = [ABSENT]
        else:
            self.states[(kind, key)] = [ABSENT if line["remove"] else number]

    def _append(self, line: dict[str, Any]) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(descriptor, json.dumps(line).encode() + b"\n")
        finally:
            os.close(descriptor)


def operations(path: Path) -> Iterator[Operation]:
    """The calls of a journal, in order."""
    last: Operation | None = None
    for line in _lines(path):
        if line["at"] == "begin":
            if last is not None:
                yield last
            last = Operation(line["name"], line["time"])
        elif last is not None:
            last.ended, last.outcome = line["time"], line["outcome"]
    if last is not None:
        yield last


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from map(json.loads, path.read_bytes().splitlines())
