"""Runs tests that are marked `serial` while no other worker of pytest-xdist runs a test.

What measures time or memory lies when a neighbour takes the other core. Running such tests in a second pytest would
work too, but would fail whenever the chosen tests have none of one sort, and would split the report in two.
"""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold the lock around each test: alone for a serial one, shared for all others."""
    worker: dict[str, str] | None = getattr(item.config, "workerinput", None)
    if worker is None:
        return (yield)
    # The controller's directory, which it deletes at the end of the run.
    folder = Path(worker["pool_address"]).parent
    kind = fcntl.LOCK_EX if item.get_closest_marker("serial") else fcntl.LOCK_SH
    with _turn(folder, kind):
        return (yield)


@contextlib.contextmanager
def _turn(folder: Path, kind: int) -> Iterator[None]:
    with (folder / "gate.lock").open("w") as gate, (folder / "serial.lock").open("w") as lock:
        # Who waits for the lock holds the gate, or a row of other tests could keep a serial one out for ever.
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(lock, kind)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
