"""The store in files: several processes at a time, killed in the middle of writes, damaged files, bounded size."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecrec import Recommender, ReleaseChecks
from vecrec.data import Dataset
from vecrec.encoders import ContentEncoder
from vecrec.errors import CollectionNotFoundError, InvalidDataError, StoreError, StoreTimeoutError
from vecrec.filters import field
from vecrec.metadata_stores import SQLMetadataStore
from vecrec.vector_stores import CollectionSpec, FileVectorStore, MemoryVectorStore
from vecrec.vector_stores.opening import open_vector_store

SPEC = CollectionSpec(4, "ip", {"year": "integer"})
ONE = [[1.0, 0.0, 0.0, 0.0]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a path in a folder that does not exist yet."""
    return tmp_path / "new" / "items.vec"


def fill(store: FileVectorStore, count: int, first: int = 0) -> None:
    """Entries whose scores for `ONE` are their ids."""
    ids = range(first, first + count)
    store.upsert("items", ids, [[n, 1, 0, 0] for n in ids], [{"year": n} for n in ids])


def write_many(path: Path, first: int, calls: int) -> int:
    """In a process of its own: many small writes, each read back at once."""
    with FileVectorStore(path) as store:
        for call in range(calls):
            fill(store, 5, first + 5 * call)
            assert len(store.fetch("items", range(first, first + 5 * call + 5))) == 5 * call + 5
        store.delete("items", [first])
        return store.count("items")


def test_several_processes_write_and_read_at_once(path: Path) -> None:
    """No write is lost, and each process reads what the others have written."""
    with FileVectorStore(path) as store:
        store.create("items", SPEC)
        with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
            done = [pool.submit(write_many, path, 1000 * n, 20) for n in range(3)]
            while not all(each.done() for each in done):
                scores = [hit.score for hit in store.search("items", ONE, 400)[0]]
                assert scores == sorted(scores, reverse=True)
            for each in done:
                each.result()
        assert store.count("items") == 3 * 99
        assert {entry.id for entry in store.scan("items")} == {1000 * n + m for n in range(3) for m in range(1, 100)}


WRITER = """
import sys
from vecrec.vector_stores import FileVectorStore
store, size = FileVectorStore(sys.argv[1]), 50
number = int(sys.argv[2])
while True:
    ids = [f"batch {number} {n}" for n in range(size)] + list(range(2000))
    store.upsert("items", ids, [[number, 0, 0, 0]] * len(ids), [{"year": number}] * len(ids))
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("lines", [1, 2, 3, 5, 8])
def test_a_killed_writer_leaves_each_call_done_or_not_done(path: Path, lines: int) -> None:
    """SIGKILL at any time: what was acknowledged is there, a batch is whole or absent, the next write works."""
    with FileVectorStore(path) as store:
        store.create("items", SPEC)
        acknowledged = -1
        for _ in range(3):
            command = [sys.executable, "-c", WRITER, str(path), str(acknowledged + 1)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout is not None
                for _ in range(lines):
                    acknowledged = int(writer.stdout.readline())
                writer.send_signal(signal.SIGKILL)
                acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
            held = {entry.id: entry for entry in store.scan("items", vectors=True)}
            last = held[0].attributes["year"]
            assert last in (acknowledged, acknowledged + 1)
            assert len(held) == 2000 + 50 * (int(last) + 1)
            for n in range(2000):
                vector = held[n].vector
                assert vector is not None
                assert (held[n].attributes["year"], vector[0]) == (last, last)
            store.upsert("items", ["after"], ONE)
            store.delete("items", ["after"])
            acknowledged = int(last)


def serve(folder: Path, rounds: int) -> set[str]:
    """A worker of a service: it answers from the files while another process trains."""
    with recommender(folder) as films:
        served = set()
        for number in range(rounds):
            found = films.recommend(number % 20, k=5)
            assert len(found) == 5
            served.add(found.served_by)
        return served


def recommender(folder: Path) -> Recommender:
    """One on the files of a folder."""
    parts = (
        ContentEncoder(dim=16),
        FileVectorStore(folder / "films.vec"),
        SQLMetadataStore(f"sqlite:///{folder}/films.db"),
    )
    checks = ReleaseChecks(beat_popularity=False)
    return Recommender(*parts, name="films", artifacts=folder / "artifacts", checks=checks, refresh_seconds=0.01)


def test_two_workers_serve_while_a_nightly_job_trains(tmp_path: Path) -> None:
    """All answers come from vectors, before, during and after the switch to another release."""
    users = np.repeat(np.arange(20), 4)
    log = {"user_id": users, "item_id": (users + 2 * np.arange(80)) % 40, "time": 1.7e9 + np.arange(80)}
    data = Dataset(log, items={"item_id": np.arange(40), "genre": ["noir", "western"] * 20})
    with recommender(tmp_path) as films:
        films.fit(data)
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            workers = [pool.submit(serve, tmp_path, 300) for _ in range(2)]
            for _ in range(2):
                films.fit(data)
            assert [worker.result() for worker in workers] == [{"vectors"}, {"vectors"}]


@pytest.mark.parametrize("cut", [1, 5, 12, 13, 40])
def test_a_torn_record_is_ignored_and_overwritten(path: Path, cut: int) -> None:
    """What a crash leaves of a record at the log's end is as if it had never been begun."""
    with FileVectorStore(path) as store:
        store.create("items", SPEC)
        fill(store, 3)
        (log,) = path.glob("*.log")
        whole = log.stat().st_size
        fill(store, 1, 3)
    os.truncate(log, whole + cut)
    with FileVectorStore(path) as store, FileVectorStore(path) as reader:
        assert store.count("items") == reader.count("items") == 3
        fill(store, 2, 7)
        assert [hit.id for hit in reader.search("items", ONE, 9)[0]] == [8, 7, 2, 1, 0]
    with FileVectorStore(path) as store:
        assert store.count("items") == 5


