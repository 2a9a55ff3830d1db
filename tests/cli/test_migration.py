"""A recommender moves to other stores and back: all of it, gone on with after a break, and compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.recommender.tastes import TasteEncoder, world
from tests.serving.conftest import published
from vecrec import Event, Item, Recommender, User
from vecrec.errors import InvalidDataError, ReleaseError, StoreError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.progress import Step
from vecrec.vector_stores import MemoryVectorStore


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Recommender]:
    """Give a recommender with two releases, items and events of both types of ids, and a mark."""
    with published(tmp_path) as recommender:
        recommender.fit(world())
        recommender.upsert_items([Item("new", {"title": "New", "tastes": ["war"], "rate": 1.0, "count": 1})])
        recommender.record([Event("visitor", 3, 5.0, 4.5), Event("visitor", "new", 5.0)])
        recommender.upsert_users([User("profiled", {"taste": "love"})])
        recommender.metadata_store.put("pending", {7: {"op": "upsert"}})
        yield recommender


def _open(source: Recommender, tmp_path: Path, *stores: object) -> Recommender:
    return Recommender.open("demo", *stores, tmp_path, encoder=TasteEncoder)  # type: ignore[arg-type,misc]


def test_the_same_answers_come_from_the_new_stores(source: Recommender, tmp_path: Path) -> None:
    """Records, events, marks, both releases; a second call has nothing to do."""
    stores = (MemoryVectorStore(), MemoryMetadataStore())
    done = source.migrate(*stores)
    assert (done.records, done.events, done.vectors, done.removed) == (61 + 41 + 1 + 2, 482, 121, 0)
    moved = _open(source, tmp_path, *stores)
    for user in (3, "visitor", "profiled", "nobody"):
        assert [(each.item_id, each.score) for each in moved.recommend(user)] == [
            (each.item_id, each.score) for each in source.recommend(user)
        ]
    assert moved.verify().pending == (7,)
    again = source.migrate(*stores)
    assert (again.records, again.events, again.vectors, again.removed) == (0, 0, 0, 0)
    moved.rollback()
    assert moved.recommend(3)


def test_the_facade_has_a_door_to_it(source: Recommender, tmp_path: Path) -> None:
    """Same counts as the function, the recommender stays where it is, and the new stores are open for more."""
    stores = (MemoryVectorStore(), MemoryMetadataStore())
    steps: list[Step] = []
    done = source.migrate(*stores, progress=steps.append)
    assert (done.records, done.vectors) == (61 + 41 + 1 + 2, 121)
    assert {step.stage for step in steps} >= {"vectors", "compare"}
    assert source.vector_store is not stores[0]
    moved = _open(source, tmp_path, *stores)
    assert [each.item_id for each in moved.recommend(3)] == [each.item_id for each in source.recommend(3)]


def test_what_changed_meanwhile_follows(source: Recommender) -> None:
    """Changes and deletions since the first call; types within records too."""
    stores = (MemoryVectorStore(), MemoryMetadataStore())
    source.migrate(*stores)
    source.upsert_items([Item("new", {"title": "New", "tastes": ["war"], "rate": 1, "count": True})])
    source.delete_items([5])
    source.forget_user(6)
    source.record(Event("visitor", 3, 5.0, 1.0))
    done = source.migrate(*stores)
    assert (done.records, done.events, done.vectors) == (1 + 2 + 1, 2, 1)  # with two edits and a hash
    assert done.removed == 1 + 1 + 1 + 1  # the item's record and vector, the user's record and events
    assert stores[1].get("item", ["new"]) == source.metadata_store.get("item", ["new"])


def test_a_break_leaves_a_target_that_nobody_serves_from(source: Recommender, tmp_path: Path) -> None:
    """Called again it ends the work, and writes only what was missing."""

    class StoppedError(Exception):
        pass

    def stop(step: Step) -> None:
        if step.stage == "vectors":
            raise StoppedError

    stores = (MemoryVectorStore(), MemoryMetadataStore())
    with pytest.raises(StoppedError):
        source.migrate(*stores, progress=stop)
    with pytest.raises(ReleaseError, match="holds nothing"):
        _open(source, tmp_path, *stores)
    done = source.migrate(*stores)
    assert (done.records, done.events) == (0, 0)
    assert _open(source, tmp_path, *stores).recommend(3)


def test_a_writer_that_goes_on_is_noticed(source: Recommender, tmp_path: Path) -> None:
    """What was written behind the copy's back is found by the comparison, and the target stays unclaimed."""

    def write(step: Step) -> None:
        if step.stage == "vectors":
            source.upsert_items([Item("late", {"title": "Late"})])

    stores = (MemoryVectorStore(), MemoryMetadataStore())
    with pytest.raises(StoreError, match="is being written to"):
        source.migrate(*stores, progress=write)
    with pytest.raises(ReleaseError):
        _open(source, tmp_path, *stores)
    source.migrate(*stores)
    assert _open(source, tmp_path, *stores).get_items(["late"])


def test_bad_targets_are_refused(source: Recommender, tmp_path: Path) -> None:
    """The source itself, another recommender's stores, stores that do not answer: nothing is written."""
    with pytest.raises(InvalidDataError, match="same store"):
        source.migrate(source.vector_store, MemoryMetadataStore())
    with pytest.raises(InvalidDataError, match="give a VectorStore"):
        source.migrate("http://milvus:19530", MemoryMetadataStore())  # type: ignore[arg-type]
    taken = MemoryMetadataStore()
    taken.put("vecrec", {"owner": {"name": "other"}})
    with pytest.raises(InvalidDataError, match="'other'"):
        source.migrate(MemoryVectorStore(), taken)
    with published(tmp_path / "else") as elsewhere:
        assert elsewhere.metadata_store.count("item") == 60


@pytest.mark.slow
def test_from_embedded_to_servers_and_back(run: Run, tmp_path: Path, milvus_uri: str, redis_url: str) -> None:
    """By the command: Milvus Lite and SQLite to Milvus and Redis, and from there into new files; the same lists."""
    before = run("recommend", "3", "--json").json
    there = ["--vector-store", milvus_uri, "--metadata-store", redis_url]
    onward = ["--to-vector-store", milvus_uri, "--to-metadata-store", redis_url]
    assert run("migrate", *onward, "--json").json["vectors"] == 40
    moved = run("recommend", "3", "--json", *there).json
    assert [each["item_id"] for each in moved["items"]] == [each["item_id"] for each in before["items"]]
    files = [str(tmp_path / "back.db"), f"sqlite:///{tmp_path / 'back.sqlite'}"]
    back = ["--to-vector-store", files[0], "--to-metadata-store", files[1]]
    assert run("migrate", *there, *back, "--json").json["vectors"] == 40
    again = run("recommend", "3", "--json", "--vector-store", files[0], "--metadata-store", files[1]).json
    assert again | {"request_id": before["request_id"]} == before
    assert run("migrate", "--to-vector-store", "http://127.0.0.1:1", "--to-metadata-store", files[1]).status == 3
