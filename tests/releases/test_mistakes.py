"""Mistakes of operators, and outages at a bad moment: none takes a release away, or leaves a half one in its place."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.recommender.tastes import TasteEncoder, world
from vecrec import Item, Recommender
from vecrec.data import Categorical, Dataset, Schema, Text
from vecrec.doctor import diagnose_system
from vecrec.encoders import ContentEncoder
from vecrec.errors import InvalidDataError, ReleaseError, StoreTimeoutError
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.vector_stores import MemoryVectorStore


def _folder(rec: Recommender) -> Path:
    return rec._archive.path / "releases"


def _again(rec: Recommender, **options: Any) -> Recommender:
    stores = rec.vector_store, rec.metadata_store
    return Recommender(TasteEncoder(), *stores, name=rec.name, artifacts=rec._archive.path.parent, **options)


# -- a release of nothing


def test_a_release_of_nothing_over_something_needs_a_flag(rec: Recommender) -> None:
    """The metadata store has lost its items: `publish` is refused, and what serves goes on."""
    live = rec.releases()[0]
    rec.metadata_store.delete("item", range(60))
    with pytest.raises(ReleaseError, match=r"holds no items, and the live release .* has 60"):
        rec.publish()
    assert [each.id for each in rec.releases()] == [live.id]
    assert rec.publish(allow_empty=True).counts["items"] == 0
    assert rec.publish().counts["items"] == 0


def test_the_flag_is_a_bool(rec: Recommender) -> None:
    with pytest.raises(InvalidDataError, match="allow_empty"):
        rec.publish(allow_empty=1)  # type: ignore[arg-type]


# -- what lies among the releases


def _file(path: Path) -> None:
    path.write_text("foreign")


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text("{}")


def _link(path: Path) -> None:
    target = path.parent.parent / "elsewhere"
    target.mkdir()
    (target / "manifest.json").write_text("{}")
    path.symlink_to(target)


def _copy(path: Path) -> None:
    shutil.copytree(max(path.parent.glob("r*")), path)


def _of_another(path: Path) -> None:
    _copy(path)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "id": path.name, "name": "other"}))


_ID = "r" + 20 * "0" + "abcd"


@pytest.mark.parametrize(
    ("name", "make"),
    [
        (".DS_Store", _file),
        ("lost+found", _directory),
        ("backup", _directory),
        ("r2024", _directory),
        (f"{_ID}.bak", _copy),
        (_ID, _file),
        (_ID, _link),
        (_ID, _directory),
        (_ID, _copy),
        (_ID, _of_another),
    ],
)
def test_what_is_not_a_release_is_left_alone(rec: Recommender, name: str, make: Callable[[Path], None]) -> None:
    """Files, links, backups and other recommenders' releases stay as they are, and no build fails on them."""
    foreign = _folder(rec) / name
    make(foreign)
    before = {path: path.read_bytes() for path in foreign.rglob("*") if path.is_file()}
    first = rec.releases()[0].id
    rec.publish()
    assert rec.publish().id != first
    assert os.path.lexists(foreign)
    assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in _folder(rec).iterdir()} == {foreign.name, *(each.id for each in rec.releases())}


def test_builds_that_did_not_end_are_removed(rec: Recommender) -> None:
    """They have the name of a release and no manifest."""
    (_folder(rec) / _ID / "encoder").mkdir(parents=True)
    rec.publish()
    assert not (_folder(rec) / _ID).exists()


def test_a_build_that_did_not_end_is_named_until_the_next_one(rec: Recommender) -> None:
    """By `verify`, whose verdict it does not change, and by the doctor; temporary files go with it."""
    (_folder(rec) / _ID / "encoder").mkdir(parents=True)
    temporary = _folder(rec).parent / f".live.json.{16 * 'a'}"
    temporary.write_text("{")
    report = rec.verify()
    assert report
    assert report.unfinished == (_ID,)
    assert f"left by a build that did not end: {_ID}" in str(report)
    assert [each.problem for each in diagnose_system(rec)] == [f"{_ID} was left by a build that did not end"]
    with rec._archive.build_lock():  # it may be the one that is being built
        assert rec.unfinished_builds() == []
    rec.publish()
    assert rec.verify().unfinished == ()
    assert not temporary.exists()