def test_a_record_whose_bytes_changed_is_not_read(path: Path) -> None:
    """The checksum of a record tells what a disk has damaged."""
    with FileVectorStore(path) as store:
        store.create("items", SPEC)
        fill(store, 1)
        (log,) = path.glob("*.log")
        whole = log.stat().st_size
        fill(store, 1, 1)
    content = bytearray(log.read_bytes())
    content[whole + 20] ^= 1
    log.write_bytes(content)
    with FileVectorStore(path) as store:
        assert [entry.id for entry in store.scan("items")] == [0]


def test_its_size_is_bounded(path: Path) -> None:
    """Rows that were replaced or deleted are left behind, readers notice, and no file of the past stays."""
    with FileVectorStore(path) as store, FileVectorStore(path) as reader:
        store.create("items", SPEC)
        for year in range(12):
            store.upsert("items", range(500), [[year, 0, 0, 0]] * 500, [{"year": year}] * 500)
            assert reader.search("items", ONE, 1)[0][0].score == year
            (rows,) = path.glob("*.rows")
            assert rows.stat().st_size <= 16 * (500 + 1024 + 500)
        store.delete("items", range(490))
        assert {entry.id for entry in reader.scan("items")} == set(range(490, 500))
        store.drop("items")
        assert not [*path.glob("*.rows"), *path.glob("*.log")]
        with pytest.raises(CollectionNotFoundError):
            reader.count("items")


def test_a_collection_made_again_is_another(path: Path) -> None:
    """A reader does not take the new collection of a name for the old one, nor lose the others."""
    with FileVectorStore(path) as store, FileVectorStore(path) as reader:
        store.create("items", SPEC)
        store.create("kept", SPEC)
        fill(store, 3)
        assert reader.count("items") == 3
        assert reader.count("kept") == 0
        for dim in (2, 3, 2, 3):
            store.drop("items")
            store.create("items", CollectionSpec(dim))
            assert reader.spec("items") == CollectionSpec(dim)
            assert reader.count("items") == 0
        assert reader.collections() == ["items", "kept"]


def test_a_scan_goes_on_while_the_files_are_replaced(path: Path) -> None:
    """What was read of a collection stays valid when others compact or drop it."""
    with FileVectorStore(path) as store:
        store.create("items", SPEC)
        fill(store, 2000)
        scan = store.scan("items", vectors=True)
        seen = [next(scan)]
        for _ in range(3):
            store.upsert("items", range(2000), [[9, 9, 9, 9]] * 2000)
        store.drop("items")
        seen += scan
    assert [(entry.id, entry.vector[0]) for entry in seen if entry.vector is not None] == [(n, n) for n in range(2000)]


def test_threads_read_while_others_write(path: Path) -> None:
    """Replacements, deletions and compactions in one process: each answer is of one moment."""
    with FileVectorStore(path) as store, ThreadPoolExecutor(4) as pool:
        store.create("items", SPEC)
        store.upsert("items", range(300), [[1, 0, 0, 0]] * 300)

        def write(first: int) -> None:
            for value in range(2, 12):
                store.upsert("items", range(first, first + 150), [[value, 0, 0, 0]] * 150)

        writing = [pool.submit(write, first) for first in (0, 150)]
        while not all(each.done() for each in writing):
            hits = store.search("items", ONE, 300)[0]
            assert len({hit.id for hit in hits}) == 300
            assert all(len({hit.score for hit in hits if (int(hit.id) < 150) is low}) == 1 for low in (True, False))
        for each in writing:
            each.result()
        assert {hit.score for hit in store.search("items", ONE, 300)[0]} == {11}


