"""The promises about saving and loading."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import override

from vecrec.errors import NotFittedError
from vecrec.rerankers.base import Reranker
from vecrec.testing.base import refused
from vecrec.testing.persistence import FilesTests
from vecrec.testing.processes import elsewhere
from vecrec.testing.rerankers.base import RerankerKit, finder, learn, orders, read_back
from vecrec.testing.rerankers.orders import assert_alike

__all__ = ["PersistenceTests"]


class PersistenceTests(FilesTests, RerankerKit):
    """Tests of ``save`` and ``load``."""

    group = "vecrec.rerankers"

    @classmethod
    @override
    def assert_same(cls, part: Reranker, fitted: Reranker, what: str = "") -> None:
        assert part.fingerprint == fitted.fingerprint, what
        assert_alike(orders(part), orders(fitted))

    def test_a_loaded_reranker_gives_the_same_order(self, fitted: Reranker, saved: Path) -> None:
        """``load`` brings back the order, the depth, the fingerprint and the encoder's."""
        loaded = type(fitted).load(str(saved))
        self.assert_same(loaded, fitted)
        assert loaded.is_fitted
        assert loaded.depth == fitted.depth
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
        self.assert_same(type(fitted).load(tmp_path), fitted)

    def test_one_that_has_learnt_nothing_is_not_saved(self, tmp_path: Path) -> None:
        """Before ``fit`` saving raises `NotFittedError` and leaves nothing behind."""
        if self.learns:
            refused({"save": lambda: self.make().save(tmp_path / "new")}, NotFittedError)
            assert not (tmp_path / "new").exists()
        else:
            self.make().save(tmp_path / "new")
            assert_alike(orders(type(self.make()).load(tmp_path / "new")), orders(self.make()))

    def test_a_directory_without_a_reranker_is_refused(self, fitted: Reranker, tmp_path: Path) -> None:
        """Loading from nowhere, from an empty directory, from a file or from an encoder raises `InvalidDataError`."""
        (tmp_path / "file").write_text("{}")
        (tmp_path / "empty").mkdir()
        finder().save(tmp_path / "encoder")
        kind = type(fitted)
        refused(
            {name: lambda name=name: kind.load(tmp_path / name) for name in ("missing", "empty", "file", "encoder")}  # type: ignore[misc]
        )
