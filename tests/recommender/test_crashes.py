"""Whatever write is the last one of a process, the stores can be mended, and were never seen apart."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recommender.faults import (
    READS,
    FaultyMetadataStore,
    FaultyVectorStore,
    Killed,
    Kind,
    Saboteur,
    When,
    sabotaged,
)
from tests.recommender.tastes import SCHEMA, TasteEncoder, world
from vecrec import Item, Recommender
from vecrec._internal.storage import save_arrays
from vecrec.data import Dataset
from vecrec.errors import VecrecError
from vecrec.ids import Id
from vecrec.metadata_stores import MetadataStore
from vecrec.vector_stores import VectorStore

FAULTS: list[tuple[Kind, When]] = [("error", "before"), ("error", "after"), ("kill", "half"), ("kill", "after")]


@dataclass
class Scene:
    """A recommender with two releases, twenty-odd items and eight users, whose stores can be sabotaged."""

    path: Path
    vectors: Any = field(default_factory=FaultyVectorStore)
    metadata: Any = field(default_factory=FaultyMetadataStore)

    def recommender(self) -> Recommender:
        """The recommender as a new process would open it."""
        parts = TasteEncoder(), self.vectors, self.metadata
        return Recommender(*parts, name="movies", artifacts=self.path, refresh_seconds=0)

    def copy(self, path: Path) -> Scene:
        """The same state apart."""
        shutil.copytree(self.path, path)
        twin = Scene(path)
        twin.vectors._data = deepcopy(self.vectors._data)
        twin.metadata._records = deepcopy(self.metadata._records)
        twin.metadata._events = deepcopy(self.metadata._events)
        return twin

    def searchable_without_record(self) -> set[Id]:
        """The items that a reader of the live release could find without their record."""
        live = self.recommender().releases()[0].collection
        return set(self.vectors._data[live].entries) - set(self.metadata._records["item"])


def _data(n_items: int, title: str) -> Dataset:
    """A world whose last item has a title of its own."""
    given = world(8, n_items)
    items = [*given.items()]
    items[-1] = Item(items[-1].id, {**items[-1].features, "title": title})
    return Dataset(list(given.events()), items, list(given.users()), SCHEMA)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = Scene(tmp_path_factory.mktemp("artifacts"))
    rec = made.recommender()
    rec.fit(_data(20, "first"))
    rec.upsert_items([Item(100, {"title": "between", "tastes": ["war"]})])
    rec.fit(_data(20, "second"))
    rec.upsert_items([Item(101, {"title": "last", "tastes": ["love"], "stock": 1})])
    rec.delete_items([6])
    return made


def _upsert(rec: Recommender) -> None:
    rec.upsert_items([Item(3, {"title": "changed", "tastes": ["love"]}), Item("new", {"year": 2020}), Item(4), Item(5)])


def _update(rec: Recommender) -> None:
    rec.update_items({101: {"stock": 2}, 3: {"year": 2001}, 4: {"title": None}, 5: {"tastes": ["war", "love"]}})


def _delete(rec: Recommender) -> None:
    rec.delete_items([1, 2, 3, 100, "nobody"])


def _fit(rec: Recommender) -> None:
    rec.fit(_data(24, "third"))


def _publish(rec: Recommender) -> None:
    rec.encoder.fit(_data(20, "second"))
    rec.publish()


def _refresh(rec: Recommender) -> None:
    rec.refresh(since=0)


def _rollback(rec: Recommender) -> None:
    rec.rollback()


OPERATIONS: list[Callable[[Recommender], None]] = [_upsert, _update, _delete, _fit, _publish, _refresh, _rollback]


def _sabotage(scene: Scene, operation: Callable[[Recommender], None], saboteur: Saboteur) -> bool:
    """Whether the operation met its end before it was through."""
    rec = scene.recommender()
    with sabotaged(saboteur, scene.vectors, scene.metadata, scene.path):
        try:
            operation(rec)
        except (VecrecError, Killed):
            return True
    # The error may have been met and survived, such as while sweeping up.
    return saboteur.at is not None and saboteur.count >= saboteur.at


def _each_write(
    scene: Scene,
    path: Path,
    operation: Callable[[Recommender], None],
    kind: Kind,
    when: When,
    *,
    files: bool = False,
) -> Iterator[Scene]:
    """The scene after the operation has failed at its first write, its second, to its last; of files too if so said."""
    for n in itertools.count(1):
        twin = scene.copy(path / str(n))
        if not _sabotage(twin, operation, Saboteur(n, when, kind, files=files)):
            assert n > 3, "an operation of hardly any write proves nothing"
            return
        yield twin
        shutil.rmtree(twin.path)


@pytest.mark.parametrize(("base", "store"), [(VectorStore, FaultyVectorStore), (MetadataStore, FaultyMetadataStore)])
def test_every_change_of_a_store_is_a_crash_point(base: Any, store: Any) -> None:
    """What a store implements is one, unless it is known to read."""
    assert READS[base] <= {*vars(base)}, "one that is no more"
    abstract = {name for name in base.__abstractmethods__ if name.startswith("_")}
    assert "_delete" in abstract - READS[base] <= store.writes


def test_every_change_of_a_file_is_a_crash_point(tmp_path: Path) -> None:
    """Whatever call changes it: pathlib, os, shutil, NumPy; reading is none, nor is a file elsewhere."""
    root = tmp_path / "root"
    (root / "old").mkdir(parents=True)
    (root / "old" / "file").touch()

    def count(change: Callable[[], object]) -> int:
        saboteur = Saboteur()
        with sabotaged(saboteur, FaultyVectorStore(), FaultyMetadataStore(), root):
            change()
        return saboteur.count

    assert count((root / "new").mkdir) == 1
    assert count(lambda: (root / "a").write_text("a")) == 1
    assert count(lambda: np.save(root / "b.npy", np.zeros(3))) == 1
    assert count(lambda: save_arrays(root / "c.npz", {"c": np.zeros(3)})) == 3, "made, made durable, put in place"
    assert count(lambda: (root / "a").replace(root / "z")) == 1
    assert count((root / "z").unlink) == 1
    assert count(lambda: os.close(os.open(root / "d", os.O_CREAT | os.O_WRONLY))) == 1
    assert count(lambda: shutil.rmtree(root / "old")) == 2, "the file and the directory"
    assert count((root / "b.npy").read_bytes) == 0
    assert count((tmp_path / "elsewhere").touch) == 0


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__[1:])
def test_a_searchable_item_has_its_record_after_every_single_write(
    scene: Scene, tmp_path: Path, operation: Callable[[Recommender], None]
) -> None:
    """At no moment of any operation does a search of the live release find an item without its record."""
    twin = scene.copy(tmp_path / "twin")

    def look() -> None:
        assert not twin.searchable_without_record()

    assert not _sabotage(twin, operation, Saboteur(None, after_each=look))


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a build changes a hundred files and more, and is repeated for each of them
@pytest.mark.parametrize(("kind", "when"), FAULTS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__[1:])
def test_an_end_at_any_write_is_found_and_mended(
    scene: Scene, tmp_path: Path, operation: Callable[[Recommender], None], kind: Kind, when: When
) -> None:
    """After an end at any write: no item without its record, quick repair mends all, and again changes nothing."""
    files = when in ("before", "half")  # after one change of a file is before the next
    for twin in _each_write(scene, tmp_path, operation, kind, when, files=files):
        assert not twin.searchable_without_record()
        rec = twin.recommender()
        found = rec.verify()
        assert set(found.ids) == set(found.pending), "quick repair must know all that differs"
        assert set(rec.repair()) == set(found.pending)
        assert rec.verify(), str(rec.verify())
        assert rec.repair() == []
        assert len(rec.recommend(1, 5)) == 5


@pytest.mark.parametrize(("kind", "when"), FAULTS)
@pytest.mark.parametrize("operation", OPERATIONS[:-1], ids=lambda operation: operation.__name__[1:])
def test_an_operation_that_was_cut_short_can_be_repeated(
    scene: Scene, tmp_path: Path, operation: Callable[[Recommender], None], kind: Kind, when: When
) -> None:
    """Repeated without a repair, the operation does what it would have done at once; nothing is left behind."""
    twin = scene.copy(tmp_path / "whole")
    operation(twin.recommender())
    expected = twin.metadata._records["item"]
    for twin in _each_write(scene, tmp_path, operation, kind, when):
        rec = twin.recommender()
        operation(rec)
        assert twin.metadata._records["item"] == expected
        rec.repair()  # an operation mends what it is about, not what others have left
        assert rec.verify()
        _assert_nothing_is_left(twin, rec)


@pytest.mark.parametrize(("kind", "when"), FAULTS)
def test_the_next_build_sweeps_what_a_crash_has_left(scene: Scene, tmp_path: Path, kind: Kind, when: When) -> None:
    """Half a build leaves a directory and a collection, which no reader sees and the next build removes."""
    for twin in _each_write(scene, tmp_path, _fit, kind, when):
        served = twin.recommender().recommend(1, 5).release
        assert served == twin.recommender().releases()[0].id
        rec = twin.recommender()
        rec.fit(_data(20, "fourth"))
        assert rec.verify()
        _assert_nothing_is_left(twin, rec)


@pytest.mark.parametrize("when", ["before", "half", "after"])
@pytest.mark.parametrize("change", [_upsert, _update, _delete], ids=lambda operation: operation.__name__[1:])
@pytest.mark.parametrize("switch", [_fit, _publish, _rollback], ids=lambda operation: operation.__name__[1:])
def test_a_switch_settles_what_a_crash_has_left(
    scene: Scene,
    tmp_path: Path,
    switch: Callable[[Recommender], None],
    change: Callable[[Recommender], None],
    when: When,
) -> None:
    """A release that goes live after a crash has no unfinished change, and at no moment is an item without record."""
    for twin in _each_write(scene, tmp_path, change, "kill", when):

        def look(twin: Scene = twin) -> None:
            assert not twin.searchable_without_record()

        _sabotage(twin, switch, Saboteur(None, after_each=look))
        assert twin.recommender().verify(), str(twin.recommender().verify())


def _assert_nothing_is_left(scene: Scene, rec: Recommender) -> None:
    kept = rec.releases()
    assert {path.name for path in (scene.path / "movies" / "releases").iterdir()} == {each.id for each in kept}
    assert set(scene.vectors.collections()) == {each.collection for each in kept}
    assert not scene.metadata._records.get("journal")
    assert not scene.metadata._records.get("pending")
    assert not (scene.path / "movies" / "building.json").exists()
