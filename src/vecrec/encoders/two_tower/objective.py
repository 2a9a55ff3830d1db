"""The loss of one training step: which ids are hidden, what is looked up, and what it is compared with."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import paddle
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from vecrec.data import Vocabulary
from vecrec.encoders.two_tower.network import Sizes, TwoTowers
from vecrec.encoders.two_tower.sampling import Batch, Negatives, accidental_hits
from vecrec.encoders.two_tower.settings import ResolvedSettings
from vecrec.encoders.two_tower.time_gaps import UNKNOWN
from vecrec.encoders.two_tower.training_data import TrainingData
from vecrec.learning.operators import sampled_softmax
from vecrec.learning.preprocessor import SparseRows

__all__ = ["Objective", "rating_loss", "softmax_loss"]

Rows: TypeAlias = NDArray[np.int64]

BLANK_SHARE = 0.1
"""How often the features are hidden too where the id is."""

TIMELESS_SHARE = 0.1
"""How often the time between the events is hidden, so that a history without times can be read too."""


class Objective:
    """What training makes small, for one data set.

    Args:
        data: The data set.
        settings: Of the encoder.
        dim: The length of a vector.
        rng: Where the first weights come from.
    """

    def __init__(self, data: TrainingData, settings: ResolvedSettings, dim: int, rng: np.random.Generator) -> None:
        self._data, self._settings = data, settings
        self._item_features = _matrix(data.item_features, data.preprocessor.item_space.size)
        self._profiles = _matrix(data.profiles, data.preprocessor.user_space.size)
        self._negatives = Negatives(data.counts, settings.negatives, settings.negative_power)
        sizes = Sizes(
            dim,
            data.preprocessor.items.size,
            data.preprocessor.users.size,
            data.preprocessor.item_space.size,
            data.preprocessor.user_space.size,
        )
        self.network = TwoTowers(sizes, settings, data.worth, rng, ordered=data.histories.ordered)
        """The towers in training."""

    def counted(self, batch: Batch) -> int:
        """How many events of a step the mean is taken over."""
        if self._settings.loss == "rating":
            return 0 if batch.ratings is None else int(np.count_nonzero(~np.isnan(batch.ratings)))
        return int(np.count_nonzero(batch.weights))

    def loss(
        self, batch: Batch, rng: np.random.Generator, noise: np.random.Generator, counted: int
    ) -> paddle.Tensor | None:
        """The loss of a step, a scalar; ``None`` where it has nothing to learn from.

        Args:
            batch: What this process computes of the step.
            rng: What all processes that train together draw from.
            noise: Where the chance of this process alone comes from.
            counted: How many events of the whole step count.
        """
        if self._settings.loss == "rating":
            return self._rating_loss(batch, noise, counted)
        negatives, correction = self._negatives.draw(rng) if counted else (None, None)
        weights = batch.weights.ravel()
        if negatives is None or correction is None or not weights.any():
            return None
        targets = batch.targets.ravel()
        rows = np.union1d(negatives, targets[targets > 0])
        places, others = np.searchsorted(rows, np.maximum(targets, rows[0])), np.searchsorted(rows, negatives)
        users, items = self._noisy_users(batch, noise), self._noisy_items(rows, noise)
        return softmax_loss(users, items, places, others, correction, weights=weights, counted=counted)

    def items(self, rows: Rows) -> paddle.Tensor:
        """The vectors of rows of the item table, nothing hidden, shape (n, dim)."""
        return self.network.item_vectors(rows, self._item_features[rows])

    def users(self, users: Rows, read: Rows, time_gaps: Rows) -> paddle.Tensor:
        """The vectors of users of the data set before the last place of what was read, nothing hidden, (n, dim)."""
        pauses = self._data.pauses[time_gaps[-1:]]
        found = self._data.users[users], self._profiles[users], read, time_gaps, pauses
        return self.network.user_vectors(*found, places=1)

    def _rating_loss(self, batch: Batch, rng: np.random.Generator, counted: int) -> paddle.Tensor | None:
        if batch.ratings is None or self._data.top_rating is None or not self.counted(batch):
            return None
        rows, places = np.unique(batch.targets.ravel(), return_inverse=True)
        users, items = self._noisy_users(batch, rng), self._noisy_items(rows, rng)
        ratings, scale = batch.ratings.ravel(), self._data.top_rating
        return rating_loss(users, items, places.ravel(), ratings, scale, counted=counted)

    def _noisy_items(self, rows: Rows, rng: np.random.Generator) -> paddle.Tensor:
        hidden = rng.random(len(rows)) < self._settings.unknown_items
        blank = hidden & (rng.random(len(rows)) < BLANK_SHARE)
        # Row 1 of the features is an unknown item.
        features = self._item_features[np.where(blank, Vocabulary.UNKNOWN, rows)]
        return self.network.item_vectors(np.where(hidden, Vocabulary.UNKNOWN, rows), features)

    def _noisy_users(self, batch: Batch, rng: np.random.Generator) -> paddle.Tensor:
        count, settings = len(batch.users), self._settings
        hidden = rng.random(count) < settings.unknown_users
        blank = hidden & (rng.random(count) < BLANK_SHARE)
        forgetful = rng.random(count) < settings.unknown_history
        ids = np.where(hidden, Vocabulary.UNKNOWN, self._data.users[batch.users])
        # The last row of the profiles is an unknown user.
        profiles = self._profiles[np.where(blank, self._profiles.shape[0] - 1, batch.users)]
        read = np.where(forgetful, Vocabulary.PADDING, batch.read)
        timeless = rng.random(count) < TIMELESS_SHARE
        time_gaps, places = np.where(timeless, UNKNOWN, batch.time_gaps), len(batch.targets)
        blind = rng.random(count) < settings.unknown_pause
        pauses = np.where(blind, UNKNOWN, self._data.pauses[batch.time_gaps[-places:]])
        return self.network.user_vectors(ids, profiles, read, time_gaps, pauses, places=places, noise=rng)


def _matrix(rows: SparseRows, columns: int) -> csr_matrix:
    return csr_matrix((rows.weights, rows.columns, rows.starts), shape=(len(rows), columns), dtype=np.float32)


def softmax_loss(
    users: paddle.Tensor,
    items: paddle.Tensor,
    places: Rows,
    negatives: Rows,
    correction: NDArray[np.float32],
    *,
    weights: NDArray[np.float32],
    counted: int,
) -> paddle.Tensor:
    """The mean cross-entropy of the next item against negatives that all events of the step share, a scalar.

    Args:
        users: (n, dim), before each event.
        items: (m, dim), all that the step is about.
        places: Where each event's item is among them, shape (n,).
        negatives: Where the negatives are among them, ascending, shape (k,).
        correction: Of each negative's score, shape (k,); see `Negatives.draw`.
        weights: How much each event counts, 0 for padding, shape (n,). The mean is over the events that count; with
            weights whose mean over all steps is 1, a step of heavy events counts more than one of light ones.
        counted: How many events of the step count, here and in other processes.
    """
    weights = weights / np.float32(counted)
    targets = paddle.index_select(items, paddle.to_tensor(places))
    others = paddle.index_select(items, paddle.to_tensor(negatives))
    hits = accidental_hits(places, negatives)
    return sampled_softmax(users, targets, others, correction=correction, hits=hits, weights=weights)


def rating_loss(
    users: paddle.Tensor,
    items: paddle.Tensor,
    places: Rows,
    ratings: NDArray[np.float32],
    scale: float,
    *,
    counted: int,
) -> paddle.Tensor:
    """The mean squared difference between ratings and ``scale`` times the cosine, a scalar.

    With a scale of 5 it is the loss of PaddlePaddle's recommender model ("05.recommender_system").

    Args:
        users: (n, dim), before each event.
        items: (m, dim), all that the step is about.
        places: Where each event's item is among them, shape (n,).
        ratings: Of each event, NaN for none; shape (n,).
        scale: What a cosine of 1 stands for.
        counted: How many events of the step have a rating, here and in other processes.
    """
    rated = np.flatnonzero(~np.isnan(ratings))
    user = paddle.index_select(users, paddle.to_tensor(rated))
    item = paddle.index_select(items, paddle.to_tensor(places[rated]))
    predicted = scale * paddle.nn.functional.cosine_similarity(user, item, axis=1)
    return ((predicted - paddle.to_tensor(ratings[rated])) ** 2).sum() / counted
