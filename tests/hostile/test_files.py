"""Files that are damaged, and disks that are full: an error of vecrec, and what serves goes on."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.hostile.values import complaint
from tests.metadata_stores.engines import eventually
from tests.recommender.tastes import TasteEncoder, world
from vecrec import Recommender
from vecrec.config import Settings
from vecrec.data import Dataset, Vocabulary
from vecrec.data.vector_files import read_vectors
from vecrec.encoders import ContentEncoder, EASEEncoder, LinearSequenceEncoder, PopularityEncoder
from vecrec.errors import ReleaseError, StoreError, VecrecError
from vecrec.metadata_stores import MemoryMetadataStore, SQLMetadataStore
from vecrec.vector_stores import FileVectorStore, MemoryVectorStore


def _huge_npz(names: tuple[str, ...] = ("users", "items", "ids", "vectors", "counts")) -> bytes:
    """An archive of some 100 bytes for each array, whose headers ask for an exabyte each."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**8)})
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.npy", header.getvalue())
    return made.getvalue()


def _huge_npy() -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**8)})
    return header.getvalue()


def _unreadable(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "gone": lambda path: path.unlink(),
    "a directory": _unreadable,
    "a link to itself": _link_to_itself,
    "bytes": lambda path: path.write_bytes(bytes(range(256)) * 8),
    "a huge npz": lambda path: path.write_bytes(_huge_npz()),
    "a huge npy": lambda path: path.write_bytes(_huge_npy()),
    "an empty archive": lambda path: path.write_bytes(_huge_npz(())),
    "deep JSON": lambda path: path.write_text("[" * 100_000),
    "deep JSON of objects": lambda path: path.write_text('{"a":' * 100_000),
    "a number": lambda path: path.write_text("7"),
    "null": lambda path: path.write_text("null"),
    "a list of nulls": lambda path: path.write_text("[null, null]"),
    "an object": lambda path: path.write_text("{}"),
    "a huge number": lambda path: path.write_text("9" * 10_000),
    "no UTF-8": lambda path: path.write_bytes(b'{"a": "\xff"}'),
}


def _changed_json(path: Path) -> list[str]:
    """Texts like a JSON file's, each with one of its values replaced by one of another type."""
    value = json.loads(path.read_text())
    if not isinstance(value, dict):
        return []
    others: list[Any] = [None, "x", -1, 1e300, [], {}, [[1]], {"a": None}]
    return [json.dumps({**value, name: other}) for name in value for other in others]


def _rewrite(text: str, path: Path) -> None:
    path.write_text(text)


@contextlib.contextmanager
def _damaged(path: Path, damage: Callable[[Path], Any]) -> Iterator[None]:
    """A file that is damaged for the time of the block."""
    before = path.read_bytes()
    damage(path)
    try:
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_bytes(before)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """A recommender with two releases."""
    path = tmp_path_factory.mktemp("release")
    made = Recommender(LinearSequenceEncoder(dim=8), MemoryVectorStore(), MemoryMetadataStore(), artifacts=path)
    made.fit(world())
    made.publish()
    return made


def _reopen(rec: Recommender) -> None:
    opened = Recommender.open(rec.name, rec.vector_store, rec.metadata_store, rec._archive.path.parent)
    opened.recommend(3)
    opened.releases()
    opened.repair()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_release_is_refused_or_serves(release: Recommender, damage: str) -> None:
    """Each file of the artifacts by itself, the pointer, the catalogue's id and the manifest among them."""
    whole, live = release._archive.path, release.releases()[0].id
    names = sorted(path for path in whole.rglob("*") if path.is_file() and path.suffix != ".lock")
    named = [path for path in names if path.parent == whole or live in path.parts]
    assert len(named) > 8
    found = {}
    for path in named:
        with _damaged(path, DAMAGES[damage]):
            said = complaint(lambda: _reopen(release))
        found.update({} if said is None else {path.name: said})
    assert found == {}


@pytest.mark.parametrize("name", ["live.json", "catalogue.json", "manifest.json"])
def test_values_of_another_type_in_the_artifacts_are_found(release: Recommender, name: str) -> None:
    """As after an edit by hand: each value of a file that has no checksum is replaced by one of another type."""
    directory = release._archive.path
    path = (directory / "releases" / release.releases()[0].id if name == "manifest.json" else directory) / name
    found = {}
    texts = _changed_json(path)
    assert len(texts) >= 16
    for text in texts:
        with _damaged(path, partial(_rewrite, text)):
            said = complaint(lambda: _reopen(release))
        found.update({} if said is None else {text[:80]: said})
    assert found == {}


ENCODERS = [ContentEncoder(dim=8), EASEEncoder(dim=8), LinearSequenceEncoder(dim=8), PopularityEncoder()]


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda each: type(each).__name__)
def test_a_damaged_encoder_is_refused(tmp_path: Path, encoder: Any) -> None:
    """Each of its files by itself, with each damage and with each value replaced."""
    encoder.fit(world(8, 16)).save(tmp_path)
    found = {}
    for path in sorted(tmp_path.iterdir()):
        texts = _changed_json(path) if path.suffix == ".json" else []
        changes: dict[str, Callable[[Path], Any]] = {**DAMAGES, **{text: partial(_rewrite, text) for text in texts}}
        for name, change in changes.items():
            with _damaged(path, change):
                said = complaint(lambda: type(encoder).load(tmp_path).encode_items([]))
            found.update({} if said is None else {f"{path.name} {name[:60]}": said})
    assert found == {}


