"""`Recommender.dataset`: what the stores hold is the data set that was fitted, and fitting it again changes nothing."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recommender.engines import Engine, each_engine, snapshot
from tests.recommender.tastes import SCHEMA, TasteEncoder, world
from vecrec import Event, Item, Recommender, User
from vecrec.cli import main
from vecrec.data import Dataset, Schema
from vecrec.data.vector_files import read_vectors
from vecrec.encoders import ContentEncoder
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.metadata_stores import SQLMetadataStore
from vecrec.vector_stores import FileVectorStore


def _log() -> Dataset:
    """Kinds, ratings, ids of both types, users without a profile, items without a record."""
    base = world(12, 20)
    events = [
        *base.events(),
        Event("visitor", 3, 5_000.0, rating=4.1, kind="view"),
        Event("visitor", "x", 5_001.0, kind="purchase"),
        Event(3, "gone", 6_000.5, rating=1.0),
    ]
    items = [*base.items(), Item("x", {"year": 2000, "nested": {"a": [1, 1.0, None]}, "none": None})]
    users = [*base.users(), User("quiet", {"taste": "war"})]
    return Dataset(events, items, users, SCHEMA)


@each_engine()
def test_what_was_fitted_is_read_back(engine: Engine) -> None:
    """Every array, id and record; fitted again, the stores hold the same, and a third reading too."""
    data = _log()
    with engine.recommender() as rec:
        rec.fit(data)
        found = rec.dataset()
        assert found.digest == data.digest
        assert (found.user_ids, found.item_ids) == (data.user_ids, data.item_ids)
        assert {"visitor", "quiet"} <= {*found.user_ids}
        assert {*found.user_ids} == {*rec.user_ids()}
        before = {kind: rows for kind, rows in snapshot(rec).items() if kind in ("item", "user", "events")}
        rec.fit(found)
        assert {kind: rows for kind, rows in snapshot(rec).items() if kind in before} == before
        assert rec.dataset().digest == data.digest
        assert rec.verify()


@pytest.mark.parametrize("order", ["rows", None])
def test_a_log_without_times_stays_one(unfitted: Recommender, order: Any) -> None:
    """It is in order where it was declared to be, and of unknown order otherwise."""
    table = {"user_id": [1, 1, 1, 2, 2, 3], "item_id": ["c", "a", "b", "a", "c", "a"]}
    data = Dataset(table, [{"item_id": key, "title": key} for key in "abc"], order=order)
    unfitted.fit(data)
    for _ in range(2):
        found = unfitted.dataset()
        assert (found.digest, found.order) == (data.digest, data.order)
        unfitted.fit(found)
    unfitted.record(Event(1, "a", kind="view"))
    mixed = unfitted.dataset()
    assert mixed.n_events == 7
    assert [event.item_id for event in mixed.user(mixed.user_code(1) or 0, history=True).history][-1] == "a"
    unfitted.fit(mixed)
    assert unfitted.dataset().digest == mixed.digest


def test_a_window_of_time(rec: Recommender) -> None:
    """From `since` on and before `until`, by any form of a time; users and items stay."""
    data = world()
    assert data.times is not None
    found = rec.dataset(since=1_100, until=dt.datetime.fromtimestamp(1_200, dt.timezone.utc))
    assert found.times is not None
    assert sorted(found.times) == sorted(data.times[(data.times >= 1_100) & (data.times < 1_200)])
    assert (found.n_items, {*found.user_ids}) == (60, {*data.user_ids})
    assert rec.dataset(since=9e8).n_events == 0


def test_what_changes_after_the_reading_is_newer(rec: Recommender) -> None:
    """Edits between the reading and the fit stay; the moment is that at which the reading began."""
    data = rec.dataset()
    rec.delete_items([7])
    rec.update_items({8: {"year": 2044}})
    rec.upsert_users(User(4, {"taste": "war"}))
    rec.forget_user(3)
    rec.record(Event(4, 9))
    rec.fit(data)
    assert 7 not in rec.get_items([7, 8])
    assert rec.get_items([8])[8].features["year"] == 2044
    assert rec.get_users([3]) == {}
    assert rec.get_users([4])[4].features == {"taste": "war"}
    assert rec.history(4)[-1].item_id == 9
    assert rec.verify()
    assert rec.dataset(as_of=1e9).as_of == 1e9


def test_a_record_that_does_not_fit_is_kept_in_the_store(rec: Recommender) -> None:
    """In the data set its value counts as missing, with a notice."""
    rec.metadata_store.put("item", {5: {"year": "late", "title": "Odd"}})
    data = rec.dataset()
    assert data.item_records[data.item_code(5) or 0] == {"title": "Odd"}
    assert "do not fit" in str(data.notices[0])
    rec.fit(data)
    assert rec.get_items([5])[5].features == {"year": "late", "title": "Odd"}


def test_another_recommender_takes_it_as_any_data(rec: Recommender, tmp_path: Path) -> None:
    from vecrec.metadata_stores import MemoryMetadataStore
    from vecrec.vector_stores import MemoryVectorStore

    stores = MemoryVectorStore(), MemoryMetadataStore()
    other = Recommender(TasteEncoder(), *stores, name="movies", artifacts=tmp_path / "other")
    other.fit(rec.dataset())
    assert other.dataset().digest == rec.dataset().digest


@pytest.mark.parametrize("times", [{"since": "soon"}, {"until": True}, {"as_of": time.time() + 1e6}])
def test_times_that_cannot_be(rec: Recommender, times: Any) -> None:
    with pytest.raises(InvalidDataError):
        rec.dataset(**times)


def test_without_a_release_there_is_no_schema(unfitted: Recommender) -> None:
    with pytest.raises(NotFittedError):
        unfitted.dataset()


def test_the_command_line_trains_on_the_stores_and_exports_the_same_users(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`train --from-stores` needs no file; `export --users` writes all whom the data set has."""
    uris = str(tmp_path / "shop.vec"), f"sqlite:///{tmp_path / 'shop.sqlite'}"
    stores = ["--vector-store", uris[0], "--metadata-store", uris[1]]
    where = [*stores, "--artifacts", str(tmp_path / "artifacts"), "--name", "shop"]

    def open_it() -> Recommender:
        parts = ContentEncoder(dim=16), FileVectorStore(uris[0]), SQLMetadataStore(uris[1])
        return Recommender(*parts, name="shop", artifacts=tmp_path / "artifacts")

    with open_it() as rec:
        rec.fit(_log())
    encoder = ["--encoder", "content", "--dim", "16", "--quiet"]
    assert main(["train", "--from-stores", "--until", "5500", *encoder, *where]) == 0
    with open_it() as rec:
        assert len(rec.releases()) == 2
        assert rec.releases()[0].counts["events"] == _log().n_events - 1
        users = {*rec.dataset().user_ids}
    assert main(["export", str(tmp_path / "users.npz"), "--users", *where]) == 0
    exported = {key for ids, _ in read_vectors(tmp_path / "users.npz") for key in ids}
    assert exported == users
    capsys.readouterr()


def test_a_schema_with_filters_alone_is_read_back(unfitted: Recommender) -> None:
    """The fields that no encoder reads are in the schema of the data too."""
    base = world()
    schema = Schema(base.schema.items, base.schema.users).with_filter_only(["year"])
    unfitted.fit(Dataset([*base.events()], [*base.items()], [*base.users()], schema))
    assert unfitted.dataset().schema == schema
    assert np.isfinite(unfitted.dataset().as_of)
