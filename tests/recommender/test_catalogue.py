"""The live catalogue and the live users: what is written counts for the next call, in both stores."""

from __future__ import annotations

import time

import pytest

from tests.recommender.tastes import SCHEMA, TasteEncoder, world
from vecrec import Event, Item, Recommender, User, field
from vecrec.errors import InvalidDataError, StoreError
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore, Risk
from vecrec.recommender import Receipt, Report
from vecrec.vector_stores import MemoryVectorStore
from vecrec.vector_stores.base import Attributes, CollectionSpec, Vectors

# -- items


def test_a_new_item_is_found_at_once(rec: Recommender) -> None:
    """Record and vector are there with the next call, filter and all."""
    rec.upsert_items([Item("new", {"title": "Later", "tastes": ["love"], "year": 2099})])
    found = rec.recommend(1, 1, where=field("year") == 2099)
    assert (found[0].item_id, found[0]["title"]) == ("new", "Later")
    assert rec.verify()


def test_a_changed_item_changes_record_vector_and_filter(rec: Recommender) -> None:
    """Another taste moves it to other users; the old record is gone as a whole."""
    rec.upsert_items([Item(57, {"tastes": ["space"], "year": 2040})])
    assert 57 not in [each.item_id for each in rec.recommend(1, 2)]
    assert rec.recommend(2, 1)[0].item_id == 57
    assert rec.get_items([57])[57].features == {"tastes": ["space"], "year": 2040}
    assert rec.verify()


def test_upserting_twice_is_upserting_once(rec: Recommender) -> None:
    """The count stays, and of an id given twice in one call the last counts."""
    for _ in range(2):
        rec.upsert_items([Item("x", {"year": 1}), Item("x", {"year": 2})])
    report = rec.verify()
    assert (bool(report), report.records, report.vectors) == (True, 61, 61)
    assert rec.get_items(["x"])["x"].features == {"year": 2}


def test_many_items_are_written_in_batches(rec: Recommender) -> None:
    """More than one batch, from an iterator that can be read once."""
    rec.upsert_items(Item(n, {"tastes": ["war"]}) for n in range(100, 1_400))
    assert rec.verify().vectors == 1_360
    rec.delete_items(range(100, 1_400))
    assert rec.verify().records == 60


def test_a_deleted_item_is_gone_everywhere(rec: Recommender) -> None:
    """Neither found nor popular nor similar; deleting it again, or what never was, is no error."""
    rec.delete_items([57, 0, "nobody", 57])
    rec.delete_items([57])
    assert rec.recommend(1, 1)[0].item_id == 53
    assert rec.recommend("stranger", 1)[0].item_id == 1
    assert rec.get_items([57, 53]).keys() == {53}
    assert rec.verify().vectors == 58


def test_nothing_to_do_is_no_error(rec: Recommender) -> None:
    """Empty lists are fine everywhere."""
    rec.upsert_items([])
    rec.delete_items([])
    rec.upsert_users([])
    rec.record([])
    assert rec.get_items([]) == {}
    assert rec.repair() == []


def test_items_come_back_in_the_order_asked_for(rec: Recommender) -> None:
    """Those that are there, each once."""
    assert list(rec.get_items([9, "9", 3, 9, 1])) == [9, 3, 1]


def test_one_bad_item_keeps_all_out(rec: Recommender) -> None:
    """A batch with one item that the schema does not allow is refused as a whole, before anything is written."""
    items = [Item(n, {"year": 2000}) for n in range(200, 2_000)]
    with pytest.raises(InvalidDataError, match=r"year.*item 'bad'.*'soon'"):
        rec.upsert_items([*items, Item("bad", {"year": "soon"})])
    assert rec.verify().records == 60


class Narrow(MemoryVectorStore):
    """An engine with a limit of its own, which only it knows."""

    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        for row in attributes:
            tastes = row.get("tastes", [])
            if isinstance(tastes, list) and len(tastes) > 4:
                raise InvalidDataError("this engine holds lists of at most 4: shorten it")
        super()._upsert(collection, spec, ids, vectors, attributes)


def test_what_an_engine_refuses_is_taken_back(unfitted: Recommender) -> None:
    """The records of a batch that the vector store refuses are what they were, and nothing is marked."""
    stores = Narrow(), unfitted.metadata_store
    rec = Recommender(TasteEncoder(), *stores, name="movies", artifacts=unfitted._archive.path.parent)
    rec.fit(world())
    with pytest.raises(InvalidDataError, match="at most 4"):
        rec.upsert_items([Item(1, {"title": "changed"}), Item("new"), Item(2, {"tastes": ["war"] * 5})])
    assert rec.verify()
    assert rec.get_items([1, "new"])[1].features["title"] == "Movie 1"
    assert "new" not in rec.get_items(["new"])


# -- differences


def _vectors(rec: Recommender) -> tuple[MemoryVectorStore, str]:
    assert isinstance(rec.vector_store, MemoryVectorStore)
    return rec.vector_store, rec.releases()[0].collection


