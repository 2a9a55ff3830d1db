"""The network as PaddlePaddle layers. Only training imports this module."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn
from scipy.sparse import csr_matrix

from vecrec.learning.operators import sparse_product
from vecrec.learning.preprocessor import Preprocessor
from vecrec.rerankers.rating.inference import STATISTICS, Scale
from vecrec.rerankers.rating.settings import RatingSettings

__all__ = ["RatingNetwork"]

Array: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]

SPREAD = 0.05


class RatingNetwork(nn.Layer):  # type: ignore[misc]
    """What a user would rate an item.

    A user is the sum of their id's row, their features, their vector from the encoder through a matrix, and their rated
    history; an item likewise, without the history. Both, their product number by number (a matrix factorisation, as
    in He et al., *Neural collaborative filtering*, WWW 2017) and a few plain numbers go through hidden layers of
    rectified units, and beside them straight to the end: ``low + (top - low) * sigmoid``, which is five times the
    sigmoid for stars from 1 to 5, as in PaddlePaddle's own ranking model.
    """

    def __init__(
        self, preprocessor: Preprocessor, scale: Scale, dim: int, settings: RatingSettings, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self._settings, self._scale = settings, scale
        for name, array in _first_weights(preprocessor, scale, dim, settings, rng).items():
            zeros = nn.initializer.Constant(0.0)
            parameter = paddle.create_parameter(array.shape, "float32", default_initializer=zeros)
            parameter.set_value(array)
            self.add_parameter(name, parameter)
        self.decaying = {
            parameter.name for name, parameter in self.named_parameters() if name.startswith(("user_", "item_", "hist"))
        }
        """PaddlePaddle's names of the parameters that decay: those that a user or an item is made of."""

    def users(self, ids: Rows, profiles: csr_matrix, histories: csr_matrix, vectors: Array) -> paddle.Tensor:
        """What is made of users, shape (n, width)."""
        made = self._side("user", ids, profiles, vectors)
        return made + sparse_product(self.histories, histories)

    def items(self, ids: Rows, features: csr_matrix, vectors: Array) -> paddle.Tensor:
        """What is made of items, shape (n, width)."""
        return self._side("item", ids, features, vectors)

    def ratings(
        self, users: paddle.Tensor, items: paddle.Tensor, numbers: Array, noise: np.random.Generator | None = None
    ) -> paddle.Tensor:
        """Predicted ratings of pairs, shape (n,); ``noise`` is where dropout comes from, ``None`` for none."""
        inputs = paddle.concat([users, items, users * items, paddle.to_tensor(numbers)], axis=1)
        hidden = inputs
        for layer in range(len(self._settings.hidden)):
            hidden = nn.functional.relu(hidden @ getattr(self, f"layer_{layer}") + getattr(self, f"bias_{layer}"))
            hidden = _dropped(hidden, self._settings.dropout, noise)
        logits = inputs @ self.straight + hidden @ self.last + self.constant
        return self._scale.low + (self._scale.top - self._scale.low) * nn.functional.sigmoid(logits[:, 0])

    def weights(self) -> dict[str, Array]:
        """A copy of every parameter."""
        return {name: parameter.numpy() for name, parameter in self.named_parameters()}

    def _side(self, side: str, ids: Rows, features: csr_matrix, vectors: Array) -> paddle.Tensor:
        scale = self._scale.users if side == "user" else self._scale.items
        made = paddle.index_select(getattr(self, f"{side}_ids"), paddle.to_tensor(ids))
        made = made + paddle.to_tensor(vectors / np.float32(scale)) @ getattr(self, f"{side}_vectors")
        return made + sparse_product(getattr(self, f"{side}_features"), features) if features.shape[1] else made


def _first_weights(
    preprocessor: Preprocessor, scale: Scale, dim: int, settings: RatingSettings, rng: np.random.Generator
) -> Mapping[str, Array]:
    width = settings.width
    sizes = [3 * width + STATISTICS, *settings.hidden]
    share = (scale.mean - scale.low) / (scale.top - scale.low)
    straight = np.zeros((sizes[0], 1), np.float32)
    straight[2 * width : 3 * width] = 1  # to begin with, a matrix factorisation
    # Ids begin at zero, where those that are never seen stay, beside what the features and vectors say.
    weights = {
        "user_ids": _normal(rng, (preprocessor.users.size, width), SPREAD),
        "item_ids": _normal(rng, (preprocessor.items.size, width), SPREAD),
        "user_vectors": _normal(rng, (dim, width), SPREAD * dim**-0.5),
        "item_vectors": _normal(rng, (dim, width), SPREAD * dim**-0.5),
        "user_features": np.zeros((preprocessor.user_space.size, width), np.float32),
        "item_features": np.zeros((preprocessor.item_space.size, width), np.float32),
        "histories": _normal(rng, (2 * preprocessor.items.size, width), SPREAD),
        "straight": straight,
        "last": _normal(rng, (sizes[-1], 1), 0.1 * sizes[-1] ** -0.5),
        "constant": np.full((1,), np.log(share / (1 - share)), np.float32),
    }
    weights["user_ids"][:2] = weights["item_ids"][:2] = 0
    for layer, (above, below) in enumerate(pairwise(sizes)):
        weights[f"layer_{layer}"] = _normal(rng, (above, below), (2 / above) ** 0.5)
        weights[f"bias_{layer}"] = np.zeros((below,), np.float32)
    return {name: array for name, array in weights.items() if array.size}


def _normal(rng: np.random.Generator, shape: tuple[int, int], spread: float) -> Array:
    drawn: Array = rng.standard_normal(shape, np.float32) * np.float32(spread)
    return drawn


def _dropped(values: paddle.Tensor, share: float, noise: np.random.Generator | None) -> paddle.Tensor:
    if noise is None or not share:
        return values
    kept = (noise.random(tuple(values.shape), np.float32) >= share) / np.float32(1 - share)
    return values * paddle.to_tensor(kept.astype(np.float32))
