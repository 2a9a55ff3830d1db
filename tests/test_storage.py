"""Saved arrays are mapped into memory as they lie in their file, after its checksums were compared."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecrec._internal.files import reading
from vecrec._internal.storage import load_arrays, map_arrays, save_arrays
from vecrec.errors import InvalidDataError

ARRAYS: dict[str, Any] = {
    "table": np.arange(120, dtype=np.float32).reshape(10, 12),
    "columns": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "none": np.zeros((0, 4)),
    "single": np.array(3, np.int16),
    "texts": np.array(["a", "größer"]),
    "größe/x": np.ones(3, np.int8),
}


def _agree(found: dict[str, Any]) -> None:
    assert found.keys() == ARRAYS.keys()
    for name, each in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (each.dtype, each.shape)
        assert (found[name] == each).all()


def test_arrays_are_mapped_where_they_lie(tmp_path: Path) -> None:
    """None is copied, each is aligned and read-only; NumPy reads the same file."""
    save_arrays(tmp_path / "a.npz", ARRAYS)
    found = map_arrays(tmp_path / "a.npz")
    _agree(found)
    _agree(load_arrays(tmp_path / "a.npz"))
    for each in found.values():
        assert not each.flags.owndata
        assert not each.flags.writeable
        assert each.ctypes.data % 64 == 0
        assert type(each) is np.ndarray
    with np.load(tmp_path / "a.npz") as held:
        _agree(dict(held))


def test_files_of_earlier_versions_load(tmp_path: Path) -> None:
    """Their arrays stand at any place."""
    np.savez(tmp_path / "a.npz", allow_pickle=False, **ARRAYS)
    found = map_arrays(tmp_path / "a.npz")
    _agree(found)
    assert all(each.flags.aligned for each in found.values())


def test_what_is_mapped_outlives_its_file(tmp_path: Path) -> None:
    """Another one takes its place, or nothing does."""
    save_arrays(tmp_path / "a.npz", ARRAYS)
    found = map_arrays(tmp_path / "a.npz")
    save_arrays(tmp_path / "a.npz", {"table": ARRAYS["table"] + 1})
    _agree(found)
    (tmp_path / "a.npz").unlink()
    _agree(found)
    assert not list(tmp_path.iterdir())


def _flip(path: Path) -> None:
    held = bytearray(path.read_bytes())
    held[held.index(ARRAYS["table"].tobytes()) + 77] ^= 1
    path.write_bytes(held)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def _compress(path: Path) -> None:
    np.savez_compressed(path, allow_pickle=False, **ARRAYS)


def _pickle(path: Path) -> None:
    np.savez(path, allow_pickle=True, a=np.array([{}], object))


def _claim(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        header = np.lib.format.magic(1, 0) + b"\x76\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }"
        archive.writestr("a.npy", header.ljust(127) + b"\n" + bytes(20))


@pytest.mark.parametrize("damage", [_flip, _cut, _compress, _pickle, _claim])
def test_a_file_that_is_damaged_or_of_another_kind_is_refused(damage: Callable[[Path], None], tmp_path: Path) -> None:
    """Before any of its values is read."""
    save_arrays(tmp_path / "a.npz", ARRAYS)
    damage(tmp_path / "a.npz")
    with pytest.raises(InvalidDataError, match="is damaged"), reading("a.npz is damaged", "save it again"):
        map_arrays(tmp_path / "a.npz")
