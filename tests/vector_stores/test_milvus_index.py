"""Waiting for an index: as long as it advances, and no longer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from tests.vector_stores.conftest import Make
from vecrec.errors import InvalidDataError, StoreTimeoutError
from vecrec.progress import Step, silent
from vecrec.vector_stores import CollectionSpec, MemoryVectorStore, MilvusVectorStore
from vecrec.vector_stores.milvus import HNSW, Flat, Index, IVFFlat, store

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


def _found(made: MilvusVectorStore, name: str, queries: np.ndarray[Any, Any], exact: list[set[int]]) -> float:
    rows = made.search(name, queries, 10)
    return sum(len({hit.id for hit in row} & best) for row, best in zip(rows, exact)) / (10 * len(exact))


@pytest.mark.milvus
@pytest.mark.parametrize(
    "index", [HNSW(m=4, ef_construction=8, ef=12), IVFFlat(nlist=64, nprobe=1)], ids=["HNSW", "IVF"]
)
def test_a_wider_search_of_a_server_finds_more(index: Index, milvus_uri: str) -> None:
    """By the index's own setting, and everything where all vectors are read."""
    random = np.random.default_rng(3)
    vectors, queries = random.normal(size=(4000, 32)), random.normal(size=(20, 32))
    exact = [set(row.tolist()) for row in np.argsort(-(queries @ vectors.T), axis=1)[:, :10]]
    name = f"wide_{index.kind.lower()}"
    with MilvusVectorStore(milvus_uri, index=index, timeout=60) as made:
        made.create(name, CollectionSpec(dim=32))
        made.upsert(name, range(4000), vectors)
        made.flush(name)
        usual = _found(made, name, queries, exact)
        assert made.widen(name, 16)
        wider = _found(made, name, queries, exact)
        assert usual + 0.2 < wider
        assert not made.widen(name, 16), "nothing changes"
        assert made.widen(name, None)
        assert _found(made, name, queries, exact) == 1.0
        assert made.widen(name, 1)
        assert _found(made, name, queries, exact) < wider
        made.drop(name)


def test_effort_ends_where_the_index_does() -> None:
    assert HNSW(ef=100).search(10, 4) == {"ef": 400}
    assert HNSW(ef=30_000).search(10, 4) == {"ef": 32_768}
    assert IVFFlat(nlist=64, nprobe=16).search(10, 16) == {"nprobe": 64}
    assert Flat().search(10, 16) == {}
    exact = MemoryVectorStore()
    exact.create("films", CollectionSpec(dim=2))
    assert not exact.widen("films", 2)
    assert not exact.widen("films", None)
    with pytest.raises(InvalidDataError, match="effort"):
        exact.widen("films", 0)
