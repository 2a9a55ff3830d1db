"""What was deleted, edited or forgotten stays so through `fit`, and a store is never taken for another one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.recommender.tastes import SCHEMA, TasteEncoder, world
from vecrec import Event, FeedbackPolicy, Item, Recommender, ReleaseChecks, User
from vecrec.cli import main
from vecrec.data import Dataset
from vecrec.errors import InvalidDataError, ReleaseError
from vecrec.metadata_stores import MemoryMetadataStore, MetadataStore, RedisMetadataStore, SQLMetadataStore
from vecrec.recommender.edits import DELETED_EVENTS, FORGOTTEN, ITEM_EDIT, USER_EDIT
from vecrec.vector_stores import MemoryVectorStore


def _edit(rec: Recommender) -> None:
    rec.delete_items([7])
    rec.upsert_items([Item(5, {"title": "Corrected", "tastes": ["love"]})])
    rec.upsert_users([User(4, {"taste": "war"})])
    rec.forget_user(3)


def test_an_older_data_set_undoes_nothing(rec: Recommender) -> None:
    export = world()
    _edit(rec)
    for _ in range(2):
        rec.fit(export)
        assert rec.get_items([5, 7]) == {5: Item(5, {"title": "Corrected", "tastes": ["love"]})}
        assert rec.get_users([3]) == {}
        assert rec.metadata_store.get("user", [4]) == {4: {"taste": "war"}}
        assert rec.verify()


def test_a_newer_data_set_counts_and_settles_the_edits(rec: Recommender) -> None:
    _edit(rec)
    rec.fit(world())
    assert rec.get_items([5, 7])[5].features["title"] == "Movie 5"
    assert rec.metadata_store.get("user", [4]) == {4: {"taste": "crime"}}
    assert [rec.metadata_store.count(kind) for kind in (ITEM_EDIT, USER_EDIT)] == [0, 0]
    assert rec.get_users([3]) == {}, "all of these events are older than the moment of forgetting"


def test_a_forgotten_user_is_remembered_by_a_hash_and_may_come_back(rec: Recommender) -> None:
    assert rec.forget_user("anna@example.org").remembered
    assert "anna" not in str(list(rec.metadata_store.scan(FORGOTTEN)))
    given = world()
    events = [*given.events(), Event("anna@example.org", 1, 2_000.0), Event("anna@example.org", 2, 4e9)]
    rec.fit(Dataset(events, [*given.items()], schema=SCHEMA, as_of=4.1e9))
    assert [event.item_id for event in rec.metadata_store.recent_events(["anna@example.org"])["anna@example.org"]] == [
        2
    ]


@pytest.mark.parametrize("given", [True, False])
def test_an_item_without_a_record_is_served_only_where_none_has_one(unfitted: Recommender, given: bool) -> None:
    base = world()
    events = [*base.events(), *(Event(user, "typo", 9e5) for user in range(40))]
    parts = MemoryVectorStore(), MemoryMetadataStore()
    artifacts = unfitted._archive.path.parent / "other"
    easy = ReleaseChecks(beat_popularity=False)
    rec = Recommender(TasteEncoder(), *parts, name="shop", artifacts=artifacts, checks=easy)
    rec.fit(Dataset(events, [*base.items()] if given else None))
    assert ("typo" in rec.get_items(["typo"])) is not given
    assert ("typo" in rec.recommend("stranger", 60).item_ids) is not given
    rec.delete_items(["typo", 1])
    rec.fit(Dataset(events), drop_fields=("tastes", "year"))
    assert rec.get_items(["typo", 1]) == {}, "its events are older than the deletion, whenever the log was read"


def test_a_log_alone_keeps_the_records(rec: Recommender) -> None:
    rec.fit(Dataset([*world().events()], schema=SCHEMA))
    assert rec.get_items([5])[5].features["title"] == "Movie 5"


def test_the_policy_of_the_data_set_counts_after_that_of_the_recommender(rec: Recommender) -> None:
    rec.fit(world().with_feedback(FeedbackPolicy(negative_rating=2)))
    assert rec.releases()[0].feedback["negative_rating"] == 2
    rec.fit(world())
    assert rec.releases()[0].feedback["negative_rating"] == 2, "then the live release's"


CALLS: list[Callable[[Recommender], object]] = [
    lambda rec: rec.recommend(1),
    lambda rec: rec.get_items([1]),
    lambda rec: rec.get_users([1]),
    lambda rec: rec.record(Event(1, 2)),
    lambda rec: rec.forget_user(1),
    lambda rec: rec.upsert_items([Item(1)]),
    lambda rec: rec.delete_items([1]),
    lambda rec: rec.upsert_users([User(1)]),
    lambda rec: rec.verify(),
    lambda rec: rec.repair(full=True),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("other", ["empty", "name", "catalogue"])
def test_a_store_of_another_catalogue_is_refused(
    rec: Recommender, tmp_path: Path, other: str, call: Callable[[Recommender], object]
) -> None:
    metadata = MemoryMetadataStore()
    if other != "empty":
        name = "movies" if other == "catalogue" else "books"
        Recommender(TasteEncoder(), MemoryVectorStore(), metadata, name=name, artifacts=tmp_path / "o").fit(world())
    before = list(metadata.scan_events()), list(metadata.scan("item"))
    wrong = Recommender(TasteEncoder, rec.vector_store, metadata, name="movies", artifacts=rec._archive.path.parent)
    with pytest.raises((InvalidDataError, ReleaseError), match="this metadata store holds"):
        call(wrong)
    assert (list(metadata.scan_events()), list(metadata.scan("item"))) == before
    assert rec.verify()


def test_repair_deletes_most_of_the_vectors_only_when_told_to(rec: Recommender) -> None:
    rec.metadata_store.delete("item", list(range(40)))
    with pytest.raises(ReleaseError, match="40 of 60 vectors would be deleted"):
        rec.repair(full=True)
    assert rec.verify().vectors == 60
    assert len(rec.repair(full=True, allow_deletions=True)) == 40
    assert rec.verify().vectors == 20


@pytest.mark.parametrize("prefix", ["", "movies_"])
def test_the_command_line_meets_what_python_wrote_by_either_prefix(
    tmp_path: Path, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url, vectors = f"sqlite:///{tmp_path}/m.sqlite", str(tmp_path / "m.db")
    from vecrec.encoders import ContentEncoder
    from vecrec.vector_stores import MilvusVectorStore

    metadata = SQLMetadataStore(url, prefix=prefix) if prefix else SQLMetadataStore(url)
    made = Recommender(ContentEncoder(dim=16), MilvusVectorStore(vectors), metadata, name="movies", artifacts=tmp_path)
    with made:
        made.fit(world())
    where = ["--name", "movies", "--artifacts", str(tmp_path), "--vector-store", vectors, "--metadata-store", url]
    assert main(["verify", *where]) == 0
    assert "60 records, 60 vectors: they agree" in capsys.readouterr().out
    assert main(["publish", "--allow-empty", *where]) == 0


def _with_like(at: float | None) -> Dataset:
    """The world, in which user 3 likes item 40 at a time, or the same without any times."""
    given = [*world().events(), Event(3, 40, at, kind="like")]
    events = given if at is not None else [Event(each.user_id, each.item_id, kind=each.kind) for each in given]
    return Dataset(events, [*world().items()], [*world().users()], SCHEMA, as_of=2_000_000_000.0 if at else None)


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize(
    "conditions", [{"item_ids": 40}, {"kinds": "like"}, {"item_ids": [40, 41], "kinds": ["like", None]}, {}]
)
def test_a_deleted_event_stays_deleted(
    unfitted: Recommender, times: bool, conditions: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older log does not bring it back, a later event counts, and a later data set settles it."""
    log = _with_like(9e8 if times else None)
    unfitted.fit(log)
    if times:
        monkeypatch.setattr(time, "time", lambda: 2_000_000_100.0)
    assert unfitted.delete_events(3, **conditions)
    left = unfitted.history(3)
    assert not any(event.item_id == 40 for event in left)
    unfitted.fit(log)
    assert unfitted.history(3) == left
    unfitted.record(Event(3, 40, kind="like"))
    unfitted.fit(log)
    assert [event.item_id for event in unfitted.history(3)][-1:] == [40]
    assert [event.kind for event in unfitted.history(3) if event.item_id == 40] == ["like"]
    newer = Dataset([*log.events()], [*log.items()], [*log.users()], SCHEMA, as_of=2_000_000_200.0 if times else None)
    unfitted.fit(newer)
    assert unfitted.metadata_store.count(DELETED_EVENTS) == 0


