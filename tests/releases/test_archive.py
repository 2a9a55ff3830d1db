"""The directory of releases: what is damaged is found, and every message says what to do."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.recommender.tastes import TasteEncoder, world
from vecrec import Recommender, User
from vecrec.errors import InvalidDataError, NotFittedError, ReleaseError, StoreTimeoutError
from vecrec.releases import Archive, Release
from vecrec.releases.manifest import FORMAT


def reopened(rec: Recommender) -> Recommender:
    """The recommender as a new process opens it."""
    stores = rec.vector_store, rec.metadata_store
    return Recommender.open(rec.name, *stores, rec._archive.path.parent, encoder=TasteEncoder)


def live_directory(rec: Recommender) -> Path:
    """Where the live release lies."""
    return rec._archive.directory(rec.releases()[0].id)


@pytest.fixture
def twice(rec: Recommender) -> Recommender:
    """A recommender with a live release and one before it."""
    rec.fit(world())
    return rec


def test_a_manifest_survives_its_file(rec: Recommender) -> None:
    """All that a release says of itself is on disk as JSON, and comes back equal."""
    release = rec.releases()[0]
    text = (live_directory(rec) / "manifest.json").read_text()
    assert Release.from_json(json.loads(text)) == release
    assert release.counts == {"items": 60, "users": 40, "events": 480}
    assert (release.name, release.encoder, release.dim, release.metric) == ("movies", "taste", 5, "ip")
    assert release.checks["index_recall"] == 1.0
    assert release.versions.keys() >= {"python", "vecrec", "numpy"}
    counted = {"neighbours.json", "neighbours.npy", "neighbour_weights.npy"}
    encoder = {"encoder/taste.json", "encoder/learnt_from.npy"}
    assert {*release.checksums} == {*encoder, "golden.json", "golden.npz", "popularity.json", "values.json", *counted}


@pytest.mark.parametrize(
    "name", ["encoder/taste.json", "golden.json", "golden.npz", "popularity.json", "values.json", "neighbours.npy"]
)
@pytest.mark.parametrize("harm", ["change", "cut", "delete"])
def test_a_damaged_file_is_found_before_it_serves(twice: Recommender, name: str, harm: str) -> None:
    """Whichever file it is: the message names it and the cure, and the cure works."""
    path = live_directory(twice) / name
    if harm == "delete":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if harm == "cut" else content[:-1] + b"?")
    with pytest.raises(ReleaseError, match=rf"{name}.*(?:roll back|fit)"):
        reopened(twice)
    twice.rollback()
    assert reopened(twice).recommend(1, 1)[0].item_id == 57


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "1"}', '{"format": 1, "id": "x"}', "\xff"])
def test_a_damaged_manifest_is_a_release_error(twice: Recommender, text: str) -> None:
    """No JSON, no object, no fields: never a KeyError or a JSONDecodeError."""
    (live_directory(twice) / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ReleaseError, match="roll back"):
        reopened(twice)
    twice.rollback()
    assert reopened(twice).recommend(1, 1).served_by == "vectors"


def test_a_newer_format_asks_for_an_upgrade(rec: Recommender) -> None:
    """A release that a later version has made is not guessed at."""
    path = live_directory(rec) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": FORMAT + 1}))
    with pytest.raises(ReleaseError, match="upgrade vecrec"):
        reopened(rec)


def test_what_a_later_version_adds_to_a_manifest_is_no_damage(rec: Recommender) -> None:
    """An unknown field of the same format is passed over."""
    path = live_directory(rec) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "green"}))
    assert reopened(rec).recommend(1, 1)[0].item_id == 57


def test_an_encoder_that_gives_other_vectors_now_does_not_serve(rec: Recommender) -> None:
    """The golden vectors notice what no checksum can: the files are the same, the code is not."""

    class Changed(TasteEncoder):
        def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
            vectors = super()._encode_users(users)
            vectors *= 1.01
            return vectors

    stores = rec.vector_store, rec.metadata_store
    with pytest.raises(ReleaseError, match=r"golden users.*fit again"):
        Recommender.open("movies", *stores, rec._archive.path.parent, encoder=Changed)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "5", '{"live": 5}', '{"live": "x", "previous": 5}'])
def test_a_damaged_pointer_says_how_to_write_it(rec: Recommender, text: str) -> None:
    """Nothing is guessed, and nothing is swept away, while nobody knows what is live."""
    path = rec._archive.path / "live.json"
    good = path.read_text()
    path.write_text(text)
    for call in (lambda: reopened(rec), rec.releases, rec.rollback, lambda: rec.fit(world())):
        with pytest.raises(ReleaseError, match=r"live\.json is damaged.*write"):
            call()
    path.write_text(good)
    assert reopened(rec).recommend(1, 1)[0].item_id == 57


def test_without_a_release_there_is_nothing_to_open(tmp_path: Path, unfitted: Recommender) -> None:
    """The message names the place that it looked at, since a wrong directory is the likeliest reason."""
    with pytest.raises(NotFittedError, match=str(tmp_path / "movies")):
        reopened(unfitted)


def test_an_encoder_that_nobody_registers_must_be_handed_in(rec: Recommender) -> None:
    """The message names the encoder and what there is."""
    with pytest.raises(InvalidDataError, match=r"'taste'.*install|hand in"):
        Recommender.open("movies", rec.vector_store, rec.metadata_store, rec._archive.path.parent)


def test_ids_sort_by_time_and_fit_into_a_collection(tmp_path: Path) -> None:
    """Later releases sort after earlier ones."""
    archive = Archive(tmp_path, "movies")
    ids = [archive.new_id() for _ in range(100)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 100
    assert archive.collection(ids[0]).isidentifier()


def test_a_directory_that_cannot_be_written_to_is_said(tmp_path: Path, unfitted: Recommender) -> None:
    """A file in the way is a release error, not an OSError."""
    (tmp_path / "movies").write_text("in the way")
    with pytest.raises(ReleaseError, match="cannot be written"):
        unfitted.fit(world())


def test_the_catalogue_lock_keeps_threads_apart(tmp_path: Path) -> None:
    """Who waits too long for another thread is told who is in the way."""
    archive, held, done = Archive(tmp_path, "movies"), threading.Event(), threading.Event()

    def hold() -> None:
        with archive.catalogue_lock():
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(30)
        with (
            pytest.raises(
                StoreTimeoutError, match=f"process {os.getpid()} on .* is changing the catalogue of .movies., for"
            ),
            archive.catalogue_lock(0),
        ):
            pass
    finally:
        done.set()
        thread.join()
    with archive.catalogue_lock(0):
        pass


def _hold_catalogue_lock(path: Path, held: object) -> None:
    with Archive(path, "movies").catalogue_lock():
        held.set()  # type: ignore[attr-defined]
        threading.Event().wait(600)


def test_a_stopped_process_that_holds_the_catalogue_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By its id, its machine and its state: to those that give up, and in the log of those that go on waiting."""
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=_hold_catalogue_lock, args=(tmp_path, held))
    process.start()
    archive = Archive(tmp_path, "movies")
    try:
        assert held.wait(60)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)  # returns when it has stopped
        words = (
            f"process {process.pid} on {os.uname().nodename}, which is stopped, is changing the catalogue of 'movies'"
        )
        with pytest.raises(StoreTimeoutError, match=words), archive.catalogue_lock(0.0):
            pass
        with pytest.raises(StoreTimeoutError, match=words), archive.catalogue_lock(3.2):
            pass
        assert f"still waiting: {words}" in caplog.text
    finally:
        process.kill()
        process.join()
    with archive.catalogue_lock(60):
        pass


def _hold_build_lock(path: Path, held: object, done: object) -> None:
    with Archive(path, "movies").build_lock():
        held.set()  # type: ignore[attr-defined]
        done.wait(60)  # type: ignore[attr-defined]


def test_the_build_lock_keeps_processes_apart(tmp_path: Path) -> None:
    """And whoever dies holding it gives it up."""
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    process = context.Process(target=_hold_build_lock, args=(tmp_path, held, done))
    process.start()
    assert held.wait(60)
    with (
        pytest.raises(ReleaseError, match="is building"),
        Archive(tmp_path, "movies").build_lock(),
    ):
        pass
    process.kill()
    process.join()
    with Archive(tmp_path, "movies").build_lock():
        pass
