"""A Milvus is named by a path or a URI, and a store that is named wrongly says so before it connects."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from vecrec.errors import InvalidDataError, MissingDependencyError
from vecrec.vector_stores import MilvusVectorStore
from vecrec.vector_stores.milvus import HNSW, HNSWSQ, IVFSQ8, AutoIndex, Flat, IVFFlat
from vecrec.vector_stores.milvus.client import parse_address
from vecrec.vector_stores.milvus.index import dump_index, load_index


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        ("movies", "'movies.db'"),
        ("data/movies", "'data/movies.db'"),
        ("movies.sqlite", "ends in .db"),
        ("localhost:19530", "'http://localhost:19530'"),
        ("ftp://milvus:19530", "'http'"),
        ("http://", "names no host"),
        ("http://milvus:99999", "Port out of range"),
        ("", "ends in .db"),
        (" ", "ends in .db"),
        (None, "ends in .db"),
        (19530, "ends in .db"),
        (b"movies.db", "ends in .db"),
    ],
)
def test_what_is_no_address_is_refused_with_what_was_meant(given: Any, cure: str) -> None:
    """Each mistake gets the cure that fits it, and nothing is opened."""
    with pytest.raises(InvalidDataError, match="Milvus") as caught:
        MilvusVectorStore(given)
    assert cure in str(caught.value)


def test_a_path_is_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means what it meant when the store was made, links resolved."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert parse_address("link/movies.db").uri == os.path.realpath(tmp_path / "real" / "movies.db")
    assert parse_address(Path("movies.db")).uri == os.path.realpath(tmp_path / "movies.db")


def test_credentials_are_never_shown() -> None:
    """Neither the store nor an error that it raises shows the credentials of its address."""
    store = MilvusVectorStore("http://root:hunter2@127.0.0.1:1/db", token="root:hunter3", timeout=1)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:1") as caught:
        store.ping()
    for text in (repr(store), str(caught.value)):
        assert "hunter" not in text


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": True},
        {"timeout": "10"},
        {"flush_timeout": -1},
        {"token": 3},
        {"consistency": "Session"},
        {"index": "HNSW"},
        {"index": HNSW},
        {"index": {"index_type": "DISKANN"}},
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    """A setting outside its range is refused when the store is made, an index in the engine's own terms too."""
    with pytest.raises(InvalidDataError):
        MilvusVectorStore("movies.db", **settings)


@pytest.mark.parametrize(
    "make",
    [
        lambda: HNSW(m=1),
        lambda: HNSW(m=True),
        lambda: HNSW(ef_construction=0),
        lambda: HNSW(ef=40_000),
        lambda: HNSWSQ(m=4096),
        lambda: IVFFlat(nlist=0),
        lambda: IVFFlat(nlist=8, nprobe=9),
        lambda: IVFSQ8(nlist=1.5),  # type: ignore[arg-type]
    ],
)
def test_bad_index_settings_are_refused(make: Any) -> None:
    """Settings of an index that the engine would refuse, or take and stumble over later."""
    with pytest.raises(InvalidDataError):
        make()


@pytest.mark.parametrize("index", [Flat(), AutoIndex(), HNSW(m=8), HNSWSQ(ef=10), IVFFlat(nlist=99), IVFSQ8()])
def test_an_index_survives_its_record(index: Any) -> None:
    """Another process reads from the collection what the first has set."""
    assert load_index(dump_index(index)) == index


def test_a_graph_looks_at_as_many_candidates_as_hits_are_asked_for() -> None:
    """With fewer, a server refuses the search."""
    assert [HNSW(ef=64).search(limit)["ef"] for limit in (1, 64, 65, 16_384)] == [64, 64, 65, 16_384]


@pytest.mark.parametrize(
    ("module", "uri", "package"),
    [("pymilvus", "http://127.0.0.1:1", "pymilvus"), ("milvus_lite", "movies.db", "milvus-lite")],
)
def test_a_missing_package_is_named_with_its_extra(
    module: str, uri: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A store can be made without the packages; the first call says what to install."""
    monkeypatch.chdir(tmp_path)
    store = MilvusVectorStore(uri)
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"vecrec-recommender\[milvus\]") as caught:
        store.ping()
    assert repr(package) in str(caught.value)
