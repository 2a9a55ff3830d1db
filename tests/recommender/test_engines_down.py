"""What a reader gets while an engine is gone: a labelled answer or a clear error, in time, and all again afterwards."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from tests.recommender.tastes import TasteEncoder, world
from tests.servers import MilvusServer, RedisServer
from vecrec import Event, Item, Recommender, User, field
from vecrec.errors import StoreTimeoutError, StoreUnavailableError
from vecrec.metadata_stores import MemoryMetadataStore, RedisMetadataStore
from vecrec.types import Hit
from vecrec.vector_stores import MemoryVectorStore
from vecrec.vector_stores.milvus import MilvusVectorStore


def _down(*arguments: object, **options: object) -> None:
    raise StoreUnavailableError("nobody answers at http://vectors")


def test_without_the_vector_store_popularity_serves_and_says_so(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Known or not, stored or not, one or many: what is popular and unseen, under its own name, with a note."""
    monkeypatch.setattr(MemoryVectorStore, "_search", _down)
    with caplog.at_level(logging.WARNING, "vecrec"):
        answers = [rec.recommend(1, 5), *rec.recommend_many([1, 2], 5), rec.recommend_for(User(None, None, [1, 5]), 5)]
    for found in answers:
        assert (found.served_by, found.based_on, len(found)) == ("popularity", (), 5)
        assert found.notes[-1] == "the vector store does not answer, popularity serves"
    assert not {4 * n + 1 for n in range(12)} & {each.item_id for each in answers[0]}
    assert "popularity serves: nobody answers at http://vectors" in caplog.text  # an address, for the log alone
    with pytest.raises(StoreUnavailableError, match="nobody answers"):
        rec.similar_items(1)


