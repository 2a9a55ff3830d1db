"""The traps of Milvus Lite, which runs inside this process and owns its directory."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vecrec.errors import CollectionNotFoundError, StoreError
from vecrec.filters import field
from vecrec.ids import Id
from vecrec.vector_stores import CollectionSpec, MilvusVectorStore
from vecrec.vector_stores.milvus import HNSW, IVFSQ8, AutoIndex, Flat, Index, IVFFlat, lite
from vecrec.vector_stores.milvus.reads import _compare_all

ONE = [[1.0, 0.0]]


def python(code: str, *arguments: object) -> str:
    """What another process prints, errors and warnings included."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout.strip()


COUNT = """
import sys
from vecrec.vector_stores import MilvusVectorStore
try:
    with MilvusVectorStore(sys.argv[1]) as store:
        print(store.count("items"), [hit.id for hit in store.search("items", [[1, 0]], 1)[0]])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a path in a folder that is not there yet."""
    return tmp_path / "new" / "folder" / "vectors.db"


@pytest.fixture
def store(path: Path) -> Iterator[MilvusVectorStore]:
    """Give a store with one small collection, ``items``."""
    with MilvusVectorStore(path) as store:
        store.create("items", CollectionSpec(2))
        store.upsert("items", [1, 2, 3], [[3, 0], [2, 0], [1, 0]])
        yield store


def test_a_fork_neither_uses_nor_destroys_the_parents_data(store: MilvusVectorStore, path: Path) -> None:
    """A forked child that ends normally would close the parent's database and delete its log."""
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        try:
            store.count("items")
        except StoreError as error:
            os.write(tell, str(error).encode())
        store.close()
        # As a child ends that was not written for this: exit handlers and all.
        import atexit

        atexit._run_exitfuncs()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    message = os.read(told, 1000).decode()
    assert "new store in each process" in message
    assert str(child) in message

    store.upsert("items", [4], [[4, 0]])
    assert store.count("items") == 4
    store.close()
    assert python(COUNT, path) == "4 [4]"


def test_a_store_that_the_parent_had_not_used_is_the_childs(tmp_path: Path) -> None:
    """Making a store opens nothing, so a server that forks its workers may make it before."""
    store = MilvusVectorStore(tmp_path / "late.db")
    child = os.fork()
    if not child:
        try:
            store.ping()
            store.close()
        finally:
            os._exit(0 if store._client._closed else 1)
    assert os.waitpid(child, 0)[1] == 0
    store.ping()
    store.close()


def test_many_threads_open_one_path(path: Path) -> None:
    """Without a lock around the opening all but one of them fail."""
    failures: list[Exception] = []
    gate = threading.Barrier(8)

    def work() -> None:
        gate.wait()
        try:
            with MilvusVectorStore(path) as store:
                store.ping()
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert str(path) not in lite._registry.users


def test_two_stores_share_a_path_and_the_last_one_releases_it(store: MilvusVectorStore, path: Path) -> None:
    """Closing one of them leaves the other open; closing both gives the directory to another process."""
    with MilvusVectorStore(path) as other:
        other.upsert("items", [9], [[9, 0]])
        assert store.count("items") == 4
    assert store.count("items") == 4
    assert "open in another process" in python(COUNT, path)
    store.close()
    assert python(COUNT, path) == "4 [9]"


def test_another_process_is_told_who_holds_the_directory(store: MilvusVectorStore, path: Path) -> None:
    """The error names the path and the cure, and nothing else is printed."""
    told = python(COUNT, path)
    assert told.startswith("StoreError")
    assert str(path) in told
    assert "http://host:19530" in told
    assert "\n" not in told


def test_what_a_process_left_unflushed_is_loaded_by_the_next(path: Path) -> None:
    """Milvus Lite forgets between processes which collections were loaded."""
    write = """
import os, sys
from vecrec.vector_stores import CollectionSpec, MilvusVectorStore
store = MilvusVectorStore(sys.argv[1])
store.create("items", CollectionSpec(2))
store.upsert("items", [1, 2], [[1, 0], [2, 0]])
os._exit(0)  # as a process ends that is killed
"""
    assert not python(write, path)
    with MilvusVectorStore(path) as store:
        assert [hit.id for hit in store.search("items", ONE, 2)[0]] == [2, 1]
        store.delete("items", [2])
        assert [entry.id for entry in store.scan("items")] == [1]
        assert list(store.fetch("items", [1])) == [1]


def test_a_failed_call_prints_nothing(path: Path) -> None:
    """Pymilvus and milvus-lite print the traceback of every call that fails; the caller gets the error alone."""
    code = """
import sys
from vecrec.errors import VecrecError
from vecrec.vector_stores import CollectionSpec, MilvusVectorStore
with MilvusVectorStore(sys.argv[1]) as store:
    store.create("items", CollectionSpec(2))
    for call in (lambda: store.count("none"), lambda: store._client.call("x", "query", "items", filter="no (")):
        try:
            call()
        except VecrecError as error:
            print(type(error).__name__)
"""
    assert python(code, path).split() == ["CollectionNotFoundError", "StoreError"]


