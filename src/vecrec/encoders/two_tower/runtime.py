"""The towers in plain NumPy: what serves, and what is saved. Nothing here imports PaddlePaddle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.encoders.two_tower.features import SparseRows
from vecrec.encoders.two_tower.settings import TwoTowerSettings

__all__ = ["EPSILON", "Towers"]

Array: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]

EPSILON = 1e-6
"""Keeps the scale of a vector of zeros finite."""

FAINT = 1e-8
"""What is left of an event when it is no longer read."""


class Towers:
    """Both towers with trained weights. See `vecrec.encoders.two_tower.network.TwoTowers` for what they compute.

    Args:
        weights: By the names of the network's parameters; those without numbers may be missing.
        settings: Of the encoder.
        scale: What a cosine of 1 stands for in a model of ratings; ``None`` for the plain inner product.
    """

    def __init__(self, weights: Mapping[str, Array], settings: TwoTowerSettings, scale: float | None = None) -> None:
        self.weights = dict(weights)
        self.settings = settings
        self.scale = scale
        self._constant = weights["user_constant"][0]
        self._blocks = _blocks(weights, settings)

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return int(self.weights["item_ids"].shape[1])

    def items(self, ids: Rows, features: SparseRows) -> Array:
        """Vectors of items, shape (n, dim), from rows of the item table and n rows of features."""
        vectors: Array = self.weights["item_ids"][ids]
        if "item_features" in self.weights:
            vectors = vectors + features.times(self.weights["item_features"])
        return self._scaled(vectors)

    def users(self, ids: Rows, profiles: SparseRows, histories: Sequence[Rows]) -> Array:
        """Vectors of users, shape (n, dim), from rows of the user table, n rows of features and n histories.

        A history is rows of the item table, oldest first; padding and unknown items are left out.
        """
        vectors = np.ones((len(ids), self.dim), np.float32)
        known = vectors[:, :-1]
        known[:] = self._constant
        if "user_ids" in self.weights:
            known += self.weights["user_ids"][ids]
        if "user_features" in self.weights:
            known += profiles.times(self.weights["user_features"])
        for vector, history in zip(known, histories):
            self._add_history(vector, history)
        if "hidden_in" in self.weights:
            known += self._correction(known)
        return self._scaled(vectors)

    def _add_history(self, vector: Array, history: Rows) -> None:
        latest = history[history > 1][-self.settings.history or len(history) :]
        for table, fading in self._blocks:
            events = latest[-len(fading) :]
            if len(events):
                vector += fading[len(fading) - len(events) :] @ table[events]

    def _correction(self, vectors: Array) -> Array:
        scale = 1 / np.sqrt(np.einsum("nd,nd->n", vectors, vectors)[:, None] / vectors.shape[1] + np.float32(EPSILON))
        hidden = np.maximum((vectors * scale) @ self.weights["hidden_in"], 0)
        corrected: Array = hidden @ self.weights["hidden_out"]
        return corrected

    def _scaled(self, vectors: Array) -> Array:
        if self.scale is None:
            return vectors
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
        scaled: Array = vectors * (np.float32(math.sqrt(self.scale)) / lengths)
        return scaled


def _blocks(weights: Mapping[str, Array], settings: TwoTowerSettings) -> list[tuple[Array, Array]]:
    """The table of each rate of decay, and how much counts of each event, oldest first."""
    if "history" not in weights or not settings.history:
        return []
    tables = weights["history"].reshape(len(weights["history"]), len(settings.decays), -1)
    return [(tables[:, block], _fading(decay, settings.history)) for block, decay in enumerate(settings.decays)]


def _fading(decay: float, longest: int) -> Array:
    reach = 1 if decay == 0 else min(longest, math.ceil(math.log(FAINT) / math.log(decay)))
    return (decay ** np.arange(reach - 1, -1, -1)).astype(np.float32)