def test_verify_finds_each_kind_of_difference_and_repair_mends_it(rec: Recommender) -> None:
    """A lost vector, a lost record and a record changed behind our back: each by its name, all mended, none twice."""
    vectors, collection = _vectors(rec)
    vectors.delete(collection, [1])
    rec.metadata_store.delete("item", [2])
    rec.metadata_store.put("item", {3: {"title": "changed by hand", "tastes": ["love"]}})
    report = rec.verify()
    assert (report.unsearchable, report.orphaned, report.stale, report.pending) == ((1,), (2,), (3,), ())
    assert not report
    assert report.ids == [1, 2, 3]
    assert rec.repair() == [], "nothing is marked, so the quick way has nothing to do"
    assert set(rec.repair(full=True)) == {1, 2, 3}
    assert rec.verify()
    assert rec.repair(full=True) == []
    assert rec.get_items([3])[3].features["title"] == "changed by hand"


def test_verify_changes_nothing(rec: Recommender) -> None:
    """Looking is not mending."""
    vectors, collection = _vectors(rec)
    vectors.delete(collection, [1])
    assert rec.verify() == rec.verify()


def test_reports_read_well() -> None:
    """A report tells at a glance whether all is well, and shows no more than a few ids of each kind."""
    assert str(Report(records=3_706, vectors=3_706)) == "3,706 records, 3,706 vectors: they agree"
    text = str(Report(records=9, vectors=1, unsearchable=tuple(range(8)), stale=("x",)))
    assert text == (
        "9 records, 1 vectors: 8 unsearchable (0, 1, 2, 3, 4, ...); 1 stale ('x'); repair(full=True) mends them"
    )
    assert Report(warnings=("Redis forgets",))


def test_verify_passes_on_what_a_store_warns_of(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that knows of a risk is heard, and a risk is no difference."""
    monkeypatch.setattr(
        MemoryMetadataStore, "warnings", lambda self: [Risk("memory is no disk", "use one")], raising=False
    )
    report = rec.verify()
    assert report
    assert report.warnings == ("memory is no disk: use one",)
    assert str(report).endswith("memory is no disk: use one")


# -- users


def test_an_event_changes_the_next_recommendation(rec: Recommender) -> None:
    """Without retraining: what was seen is left out, and what was liked moves the list."""
    assert rec.recommend(1, 1)[0].item_id == 57
    rec.record(Event(1, 57))
    assert rec.recommend(1, 1)[0].item_id == 53
    assert rec.recommend("newcomer", 1).served_by == "popularity"
    rec.record([Event("newcomer", 2), Event("newcomer", 6)])
    found = rec.recommend("newcomer", 1)
    assert (found.based_on, found[0].item_id) == (("history",), 58)


def test_an_event_without_a_time_happened_now(rec: Recommender) -> None:
    """It is the latest of its user's history."""
    before = time.time()
    rec.record(Event(1, 57, rating=3))
    event = rec.metadata_store.recent_events([1], 1)[1][0]
    assert (event.item_id, event.rating) == (57, 3)
    assert before <= (event.time or 0) <= time.time()


def test_an_event_recorded_again_is_replaced(rec: Recommender) -> None:
    """User, item and time name it; the rating is the new one."""
    rec.record(Event(1, 57, 5_000.0, 1))
    rec.record(Event(1, 57, 5_000.0, 4))
    latest = rec.metadata_store.recent_events([1], 2)[1]
    assert [(event.item_id, event.rating) for event in latest] == [(45, None), (57, 4)]


def test_a_profile_counts_for_the_next_recommendation(rec: Recommender) -> None:
    """Stored once, used from then on; replaced as a whole."""
    rec.upsert_users([User("newcomer", {"taste": "war", "name": "W"})])
    found = rec.recommend("newcomer", 1)
    assert (found.based_on, found[0].item_id) == (("features",), 59)
    rec.upsert_users([User("newcomer", {"taste": "space"})])
    assert rec.recommend("newcomer", 1)[0].item_id == 58
    assert rec.metadata_store.get("user", ["newcomer"]) == {"newcomer": {"taste": "space"}}


def test_a_forgotten_user_is_unknown(rec: Recommender) -> None:
    """Profile and events are gone, the receipt says what there was, and forgetting again finds nothing."""
    assert rec.forget_user(1) == Receipt(1, profile=True, events=12)
    assert rec.recommend(1).served_by == "popularity"
    assert rec.metadata_store.recent_events([1]) == {1: []}
    assert rec.forget_user(1) == Receipt(1, profile=False, events=0)
    assert rec.forget_user("1") == Receipt("1", profile=False, events=0)
    assert rec.recommend(5).served_by == "vectors"


def test_only_the_latest_events_count_where_a_limit_is_set(rec: Recommender) -> None:
    """max_history bounds what is read for one user."""
    parts = rec.vector_store, rec.metadata_store
    short = Recommender.open("movies", *parts, rec._archive.path.parent, encoder=TasteEncoder, max_history=2)
    assert {each.item_id for each in short.recommend(1, 13)} > {57, 53, 49, 37}
    assert 45 not in {each.item_id for each in short.recommend(1, 58)}


def test_the_encoder_never_sees_a_changed_schema(rec: Recommender) -> None:
    """The schema that rules is the live release's, not that of an encoder in training."""
    assert rec.releases()[0].schema == SCHEMA.to_json()


# -- the connection


def test_closing_closes_both_stores(unfitted: Recommender) -> None:
    """With or without an error in the block, and twice; afterwards calls are refused in plain words."""
    with unfitted as rec:
        rec.fit(world())
    rec.close()
    for call in (
        lambda: rec.recommend(1),
        lambda: rec.upsert_items([Item(1)]),
        rec.verify,
        lambda: rec.record(Event(1, 1)),
    ):
        with pytest.raises(StoreError, match="closed"):
            call()
