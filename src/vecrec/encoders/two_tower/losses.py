"""What training makes small."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import paddle
from numpy.typing import NDArray

from vecrec.encoders.two_tower.sampling import accidental_hits
from vecrec.learning.operators import SampledSoftmax

__all__ = ["rating_loss", "softmax_loss"]

Rows: TypeAlias = NDArray[np.int64]


def softmax_loss(
    users: paddle.Tensor,
    items: paddle.Tensor,
    places: Rows,
    negatives: Rows,
    correction: NDArray[np.float32],
    *,
    real: NDArray[np.bool_],
) -> paddle.Tensor:
    """The mean cross-entropy of the next item against negatives that all events of the step share, a scalar.

    Args:
        users: (n, dim), before each event.
        items: (m, dim), all that the step is about.
        places: Where each event's item is among them, shape (n,).
        negatives: Where the negatives are among them, ascending, shape (k,).
        correction: Of each negative's score, shape (k,); see `Negatives.draw`.
        real: Which of the events are some, the others being padding; shape (n,).
    """
    weights = (real / max(1, int(real.sum()))).astype(np.float32)
    targets = paddle.index_select(items, paddle.to_tensor(places))
    others = paddle.index_select(items, paddle.to_tensor(negatives))
    return SampledSoftmax.apply(users, targets, others, correction, accidental_hits(places, negatives), weights)


def rating_loss(
    users: paddle.Tensor, items: paddle.Tensor, places: Rows, ratings: NDArray[np.float32], scale: float
) -> paddle.Tensor:
    """The mean squared difference between ratings and ``scale`` times the cosine, a scalar.

    With a scale of 5 it is the loss of PaddlePaddle's recommender model ("05.recommender_system").

    Args:
        users: (n, dim), before each event.
        items: (m, dim), all that the step is about.
        places: Where each event's item is among them, shape (n,).
        ratings: Of each event, NaN for none; shape (n,).
        scale: What a cosine of 1 stands for.
    """
    rated = np.flatnonzero(~np.isnan(ratings))
    user = paddle.index_select(users, paddle.to_tensor(rated))
    item = paddle.index_select(items, paddle.to_tensor(places[rated]))
    predicted = scale * paddle.nn.functional.cosine_similarity(user, item, axis=1)
    return ((predicted - paddle.to_tensor(ratings[rated])) ** 2).mean()
