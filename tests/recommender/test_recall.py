"""How much of the exact result the searches find, measured by an operator's call and told by the doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.recommender.tastes import TasteEncoder, world
from vecrec import Item, Recommender, User, field
from vecrec.doctor import diagnose_system
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.recommender.recall import repeat
from vecrec.types import Hit
from vecrec.vector_stores import MemoryVectorStore


class _Forgetful(MemoryVectorStore):
    """Finds every second item only, as a poor index does."""

    forgets = False

    def _search(self, *arguments: Any) -> list[list[Hit]]:
        found = super()._search(*arguments)
        return [row[::2] for row in found] if self.forgets else found


@pytest.fixture
def rec(tmp_path: Path) -> Recommender:
    """A recommender whose index can be made a poor one."""
    made = Recommender(TasteEncoder(), _Forgetful(), MemoryMetadataStore(), name="movies", artifacts=tmp_path)
    made.fit(world())
    return made


def test_an_exact_search_has_the_recall_1(rec: Recommender) -> None:
    found = rec.measure_recall()
    assert (found.k, found.queries, found.recall, found.selectivity) == (10, 40, 1.0, 1.0)
    assert 0.9 < found.interval[0] < found.interval[1] == 1.0
    assert diagnose_system(rec, full=True) == []


def test_a_poor_index_is_measured_and_told(rec: Recommender) -> None:
    rec.vector_store.forgets = True  # type: ignore[attr-defined]
    found = rec.measure_recall(10, users=20)
    assert (found.queries, found.recall) == (20, 0.5)
    assert found.interval[0] < 0.5 < found.interval[1] < 0.6
    told = diagnose_system(rec, full=True)
    assert {(each.subject, each.severity) for each in told} == {("vector store", "warning")}
    assert ["100.0% of the items" in each.problem for each in told] == [True, False], "and with a filter"
    assert "25.0% of the items" in told[1].problem
    assert diagnose_system(rec) == [], "it is a pass over the collection"


def test_it_is_measured_for_a_filter_and_bounded(rec: Recommender) -> None:
    found = rec.measure_recall(3, where=field("year") >= 2037)
    assert (found.recall, found.selectivity) == (1.0, 3 / 60)
    assert "5.0% of the items pass the filter" in str(found)
    assert rec.measure_recall(3, max_items=12).recall == 1.0, "the items that are not read are no mistakes"
    assert rec.measure_recall(3, where=field("year") == 1).recall == 1.0


def test_a_part_of_the_items_stands_for_all(rec: Recommender) -> None:
    """What is missed among the items read counts for as many as there are to each of them."""
    rec.vector_store.forgets = True  # type: ignore[attr-defined]
    found = rec.measure_recall(10, max_items=30)
    assert 0.3 < found.recall < 0.7
    assert found.interval[1] < 0.9


def test_searches_with_several_filters_are_repeated_in_one_pass(rec: Recommender) -> None:
    with rec.live() as live:
        queries = live.encoder.encode_users([User(features={"taste": "war"})] * 4)
        wheres = [None, field("year") >= 2037, None, field("year") == 1]
        found = repeat(rec.vector_store, live.collection, queries, wheres, 3, most=1_000)
    assert [each.share for each in found] == [1.0, 1.0, 1.0, None]
    assert [each.selectivity for each in found] == [1.0, 0.05, 1.0, 0.0]


def test_values_unlike_those_of_the_release_are_told(rec: Recommender) -> None:
    """Of items and of users; a value that the release has seen is not."""
    rec.upsert_items(Item(f"new{n}", {"year": 1800, "tastes": ["opera"], "title": "New"}) for n in range(20))
    found = {each.subject: each.problem for each in diagnose_system(rec)}
    assert found["item feature 'year'"] == "25% of its values are lower or higher than the release has seen"
    assert found["item feature 'tastes'"] == "25% of its values are not among those that the release has seen"
    rec.publish()
    assert not [each for each in diagnose_system(rec) if "feature" in each.subject], "the next release has seen them"


def test_arguments_are_checked(rec: Recommender, tmp_path: Path) -> None:
    for wrong in ({"k": 0}, {"users": 0}, {"max_items": 0}, {"where": field("nope") == 1}):
        with pytest.raises(InvalidDataError):
            rec.measure_recall(**wrong)
    with pytest.raises(NotFittedError):
        Recommender(None, MemoryVectorStore(), MemoryMetadataStore(), artifacts=tmp_path / "none").measure_recall()
