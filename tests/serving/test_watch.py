"""What the service watches beside its requests: recall of its own searches, new values of features, golden vectors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.recommender.tastes import TasteEncoder, world
from tests.serving.web import get, listening
from vecrec import Recommender
from vecrec.config.settings import Settings
from vecrec.doctor import diagnose_system
from vecrec.errors import InvalidDataError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.serving import create_app
from vecrec.types import Hit
from vecrec.vector_stores import CollectionSpec, MemoryVectorStore


class _Counting(MemoryVectorStore):
    """Counts passes over it, and finds only every second item, as a poor index does."""

    forgets = False
    passes = 0
    threads: frozenset[str] = frozenset()

    def _search(self, *arguments: Any) -> list[list[Hit]]:
        found = super()._search(*arguments)
        return [row[::2] for row in found] if self.forgets else found

    def _scan(self, *arguments: Any) -> Iterator[Any]:
        self.passes += 1
        self.threads |= {threading.current_thread().name}
        return super()._scan(*arguments)


@pytest.fixture
def rec(tmp_path: Path) -> Iterator[Recommender]:
    with Recommender(TasteEncoder(), _Counting(), MemoryMetadataStore(), name="demo", artifacts=tmp_path) as made:
        made.fit(world())
        yield made


def _values(client: httpx.Client, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric by the values of their labels, in the order of the labels' names."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        tuple(each.labels.values()): each.value for family in families for each in family.samples if each.name == name
    }


def _ask_until_measured(client: httpx.Client, **query: Any) -> dict[tuple[str, ...], float]:
    end = time.monotonic() + 120
    while not (found := _values(client, "vecrec_recall")):
        assert time.monotonic() < end
        get(client.get("/v1/users/3/recommendations", params=query))
    return found


def test_recall_of_live_searches_is_in_the_metrics(rec: Recommender) -> None:
    """With its interval, by the share of items that pass the filter, measured by a thread of its own."""
    rec.vector_store.forgets = True  # type: ignore[attr-defined]
    before = rec.vector_store.passes  # type: ignore[attr-defined]
    with listening(create_app(rec, settings=Settings(name="demo", recall_seconds=0.01))) as client:
        assert _ask_until_measured(client)[("1",)] == 0.5
        assert _values(client, "vecrec_recall_low")[("1",)] < 0.5 < _values(client, "vecrec_recall_high")[("1",)]
        assert _values(client, "vecrec_recall_searches")[("1",)] >= 1
        end = time.monotonic() + 120
        while ("0.01",) not in _values(client, "vecrec_recall"):
            assert time.monotonic() < end
            get(client.get("/v1/users/3/recommendations", params={"where": "year>=2037"}))
    assert rec.vector_store.passes > before  # type: ignore[attr-defined]
    assert "vecrec-recall" in rec.vector_store.threads  # type: ignore[attr-defined]


def test_a_switch_shows_in_the_metrics_at_once_and_no_recall_is_told_of_no_search(rec: Recommender) -> None:
    """Without anything having asked for the health."""
    with listening(create_app(rec, settings=Settings(name="demo", recall_seconds=0.01))) as client:
        before = [*_values(client, "vecrec_live_release")]
        after = rec.publish().id
        assert before != [*_values(client, "vecrec_live_release")] == [(after,)]
        for _ in range(50):
            get(client.get("/v1/users/3/recommendations", params={"where": "year>=3000"}))
        _ask_until_measured(client)
        assert all(_values(client, "vecrec_recall_searches").values())


class _Poor(_Counting):
    """Finds every second item until it looks at eight times as much, or reads all vectors."""

    enough: int | None = 8
    effort: int | None = 1

    def _search(self, *arguments: Any) -> list[list[Hit]]:
        self.forgets = self.effort != self.enough
        return super()._search(*arguments)

    def _widen(self, collection: str, spec: CollectionSpec, effort: int | None) -> bool:
        before, self.effort = self.effort, effort
        return effort != before


@pytest.mark.parametrize(("enough", "told"), [(8, "look at 8 times as much"), (None, "read all vectors")])
def test_searches_that_find_too_little_are_widened(
    enough: int | None, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Step by step, and no further than needed; the log, the metrics and the doctor say so. A release begins again."""
    store = _Poor()
    store.enough = enough
    settings = Settings(name="demo", recall_seconds=0.01)
    with Recommender(TasteEncoder(), store, MemoryMetadataStore(), name="demo", artifacts=tmp_path) as rec:
        store.effort = enough  # until the checks of the release are over
        rec.fit(world())
        store.effort = 1
        with listening(create_app(rec, settings=settings)) as client:
            assert _values(client, "vecrec_search_effort")[()] == 1
            _ask_until(client, lambda: _values(client, "vecrec_recall").get(("1",)) == 1.0)
            assert _values(client, "vecrec_search_effort")[()] == (enough or 0)
            steps = [each.message for each in caplog.records if "from now on" in each.message]
            assert len(steps) == (3 if enough else 5)
            assert "recall@10 0.500" in steps[0]
            assert "less than the target of 0.9: searches look at 2 times as much" in steps[0]
            (found,) = [each for each in diagnose_system(rec) if each.subject == "vector store"]
            assert f"searches of the service {told}" in found.problem
            assert "since they had recall@10 0.500" in found.problem
            store.effort = enough
            rec.publish()
            _ask_until(client, lambda: _values(client, "vecrec_search_effort")[()] == 1)
            assert not [each for each in diagnose_system(rec) if each.subject == "vector store"]


