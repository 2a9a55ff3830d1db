"""The two towers as PaddlePaddle layers. Only training imports this module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn
from scipy.sparse import csr_matrix

from vecrec.encoders.two_tower.operators import Correction, DecayedSums, Repeated, SparseProduct
from vecrec.encoders.two_tower.settings import TwoTowerSettings

__all__ = ["Sizes", "TwoTowers"]

Array = NDArray[np.float32]
Rows = NDArray[np.int64]

SPREAD = 0.02
"""Standard deviation of the first weights."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the tables are made for. Rows count padding and the unknown id."""

    dim: int
    """The length of a vector."""
    items: int
    """Rows of the item tables."""
    users: int
    """Rows of the user table."""
    item_features: int
    """Columns of the items' features."""
    user_features: int
    """Columns of the users' features."""


class TwoTowers(nn.Layer):  # type: ignore[misc]
    """Users and items into one space, whose inner product is the score.

    An item's vector is the sum of its id's and its features'; its last number is the item's bias. A user's vector is
    the sum of a constant, the id's, the profile's and, for each rate of decay, the decayed sum of the vectors which
    that rate's table has for the items read; a hidden layer may correct it. Its last number is 1, so the inner
    product contains the bias.

    Args:
        sizes: Of the tables.
        settings: Of the encoder.
        counts: How many events each row of the item table has; the first biases are their logarithms.
        rng: Where the first weights come from.
    """

    def __init__(self, sizes: Sizes, settings: TwoTowerSettings, counts: Rows, rng: np.random.Generator) -> None:
        super().__init__()
        self._settings = settings
        self._decays = np.array(settings.decays, np.float32)
        self._sparse = max(sizes.items, sizes.users) > settings.sparse_above
        for name, array in _first_weights(sizes, settings, counts, rng).items():
            zeros = nn.initializer.Constant(0.0)
            parameter = paddle.create_parameter(array.shape, "float32", default_initializer=zeros)
            # Not the initializer Assign, which makes a Python number of each element.
            parameter.set_value(array)
            self.add_parameter(name, parameter)

    def item_vectors(self, ids: Rows, features: csr_matrix) -> paddle.Tensor:
        """(n, dim), of rows of the item table and their features."""
        vectors = self._look_up(self.item_ids, ids)
        if features.shape[1]:
            vectors = vectors + SparseProduct.apply(self.item_features, features)
        return vectors

    def user_vectors(
        self, ids: Rows, profiles: csr_matrix, read: Rows, places: int, noise: np.random.Generator | None = None
    ) -> paddle.Tensor:
        """(places * n, dim), place by place: the users before each of the last places.

        Args:
            ids: Rows of the user table, shape (n,).
            profiles: Their features, n rows.
            read: Rows of the item table, shape (length, n), 0 for none; length >= places.
            places: How many; what stands at the last of them is not seen.
            noise: Where dropout comes from; ``None`` for none.
        """
        vectors = Repeated.apply(self._base(ids, profiles), places)
        if len(self._decays):
            vectors = vectors + self._past(read, places)
        if self._settings.hidden:
            mask = _mask((len(vectors), self._settings.hidden), self._settings.dropout, noise)
            vectors = vectors + Correction.apply(vectors, self.hidden_in, self.hidden_out, mask)
        elif (mask := _mask(tuple(vectors.shape), self._settings.dropout, noise)) is not None:
            vectors = vectors * paddle.to_tensor(mask)
        return paddle.concat([vectors, paddle.ones([len(vectors), 1])], axis=1)

    def weights(self) -> dict[str, Array]:
        """A copy of every parameter."""
        return {name: parameter.numpy() for name, parameter in self.named_parameters()}

    def set_weights(self, weights: Mapping[str, Array]) -> None:
        """Set every parameter."""
        for name, parameter in self.named_parameters():
            parameter.set_value(weights[name])

    def _base(self, ids: Rows, profiles: csr_matrix) -> paddle.Tensor:
        """What does not change with the place, shape (n, dim - 1)."""
        base = self.user_constant.expand([len(ids), -1])
        if self._settings.user_ids:
            base = base + self._look_up(self.user_ids, ids)
        if profiles.shape[1]:
            base = base + SparseProduct.apply(self.user_features, profiles)
        return base

    def _past(self, read: Rows, places: int) -> paddle.Tensor:
        length, count = read.shape
        events = self._look_up(self.history, read.ravel()).reshape([length, count, len(self._decays), -1])
        return DecayedSums.apply(events, read == 0, self._decays, places).reshape([places * count, -1])

    def _look_up(self, table: paddle.Tensor, rows: Rows) -> paddle.Tensor:
        index = paddle.to_tensor(rows)
        # The gradient of embedding can be sparse; that of index_select is several times quicker where it is not.
        return nn.functional.embedding(index, table, sparse=True) if self._sparse else paddle.index_select(table, index)


def _first_weights(
    sizes: Sizes, settings: TwoTowerSettings, counts: Rows, rng: np.random.Generator
) -> dict[str, Array]:
    """Small random numbers where symmetry must be broken; zeros elsewhere: what is never trained says nothing."""
    free, blocks = sizes.dim - 1, len(settings.decays)
    weights = {
        "item_ids": _normal(rng, (sizes.items, sizes.dim), SPREAD),
        "item_features": np.zeros((sizes.item_features, sizes.dim), np.float32),
        "user_constant": np.zeros((1, free), np.float32),
        "user_features": np.zeros((sizes.user_features, free), np.float32),
    }
    biases = np.log(counts + 1.0)
    weights["item_ids"][:, -1] = biases - biases.mean()
    if settings.user_ids:
        weights["user_ids"] = np.zeros((sizes.users, free), np.float32)
    if blocks:
        weights["history"] = _normal(rng, (sizes.items, blocks * free), SPREAD)
        # Padding and unknown items: their gradients are cut off, so they stay zero.
        weights["history"][:2] = 0
    if settings.hidden:
        weights["hidden_in"] = _normal(rng, (free, settings.hidden), free**-0.5)
        weights["hidden_out"] = _normal(rng, (settings.hidden, free), 0.3 * settings.hidden**-0.5)
    return {name: array for name, array in weights.items() if array.size}


def _normal(rng: np.random.Generator, shape: tuple[int, int], spread: float) -> Array:
    drawn: Array = rng.standard_normal(shape, np.float32) * np.float32(spread)
    return drawn


def _mask(shape: tuple[int, ...], share: float, noise: np.random.Generator | None) -> Array | None:
    """Factors that leave out a share and make up for it; ``None`` for nothing to leave out."""
    if noise is None or not share:
        return None
    kept: Array = (noise.random(shape, np.float32) >= share) / np.float32(1 - share)
    return kept
