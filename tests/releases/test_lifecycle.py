"""One generation, whole or not at all: built beside the live one, checked, switched to, rolled back, swept."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.recommender.engines import snapshot
from tests.recommender.tastes import TasteEncoder, world
from vecrec import Event, Item, Recommender, ReleaseChecks, User, field
from vecrec.data import Categorical, Dataset, MultiCategorical, Numeric, Schema
from vecrec.errors import InvalidDataError, ReleaseError, StoreUnavailableError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.progress import Step
from vecrec.types import Hit
from vecrec.vector_stores import MemoryVectorStore


def make(rec: Recommender, encoder: TasteEncoder | None = None, **options: Any) -> Recommender:
    """Another recommender on the same stores and artifacts, as another process has it."""
    options.setdefault("refresh_seconds", 0)
    stores = rec.vector_store, rec.metadata_store
    return Recommender(encoder or TasteEncoder(), *stores, name=rec.name, artifacts=rec._archive.path.parent, **options)


def directories(rec: Recommender) -> set[str]:
    """The releases on disk."""
    return {path.name for path in (rec._archive.path / "releases").iterdir()}


def assert_tidy(rec: Recommender) -> None:
    """Only the live release and the one before it are there, on disk and in the vector store."""
    kept = rec.releases()
    assert directories(rec) == {release.id for release in kept}
    assert rec.vector_store.collections() == sorted(release.collection for release in kept)


# -- going live


def test_fitting_twice_keeps_the_counts(rec: Recommender) -> None:
    """Nothing doubles: not the items, not the users, not the events."""
    before = snapshot(rec)
    rec.fit(world())
    after = snapshot(rec)
    assert {kind: before[kind] for kind in ("item", "user", "events")} == {
        kind: after[kind] for kind in ("item", "user", "events")
    }
    assert rec.verify().vectors == 60


def test_a_fit_reports_its_stages(unfitted: Recommender) -> None:
    """Whoever watches sees each stage begin and end, and the release's id at the end."""
    steps: list[Step] = []
    release = unfitted.fit(world(), progress=steps.append)
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == ["data", "fit", "items", "users", "events", "index", "check"]
    assert all(step.total is None or step.done <= step.total for step in steps)
    assert release.id in steps[-1].detail


def test_a_fit_without_times_keeps_the_declared_order(unfitted: Recommender) -> None:
    """Without times, places in the histories stand in for them; a longer data set adds what is new."""
    unfitted.fit(Dataset({"user_id": ["b", "b", "c"], "item_id": [3, 1, 2]}, order="rows"))
    unfitted.fit(Dataset({"user_id": ["a", "b", "b", "b", "c"], "item_id": [1, 3, 1, 2, 2]}, order="rows"))
    events = dict(unfitted.metadata_store.scan_events())
    assert {user: [event.item_id for event in history] for user, history in events.items()} == {
        "a": [1],
        "b": [3, 1, 2],
        "c": [2],
    }


def test_items_that_are_not_in_the_data_stay(rec: Recommender) -> None:
    """The catalogue is what the metadata store holds: what was upserted gets a vector in the next release too."""
    rec.upsert_items([Item("extra", {"tastes": ["love"], "year": 2090})])
    rec.fit(world())
    assert rec.recommend(1, 1)[0].item_id == "extra"


def test_publishing_makes_a_release_of_what_the_stores_hold(rec: Recommender) -> None:
    """Another encoder, the same records and events; popularity counts the people of the store."""
    rec.record([Event(f"fan {n}", 59, float(n)) for n in range(100)])
    other = make(rec, TasteEncoder(twist=0.5))
    other.encoder.fit(world())
    release = other.publish()
    assert release.data_digest == ""
    assert release.counts == {"items": 60, "users": 140, "events": 580}
    assert other.recommend("stranger", 1)[0].item_id == 59
    assert rec.recommend(1).release == release.id


def test_what_an_earlier_schema_allowed_does_not_stop_a_build(rec: Recommender) -> None:
    """A record whose year is text cannot be filtered by year, but it is a record, and the rest of it counts."""
    rec.metadata_store.put("item", {57: {"tastes": ["love"], "year": "MMXXXVII", "title": "old"}})
    rec.metadata_store.put("user", {1: {"taste": "opera"}})
    release = rec.publish()
    assert rec.recommend(1, 3).release == release.id
    assert 57 in [each.item_id for each in rec.recommend(1, 3)]
    assert 57 not in [each.item_id for each in rec.recommend(1, 60, where=field("year") >= 0)]
    assert rec.verify()


