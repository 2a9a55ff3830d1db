"""The second source of candidates in the pipeline: what follows the items of a history."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recommender.shop import FOLLOWER, shop
from tests.recommender.tastes import TasteEncoder
from vecrec import Event, Recommender, field
from vecrec.errors import ReleaseError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.recommender import ReleaseChecks
from vecrec.vector_stores import MemoryVectorStore

VISITOR = "visitor"

UNCHECKED = ReleaseChecks(beat_popularity=False)
"""What is bought here has nothing to do with tastes, so that vectors of tastes cannot beat popularity."""


@pytest.fixture
def rec(tmp_path: Path) -> Recommender:
    """A shop with a visitor who has bought two products."""
    stores = MemoryVectorStore(), MemoryMetadataStore()
    made = Recommender(TasteEncoder(), *stores, name="shop", artifacts=tmp_path, refresh_seconds=0, checks=UNCHECKED)
    made.fit(shop())
    made.record([Event(VISITOR, 10, 1.0), Event(VISITOR, 20, 2.0)])
    return made


def test_what_follows_is_recommended_first(rec: Recommender) -> None:
    """Before anything of the visitor's taste; the answer says which source brought it."""
    found = rec.recommend(VISITOR, 5)
    assert found[0].item_id == FOLLOWER[20]
    assert FOLLOWER[10] in [item.item_id for item in found]
    assert found.served_by == "vectors"
    assert {item.source for item in found} <= {"vectors", "successors"}
    assert "successors" in {item.source for item in rec.recommend(VISITOR, 2)}
    scores = [item.score for item in found]
    assert scores == sorted(scores, reverse=True)


def test_filters_and_exclusions_hold_for_them(rec: Recommender) -> None:
    """What does not pass, was seen, is excluded or is gone does not come; that is no sign of a damaged store."""
    first = FOLLOWER[20]
    assert first not in [item.item_id for item in rec.recommend(VISITOR, 20, exclude=[first])]
    taste = f"{rec.get_items([first])[first].features['tastes']}"[2:-2]
    found = rec.recommend(VISITOR, 20, where=~field("tastes").contains(taste))
    assert len(found) == 20
    assert all(item["tastes"] != [taste] for item in found)
    rec.record(Event(VISITOR, first, 3.0))
    assert first not in [item.item_id for item in rec.recommend(VISITOR, 20)]
    rec.delete_items([FOLLOWER[10]])
    found = rec.recommend(VISITOR, 20)
    assert FOLLOWER[10] not in [item.item_id for item in found]
    assert found.missing == ()
    assert rec.verify().ids == []


def test_a_filter_that_little_passes(rec: Recommender) -> None:
    """Where the search ran out, nothing else passes."""
    found = rec.recommend(VISITOR, 50, where=field("year") == 1990)
    assert {item["year"] for item in found} == {1990}
    assert found.shortfall


def test_rank_and_explain_agree(rec: Recommender) -> None:
    """Given items are ranked by the exact sum, and its parts name the events."""
    items = [FOLLOWER[20], FOLLOWER[10], 5, 6]
    ranked = {item.item_id: item.score for item in rec.rank(VISITOR, items)}
    for key, score in ranked.items():
        told = rec.explain(VISITOR, key)
        assert told.score == pytest.approx(score, rel=1e-5)
        assert sum(part.value for part in told.parts) + told.residual == pytest.approx(score, rel=1e-5)
    told = rec.explain(VISITOR, FOLLOWER[20])
    assert told.parts[0].item_id == 20
    assert told.sources["successors"] > 0


def test_they_live_in_the_release(rec: Recommender) -> None:
    """Another process and the next `publish` have them; damaged ones are refused."""
    stores = rec.vector_store, rec.metadata_store
    artifacts = rec._archive.path.parent
    other = Recommender.open(rec.name, *stores, artifacts, encoder=TasteEncoder)
    expected = [item.item_id for item in rec.recommend(VISITOR, 20)]
    assert [item.item_id for item in other.recommend(VISITOR, 20)] == expected
    release = rec.publish()
    assert [item.item_id for item in other.recommend(VISITOR, 20)] == expected
    (rec._archive.directory(release.id) / "successor.json").write_text("{}")
    with pytest.raises(ReleaseError):
        Recommender.open(rec.name, *stores, artifacts, encoder=TasteEncoder)


def test_they_can_be_left_out(tmp_path: Path) -> None:
    """``successors=False`` trains on everything and finds by vectors alone."""
    stores = MemoryVectorStore(), MemoryMetadataStore()
    plain = Recommender(TasteEncoder(), *stores, name="shop", artifacts=tmp_path, successors=False, checks=UNCHECKED)
    plain.fit(shop())
    plain.record([Event(VISITOR, 10, 1.0), Event(VISITOR, 20, 2.0)])
    assert {item.source for item in plain.recommend(VISITOR, 20)} == {"vectors"}


def test_popularity_serves_where_vectors_cannot_be_read(rec: Recommender) -> None:
    """Labelled, and without what followers would add to the shares."""
    with rec.live() as live:
        rec.vector_store.drop(live.collection)
    found = rec.recommend(VISITOR, 10)
    assert found.served_by == "popularity"
    assert {item.source for item in found} == {"popularity"}
    assert all(0 <= item.score <= 1 for item in found)
