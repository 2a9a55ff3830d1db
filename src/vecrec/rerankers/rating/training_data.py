"""From a data set and an encoder to what training works on: folds of ratings, and what is known without each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.data import Dataset, Vocabulary
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.learning.preprocessor import FeatureSpace, Preprocessor, SparseRows
from vecrec.progress import Progress, Step
from vecrec.rerankers.rating.inference import Scale, Statistics, past
from vecrec.rerankers.rating.settings import RatingSettings
from vecrec.types import User

__all__ = ["TrainingData", "View", "prepare"]

Floats: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]

BATCH = 256
"""Users that are encoded at a time."""


@dataclass(frozen=True)
class View:
    """What is known when the ratings of one fold are predicted: all others."""

    histories: SparseRows
    """Of each user of the table, see `vecrec.rerankers.rating.inference.past`."""
    numbers: Floats
    """Of each user, shape (n_users, 2)."""
    items: Statistics
    """Of each item."""
    vectors: Floats
    """The encoder's, of each user, shape (n_users, dim)."""
    users: Rows
    """The user of each rating of the fold, ascending, as a place in these."""
    targets: Rows
    """The row of its item in the item table."""
    ratings: Floats
    """What it is."""

    @cached_property
    def starts(self) -> Rows:
        """Where each user's ratings begin, shape (n_users + 1,)."""
        counts = np.bincount(self.users, minlength=len(self.numbers))
        return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


@dataclass(frozen=True)
class TrainingData:
    """What training works on."""

    preprocessor: Preprocessor
    scale: Scale
    items: Statistics
    """Of all ratings: what serves."""
    rows: Rows
    """The row in the user table of each user, shape (n_users,)."""
    profiles: SparseRows
    """Their features; a last row for nothing known."""
    item_features: SparseRows
    """The features of each row of the item table."""
    item_vectors: Floats
    """The encoder's, of each row of the item table."""
    folds: list[View]
    validation: View | None


def prepare(data: Dataset, encoder: Encoder, settings: RatingSettings, seed: int, progress: Progress) -> TrainingData:
    """Number everything, draw the folds and make the users' vectors without each.

    Raises:
        InvalidDataError: when there are no ratings to learn from, or all are equal.
    """
    rng = np.random.default_rng((seed, 0))
    chosen = _chosen(data, settings.max_users, rng)
    users, items = np.unique(chosen.user_codes), np.unique(chosen.item_codes)
    preprocessor = Preprocessor(
        schema=data.schema,
        items=Vocabulary(data.item_ids[code] for code in items),
        users=Vocabulary(data.user_ids[code] for code in users),
        item_space=FeatureSpace.learn(data.schema.items, [data.item_records[code] for code in items]),
        user_space=FeatureSpace.learn(data.schema.users, [data.user_records[code] for code in users]),
    )
    drawing = _Drawing(chosen, encoder, users, preprocessor.items.indexes(data.item_ids).astype(np.int64), settings)
    folds, validation = drawing.views(rng, progress)
    item_codes = items[np.argsort(preprocessor.items.indexes(data.item_ids[code] for code in items))].tolist()
    vectors = np.zeros((preprocessor.items.size, encoder.dim), np.float32)
    vectors[2:] = encoder.encode_items([data.item(code) for code in item_codes])
    return TrainingData(
        preprocessor,
        drawing.scale(folds, vectors),
        Statistics.of(drawing.targets, drawing.ratings, drawing.mean, preprocessor.items.size),
        preprocessor.users.indexes(data.user_ids[code] for code in users).astype(np.int64),
        preprocessor.user_space.rows([*(data.user_records[code] for code in users), None]),
        preprocessor.item_space.rows([None, None, *(data.item_records[code] for code in item_codes)]),
        vectors,
        folds,
        validation,
    )


