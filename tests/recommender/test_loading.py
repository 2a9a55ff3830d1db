"""A log without times is stored once, however often and by whatever part of it the recommender is fitted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from vecrec.data import Dataset
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.progress import Step
from vecrec.recommender.catalogue import Catalogue
from vecrec.recommender.edits import Forgotten
from vecrec.recommender.loading import load_dataset
from vecrec.releases import Archive
from vecrec.types import Event
from vecrec.vector_stores import MemoryVectorStore

WINDOWS = [
    ("again", ["abcd", "abcd"], "abcd"),
    ("grown", ["abcd", "abcdef"], "abcdef"),
    ("moved", ["abcd", "bcde", "defg"], "abcdefg"),
    ("longer before", ["cd", "abcd"], "abcd"),
    ("apart", ["ab", "cd"], "abcd"),
    ("repeated", ["abab", "ababa", "ababa"], "ababa"),
    ("shorter", ["abcd", "bc"], "abcd"),
    ("filled", ["ad", "abcd"], "abcd"),
    ("cut short and gone on", ["abcd", "bx"], "abxcd"),
    ("one", ["a", "a", "ab"], "ab"),
]


@pytest.fixture
def store() -> MemoryMetadataStore:
    return MemoryMetadataStore()


def _load(windows: list[str], store: MemoryMetadataStore, folder: Path, *, rows: bool) -> list[object]:
    archive = Archive(folder, "shop")
    catalogue = Catalogue(MemoryVectorStore(), store, archive)
    for window in windows:
        table = {"user_id": [1] * len(window) + [2], "item_id": [*window, "z"]}
        data = Dataset(table, order="rows" if rows else None)
        load_dataset(data, catalogue, archive, Forgotten(store, "00" * 32), live=False, progress=_quiet)
    assert [event.item_id for event in store.recent_events([2])[2]] == ["z"]
    return [event.item_id for event in store.recent_events([1])[1]]


def _quiet(step: Step) -> None:
    assert step.done >= 0


@pytest.mark.parametrize(("windows", "expected"), [row[1:] for row in WINDOWS], ids=[row[0] for row in WINDOWS])
def test_windows_of_rows_in_order_make_one_history(
    windows: list[str], expected: str, store: MemoryMetadataStore, tmp_path: Path
) -> None:
    assert _load(windows, store, tmp_path, rows=True) == list(expected)


@pytest.mark.parametrize(("windows", "expected"), [row[1:] for row in WINDOWS], ids=[row[0] for row in WINDOWS])
def test_windows_of_an_unknown_order_make_one_set(
    windows: list[str], expected: str, store: MemoryMetadataStore, tmp_path: Path
) -> None:
    assert Counter(_load(windows, store, tmp_path, rows=False)) == Counter(expected)


@pytest.mark.parametrize("rows", [True, False])
def test_a_live_event_is_later_than_a_log_without_times(store: MemoryMetadataStore, tmp_path: Path, rows: bool) -> None:
    store.append_events([Event(1, "now", 1.7e9)])
    assert _load(["abcd", "bcde"], store, tmp_path, rows=rows)[-1] == "now"