def test_a_catalogue_without_events_of_items_is_no_error(unfitted: Recommender) -> None:
    """The smallest data set there is: one event of one user with an item without features."""
    unfitted.fit(Dataset({"user_id": [1], "item_id": [1]}))
    assert unfitted.recommend(1, 5).shortfall is not None
    assert [each.item_id for each in unfitted.recommend("stranger", 1)] == [1]


def test_only_the_live_release_and_the_one_before_it_stay(rec: Recommender) -> None:
    """Older ones are dropped, directory and collection."""
    ids = [rec.releases()[0].id, *(rec.fit(world()).id for _ in range(3))]
    assert [release.id for release in rec.releases()] == [ids[3], ids[2]]
    assert_tidy(rec)


def test_collections_of_others_are_left_alone(rec: Recommender) -> None:
    """A store may be shared: only what this recommender has built is ever dropped."""
    theirs = [f"movies__{rec._archive.new_id()}", "movies2__r1", "films__r20240101000000000000abcd"]
    spec = rec.vector_store.spec(rec.releases()[0].collection)
    for collection in theirs:
        rec.vector_store.create(collection, spec)
    rec.fit(world())
    rec.fit(world())
    assert set(theirs) < set(rec.vector_store.collections())


def test_what_trains_is_not_what_serves(rec: Recommender) -> None:
    """Whatever happens to the encoder object, the release goes on as it was saved."""
    before = rec.recommend(1, 5).items
    rec.encoder._tastes.clear()  # type: ignore[attr-defined]
    assert rec.recommend(1, 5).items == before


# -- failed checks


class Deaf(TasteEncoder):
    """Learns nothing about users, and prefers what nobody wants."""

    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        vectors = np.zeros((len(users), self.dim), np.float32)
        vectors[:, 4] = -1.0
        return vectors


class Blind(MemoryVectorStore):
    """An index that finds almost nothing."""

    def _search(self, *arguments: Any) -> list[list[Hit]]:
        return [row[:1] for row in super()._search(*arguments)]


class Forgetful(MemoryVectorStore):
    """An engine that loses writes."""

    lossy = False

    def _count(self, collection: str, spec: Any) -> int:
        return super()._count(collection, spec) - self.lossy


def _fashion() -> Dataset:
    """Everybody's last event is with item 59."""
    given = world()
    events = [*given.events(), *(Event(user, 59, 9_000.0) for user in given.user_ids)]
    return Dataset(events, list(given.items()), list(given.users()), given.schema)


def test_a_release_worse_than_popularity_does_not_go_live(unfitted: Recommender) -> None:
    """The message has the figures and the ways out; the live release, both stores and the directory are as before."""
    rec = make(unfitted, checks=ReleaseChecks(beat_popularity=False))
    rec.fit(_fashion())
    before, served = snapshot(rec), rec.recommend(1, 5)
    with pytest.raises(ReleaseError, match=r"next item of 0 of 40 .* popularity of 40: .*beat_popularity=False"):
        make(rec, Deaf()).fit(_fashion())
    assert snapshot(rec) == before
    assert rec.recommend(1, 5).items == served.items
    assert_tidy(rec)
    assert make(rec, Deaf(), checks=ReleaseChecks(beat_popularity=False)).fit(_fashion()).checks["hits"] == 0


def test_an_index_that_does_not_find_does_not_go_live(tmp_path: Path) -> None:
    """Recall against exact search is measured before the switch."""
    rec = Recommender(TasteEncoder(), Blind(), MemoryMetadataStore(), name="movies", artifacts=tmp_path)
    with pytest.raises(ReleaseError, match=r"index finds 0\.\d+ of the exact top 10.*index_recall"):
        rec.fit(world())
    assert_tidy(rec)
    loose = ReleaseChecks(index_recall=0.0, beat_popularity=False)
    make(rec, checks=loose).fit(world())


def test_an_engine_that_loses_vectors_does_not_go_live(tmp_path: Path) -> None:
    """The counts are compared."""
    store = Forgetful()
    rec = Recommender(TasteEncoder(), store, MemoryMetadataStore(), name="movies", artifacts=tmp_path)
    rec.fit(world())
    store.lossy = True
    with pytest.raises(ReleaseError, match="holds 59 of 60 items"):
        rec.fit(world())
    assert_tidy(rec)