def test_an_index_that_cannot_do_better_is_said_once(rec: Recommender, caplog: pytest.LogCaptureFixture) -> None:
    rec.vector_store.forgets = True  # type: ignore[attr-defined]
    with listening(create_app(rec, settings=Settings(name="demo", recall_seconds=0.01))) as client:
        _ask_until(client, lambda: "cannot be searched better" in caplog.text)
        _ask_until(client, lambda: _values(client, "vecrec_recall_searches").get(("1",), 0) > 40)
        assert _values(client, "vecrec_search_effort")[()] == 1
    assert caplog.text.count("cannot be searched better") == 1
    with pytest.raises(InvalidDataError, match="recall_target is 1"):
        Settings(recall_target=1.5)


def _ask_until(client: httpx.Client, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        get(client.get("/v1/users/3/recommendations"))


def test_it_costs_nothing_where_it_is_off(rec: Recommender) -> None:
    before = rec.vector_store.passes  # type: ignore[attr-defined]
    with listening(create_app(rec, settings=Settings(name="demo", recall_seconds=0))) as client:
        for _ in range(20):
            get(client.get("/v1/users/3/recommendations"))
        assert _values(client, "vecrec_recall") == {}
    assert rec.vector_store.passes == before  # type: ignore[attr-defined]


def test_values_unlike_those_of_the_training_are_counted(rec: Recommender) -> None:
    """Of items, of stored and of posted profiles; values that were seen, and other fields, are not."""
    with listening(create_app(rec)) as client:
        get(client.put("/v1/items/500", json={"year": 1200, "tastes": ["opera"], "title": "Old", "other": 1}))
        get(client.put("/v1/items/501", json={"year": 1990, "tastes": ["war"], "title": "Seen"}))
        get(client.patch("/v1/items/501", json={"year": 3000}))
        get(client.put("/v1/users/900", json={"taste": "war"}))
        get(client.post("/v1/recommendations", json={"features": {"taste": "love"}}))
        assert _values(client, "vecrec_features_total") == {
            ("year", "items"): 3, ("tastes", "items"): 2, ("taste", "users"): 2,
        }  # fmt: skip
        assert _values(client, "vecrec_features_drifted_total") == {
            ("year", "items", "range"): 2, ("tastes", "items", "unknown"): 1,
        }  # fmt: skip


def test_golden_vectors_are_made_again_in_this_process(rec: Recommender, tmp_path: Path) -> None:
    parts = (rec.vector_store, rec.metadata_store)
    serving = Recommender.open("demo", *parts, tmp_path, encoder=TasteEncoder)
    with listening(create_app(serving)) as client:
        client.get("/health/ready")
        assert 0 <= _values(client, "vecrec_golden_deviation")[()] < 1e-4
