"""The promises about saving and loading."""

from __future__ import annotations

import io
import pickletools
import shutil
import zipfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.registry import find_part
from vecrec.testing.base import expected, refused
from vecrec.testing.encoders.base import EncoderKit
from vecrec.testing.encoders.processes import answers, read_back
from vecrec.testing.processes import elsewhere

__all__ = ["PICKLES", "KeepingTests", "blobs", "is_pickle"]

_CLOSE = 1e-5
PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill"}
"""What the files of a part must not end in."""


class KeepingTests(EncoderKit):
    """Tests of ``save`` and ``load``."""

    @pytest.fixture(scope="class")
    @classmethod
    def saved(cls, fitted: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A directory, made by ``save``, with the `fitted` encoder in it."""
        directory = tmp_path_factory.mktemp("encoder") / "a" / "b"
        fitted.save(directory)
        return directory

    def test_a_loaded_encoder_gives_the_same_vectors(self, fitted: Encoder, saved: Path) -> None:
        """``load`` brings back the vectors to 1e-5, the fingerprint, the dimension, the metric and the schema."""
        loaded = type(fitted).load(str(saved))
        fingerprint, vectors = answers(loaded)
        np.testing.assert_allclose(vectors, answers(fitted)[1], atol=_CLOSE, rtol=_CLOSE)
        assert fingerprint == fitted.fingerprint
        assert (loaded.dim, loaded.metric, loaded.schema) == (fitted.dim, fitted.metric, fitted.schema)
        assert loaded.is_fitted

    def test_loading_needs_no_training_framework(self, fitted: Encoder, saved: Path) -> None:
        """A fresh process loads and encodes without importing what the encoder was trained with."""
        (fingerprint, vectors), imported = elsewhere(54321, read_back, type(fitted), saved, self.training_modules)
        assert imported == []
        np.testing.assert_allclose(vectors, answers(fitted)[1], atol=_CLOSE, rtol=_CLOSE)
        assert fingerprint == fitted.fingerprint

    def test_a_loaded_encoder_can_be_saved_again(self, fitted: Encoder, saved: Path, tmp_path: Path) -> None:
        """What was loaded, saved and loaded once more is still the same."""
        type(fitted).load(saved).save(tmp_path)
        fingerprint, vectors = answers(type(fitted).load(tmp_path))
        np.testing.assert_allclose(vectors, answers(fitted)[1], atol=_CLOSE, rtol=_CLOSE)
        assert fingerprint == fitted.fingerprint

    def test_the_files_hold_no_pickle(self, saved: Path) -> None:
        """Nothing that is saved could run code when it is loaded."""
        for name, blob in expected(dict(blobs(saved))).items():
            assert Path(name).suffix not in PICKLES, name
            assert not is_pickle(blob), f"{name} is a pickle"
            if name.endswith(".npy"):
                np.load(io.BytesIO(blob), allow_pickle=False)

    def test_a_directory_without_an_encoder_is_refused(self, fitted: Encoder, tmp_path: Path) -> None:
        """Loading from nowhere, from an empty directory or from a file raises `InvalidDataError`."""
        (tmp_path / "file").write_text("{}")
        (tmp_path / "empty").mkdir()
        kind = type(fitted)
        refused(
            {name: lambda name=name: kind.load(tmp_path / name) for name in ("missing", "empty", "file")}  # type: ignore[misc]
        )

    def test_damaged_files_are_refused(self, fitted: Encoder, saved: Path, tmp_path: Path) -> None:
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

    def test_its_name_finds_it_again(self, fitted: Encoder) -> None:
        """The class has a name, and if that is registered it is this class that is found by it."""
        kind = type(fitted)
        assert type(kind.name) is str
        assert kind.name
        if kind.name in {entry.name for entry in entry_points(group="vecrec.encoders")}:
            assert find_part("vecrec.encoders", kind.name) is kind

    def _is_refused(self, fitted: Encoder, directory: Path, what: str) -> bool:
        try:
            loaded = type(fitted).load(directory)
        except InvalidDataError:
            return True
        fingerprint, vectors = answers(loaded)
        assert fingerprint == fitted.fingerprint, what
        np.testing.assert_allclose(vectors, answers(fitted)[1], atol=_CLOSE, rtol=_CLOSE, err_msg=what)
        return False


def blobs(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, and every member of those that are archives."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    yield from ((f"{path.name}/{name}", archive.read(name)) for name in archive.namelist())


def is_pickle(blob: bytes) -> bool:
    """Whether these bytes are one."""
    try:
        # Read, not run: it ends at the STOP that every pickle has, and fails on anything else.
        return bool(list(pickletools.genops(blob)))
    except Exception:  # noqa: BLE001  # pickletools fails on other bytes in every way there is
        return False
