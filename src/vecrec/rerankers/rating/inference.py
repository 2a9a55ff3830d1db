"""The predicted rating in plain NumPy: what serves, and what is saved. Nothing here imports PaddlePaddle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.learning.feature_map import SparseRows
from vecrec.rerankers.rating.preprocessor import Scale

__all__ = ["Head"]

Array: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]


class Head:
    """The network with trained weights. See `vecrec.rerankers.rating.network.RatingNetwork` for what it computes."""

    def __init__(self, weights: Mapping[str, Array], scale: Scale) -> None:
        self.weights = dict(weights)
        self.scale = scale

    def users(self, ids: Rows, profiles: SparseRows, histories: SparseRows, vectors: Array) -> Array:
        """What is made of users, shape (n, width)."""
        known = self._side("user", ids, profiles, vectors / np.float32(self.scale.users))
        result: Array = known + histories.times(self.weights["histories"])
        return result

    def items(self, ids: Rows, features: SparseRows, vectors: Array) -> Array:
        """What is made of items, shape (n, width)."""
        return self._side("item", ids, features, vectors / np.float32(self.scale.items))

    def ratings(self, users: Array, items: Array, numbers: Array) -> Array:
        """Predicted ratings of pairs, shape (n,), from (n, width) each and the plain numbers (n, STATISTICS)."""
        inputs = np.concatenate([users, items, users * items, numbers], axis=1)
        hidden, layer = inputs, 0
        while f"layer_{layer}" in self.weights:
            hidden = np.maximum(hidden @ self.weights[f"layer_{layer}"] + self.weights[f"bias_{layer}"], 0)
            layer += 1
        logits = inputs @ self.weights["straight"] + hidden @ self.weights["last"] + self.weights["constant"]
        span = self.scale.top - self.scale.low
        # The logistic function by the hyperbolic tangent, which does not overflow.
        result: Array = (self.scale.low + span * (0.5 + 0.5 * np.tanh(0.5 * logits[:, 0]))).astype(np.float32)
        return result

    def _side(self, side: str, ids: Rows, features: SparseRows, vectors: Array) -> Array:
        made: Array = self.weights[f"{side}_ids"][ids] + vectors @ self.weights[f"{side}_vectors"]
        if f"{side}_features" in self.weights:
            made = made + features.times(self.weights[f"{side}_features"])
        return made
