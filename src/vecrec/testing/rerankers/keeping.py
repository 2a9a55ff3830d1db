"""The promises about saving and loading."""

from __future__ import annotations

import io
import shutil
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.registry import find_part
from vecrec.rerankers.base import Reranker
from vecrec.testing.base import expected, refused
from vecrec.testing.encoders.keeping import PICKLES, blobs, is_pickle
from vecrec.testing.processes import elsewhere
from vecrec.testing.rerankers.base import RerankerKit, finder, orders
from vecrec.testing.rerankers.orders import assert_alike
from vecrec.testing.rerankers.processes import learn, read_back

__all__ = ["KeepingTests"]


class KeepingTests(RerankerKit):
    """Tests of ``save`` and ``load``."""

    @pytest.fixture(scope="class")
    @classmethod
    def saved(cls, fitted: Reranker, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A directory, made by ``save``, with the `fitted` reranker in it."""
        directory = tmp_path_factory.mktemp("reranker") / "a" / "b"
        fitted.save(directory)
        return directory

    def test_a_loaded_reranker_gives_the_same_order(self, fitted: Reranker, saved: Path) -> None:
        """``load`` brings back the order, the depth, the fingerprint and the encoder's."""
        loaded = type(fitted).load(str(saved))
        assert_alike(orders(loaded), orders(fitted))
        assert loaded.is_fitted
        assert (loaded.depth, loaded.fingerprint) == (fitted.depth, fitted.fingerprint)
        assert loaded.encoder_fingerprint == fitted.encoder_fingerprint

    def test_another_process_learns_the_same(self, fitted: Reranker) -> None:
        """Learning in a process with another PYTHONHASHSEED gives the same order and fingerprint."""
        fingerprint, found = elsewhere(12345, learn, self.make())
        assert_alike(found, orders(fitted))
        assert fingerprint == fitted.fingerprint

    def test_loading_needs_no_training_framework(self, fitted: Reranker, saved: Path) -> None:
        """A fresh process loads and reranks without importing what the reranker was trained with."""
        (fingerprint, found), imported = elsewhere(54321, read_back, type(fitted), saved, self.training_modules)
        assert imported == []
        assert_alike(found, orders(fitted))
        assert fingerprint == fitted.fingerprint

    def test_a_loaded_reranker_can_be_saved_again(self, fitted: Reranker, saved: Path, tmp_path: Path) -> None:
        """What was loaded, saved and loaded once more is still the same."""
        type(fitted).load(saved).save(tmp_path)
        again = type(fitted).load(tmp_path)
        assert_alike(orders(again), orders(fitted))
        assert again.fingerprint == fitted.fingerprint

    def test_one_that_has_learnt_nothing_is_not_saved(self, tmp_path: Path) -> None:
        """Before ``fit`` saving raises `NotFittedError` and leaves nothing behind."""
        if self.learns:
            refused({"save": lambda: self.make().save(tmp_path / "new")}, NotFittedError)
            assert not (tmp_path / "new").exists()
        else:
            self.make().save(tmp_path / "new")
            assert_alike(orders(type(self.make()).load(tmp_path / "new")), orders(self.make()))

    def test_the_files_hold_no_pickle(self, saved: Path) -> None:
        """Nothing that is saved could run code when it is loaded."""
        for name, blob in expected(dict(blobs(saved))).items():
            assert Path(name).suffix not in PICKLES, name
            assert not is_pickle(blob), f"{name} is a pickle"
            if name.endswith(".npy"):
                np.load(io.BytesIO(blob), allow_pickle=False)

    def test_a_directory_without_a_reranker_is_refused(self, fitted: Reranker, tmp_path: Path) -> None:
        """Loading from nowhere, from an empty directory, from a file or from an encoder raises `InvalidDataError`."""
        (tmp_path / "file").write_text("{}")
        (tmp_path / "empty").mkdir()
        finder().save(tmp_path / "encoder")
        kind = type(fitted)
        refused(
            {name: lambda name=name: kind.load(tmp_path / name) for name in ("missing", "empty", "file", "encoder")}  # type: ignore[misc]
        )

    def test_damaged_files_are_refused(self, fitted: Reranker, saved: Path, tmp_path: Path) -> None:
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
                refusals += self._is_refused(fitted, copy)
        assert refusals > 0, "no file matters"

    def test_its_name_finds_it_again(self, fitted: Reranker) -> None:
        """The class has a name, and if that is registered it is this class that is found by it."""
        kind = type(fitted)
        assert type(kind.name) is str
        assert kind.name
        if kind.name in {entry.name for entry in entry_points(group="vecrec.rerankers")}:
            assert find_part("vecrec.rerankers", kind.name) is kind

    def _is_refused(self, fitted: Reranker, directory: Path) -> bool:
        try:
            loaded = type(fitted).load(directory)
        except InvalidDataError:
            return True
        assert loaded.fingerprint == fitted.fingerprint
        assert_alike(orders(loaded), orders(fitted))
        return False
