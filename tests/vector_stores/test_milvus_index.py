"""Waiting for an index: as long as it advances, and no longer."""

from __future__ import annotations

import pytest

from vecrec.errors import StoreTimeoutError
from vecrec.vector_stores.milvus import store

DONE = {"state": "Finished", "pending_index_rows": 0, "indexed_rows": 100}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_POLL", 0.0)


def test_an_index_that_advances_does_not_time_out() -> None:
    """Each look sees another row indexed, and the patience is over before the second one."""
    states = [{"state": "InProgress", "indexed_rows": n} for n in range(50)] + [DONE]
    store.await_index(iter(states).__next__, 1e-9, "flush")
    store.await_index(iter([{"state": "Finished", "pending_index_rows": 3}, DONE]).__next__, 1e-9, "flush")


def test_an_index_that_stands_still_does() -> None:
    with pytest.raises(StoreTimeoutError, match="not advanced"):
        store.await_index(lambda: {"state": "InProgress", "indexed_rows": 7}, 1e-3, "flush")
