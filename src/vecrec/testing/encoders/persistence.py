"""The promises about saving and loading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from typing_extensions import override

from vecrec.encoders.base import Encoder
from vecrec.testing.base import refused
from vecrec.testing.encoders.base import EncoderKit, answers, read_back
from vecrec.testing.persistence import FilesTests
from vecrec.testing.processes import elsewhere

__all__ = ["PersistenceTests"]

_CLOSE = 1e-5


class PersistenceTests(FilesTests, EncoderKit):
    """Tests of ``save`` and ``load``."""

    group = "vecrec.encoders"

    @classmethod
    @override
    def assert_same(cls, part: Encoder, fitted: Encoder, what: str = "") -> None:
        fingerprint, vectors = answers(part)
        np.testing.assert_allclose(vectors, answers(fitted)[1], atol=_CLOSE, rtol=_CLOSE, err_msg=what)
        assert fingerprint == fitted.fingerprint, what

    def test_a_loaded_encoder_gives_the_same_vectors(self, fitted: Encoder, saved: Path) -> None:
        """``load`` brings back the vectors to 1e-5, the fingerprint, the dimension, the metric and the schema."""
        loaded = type(fitted).load(str(saved))
        self.assert_same(loaded, fitted)
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
        self.assert_same(type(fitted).load(tmp_path), fitted)

    def test_a_directory_without_an_encoder_is_refused(self, fitted: Encoder, tmp_path: Path) -> None:
        """Loading from nowhere, from an empty directory or from a file raises `InvalidDataError`."""
        (tmp_path / "file").write_text("{}")
        (tmp_path / "empty").mkdir()
        kind = type(fitted)
        refused(
            {name: lambda name=name: kind.load(tmp_path / name) for name in ("missing", "empty", "file")}  # type: ignore[misc]
        )
