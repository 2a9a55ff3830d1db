"""The traps of a Milvus server, which other processes use too."""

from __future__ import annotations

import functools
import multiprocessing
import operator
import os
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest

from tests.vector_stores.conftest import Make
from vecrec.errors import CollectionExistsError, CollectionNotFoundError, InvalidDataError, StoreError
from vecrec.filters import field
from vecrec.ids import Id
from vecrec.vector_stores import CollectionSpec, MilvusVectorStore
from vecrec.vector_stores.milvus import HNSW, HNSWSQ, writes
from vecrec.vector_stores.milvus.layout import VECTOR, Layout

FIELDS: Any = {"year": "integer", "lang": "string", "genres": "strings"}


@pytest.fixture(scope="module")
def items(server: MilvusVectorStore, make: Make) -> str:
    """Give a collection, emptied by each test that fills it."""
    return make(server, 4, "ip", FIELDS)


@pytest.fixture(scope="module")
def elsewhere(milvus_uri: str) -> Iterator[Any]:
    """Give what has a method of a store called in another process, which has its own connection open already."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, milvus_uri), daemon=True)
    process.start()

    def call(method: str, *arguments: Any) -> Any:
        ours.send((method, arguments))
        return ours.recv()

    call("ping")
    yield call
    ours.send(None)
    process.join(20)
    assert process.exitcode == 0


def _serve(connection: Connection, uri: str) -> None:
    with MilvusVectorStore(uri) as store:
        while (message := connection.recv()) is not None:
            method, arguments = message
            try:
                result = getattr(store, method)(*arguments)
                connection.send(list(result) if method == "scan" else result)
            except Exception as error:  # noqa: BLE001 - judged by the test
                connection.send(type(error).__name__)


def test_another_process_reads_what_was_just_written(server: MilvusVectorStore, items: str, elsewhere: Any) -> None:
    """The reader has its connection open and has read before: without care a server gives it the old state."""
    for turn in range(6):
        server.upsert(items, ["moving", turn], [[1, 0, 0, turn], [0, 1, 0, 0]], [{"year": turn}, {}])
        assert elsewhere("search", items, [[1, 0, 0, 0]], 1)[0][0].id == "moving"
        assert elsewhere("fetch", items, ["moving"])["moving"].attributes == {"year": turn}
        assert elsewhere("count", items) == 2
        server.delete(items, ["moving", turn])
        assert elsewhere("count", items) == 0
        assert elsewhere("scan", items) == []


def test_the_end_of_a_bulk_write_is_read_elsewhere(server: MilvusVectorStore, items: str, elsewhere: Any) -> None:
    """Inside the block this process reads its own writes; after it every process does."""
    with server.bulk(items):
        for turn in range(5):
            server.upsert(items, [turn], [[turn, 0, 0, 0]])
        assert server.count(items) == 5
    assert elsewhere("count", items) == 5
    server.delete(items, list(range(5)))


def test_a_collection_dropped_elsewhere_is_gone_here(server: MilvusVectorStore, elsewhere: Any) -> None:
    """Each call on it raises, and one made anew with another spec is taken for what it is."""
    name = f"test_{uuid.uuid4().hex}"
    server.create(name, CollectionSpec(2, "ip", {"year": "integer"}))
    server.upsert(name, [1], [[1, 0]], [{"year": 5}])
    elsewhere("drop", name)
    for call in (lambda: server.count(name), lambda: server.upsert(name, [1], [[1, 0]]), lambda: server.spec(name)):
        with pytest.raises(CollectionNotFoundError):
            call()
    assert name not in server.collections()

    assert elsewhere("create", name, CollectionSpec(3, "cosine")) is None
    try:
        assert server.spec(name) == CollectionSpec(3, "cosine")
        server.upsert(name, [1], [[1, 0, 0]])
        assert elsewhere("count", name) == 1
    finally:
        server.drop(name)


def test_a_collection_made_anew_elsewhere_is_known_soon(server: MilvusVectorStore, elsewhere: Any) -> None:
    """A store that remembers the old spec fails once at most, and does not write into columns that are not there."""
    name = f"test_{uuid.uuid4().hex}"
    server.create(name, CollectionSpec(2, "ip", {"year": "integer"}))
    server.upsert(name, [1], [[1, 0]], [{"year": 5}])
    elsewhere("drop", name)
    elsewhere("create", name, CollectionSpec(2, "ip", {"lang": "string"}))
    try:
        with pytest.raises(StoreError):
            server.upsert(name, [2], [[1, 0]], [{"year": 5}])
        server.upsert(name, [3], [[1, 0]], [{"lang": "en"}])
        assert [(entry.id, entry.attributes) for entry in server.scan(name)] == [(3, {"lang": "en"})]
    finally:
        server.drop(name)


def test_of_many_who_create_one_collection_one_does(milvus_uri: str) -> None:
    """A server takes a second creation with an equal schema for the first; the others must hear that it is taken."""
    name = f"test_{uuid.uuid4().hex}"
    outcomes: list[str] = []
    gate = threading.Barrier(4)

    def work() -> None:
        with MilvusVectorStore(milvus_uri, timeout=30) as store:
            store.ping()
            gate.wait()
            try:
                store.create(name, CollectionSpec(2))
                outcomes.append("made")
            except CollectionExistsError:
                outcomes.append("taken")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with MilvusVectorStore(milvus_uri) as store:
        store.upsert(name, [1], [[1, 0]])
        assert store.count(name) == 1
        store.drop(name)
    assert sorted(outcomes) == ["made", "taken", "taken", "taken"]


def test_a_creation_that_was_cut_short_is_finished(server: MilvusVectorStore) -> None:
    """Who died between the collection and its index left one that is empty, and that works when it is used."""
    name, spec = f"test_{uuid.uuid4().hex}", CollectionSpec(2)
    layout, engine = Layout(spec, HNSW(), arrays=True), server._client.engine()
    engine.create_collection(name, schema=layout.schema(engine), timeout=10)
    try:
        assert server.spec(name) == spec
        assert server.search(name, [[1, 0]], 3) == [[]]
        server.upsert(name, [1], [[1, 0]])
        assert [hit.id for hit in server.search(name, [[1, 0]], 3)[0]] == [1]
    finally:
        server.drop(name)


def test_what_follows_a_flush_is_searched_by_the_index(milvus_uri: str) -> None:
    """A graph that was built to be bad is bad at once, and in use; else the server searches without it for a while."""
    name, rng = f"test_{uuid.uuid4().hex}", np.random.default_rng(0)
    vectors = rng.standard_normal((4000, 32)) * np.exp(rng.normal(size=(4000, 1)))
    queries = rng.standard_normal((50, 32))
    best = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
    shares = []
    for index in (HNSW(m=2, ef_construction=1, ef=1), None):
        with MilvusVectorStore(milvus_uri, index=index) as store:
            store.create(name, CollectionSpec(32))
            store.upsert(name, list(range(4000)), vectors)
            store.flush(name)
            segments = store._client.engine().list_loaded_segments(name)
            if index is not None:
                assert [(segment.num_rows, segment.index_name) for segment in segments] == [(4000, VECTOR)]
            found = store.search(name, queries, 10)
            store.drop(name)
        shares.append(np.mean([hit.id in wanted for hits, wanted in zip(found, best) for hit in hits]))
    bad, default = shares
    assert bad < 0.7
    assert default == 1


def test_an_index_that_the_server_lacks_leaves_nothing_behind(milvus_uri: str) -> None:
    """A creation that fails at its index is undone."""
    name = f"test_{uuid.uuid4().hex}"
    with MilvusVectorStore(milvus_uri, index=HNSWSQ()) as store:
        with pytest.raises(StoreError, match="HNSW_SQ"):
            store.create(name, CollectionSpec(2))
        assert name not in store._client.engine().list_collections(timeout=10)


def test_what_vecrec_has_not_made_is_neither_listed_nor_dropped(server: MilvusVectorStore) -> None:
    """A collection of another application on the same server is left alone, its name is taken."""
    name, engine = f"test_{uuid.uuid4().hex}", server._client.engine()
    engine.create_collection(name, dimension=2, timeout=30)
    try:
        assert name not in server.collections()
        with pytest.raises(CollectionNotFoundError):
            server.count(name)
        with pytest.raises(CollectionExistsError):
            server.create(name, CollectionSpec(2))
        with pytest.raises(StoreError, match="not its own"):
            server.drop(name)
    finally:
        engine.drop_collection(name, timeout=10)


def test_a_database_in_the_address_is_kept_apart(server: MilvusVectorStore, milvus_uri: str) -> None:
    """The path of the address names the database, for the requests that are made by hand too."""
    database, name, engine = f"db_{uuid.uuid4().hex}", f"test_{uuid.uuid4().hex}", server._client.engine()
    engine.create_database(database, timeout=10)
    with MilvusVectorStore(f"{milvus_uri}/{database}") as store:
        store.create(name, CollectionSpec(2))
        store.upsert(name, [1], [[1, 0]])
        assert [hit.id for hit in store.search(name, [[1, 0]], 2)[0]] == [1]
        assert store.collections() == [name]
        assert name not in server.collections()
        store.drop(name)
    engine.drop_database(database, timeout=10)


def test_a_released_collection_is_loaded_again(server: MilvusVectorStore, items: str) -> None:
    """An operator may take a collection out of memory; reads bring it back, and do not come back empty meanwhile.

    The engine itself answers "nothing found" while it releases, in most of the searches of that second.
    """
    server.upsert(items, [1], [[1, 0, 0, 0]])
    for _ in range(3):
        with ThreadPoolExecutor(1) as pool:
            release = pool.submit(server._client.engine().release_collection, items, timeout=10)
            found = []
            while not release.done():
                found.append([hit.id for hit in server.search(items, [[1, 0, 0, 0]], 1)[0]])
                found.append(list(server.fetch(items, [1])))
                found.append([1] * server.count(items))
        found.append([hit.id for hit in server.search(items, [[1, 0, 0, 0]], 1)[0]])
        assert found == [[1]] * len(found)
    server.delete(items, [1])


def test_a_batch_larger_than_a_message_is_cut(server: MilvusVectorStore, make: Make) -> None:
    """77 MB in one call arrive in pieces; a server takes 64 MB at once. They come back in pieces too."""
    name = make(server, 32_000, "ip", {})
    vectors = np.arange(600, dtype=np.float32)[:, None] * np.ones(32_000, np.float32)
    with server.bulk(name):
        server.upsert(name, range(600), vectors)
        assert server.count(name) == 600
        found = server.fetch(name, range(0, 600, 5))
    assert {key: entry.vector[-1] for key, entry in found.items() if entry.vector is not None} == {
        number: number for number in range(0, 600, 5)
    }


def test_texts_and_lists_are_bounded_before_anything_is_written(server: MilvusVectorStore, items: str) -> None:
    """A column has its limit in bytes: one below it comes back, one above it is refused with the whole batch."""
    fits = ["é" * 32_767, "x" * 65_535]
    server.upsert(items, [1, 2], np.eye(2, 4), [{"lang": text} for text in fits])
    assert [entry.attributes["lang"] for entry in server.fetch(items, [1, 2]).values()] == fits
    long: list[dict[str, Any]] = [
        {"lang": "é" * 32_768}, {"genres": ["a", "x" * 65_536]}, {"genres": ["x"] * 4_097},
    ]  # fmt: skip
    for row in long:
        with pytest.raises(InvalidDataError, match="keep long"):
            server.upsert(items, [3, 4], np.eye(2, 4), [{"year": 1}, row])
    assert sorted(entry.id for entry in server.scan(items)) == [1, 2]
    server.delete(items, [1, 2])


def test_more_fields_than_a_server_has_columns_are_refused(server: MilvusVectorStore) -> None:
    """The message says how many there may be, and nothing is created."""
    name = f"test_{uuid.uuid4().hex}"
    with pytest.raises(InvalidDataError, match="room for 62"):
        server.create(name, CollectionSpec(2, "ip", {f"field{number}": "integer" for number in range(32)}))
    assert name not in server.collections()


def test_the_most_fields_with_the_longest_names_work(server: MilvusVectorStore, make: Make) -> None:
    """All columns that a server has, and names as long as vecrec allows, clash with nothing."""
    names = ["id", "vector", "zero", "f_id", "h_id", *(f"{'x' * 61}{number:03}" for number in range(26))]
    name = make(server, 2, "ip", dict.fromkeys(names, "string"))
    row = {field_: field_[-3:] for field_ in names}
    server.upsert(name, [1, 2], [[1, 0], [1, 0]], [row, {}])
    assert server.fetch(name, [1])[1].attributes == row
    for field_ in names:
        assert [hit.id for hit in server.search(name, [[1, 0]], 5, field(field_) == row[field_])[0]] == [1]


def test_zero_vectors_are_found_by_angle(server: MilvusVectorStore, make: Make) -> None:
    """They have no angle, so a server leaves them out; by the contract's measure they score 0."""
    name = make(server, 2, "cosine", {"year": "integer"})
    vectors = [[1, 0], [0, 0], [-1, 0], [0, 1], [0, 0], [0, -2]]
    server.upsert(name, range(6), vectors, [{"year": number} for number in range(6)])
    for flushed in (False, True):
        if flushed:
            server.flush(name)
        for k in (1, 3, 5, 6, 20):
            hits = server.search(name, [[3, 0]], k)[0]
            assert [hit.id for hit in hits] == [0, 1, 3, 4, 5, 2][:k]
        assert [hit.id for hit in server.search(name, [[3, 0]], 9, field("year") > 0)[0]] == [1, 3, 4, 5, 2]
        assert [hit.id for hit in server.search(name, [[0, 0]], 9)[0]] == list(range(6))