def test_a_plain_file_at_the_path_is_not_touched(tmp_path: Path) -> None:
    """A file is a database of an older Milvus Lite, or something else that is not ours."""
    file = tmp_path / "old.db"
    file.write_text("precious")
    with pytest.raises(StoreError, match="older versions wrote files"):
        MilvusVectorStore(file).ping()
    assert file.read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The operating system's reason is in the message."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot use .*file") as caught:
        MilvusVectorStore(tmp_path / "file" / "vectors.db").ping()
    assert caught.value.__cause__ is not None


def test_a_server_that_somebody_else_opened_is_left_running(path: Path) -> None:
    """A client of the application's own on the same path keeps working when the store is closed."""
    from milvus_lite.server_manager import server_manager_instance
    from pymilvus import MilvusClient

    path.parent.mkdir(parents=True)
    client = MilvusClient(str(path), dedicated=True)
    with MilvusVectorStore(path) as store:
        store.create("items", CollectionSpec(2))
    assert client.list_collections(timeout=5) == ["items"]
    client.close()
    server_manager_instance.release_server(str(path))


@pytest.mark.parametrize("index", [Flat(), HNSW(), IVFFlat(nlist=4, nprobe=4), IVFSQ8(nlist=4, nprobe=4), AutoIndex()])
def test_every_index_that_is_offered_loads_again(index: Index, tmp_path: Path) -> None:
    """Milvus Lite accepts indexes that it cannot load after the next start; those offered here it can."""
    vectors = np.random.default_rng(1).standard_normal((300, 8))
    path = tmp_path / "vectors.db"
    with MilvusVectorStore(path, index=index) as store:
        store.create("items", CollectionSpec(8))
        store.upsert("items", range(300), vectors)
        store.flush("items")
    with MilvusVectorStore(path) as store:
        hits = store.search("items", vectors[:5], 10)
        exact = np.argsort(-(vectors[:5] @ vectors.T), axis=1)[:, :10]
    shared = [len({hit.id for hit in row} & set(best)) for row, best in zip(hits, exact.tolist())]
    assert min(shared) >= 8


def test_equal_vectors_do_not_shorten_a_list(tmp_path: Path) -> None:
    """The graph of an index falls apart into islands of equal vectors; the list is filled from all entries then."""
    base = np.random.default_rng(2).integers(-9, 10, (40, 16))
    ids: list[Id] = list(range(4000))
    with MilvusVectorStore(tmp_path / "vectors.db", index=HNSW(m=16, ef_construction=200, ef=64)) as store:
        store.create("items", CollectionSpec(16, "ip", {"year": "integer"}))
        store.upsert("items", ids, base[np.arange(4000) % 40], [{"year": number % 2} for number in ids])
        store.flush("items")
        scores = base @ base[0]
        for where, allowed in ((None, ids), (field("year") == 1, ids[1::2])):
            hits = store.search("items", base[:1], 150, where)[0]
            best = sorted(allowed, key=lambda number: (-scores[int(number) % 40], number))[:150]
            assert [hit.id for hit in hits] == best


def test_a_page_of_a_scan_is_bounded_by_bytes(lite: MilvusVectorStore) -> None:
    """Long vectors come in smaller pages than were asked for, so that memory stays small; and they all come."""
    lite.create("wide", CollectionSpec(30_000))
    vectors = np.arange(150, dtype=np.float32)[:, None] * np.ones(30_000, np.float32)
    lite.upsert("wide", range(150), vectors)
    sizes = [len(page) for page in lite._table("wide").pages("", 10_000)]
    lite.drop("wide")
    assert sum(sizes) == 150
    assert max(sizes) * 30_000 * 4 <= 16 * 2**20


def test_a_collection_that_went_away_is_told_at_once(store: MilvusVectorStore, path: Path) -> None:
    """What a store remembers of a collection does not outlive it, nor hide one made anew with another spec."""
    with MilvusVectorStore(path) as other:
        other.drop("items")
        with pytest.raises(CollectionNotFoundError):
            store.count("items")
        with pytest.raises(CollectionNotFoundError):
            store.spec("items")
        other.create("items", CollectionSpec(3, "cosine"))
        assert store.spec("items") == CollectionSpec(3, "cosine")


def test_comparing_everything_gives_what_the_engine_gives(lite: MilvusVectorStore) -> None:
    """The way around the engine's limits is the same search, by inner product and by angle."""
    vectors = np.random.default_rng(4).standard_normal((200, 12)).astype(np.float32)
    vectors[7] = 0
    for metric in ("ip", "cosine"):
        lite.create("both", CollectionSpec(12, metric))
        lite.upsert("both", range(200), vectors)
        engine = lite.search("both", vectors[:9], 20)
        here = _compare_all(lite._table("both"), vectors[:9], 20, "", None)
        lite.drop("both")
        for left, right in zip(engine, here):
            assert [hit.id for hit in left] == [hit.id for hit in right]
            np.testing.assert_allclose([hit.score for hit in left], [hit.score for hit in right], rtol=1e-5, atol=1e-6)


def test_the_loggers_are_left_to_the_application() -> None:
    """Opening a store changes the level of the two noisy loggers and of no other."""
    assert logging.getLogger("pymilvus").level == logging.CRITICAL
    assert logging.getLogger("grpc").level == logging.NOTSET
    assert logging.getLogger("milvus_lite.server_manager").level == logging.NOTSET
