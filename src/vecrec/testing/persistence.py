"""The promises about saving and loading that encoders and rerankers share."""

from __future__ import annotations

import io
import pickletools
import shutil
import zipfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from vecrec.errors import InvalidDataError
from vecrec.registry import find_part
from vecrec.testing.base import ConformanceTests, expected

__all__ = ["FilesTests"]

_PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill"}


class FilesTests(ConformanceTests):
    """Tests of what ``save`` writes, for any `vecrec.learning.base.FittedPart` that the fixture ``fitted`` gives."""

    group: ClassVar[str]
    """The entry point group of such parts."""

    @classmethod
    def assert_same(cls, part: Any, fitted: Any, what: str = "") -> None:
        """Fail unless both answer alike and have one fingerprint."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def saved(cls, fitted: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A directory, made by ``save``, with the `fitted` part in it."""
        directory = tmp_path_factory.mktemp("part") / "a" / "b"
        fitted.save(directory)
        return directory

    def test_the_files_hold_no_pickle(self, saved: Path) -> None:
        """Nothing that is saved could run code when it is loaded."""
        for name, blob in expected(dict(_blobs(saved))).items():
            assert Path(name).suffix not in _PICKLES, name
            assert not _is_pickle(blob), f"{name} is a pickle"
            if name.endswith(".npy"):
                np.load(io.BytesIO(blob), allow_pickle=False)

    def test_damaged_files_are_refused(self, fitted: Any, saved: Path, tmp_path: Path) -> None:
        """With any one file cut in half or gone, ``load`` raises `InvalidDataError`, or what is lost did not matter."""
        files = [path.relative_to(saved) for path in saved.rglob("*") if path.is_file()]
        refusals = 0
        for number, file in enumerate(expected(sorted(files))):
            for cut in (True, False):
                copy = tmp_path / f"{number} {cut}"
                shutil.copytree(saved, copy)
                content = (copy / file).read_bytes()
                if cut:
                    (copy / file).write_bytes(content[: len(content) // 2])
                else:
                    (copy / file).unlink()
                refusals += self._is_refused(fitted, copy, f"{file} {'cut' if cut else 'gone'}")
        assert refusals > 0, "no file matters"

    def test_its_name_finds_it_again(self, fitted: Any) -> None:
        """The class has a name, and if that is registered it is this class that is found by it."""
        kind = type(fitted)
        assert type(kind.name) is str
        assert kind.name
        if kind.name in {entry.name for entry in entry_points(group=self.group)}:
            assert find_part(self.group, kind.name) is kind

    def _is_refused(self, fitted: Any, directory: Path, what: str) -> bool:
        try:
            loaded = type(fitted).load(directory)
        except InvalidDataError:
            return True
        self.assert_same(loaded, fitted, what)
        return False


def _blobs(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, and every member of those that are archives."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    yield from ((f"{path.name}/{name}", archive.read(name)) for name in archive.namelist())


def _is_pickle(blob: bytes) -> bool:
    """Whether these bytes are one."""
    try:
        # Read, not run: it ends at the STOP that every pickle has, and fails on anything else.
        return bool(list(pickletools.genops(blob)))
    except Exception:  # noqa: BLE001  # pickletools fails on other bytes in every way there is
        return False