def test_records_that_a_failed_fit_has_stored_get_vectors_of_the_live_release(rec: Recommender) -> None:
    """The catalogue goes on: the new item is searchable by the release that serves, and nothing differs."""

    def stop(step: Step) -> None:
        if step.stage == "check":
            raise ValueError("stop here")

    with pytest.raises(ValueError, match="stop here"):
        make(rec).fit(world(40, 64), progress=stop)
    assert rec.get_items([63]).keys() == {63}
    assert rec.verify()
    assert rec.recommend(3, 1)[0].item_id == 63
    assert_tidy(rec)


def test_an_interrupted_build_leaves_no_trace(rec: Recommender) -> None:
    """Ctrl-C in the middle takes the half-built release back."""

    def interrupt(step: Step) -> None:
        if step.stage == "index":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rec.fit(world(), progress=interrupt)
    assert_tidy(rec)
    assert not rec._archive.building()


def test_a_failing_watcher_does_not_undo_the_switch(rec: Recommender) -> None:
    """What is said last is said after the release is live."""

    def fail(step: Step) -> None:
        if step.stage == "check" and step.done:
            raise ValueError("the bar broke")

    with pytest.raises(ValueError, match="the bar broke"):
        rec.fit(world(), progress=fail)
    assert len(rec.releases()) == 2
    assert rec.recommend(1).release == rec.releases()[0].id
    assert rec.verify()