def test_equal_vectors_do_not_shorten_a_list(server: MilvusVectorStore, make: Make) -> None:
    """The graph of an index falls apart into islands of equal vectors; the list is filled from all entries then."""
    base = np.random.default_rng(2).integers(-9, 10, (40, 16))
    name, ids = make(server, 16, "ip", {}), list(range(4000))
    server.upsert(name, ids, base[np.arange(4000) % 40])
    server.flush(name)
    scores = base @ base[0]
    hits = server.search(name, base[:1], 150)[0]
    assert [hit.id for hit in hits] == sorted(ids, key=lambda number: (-scores[number % 40], number))[:150]


def test_lists_longer_than_a_server_gives_are_whole(server: MilvusVectorStore, make: Make) -> None:
    """A server gives 16,384 hits at most; beyond that, and just below with ties, the order is the same."""
    name, count = make(server, 2, "ip", {"year": "integer"}), 17_000
    order = np.random.default_rng(5).permutation(count)
    vectors = np.stack([order // 3, np.zeros(count)], axis=1)
    ids: list[Id] = list(range(count))
    with server.bulk(name):
        server.upsert(name, ids, vectors, [{"year": int(place) % 2} for place in order])
    best = sorted(ids, key=lambda number: (-(order[int(number)] // 3), number))
    for k in (16_383, 16_384, 20_000):
        assert [hit.id for hit in server.search(name, [[1, 0]], k)[0]] == best[:k]
    odd = [number for number in best if order[int(number)] % 2]
    assert [hit.id for hit in server.search(name, [[1, 0]], 16_500, field("year") == 1)[0]] == odd


def test_a_fork_does_not_use_the_parents_connection(server: MilvusVectorStore, items: str) -> None:
    """The child is told, and the parent's connection goes on working."""
    server.upsert(items, [1], [[1, 0, 0, 0]])
    child = os.fork()
    if not child:
        try:
            server.count(items)
        except StoreError as error:
            os._exit(0 if "new store in each process" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert server.count(items) == 1
    server.delete(items, [1])


def test_an_injection_deletes_nothing(server: MilvusVectorStore, items: str) -> None:
    """Through pymilvus's own ``delete(ids=...)`` each of these empties a collection."""
    attacks = ["zz'] or id != 'zz' or id in ['zz", 'zz"] or id != "zz" or id in ["zz', 'zz\\"] or id != "']
    server.upsert(items, ["kept", attacks[0]], np.eye(2, 4))
    server.delete(items, attacks)
    assert list(server.fetch(items, ["kept", *attacks])) == ["kept"]
    server.delete(items, ["kept"])


def test_requests_are_cut_by_rows_and_bytes() -> None:
    """No request has more rows or bytes than its limits, and none is empty."""
    layout = Layout(CollectionSpec(4, "ip", {"lang": "string"}), HNSW(), arrays=True)
    for count, text in ((1, ""), (5000, ""), (12_001, ""), (3000, "x" * 60_000)):
        batch = writes.Batch(list(range(count)), np.zeros((count, 4), np.float32), [{"lang": text}] * count)
        requests = [writes.request("c", layout, part) for part in writes.parts(layout, batch)]
        sizes = [(request.num_rows, request.ByteSize()) for request in requests]
        assert sum(rows for rows, _ in sizes) == count
        assert all(0 < rows <= writes.MAX_ROWS and size <= writes.MAX_BYTES for rows, size in sizes)


@pytest.mark.parametrize("count", [2, 23, 24, 25, 40, 50, 51, 100, 240])
def test_any_number_of_conditions_is_answered(server: MilvusVectorStore, items: str, count: int) -> None:
    """A server fails on a chain of some twenty conditions, so they reach it as a balanced tree."""
    server.upsert(
        items, [1, 2, 3], [[3, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0]], [{"year": year} for year in (1, 2, 3000)]
    )
    year = field("year")
    every = functools.reduce(operator.and_, [year != n for n in range(4, count + 4)])
    some = functools.reduce(operator.or_, [year == n for n in range(2, count + 2)])
    nested = ~functools.reduce(operator.and_, [~(year < n) for n in range(2, count // 2 + 2)])
    found = [[hit.id for hit in server.search(items, [[1, 0, 0, 0]], 3, where)[0]] for where in (every, some, nested)]
    assert found == [[1, 2, 3], [2], [1, 2] if count > 2 else [1]]


def test_answers_over_the_size_of_a_message_are_read_in_parts(server: MilvusVectorStore, make: Make) -> None:
    """A server refuses an answer of more than 100 MB; the store asks for fewer rows then."""
    name = make(server, 2, "ip", {"one": "string", "two": "string"})
    count, text = 1000, "x" * 60_000
    with server.bulk(name):
        server.upsert(name, range(count), [[1, 0]] * count, [{"one": text, "two": text}] * count)
    assert len(server.fetch(name, range(count))) == count
    assert sum(1 for _ in server.scan(name)) == count