@pytest.mark.parametrize("metric", ["ip", "cosine"])
@pytest.mark.parametrize("share", [None, 0.9, 0.02])
def test_it_finds_what_the_reference_finds(path: Path, metric: Any, share: float | None) -> None:
    """The same hits with the same scores, with many ties, tiny and huge vectors, and filters of any width."""
    rng = np.random.default_rng(3)
    vectors = rng.integers(-3, 4, (3000, 8)) * 10.0 ** rng.integers(-12, 12, (3000, 1))
    vectors[1500:] = vectors[:1500]
    ids = [int(n) if n % 2 else f"s{n}" for n in rng.permutation(3000)]
    rows = [{"year": int(n)} for n in rng.integers(0, 1000, 3000)]
    spec = CollectionSpec(8, metric, {"year": "integer"})
    where = None if share is None else field("year") < int(1000 * share)
    with FileVectorStore(path) as store, MemoryVectorStore() as memory:
        for each in (store, memory):
            each.create("items", spec)
            each.upsert("items", ids, vectors, rows)
            each.delete("items", ids[::3])
        queries = rng.integers(-3, 4, (5, 8))
        for k in (1, 10, 700, 5000):
            for one in (queries, queries[:1]):
                assert store.search("items", one, k, where) == memory.search("items", one, k, where)


def test_a_fork_uses_the_store_of_its_parent(path: Path) -> None:
    """A server that forks its workers may open the store before."""
    with FileVectorStore(path) as store:
        store.create("items", SPEC)
        fill(store, 3)
        child = os.fork()
        if not child:
            try:
                fill(store, 1, 3)
                store.close()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert store.count("items") == 4


def test_a_writer_that_does_not_end_is_told(path: Path) -> None:
    """Another process holds the lock: writes end with a typed error, reads go on."""
    from filelock import FileLock

    with FileVectorStore(path, timeout=0.2) as store:
        store.create("items", SPEC)
        fill(store, 2)
        with FileLock(path / ".lock"):
            with pytest.raises(StoreTimeoutError, match="another process"):
                fill(store, 1, 2)
            assert store.count("items") == 2
        fill(store, 1, 2)
        assert store.count("items") == 3


def _file_in_place(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("something")


def _foreign_directory(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "photo.jpg").write_text("something")


def _damaged_manifest(path: Path) -> None:
    with FileVectorStore(path) as store:
        store.create("items", SPEC)
    (path / "manifest.json").write_text('{"format": 1, "collections": {"items": 3}}')


def _newer_format(path: Path) -> None:
    with FileVectorStore(path) as store:
        store.create("items", SPEC)
    (path / "manifest.json").write_text('{"format": 2}')


@pytest.mark.parametrize("spoil", [_file_in_place, _foreign_directory, _damaged_manifest, _newer_format])
def test_what_is_not_a_store_is_refused(path: Path, spoil: Any) -> None:
    """Files of something else, damaged and newer ones: a typed error with a cure, and nothing is changed."""
    spoil(path)
    before = sorted(file.name for file in path.iterdir()) if path.is_dir() else path.read_text()
    with FileVectorStore(path) as store, pytest.raises(StoreError) as caught:
        store.create("more", SPEC)
    assert caught.value.cure
    assert (sorted(file.name for file in path.iterdir()) if path.is_dir() else path.read_text()) == before


@pytest.mark.parametrize(
    ("path", "options"),
    [("", {}), ("file://", {}), (None, {}), (3, {}), ("a\0.vec", {}), (b"a.vec", {}), ("a.vec", {"timeout": True})],
)
def test_bad_arguments_are_refused(path: Any, options: Any) -> None:
    """When the store is made, before any file is."""
    with pytest.raises(InvalidDataError):
        FileVectorStore(path, **options)


def test_its_uris_name_one_store(tmp_path: Path) -> None:
    """A path that ends in ``.vec``, and any path after ``file://``."""
    for uri in (str(tmp_path / "a.vec"), tmp_path / "a.vec", f"file://{tmp_path}/a.vec"):
        with open_vector_store(uri, "a token of another store") as store:
            assert isinstance(store, FileVectorStore)
            assert store.path == tmp_path / "a.vec"
