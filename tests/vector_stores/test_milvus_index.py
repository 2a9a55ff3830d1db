"""Waiting for an index: as long as it advances, and no longer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from tests.vector_stores.conftest import Make
from vecrec.errors import StoreTimeoutError
from vecrec.progress import Step, silent
from vecrec.vector_stores import MilvusVectorStore
from vecrec.vector_stores.milvus import store

DONE = {"state": "Finished", "pending_index_rows": 0, "indexed_rows": 100, "total_rows": 100}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_POLL", 0.0)


def watch(
    states: Iterable[dict[str, Any]], patience: float, progress: Callable[[Step], None] = silent
) -> store.IndexWatch:
    return store.IndexWatch(iter(states).__next__, patience, "flush", progress)


def test_an_index_that_advances_does_not_time_out() -> None:
    """Each look sees another row indexed, and the patience is over before the second one."""
    states = [{"state": "InProgress", "indexed_rows": n, "total_rows": 100} for n in range(50)] + [DONE]
    steps: list[Step] = []
    watch(states, 1e-9, steps.append).wait()
    assert steps == [Step("build index", n, 100) for n in (*range(50), 100)]
    watch([{"state": "Finished", "pending_index_rows": 3}, DONE], 1e-9).wait()


def test_an_index_that_stands_still_does() -> None:
    still = {"state": "InProgress", "indexed_rows": 7}
    with pytest.raises(StoreTimeoutError, match="not advanced"):
        watch(iter(lambda: still, None), 1e-3).wait()


def test_rows_that_are_being_written_out_count_as_progress() -> None:
    """A server that has not finished a flush is asked again, as long as it holds more rows each time."""
    written = watch([{"state": "Finished", "pending_index_rows": 9, "total_rows": n} for n in (1, 2, 3, 3)], 1e-9)
    assert not any(written.look() for _ in range(3))
    with pytest.raises(StoreTimeoutError, match="not advanced"):
        written.look()


@pytest.mark.milvus
def test_a_server_says_how_far_its_index_is(server: MilvusVectorStore, make: Make) -> None:
    name = make(server, 8, "ip", {})
    steps: list[Step] = []
    server.upsert(name, range(3000), np.random.default_rng(1).normal(size=(3000, 8)))
    server.flush(name, steps.append)
    assert steps[-1] == Step("build index", 3000, 3000)