READERS: dict[str, Callable[[Path], Any]] = {
    "a.json": Vocabulary.load,
    "a.toml": Settings.load,
    "a.npz": lambda path: list(read_vectors(path)),
    "a.txt": lambda path: list(read_vectors(path)),
    "a.parquet": lambda path: (list(read_vectors(path)), Dataset(path)),
    "a.csv": Dataset,
    "a.tsv": Dataset,
    "a.jsonl": Dataset,
    "a.db": lambda path: SQLMetadataStore(f"sqlite:///{path}").get("item", [1]),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, damage: str) -> None:
    """Whatever reads a file that a caller names."""
    path = tmp_path / name
    path.write_text("some text")
    DAMAGES[damage](path)
    assert complaint(lambda: READERS[name](path)) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_vectors_is_refused(tmp_path: Path, damage: str) -> None:
    """Each file of a `FileVectorStore` by itself."""
    from vecrec.vector_stores import CollectionSpec

    with FileVectorStore(tmp_path / "whole.vec") as store:
        store.create("a", CollectionSpec(dim=2))
        store.upsert("a", [1, 2], [[1, 2], [3, 4]])

    def work(path: Path) -> None:
        with FileVectorStore(path) as opened:
            opened.search("a", [[1, 2]], 1)
            opened.upsert("a", [3], [[1, 2]])
            list(opened.scan("a"))

    found = {}
    names = [path for path in (tmp_path / "whole.vec").rglob("*") if path.is_file()]
    assert len(names) >= 2
    for path in names:
        with _damaged(path, DAMAGES[damage]):
            said = complaint(lambda: work(tmp_path / "whole.vec"))
        found.update({} if said is None else {path.suffix or path.name: said})
    assert found == {}


def test_a_header_that_asks_for_more_than_its_file_holds_costs_no_memory(tmp_path: Path) -> None:
    """An exabyte is refused by the header, with an address space of 2 GiB."""
    (tmp_path / "a.npz").write_bytes(_huge_npz())
    code = f"""
        import resource
        from pathlib import Path
        from vecrec.data.vector_files import read_vectors
        from vecrec.errors import InvalidDataError
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        try:
            list(read_vectors(Path({str(tmp_path / "a.npz")!r})))
        except InvalidDataError as error:
            assert "is said to have the shape" in str(error), error
        else:
            raise SystemExit("was read")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


# -- a disk that is full


class _Full:
    """Limits the size of every file that this process writes, as a full disk does."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __enter__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._most, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)
        signal.signal(signal.SIGXFSZ, self._handler)


@pytest.mark.parametrize("most", [0, 1, 100, 1_000, 4_000, 20_000])
def test_a_full_disk_fails_a_release_and_changes_nothing(tmp_path: Path, most: int) -> None:
    """Wherever it is met, what serves goes on, and the next build sweeps what was left."""
    made = Recommender(TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), artifacts=tmp_path)
    made.fit(world())
    live = made.releases()[0].id
    with _Full(most):
        for work in (made.publish, lambda: made.fit(world()), lambda: made.encoder.save(tmp_path / "apart")):
            said = complaint(work)
            assert said is None
        if most < 1_000:
            with pytest.raises(VecrecError):
                made.publish()
    if most < 1_000:
        assert [each.id for each in made.releases()] == [live]
    assert made.recommend(3).served_by == "vectors"
    made.publish()
    kept = {each.id for each in made.releases()}
    assert {path.name for path in (tmp_path / "vecrec" / "releases").iterdir()} == kept
    assert not [path for path in (tmp_path / "vecrec").glob(".*") if path.is_file()]


@pytest.mark.parametrize("most", [0, 1_000, 20_000])
def test_a_full_disk_fails_a_write_to_a_file_of_vectors_or_records(tmp_path: Path, most: int) -> None:
    """With an error that says so; what was written before is read."""
    from vecrec.vector_stores import CollectionSpec

    with FileVectorStore(tmp_path / "a.vec") as vectors, SQLMetadataStore(f"sqlite:///{tmp_path / 'a.db'}") as records:
        vectors.create("a", CollectionSpec(dim=64))
        vectors.upsert("a", [1], np.ones((1, 64)))
        records.put("item", {1: {"title": "Oak"}})
        with _Full(most):
            with pytest.raises(StoreError):
                vectors.upsert("a", range(2, 2_000), np.ones((1_998, 64)))
            with pytest.raises(StoreError):
                records.put("item", {key: {"text": "y" * 1_000} for key in range(2, 2_000)})
        assert vectors.fetch("a", [1]).keys() == {1}
        eventually(lambda: records.count("item"))
        assert records.get("item", [1]) == {1: {"title": "Oak"}}


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """A file stands where the directory of the artifacts should be made."""
    (tmp_path / "file").write_text("x")
    made = Recommender(TasteEncoder(), MemoryVectorStore(), MemoryMetadataStore(), artifacts=tmp_path / "file")
    with pytest.raises(ReleaseError, match="cannot be"):
        made.fit(world())
