"""Vectors go out into files and come in again, bit for bit, and damaged files are refused with the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run
from vecrec.data.vector_files import read_vectors, write_vectors
from vecrec.errors import InvalidDataError
from vecrec.ids import Id

_IDS: dict[str, list[Id]] = {
    "integers": [1, -5, 2**60],
    "texts": ["a", "b c", "é🎬", "x:[1]", "", "a,b"],
    "both": [1, "1", "a", 2**60],
}


def _matrix(rows: int) -> Any:
    return np.random.default_rng(3).normal(size=(rows, 5)).astype(np.float32) * np.float32(1e-3)


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".txt"])
@pytest.mark.parametrize("kind", ["integers", "texts"])
def test_a_file_gives_back_what_was_written(tmp_path: Path, suffix: str, kind: str) -> None:
    """Ids with their types, vectors bit for bit, in one batch or several."""
    ids, path = _IDS[kind], tmp_path / f"vectors{suffix}"
    matrix = _matrix(len(ids))
    assert write_vectors(path, [(ids[:2], matrix[:2]), (ids[2:], matrix[2:])]) == len(ids)
    read = list(read_vectors(path))
    assert [key for keys, _ in read for key in keys] == ids
    assert np.array_equal(np.concatenate([part for _, part in read]), matrix)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_integers_and_texts_may_be_mixed(tmp_path: Path, suffix: str) -> None:
    """``1`` and ``"1"`` come back as two."""
    ids, path = _IDS["both"], tmp_path / f"vectors{suffix}"
    write_vectors(path, [(ids, _matrix(4))])
    assert [key for keys, _ in read_vectors(path) for key in keys] == ids


@pytest.mark.parametrize("key", ["1", " a", "a\nb", "-7"])
def test_lines_refuse_ids_that_they_cannot_hold(tmp_path: Path, key: str) -> None:
    """Rather than to give back another one; and no half file stays."""
    with pytest.raises(InvalidDataError, match="parquet"):
        write_vectors(tmp_path / "v.txt", [([key], _matrix(1))])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("1:[1, 2]\n2:[1]\n", "several lengths"),
        ("1:[1, 2]\n2 [1, 2]\n", "line 2"),
        ("1:[1, nan]\n", "line 1"),
        ("1:[1, 1e400]\n", "line 1"),
        ("1:[1, true]\n", "line 1"),
        ('1:[1, "2"]\n', "line 1"),
        ("1:[1, 2\n", "line 1"),
        ("1:[1e39]\n", "infinity"),
        ("\n".join(f"{n}:[{'1' if n == 2500 else '1, 2'}]" for n in range(2501)), "length"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_damaged_lines_are_refused_with_their_place(tmp_path: Path, text: str, where: str) -> None:
    """The message says where."""
    path = tmp_path / "v.txt"
    path.write_text(text)
    with pytest.raises(InvalidDataError, match=where):
        list(read_vectors(path))


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_other_files_are_refused(tmp_path: Path, suffix: str) -> None:
    """A file that is none, or has other contents."""
    path = tmp_path / f"v{suffix}"
    path.write_bytes(b"nonsense")
    with pytest.raises(InvalidDataError, match="cannot be read"):
        list(read_vectors(path))


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    """An npz file of objects could run anything."""
    path = tmp_path / "v.npz"
    np.savez(path, ids=np.array([object()]), vectors=np.zeros((1, 2)))
    with pytest.raises(InvalidDataError, match="cannot be read"):
        list(read_vectors(path))


def test_the_originals_lines_are_read(tmp_path: Path) -> None:
    """As the tutorial's movie_vectors.txt had them."""
    path = tmp_path / "v.txt"
    path.write_text("1:[0.1,0.2]\n\n3952:[-1e-3, 2]\n")
    ids, matrix = next(iter(read_vectors(path)))
    assert ids == [1, 3952]
    assert matrix.tolist() == np.array([[0.1, 0.2], [-1e-3, 2]], np.float32).tolist()


def test_export_and_import_by_command(tmp_path: Path, run: Run) -> None:
    """Items and users of the live release go out; a file becomes a collection, from which the same goes out again."""
    first, again, users = tmp_path / "items.parquet", tmp_path / "again.txt", tmp_path / "users.npz"
    assert run("export", first, "--json").json == {"file": str(first), "vectors": 40}
    assert pq.read_table(first).schema.names == ["id", "vector"]
    assert run("import", first, "--collection", "plain", "--json").json == {"collection": "plain", "vectors": 40}
    assert run("export", again, "--collection", "plain", "--json").json["vectors"] == 40
    held, back = (
        {key: row.tolist() for keys, matrix in read_vectors(path) for key, row in zip(keys, matrix)}
        for path in (first, again)
    )
    assert held == back
    assert run("export", users, "--users", "--json").json["vectors"] == 60