def test_what_was_deleted_is_forgotten_with_the_user(rec: Recommender) -> None:
    rec.record(Event("anna@example.org", 5, kind="like"))
    rec.delete_events("anna@example.org", 5)
    assert rec.metadata_store.count(DELETED_EVENTS) == 1
    rec.forget_user("anna@example.org")
    assert rec.metadata_store.count(DELETED_EVENTS) == 0


@pytest.mark.parametrize("kind", ["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis)])
@pytest.mark.parametrize("call", ["_get", "_put"])
def test_what_users_change_while_a_fit_writes_is_not_lost(
    tmp_path: Path,
    kind: str,
    call: str,
    server_url: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A profile that is written, or an event that is deleted, at any call of the store by the load stays so."""
    made: dict[str, Callable[[], MetadataStore]] = {
        "memory": MemoryMetadataStore,
        "sqlite": lambda: SQLMetadataStore(f"sqlite:///{tmp_path}/m.sqlite"),
        "redis": lambda: RedisMetadataStore(server_url("redis"), prefix=f"t{uuid.uuid4().hex[:12]}"),
    }
    store, changes = made[kind](), list[str]()
    shop = Recommender(TasteEncoder(), MemoryVectorStore(), store, name="movies", artifacts=tmp_path, refresh_seconds=0)
    with shop:
        shop.fit(world())
        own = getattr(store, call)

        def interrupted(what: str, *rest: Any) -> Any:
            done = own(what, *rest)
            if what in ("user", "user_edit") and not changes:
                changes.append(what)
                shop.upsert_users(User(4, {"taste": "war"}))
                shop.upsert_users(User(5, {"taste": "love"}))
                shop.delete_events(6)
            return done

        monkeypatch.setattr(store, call, interrupted)
        data = world()
        shop.fit(data)
        assert changes
        assert store.get("user", [4, 5]) == {4: {"taste": "war"}, 5: {"taste": "love"}}
        assert shop.history(6) == []
