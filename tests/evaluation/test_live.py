"""What is served, and where on the way the rest is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.recommender.tastes import TasteEncoder, world
from vecrec import Event, Recommender, field
from vecrec.data import Dataset, splits
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.evaluation import Task, evaluate, from_split
from vecrec.evaluation.live import FATES, LiveEvaluation
from vecrec.ids import id_order
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.recommender.catalogue import ITEM
from vecrec.vector_stores import MemoryVectorStore


class HalfBlindStore(MemoryVectorStore):
    """Never finds every third item, as an index with too little effort might."""

    blind = False

    def _search(self, *args: Any, **options: Any) -> Any:
        found = super()._search(*args, **options)
        return [[hit for hit in row if int(hit.id) % 3] for row in found] if self.blind else found


SPLIT = splits.leave_last_out(world())


@pytest.fixture
def rec(tmp_path: Path) -> Recommender:
    made = Recommender(
        TasteEncoder(), HalfBlindStore(), MemoryMetadataStore(), name="m", artifacts=tmp_path, refresh_seconds=0
    )
    made.fit(SPLIT.before_test)
    return made


def shares(found: LiveEvaluation, k: int) -> dict[str, float]:
    return {fate: share[k] for fate, share in found.fates.items() if share[k]}


def test_what_is_served_from_an_exact_index_is_what_the_evaluation_of_the_encoder_finds(rec: Recommender) -> None:
    found = rec.evaluate(SPLIT.test, k=(5, 10))
    every = np.ones(SPLIT.test.n_items, bool)
    offline = evaluate(TasteEncoder().fit(SPLIT.before_test), _task(every), k=(5, 10), baselines=())
    assert 0 < found["ndcg@10"] == pytest.approx(offline["ndcg@10"])
    assert found["recall@5"] == pytest.approx(offline["recall@5"])
    assert found.metrics == found.baselines[0].metrics
    for k in (5, 10):
        assert shares(found, k).keys() <= {"found", "model"}
        assert shares(found, k)["found"] == pytest.approx(found[f"recall@{k}"])


def test_the_shares_of_a_k_add_up_to_one_and_are_printed(rec: Recommender) -> None:
    found = rec.evaluate(SPLIT.test, k=5)
    assert sum(shares(found, 5).values()) == pytest.approx(1)
    assert tuple(found.fates) == FATES
    assert f"found           {found['recall@5']:>9.4f}" in str(found)
    value: Any = found.to_json()
    assert value["fates"]["model"]["5"] == found.fates["model"][5]
    assert [each.model for each in found.baselines] == ["exact search"]


def test_what_the_index_misses_is_told_from_what_the_model_misses(rec: Recommender) -> None:
    before = rec.evaluate(SPLIT.test, k=10)
    assert isinstance(rec.vector_store, HalfBlindStore)
    rec.vector_store.blind = True
    after = rec.evaluate(SPLIT.test, k=10)
    assert after.fates["index"][10] > 0
    assert after.baselines[0].metrics == before.metrics
    targets = [int(event.item_id) for event in SPLIT.test.events()]
    assert after.fates["index"][10] <= np.mean([target % 3 == 0 for target in targets])


def test_a_missing_record_a_deleted_item_and_a_filter_are_named(rec: Recommender) -> None:
    targets = [event.item_id for event in SPLIT.test.events()]
    gone, bare = min(targets, key=id_order), max(targets, key=id_order)
    rec.delete_items([gone])
    rec.metadata_store.delete(ITEM, [bare])
    found = rec.evaluate(SPLIT.test, k=10)
    assert found.fates["missing"][10] == pytest.approx(np.mean([target in (gone, bare) for target in targets]))
    filtered = rec.evaluate(SPLIT.test, k=10, where=field("year") < 1900)
    assert filtered.fates["filter"][10] == pytest.approx(1 - filtered.fates["missing"][10])
    assert filtered["ndcg@10"] == filtered.baselines[0]["ndcg@10"] == 0


def test_what_was_recorded_already_is_told_apart(rec: Recommender) -> None:
    event = next(SPLIT.test.events())
    rec.record(Event(event.user_id, event.item_id, 5_000))
    found = rec.evaluate(SPLIT.test, k=10)
    assert found.fates["seen"][10] == pytest.approx(1 / SPLIT.test.n_events)


def test_repeats_are_found_where_seen_items_are_not_excluded(rec: Recommender) -> None:
    served = rec.recommend(0, 6, exclude_seen=False)
    again = next(event.item_id for event in SPLIT.before_test.events() if event.user_id == 0)
    assert again in {one.item_id for one in rec.recommend(0, SPLIT.test.n_items, exclude_seen=False)}
    test = Dataset({"user_id": [0], "item_id": [served[0].item_id]})
    repeated = Dataset({"user_id": [0], "item_id": [again]})
    assert rec.evaluate(test, k=6, exclude_seen=False)["mrr@6"] == 1
    excluded, ranked = rec.evaluate(repeated, k=500), rec.evaluate(repeated, k=500, exclude_seen=False)
    assert shares(excluded, 500) == {"seen": 1.0}
    assert excluded.counts["targets_seen"] == ranked.counts["targets_seen"] == 1
    assert "1 of 1 targets were seen before" in str(excluded)
    assert shares(ranked, 500) == {"found": 1.0}
    assert ranked["mrr@500"] == ranked.baselines[0]["mrr@500"] > 0
    assert [note for note in ranked.notes if "seen before" in note] == []
    assert "repeat one, which only times tell" in ranked.notes[0]


@pytest.mark.parametrize(
    ("test", "what"),
    [
        (lambda user, item: {"user_id": [user], "item_id": [str(item)]}, "no item id of the test"),
        (lambda user, item: {"user_id": [str(user)], "item_id": [item]}, "no user id of the test"),
    ],
)
def test_ids_of_the_other_type_are_an_error(rec: Recommender, test: Any, what: str) -> None:
    event = next(SPLIT.test.events())
    with pytest.raises(InvalidDataError, match=rf"{what}, such as '\d+', is stored, but \d+ of type int is"):
        rec.evaluate(Dataset(test(event.user_id, event.item_id)), k=3)


def test_an_unknown_user_is_served_by_popularity_and_that_is_said(rec: Recommender) -> None:
    least = [key for key, count in zip(SPLIT.test.item_ids, SPLIT.before_test.popularity()) if count == 0][:2]
    test = Dataset({"user_id": ["nobody", "no one"], "item_id": least})
    assert shares(rec.evaluate(test, k=3), 3) == {"popularity": 1.0}


def test_several_items_of_one_user_do_not_push_each_other_down(rec: Recommender) -> None:
    served = [one.item_id for one in rec.recommend(0, 6)]
    test = Dataset({"user_id": [0] * 6, "item_id": served})
    found = rec.evaluate(test, k=6)
    assert found["ndcg@6"] == found.baselines[0]["ndcg@6"] == 1


def test_bad_requests_are_refused(rec: Recommender, tmp_path: Path) -> None:
    empty = SPLIT.test.select_events(np.zeros(SPLIT.test.n_events, bool))
    with pytest.raises(InvalidDataError, match="no event"):
        rec.evaluate(empty)
    with pytest.raises(InvalidDataError, match="k is 0"):
        rec.evaluate(SPLIT.test, k=0)
    with pytest.raises(InvalidDataError, match="where"):
        rec.evaluate(SPLIT.test, where="year < 1900")  # type: ignore[arg-type]
    unfitted = Recommender(TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), artifacts=tmp_path / "other")
    with pytest.raises(NotFittedError):
        unfitted.evaluate(SPLIT.test)


def _task(candidates: NDArray[np.bool_]) -> Task:
    """The task in which items without an event can be found too, as they can through the live path."""
    return replace(from_split(SPLIT, candidates=candidates), findable=candidates)
