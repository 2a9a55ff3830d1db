"""A URI names a vector store, those of third parties included."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from vecrec.errors import InvalidDataError
from vecrec.vector_stores import FileVectorStore, MemoryVectorStore, MilvusVectorStore
from vecrec.vector_stores.opening import open_vector_store

MODULE = """
from vecrec.vector_stores import MemoryVectorStore

class Mine(MemoryVectorStore):
    def __init__(self, uri, **options):
        super().__init__()
        self.given = uri, options

def broken(uri):
    return uri
"""


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package that registers ``mine`` and ``broken``."""
    package = tmp_path / "mine-1.0.dist-info"
    package.mkdir()
    (tmp_path / "registered_store.py").write_text(MODULE)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[vecrec.vector_stores]\nmine = registered_store:Mine\nbroken = registered_store:broken\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "registered_store", raising=False)


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("memory://", MemoryVectorStore),
        ("a.vec", FileVectorStore),
        (Path("a.vec"), FileVectorStore),
        ("file:///tmp/a", FileVectorStore),
        ("a.db", MilvusVectorStore),
        ("http://milvus:19530", MilvusVectorStore),
    ],
)
def test_a_uri_names_a_store(uri: Any, kind: type) -> None:
    """By its scheme or by the end of its path."""
    with open_vector_store(uri) as store:
        assert type(store) is kind


def test_a_registered_store_gets_its_uri_token_and_options(registered: None) -> None:
    """All three, and no token where none is given."""
    with open_vector_store("mine://host:6333", "the-token", timeout=3) as store:
        assert store.given == ("mine://host:6333", {"token": "the-token", "timeout": 3})  # type: ignore[attr-defined]
    with open_vector_store("mine://host:6333") as store:
        assert store.given == ("mine://host:6333", {})  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        ("broken://host", {}),
        ("broken://host", {"timeout": 3}),
        ("nothing://host", {}),
        ("memory://", {"timeout": 3}),
        ("a.vec", {"speed": 3}),
        ("a.db", {"speed": 3}),
        ("", {}),
        ("movies", {}),
        (None, {}),
        (3, {}),
    ],
)
def test_anything_else_is_refused(registered: None, uri: Any, options: dict[str, Any]) -> None:
    """An unknown scheme, a factory of something else, and options that the store does not take."""
    with pytest.raises(InvalidDataError) as caught:
        open_vector_store(uri, **options)
    assert caught.value.cure