def test_a_release_is_durable_before_it_is_sealed(rec: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its files is synced before the manifest is there, whatever wrote it."""
    synced: list[str] = []

    def note(path: Path) -> None:
        assert not any(path.parent.glob("manifest.json"))
        synced.append(path.name)

    monkeypatch.setattr("vecrec.releases.archive.sync_file", note)
    release = rec.publish()
    assert sorted(synced) == sorted(Path(name).name for name in release.checksums)


# -- the pointer and the manifests


def test_a_release_under_another_name_is_refused_at_once(rec: Recommender) -> None:
    """``live.json`` names a restored copy whose manifest has the id of the original."""
    live = rec.releases()[0].id
    shutil.copytree(_folder(rec) / live, _folder(rec) / "restored")
    (_folder(rec).parent / "live.json").write_text(json.dumps({"live": "restored", "previous": None}))
    with pytest.raises(ReleaseError, match=f"is of the release '{live}', not of 'restored'"):
        Recommender.open(
            "movies", rec.vector_store, rec.metadata_store, _folder(rec).parent.parent, encoder=TasteEncoder
        )
    assert rec.recommend(3).release == live  # a process that serves already goes on


class _Failing(MemoryVectorStore):
    """Times out where it is told to."""

    fails: str = ""

    def _create(self, *arguments: Any) -> None:
        self._fail("create")
        super()._create(*arguments)

    def _drop(self, *arguments: Any) -> None:
        self._fail("drop")
        super()._drop(*arguments)

    def _fail(self, what: str) -> None:
        if self.fails == what:
            raise StoreTimeoutError(f"{what} took too long", "try again")


@pytest.fixture
def failing(tmp_path: Path) -> Recommender:
    """A recommender on a vector store that times out where it is told to."""
    made = Recommender(TasteEncoder(), _Failing(), MemoryMetadataStore(), name="movies", artifacts=tmp_path)
    made.fit(world())
    return made


def test_a_lost_pointer_makes_no_serving_release_a_stray(failing: Recommender) -> None:
    """Neither while a build fails, nor when one goes live: it stays as the one before."""
    other = Recommender.open(
        "movies", failing.vector_store, failing.metadata_store, _folder(failing).parent.parent, encoder=TasteEncoder
    )
    serving = failing.releases()[0].id
    (_folder(failing).parent / "live.json").unlink()
    failing.vector_store.fails = "create"  # type: ignore[attr-defined]
    with pytest.raises(StoreTimeoutError):
        failing.publish()
    assert (other.recommend(3).served_by, other.recommend(3).release) == ("vectors", serving)
    failing.vector_store.fails = ""  # type: ignore[attr-defined]
    new = failing.publish()
    assert [each.id for each in failing.releases()] == [new.id, serving]
    assert failing.rollback().id == serving


def test_a_sweep_that_fails_after_the_switch_is_left_to_the_next_build(
    failing: Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    first = failing.releases()[0].id
    failing.publish()
    failing.vector_store.fails = "drop"  # type: ignore[attr-defined]
    new = failing.publish()
    assert "the next build does it" in caplog.text
    assert failing.recommend(3).release == failing.releases()[0].id == new.id
    assert (_folder(failing) / first).exists()
    failing.vector_store.fails = ""  # type: ignore[attr-defined]
    failing.publish()
    assert not (_folder(failing) / first).exists()


# -- copied artifacts


def test_copied_artifacts_write_nothing_once_a_release_is_published_elsewhere(rec: Recommender, tmp_path: Path) -> None:
    """What they would write to the release that they know would be lost from search."""
    there = tmp_path / "there"
    shutil.copytree(_folder(rec).parent, there / rec.name)
    copy = Recommender(TasteEncoder(), rec.vector_store, rec.metadata_store, name=rec.name, artifacts=there)
    copy.upsert_items([Item(100, {"title": "Before"})])
    live = rec.publish().id
    writes: list[Callable[[], Any]] = [
        lambda: copy.upsert_items([Item(101, {"title": "After"})]),
        lambda: copy.delete_items([1]),
        lambda: copy.repair(full=True),
    ]
    for write in writes:
        with pytest.raises(ReleaseError, match=f"'{live}' was published from other artifacts"):
            write()
    assert copy.get_items([1, 101]).keys() == {1}
    assert copy.recommend(3).served_by == "vectors"
    shutil.rmtree(there)
    shutil.copytree(_folder(rec).parent, there / rec.name)
    copy.upsert_items([Item(101, {"title": "After"})])
    assert 101 in rec.recommend(3, 99, exclude_seen=False).item_ids


def test_rollback_leaves_the_artifacts_in_command(rec: Recommender) -> None:
    """The release that is live is then older than the latest one."""
    rec.publish()
    rec.rollback()
    rec.upsert_items([Item(101, {"title": "After"})])
    rec.rollback()
    assert 101 in rec.recommend(3, 99, exclude_seen=False).item_ids


def test_a_store_that_fails_after_the_switch_does_not_fail_the_publish(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The release is live then; what is left is mended later."""
    before, archive = rec.releases()[0].id, rec._archive
    real = archive.switch

    def switch_and_fail(release_id: str) -> None:
        real(release_id)
        monkeypatch.setattr(rec.metadata_store, "_put", _times_out)

    monkeypatch.setattr(archive, "switch", switch_and_fail)
    assert rec.publish().id == rec.releases()[0].id != before
    assert "its marks could not be cleared" in caplog.text


def _times_out(*arguments: Any) -> None:
    raise StoreTimeoutError("the write took too long", "try again")


# -- the files


@pytest.mark.parametrize(("umask", "wanted"), [(0o022, 0o044), (0o027, 0o040), (0o077, 0o000)])
def test_artifacts_follow_the_umask(tmp_path: Path, umask: int, wanted: int) -> None:
    before = os.umask(umask)
    try:
        with Recommender(TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), artifacts=tmp_path) as made:
            made.fit(world())
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*.json") if path.is_file()]
    assert {path.name for path in files} >= {"live.json", "manifest.json", "golden.json", "popularity.json"}
    assert {path.name: stat.S_IMODE(path.stat().st_mode) & 0o044 for path in files} == dict.fromkeys(
        [path.name for path in files], wanted
    )


def test_nothing_about_a_person_is_in_the_artifacts(tmp_path: Path) -> None:
    """Profiles and histories leave with `forget_user`, so no file of a release may have them."""
    profiles = {"user_id": list(range(40)), "address": [f"Elm Street {4000 + n}" for n in range(40)]}
    profiles["side"] = [("north", "south")[n % 2] for n in range(40)]
    data = world()
    schema = Schema(data.schema.items, (Text("address"), Categorical("side", values=("north", "south"))))
    with Recommender(ContentEncoder(dim=16), MemoryVectorStore(), MemoryMetadataStore(), artifacts=tmp_path) as made:
        made.fit(Dataset([*data.events()], [*data.items()], profiles, schema))
        golden = json.loads(next(tmp_path.rglob("golden.json")).read_text())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"Elm Street" in path.read_bytes()]
    assert len(golden["users"]) == 32
    assert {"side"} == {name for features, _ in golden["users"] for name in features}