class _Drawing:
    """The rated events, and views of them."""

    def __init__(
        self, data: Dataset, encoder: Encoder, users: NDArray[np.int32], rows: Rows, settings: RatingSettings
    ) -> None:
        self._data, self._encoder, self._users, self._settings = data, encoder, users, settings
        self.owners = np.searchsorted(users, data.user_codes)
        self.targets = rows[data.item_codes]
        self.ratings = np.asarray(data.ratings, np.float32)
        self.mean = float(self.ratings.mean(dtype=np.float64))
        self._size = int(rows.max()) + 1

    def views(self, rng: np.random.Generator, progress: Progress) -> tuple[list[View], View | None]:
        """A view of each fold, and of the validation part if there is one."""
        count, folds = len(self.ratings), self._settings.folds
        held_out = int(count * self._settings.validation)
        labels = np.empty(count, np.int64)
        labels[rng.permutation(count)] = np.concatenate([np.full(held_out, -1), np.arange(count - held_out) % folds])
        total, made = (folds + bool(held_out)) * len(self._users), []
        for number, fold in enumerate([-1, *range(folds)] if held_out else range(folds)):
            progress(Step("users", number * len(self._users), total))
            made.append(self._view(labels, fold))
        progress(Step("users", total, total))
        return (made[1:], made[0]) if held_out else (made, None)

    def _view(self, labels: NDArray[np.int64], fold: int) -> View:
        known, asked = (labels != fold) & (labels >= 0), labels == fold
        statistics = Statistics.of(self.targets[known], self.ratings[known], self.mean, self._size)
        latest = known & self._latest(known)
        counts = np.bincount(self.owners[latest], minlength=len(self._users))
        histories, numbers = past(self.targets[latest], self.ratings[latest], counts, statistics, self.mean)
        return View(
            histories,
            numbers,
            statistics,
            self._vectors(known),
            self.owners[asked],
            self.targets[asked],
            self.ratings[asked],
        )

    def _latest(self, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of the known events are among the latest of their users."""
        after = np.cumsum(known[::-1])[::-1]  # how many known ones there are from here to the end
        ends = self._data.user_offsets[1:][self._data.user_codes]
        behind = np.append(after, 0)[ends]
        return np.asarray(after - behind <= self._settings.history)

    def _vectors(self, known: NDArray[np.bool_]) -> Floats:
        part = self._data.select_events(known)
        vectors = np.zeros((len(self._users), self._encoder.dim), np.float32)
        for start in range(0, len(self._users), BATCH):
            batch: list[User] = [part.user(int(code), history=True) for code in self._users[start : start + BATCH]]
            vectors[start : start + BATCH] = self._encoder.encode_users(batch)
        return vectors

    def scale(self, folds: list[View], item_vectors: Floats) -> Scale:
        """What the numbers are measured in."""
        users = np.concatenate([fold.vectors[fold.users[:: 1 + len(fold.users) // 10_000]] for fold in folds])
        items = np.concatenate([item_vectors[fold.targets[:: 1 + len(fold.targets) // 10_000]] for fold in folds])
        return Scale(
            min(0.0, float(self.ratings.min())),
            float(self.ratings.max()),
            self.mean,
            _root_mean_square(users),
            _root_mean_square(items),
            _root_mean_square(np.einsum("nd,nd->n", users, items)),
        )


def _chosen(data: Dataset, most: int, rng: np.random.Generator) -> Dataset:
    """The rated events of some users."""
    rated = np.zeros(data.n_events, bool) if data.ratings is None else ~np.isnan(data.ratings)
    if rated.sum() < 2 or np.ptp(np.asarray(data.ratings)[rated]) == 0:
        raise InvalidDataError(
            "a rating reranker learns from events with different ratings, and the data set has none",
            "leave it out, or give Event(..., rating=...)",
        )
    users = np.unique(data.user_codes[rated])
    if len(users) > most:
        users = np.sort(rng.choice(users, most, replace=False))
    return data.select_events(rated & np.isin(data.user_codes, users))


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) or 1.0