def test_a_build_without_its_store_says_so_and_the_next_one_sweeps(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not even sweeping up works, the error that counts comes through."""

    def down(*arguments: object) -> None:
        raise StoreUnavailableError("nobody answers")

    with monkeypatch.context() as patch:
        for name in ("_upsert", "_drop"):
            patch.setattr(MemoryVectorStore, name, down)
        with pytest.raises(StoreUnavailableError, match="nobody answers"):
            rec.fit(world())
    assert len(directories(rec)) == 2
    assert rec.recommend(1, 3)[0].item_id == 57
    rec.fit(world())
    assert_tidy(rec)


# -- two at once


def test_a_second_fit_is_refused_at_once(rec: Recommender) -> None:
    """While one trains, another is told before it has trained, and writes nothing."""
    training, go = threading.Event(), threading.Event()

    class Slow(TasteEncoder):
        def _fit(self, data: Dataset, progress: Any) -> None:
            training.set()
            assert go.wait(60)
            super()._fit(data, progress)

    class Never(TasteEncoder):
        def _fit(self, data: Dataset, progress: Any) -> None:
            raise AssertionError("it must not come this far")

    thread = threading.Thread(target=make(rec, Slow()).fit, args=(world(),))
    thread.start()
    try:
        assert training.wait(60)
        before = snapshot(rec)
        with pytest.raises(ReleaseError, match="another process or thread is building a release of 'movies'"):
            make(rec, Never()).fit(world(40, 64))
        with pytest.raises(ReleaseError, match="another process or thread is building"):
            rec.publish()
        assert snapshot(rec) == before
        rec.rollback(rec.releases()[0].id)  # an operator need not wait for somebody's training
    finally:
        go.set()
        thread.join()
    assert len(rec.releases()) == 2
    assert_tidy(rec)


# -- rolling back


def test_a_rollback_serves_the_catalogue_of_now(rec: Recommender) -> None:
    """What was added, changed and deleted since then is as it is now, in the older release's vectors."""
    older = rec.releases()[0].id
    make(rec, TasteEncoder(twist=0.25)).fit(world())
    rec.upsert_items(
        [Item("new", {"tastes": ["love"], "year": 2095}), Item(57, {"tastes": ["war"], "year": 2096, "title": "moved"})]
    )
    rec.delete_items([53])
    assert rec.rollback().id == older
    assert [each.item_id for each in rec.recommend(1, 2)] == ["new", 49]
    assert rec.recommend(3, 1)[0]["title"] == "moved"
    assert rec.verify()
    assert rec.recommend(1).release == older


def test_rolling_back_twice_leads_back(rec: Recommender) -> None:
    """The two releases change places, by default or by name; the next fit drops the one that is neither."""
    first, second = rec.releases()[0].id, rec.fit(world()).id
    assert (rec.rollback().id, rec.rollback().id) == (first, second)
    assert rec.rollback(first).id == first
    assert rec.rollback(first).id == first
    assert [release.id for release in rec.releases()] == [first, second]
    third = rec.fit(world()).id
    assert [release.id for release in rec.releases()] == [third, first]
    assert_tidy(rec)


def test_without_an_earlier_release_there_is_no_way_back(rec: Recommender) -> None:
    """The message says what makes one."""
    with pytest.raises(ReleaseError, match="no earlier release"):
        rec.rollback()
    with pytest.raises(ReleaseError, match=rf"no release 'r1'.*{rec.releases()[0].id}"):
        rec.rollback("r1")


def test_a_rollback_to_a_release_whose_vectors_are_gone_is_refused(rec: Recommender) -> None:
    """The live release is untouched."""
    rec.fit(world())
    live, earlier = rec.releases()
    rec.vector_store.drop(earlier.collection)
    with pytest.raises(ReleaseError, match=rf"no collection '{earlier.collection}'"):
        rec.rollback()
    assert rec.recommend(1).release == live.id


def test_an_older_schema_takes_what_fits_it(rec: Recommender) -> None:
    """A release made for closed lists of values meets a catalogue that has grown beyond them."""
    wider = Schema(
        items=(MultiCategorical("tastes", filterable=True), Numeric("year", dtype="number", filterable=True)),
        users=(Categorical("taste", values=("crime", "love", "space", "war", "opera")),),
    )
    make(rec).fit(world(schema=wider))
    rec.upsert_items([Item("half", {"tastes": ["love"], "year": 2050.5})])
    rec.upsert_users([User("singer", {"taste": "opera"})])
    rec.rollback()
    assert rec.verify()
    assert "half" in [each.item_id for each in rec.recommend(1, 5)]
    assert rec.recommend("singer", 1).served_by == "popularity"
    with pytest.raises(InvalidDataError, match="year"):
        rec.upsert_items([Item("other", {"year": 2050.5})])


# -- opening


def test_opening_needs_the_stores_that_belong_together(rec: Recommender) -> None:
    """An empty metadata store is refused. Without the collection, popularity serves and says so, as in any outage."""
    artifacts = rec._archive.path.parent
    with pytest.raises(ReleaseError, match="holds nothing of the recommender 'movies'"):
        Recommender.open("movies", rec.vector_store, MemoryMetadataStore(), artifacts, encoder=TasteEncoder)
    opened = Recommender.open("movies", MemoryVectorStore(), rec.metadata_store, artifacts, encoder=TasteEncoder)
    found = opened.recommend(1, 5)
    assert (found.served_by, len(found)) == ("popularity", 5)
    assert found.notes


def test_an_opened_recommender_can_do_everything(rec: Recommender) -> None:
    """It serves, writes, and fits again, with an encoder of its own that is not the one that serves."""
    stores = rec.vector_store, rec.metadata_store
    opened = Recommender.open("movies", *stores, rec._archive.path.parent, encoder=TasteEncoder)
    assert opened.recommend(1, 5).items == rec.recommend(1, 5).items
    opened.upsert_items([Item("x", {"tastes": ["love"], "year": 2099})])
    published, fitted = opened.publish(), opened.fit(world())
    assert [release.id for release in opened.releases()] == [fitted.id, published.id]
    assert opened.recommend(1, 1)[0].item_id == "x"


def test_a_collection_that_is_gone_is_told_and_publishing_brings_it_back(rec: Recommender) -> None:
    """Recommendations are by popularity and say so, what needs vectors is refused with the cure, and that works."""
    rec.vector_store.drop(rec.releases()[0].collection)
    found = rec.recommend(1, 5)
    assert (len(found), found.served_by) == (5, "popularity")
    assert found.notes == ("the collection of the release is gone, popularity serves",)
    with pytest.raises(StoreUnavailableError, match="publish again"):
        rec.similar_items(1)
    for call in (rec.verify, lambda: rec.upsert_items([Item(1)])):
        with pytest.raises(ReleaseError, match="publish again"):
            call()
    stores = rec.vector_store, rec.metadata_store
    Recommender(TasteEncoder, *stores, name="movies", artifacts=rec._archive.path.parent).publish()
    assert rec.recommend(1, 1)[0].item_id == 57


@pytest.mark.parametrize("drop", [(), ("year",)], ids=["unnamed", "named"])
def test_a_filterable_field_is_not_lost_by_accident(rec: Recommender, drop: tuple[str, ...]) -> None:
    """Requests that filter by it would fail, so data without it is refused before the training, unless it is named."""
    with rec.live() as live:
        held = set(live.filter_fields)
    assert held
    before, log = rec.releases(), {"user_id": [n // 4 for n in range(80)], "item_id": [n % 40 for n in range(80)]}
    bare = Dataset({**log, "time": list(range(80))}, items={"item_id": list(range(40))})
    if drop:
        rec = make(rec, checks=ReleaseChecks(beat_popularity=False))
        assert rec.fit(bare, drop_fields=held).id not in {each.id for each in before}
    else:
        with pytest.raises(InvalidDataError, match="drop_fields"):
            rec.fit(bare)
        assert rec.releases() == before