def test_a_deeper_search_that_fails_counts_as_a_failure(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """No list is half of the one and half of the other."""
    rec.upsert_items([Item(n, {"tastes": ["love"], "year": 2_000 + n}) for n in range(1_000, 1_600)])
    rec.record([Event(1, n, float(n)) for n in range(1_000, 1_600)])
    search: Any = MemoryVectorStore._search
    limits: list[int] = []

    def fail_later(self: MemoryVectorStore, *arguments: Any) -> Any:
        limits.append(arguments[3])
        if len(limits) > 1:
            _down()
        return search(self, *arguments)

    monkeypatch.setattr(MemoryVectorStore, "_search", fail_later)
    found = rec.recommend(1, 10)
    assert len(limits) == 2
    assert limits[0] < limits[1]
    assert (found.served_by, len(found)) == ("popularity", 10)


def test_without_the_metadata_store_the_error_is_told_once(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not mistaken for the vector store's, and not tried again, which would double the wait."""
    calls: list[str] = []

    def down(self: MemoryMetadataStore, kind: str, *arguments: object) -> None:
        calls.append(kind)
        _down()

    monkeypatch.setattr(MemoryMetadataStore, "_get", down)
    with pytest.raises(StoreUnavailableError, match="nobody answers"):
        rec.recommend_for(User(None, {"taste": "war"}))
    assert calls == ["item"]
    with pytest.raises(StoreUnavailableError, match="nobody answers"):
        rec.recommend(1)
    assert calls == ["item", "user"]


# -- real servers, which these tests stop, kill and freeze


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.mark.redis
def test_a_redis_that_is_frozen_or_dead_is_told_within_the_timeout(tmp_path: Path, redis: RedisServer) -> None:
    """Frozen: a timeout. Dead: nobody there. Back again: everything works, without a new recommender."""
    stores = MemoryVectorStore(), RedisMetadataStore(redis.url, timeout=0.5)
    with Recommender(TasteEncoder(), *stores, name="movies", artifacts=tmp_path) as rec:
        rec.fit(world())
        before = rec.recommend(1, 5).items
        redis.pause()
        try:
            with pytest.raises(StoreTimeoutError):
                rec.recommend(1)
        finally:
            redis.resume()
        _wait_until_served(rec, "vectors")
        assert rec.recommend(1, 5).items == before
        redis.kill()
        for call in (lambda: rec.recommend(1), lambda: rec.record(Event(1, 1)), lambda: rec.upsert_items([Item(1)])):
            with pytest.raises(StoreUnavailableError):
                call()
        redis.start()
        _wait_until_served(rec, "vectors")
        assert rec.recommend(1, 5).items == before


@pytest.mark.slow
@pytest.mark.milvus
def test_a_milvus_that_is_killed_costs_the_vectors_and_not_the_service(tmp_path: Path) -> None:
    """While it is gone popularity serves; when it is back, so are the vectors, in the same process."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with MilvusServer() as server:
        stores = MilvusVectorStore(server.url, timeout=5), MemoryMetadataStore()
        with Recommender(TasteEncoder(), *stores, name=name, artifacts=tmp_path) as rec:
            rec.fit(world())
            rec.vector_store.flush(rec.releases()[0].collection)
            before = [each.item_id for each in rec.recommend(1, 5)]
            server.kill()
            found = rec.recommend(1, 5)
            assert (found.served_by, len(found)) == ("popularity", 5)
            with pytest.raises(StoreUnavailableError):
                rec.upsert_items([Item(57, {"tastes": ["love"], "year": 2099})])
            opened = Recommender.open(name, *stores, tmp_path, encoder=TasteEncoder)
            assert opened.recommend(1, 5).served_by == "popularity"
            server.start()
            _wait_until_served(rec, "vectors")
            assert set(rec.repair()) <= {57}
            assert rec.verify(), str(rec.verify())
            assert [each.item_id for each in rec.recommend(1, 5)] == before


class CountedMilvus(MilvusVectorStore):
    """Counts the searches that reach the engine."""

    searches = 0

    @override
    def _search(self, *arguments: Any, **options: Any) -> list[list[Hit]]:
        self.searches += 1
        return super()._search(*arguments, **options)


@pytest.mark.slow
@pytest.mark.milvus
def test_a_milvus_that_is_stopped_is_waited_for_once(tmp_path: Path) -> None:
    """Popularity serves, labelled, filtered and without seen items; a recommender opens meanwhile; all comes back."""
    name, metadata = f"t{uuid.uuid4().hex[:12]}", MemoryMetadataStore()
    # By default a standalone server ends itself when it was stopped for ten seconds.
    with (
        MilvusServer({"common.session.ttl": 120}) as server,
        CountedMilvus(server.url, timeout=2) as vectors,
        Recommender(TasteEncoder(), MilvusVectorStore(server.url), metadata, name=name, artifacts=tmp_path) as rec,
    ):
        rec.fit(world())
        serving = Recommender.open(name, vectors, metadata, tmp_path, encoder=TasteEncoder)
        _wait_until_served(serving, "vectors")
        server.pause()
        try:
            with ThreadPoolExecutor(16) as pool:
                first = list(pool.map(lambda _: serving.recommend(1, 5).served_by, range(16)))
            assert set(first) == {"popularity"}
            vectors.searches = 0
            answers = [serving.recommend(1, 5, where=field("year") >= 2010) for _ in range(50)]
            assert vectors.searches == 0
            opened = Recommender.open(name, vectors, metadata, tmp_path, encoder=TasteEncoder)
            answers.append(opened.recommend(1, 5, where=field("year") >= 2010, timeout=30))
            with pytest.raises(StoreTimeoutError):
                serving.similar_items(1)
            with pytest.raises(StoreTimeoutError):
                serving.upsert_items(Item(57, {"tastes": ["love"], "year": 2099}))
        finally:
            server.resume()
        seen = {event.item_id for event in serving.history(1)}
        for found in answers:
            assert (found.served_by, len(found)) == ("popularity", 5)
            assert "the vector store does not answer, popularity serves" in found.notes
            assert all(int(str(item["year"])) >= 2010 and item.item_id not in seen for item in found)
        _wait_until_served(serving, "vectors")


def _wait_until_served(rec: Recommender, by: str) -> None:
    # After a restart the collections of a Milvus count as "not loaded" for some seconds.
    deadline = time.monotonic() + 120
    while not _serves(rec, by):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _serves(rec: Recommender, by: str) -> bool:
    try:
        return rec.recommend(1).served_by == by
    except StoreUnavailableError:
        return False
