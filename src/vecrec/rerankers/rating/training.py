"""Training: steps, validation after every epoch, the best weights kept. Only fitting imports this module."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import paddle
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from vecrec.learning.paddle import prepared
from vecrec.learning.preprocessor import SparseRows
from vecrec.progress import Progress, Step
from vecrec.rerankers.rating.inference import Head, statistics
from vecrec.rerankers.rating.network import RatingNetwork
from vecrec.rerankers.rating.settings import RatingSettings
from vecrec.rerankers.rating.training_data import TrainingData, View

__all__ = ["train"]

FINAL_RATE = 0.02
"""What is left of the step size at the end."""

SMALL = 20_000
"""Ratings below which more than one thread does not pay."""


def train(
    data: TrainingData, settings: RatingSettings, seed: int, threads: int | None, progress: Progress
) -> tuple[Head, list[float]]:
    """The network after its best epoch, and the validation error (RMSE) after each epoch, if there is such a part."""
    few = sum(len(view.users) for view in data.folds) < SMALL
    with prepared(1 if threads is None and few else threads):
        return _Run(data, settings, seed, progress).finish()


class _Run:
    def __init__(self, data: TrainingData, settings: RatingSettings, seed: int, progress: Progress) -> None:
        self.data, self.settings, self.seed, self.progress = data, settings, seed, progress
        dim = data.item_vectors.shape[1]
        rng = np.random.default_rng((seed, 1))
        self.network = RatingNetwork(data.preprocessor, data.scale, dim, settings, rng)
        self.optimizer = paddle.optimizer.AdamW(
            settings.learning_rate,
            parameters=self.network.parameters(),
            weight_decay=settings.decay,
            apply_decay_param_fun=self.network.decaying.__contains__,
        )
        n_users = len(data.rows)
        self.chunk = min(settings.users, max(1, n_users * settings.folds // 20))
        self.steps = math.ceil(n_users / self.chunk) * settings.folds
        self.item_features = _sparse(data.item_features, data.preprocessor.item_space.size)
        self.profiles = _sparse(data.profiles, data.preprocessor.user_space.size)
        self.histories = [_sparse(view.histories, 2 * data.preprocessor.items.size) for view in data.folds]

    def finish(self) -> tuple[Head, list[float]]:
        """Train to the end, or until nothing gets better."""
        errors: list[float] = []
        best = self.network.weights()
        for epoch in range(self.settings.epochs):
            for step, (fold, users, rng) in enumerate(self._batches(epoch), epoch * self.steps):
                self._step(step, fold, users, rng)
            head = Head(self.network.weights(), self.data.scale)
            if self.data.validation is None:
                best = head.weights
                continue
            errors.append(error(head, self.data, self.data.validation))
            total = self.steps * self.settings.epochs
            self.progress(Step("train", (epoch + 1) * self.steps, total, f"rmse {errors[-1]:.4f}"))
            best = head.weights if errors[-1] == min(errors) else best
            if epoch - int(np.argmin(errors)) >= self.settings.patience:
                break
        return Head(best, self.data.scale), errors

    def _batches(self, epoch: int) -> Iterator[tuple[int, NDArray[np.int64], np.random.Generator]]:
        rng = np.random.default_rng((self.seed, 2, epoch))
        parts = []
        for fold in range(self.settings.folds):
            order = rng.permutation(len(self.data.rows))
            parts += [(fold, order[start : start + self.chunk]) for start in range(0, len(order), self.chunk)]
        for place in rng.permutation(len(parts)).tolist():
            yield (*parts[place], rng)

    def _step(self, step: int, fold: int, users: NDArray[np.int64], rng: np.random.Generator) -> None:
        data, view = self.data, self.data.folds[fold]
        pairs, owners = _pairs(view, users)
        if not len(pairs):
            return
        items, places = np.unique(view.targets[pairs], return_inverse=True)
        user_rows, item_rows = _hidden(data.rows[users], self.settings.unknown, rng), items
        item_rows = _hidden(items, self.settings.unknown, rng)
        made = self.network.users(user_rows, self.profiles[users], self.histories[fold][users], view.vectors[users])
        of_items = self.network.items(item_rows, self.item_features[items], data.item_vectors[items])
        numbers = _numbers(data, view, pairs)
        predicted = self.network.ratings(
            paddle.index_select(made, paddle.to_tensor(owners)),
            paddle.index_select(of_items, paddle.to_tensor(places.astype(np.int64))),
            numbers,
            rng,
        )
        loss = ((predicted - paddle.to_tensor(view.ratings[pairs])) ** 2).mean()
        self.optimizer.set_lr(self._rate(step))
        loss.backward()
        self.optimizer.step()
        self.optimizer.clear_grad()

    def _rate(self, step: int) -> float:
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / (self.steps * self.settings.epochs))))
        return self.settings.learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * fall)


def error(head: Head, data: TrainingData, view: View) -> float:
    """The root mean squared error on a view's ratings."""
    users = head.users(data.rows, data.profiles.rows(np.arange(len(data.rows))), view.histories, view.vectors)
    items = head.items(np.arange(data.preprocessor.items.size), data.item_features, data.item_vectors)
    squares = 0.0
    for start in range(0, len(view.users), 50_000):
        pairs = np.arange(start, min(start + 50_000, len(view.users)))
        numbers = _numbers(data, view, pairs)
        predicted = head.ratings(users[view.users[pairs]], items[view.targets[pairs]], numbers)
        squares += float(np.square(predicted - view.ratings[pairs], dtype=np.float64).sum())
    return math.sqrt(squares / len(view.users))


def _numbers(data: TrainingData, view: View, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    users, items = view.users[pairs], view.targets[pairs]
    products = np.einsum("nd,nd->n", view.vectors[users], data.item_vectors[items])
    return statistics(view.numbers[users], items, view.items, products / np.float32(data.scale.products))


def _pairs(view: View, users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ratings of some users in a view, and whose each of them is, as a place among these users."""
    starts, ends = view.starts[users], view.starts[users + 1]
    owners = np.repeat(np.arange(len(users)), ends - starts)
    before = np.cumsum(ends - starts) - (ends - starts)
    return np.arange(len(owners)) + (starts - before)[owners], owners


def _hidden(rows: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """The rows, a share of them replaced by that of an unknown id."""
    return np.where(rng.random(len(rows)) < share, 1, rows)


def _sparse(rows: SparseRows, columns: int) -> csr_matrix:
    return csr_matrix((rows.weights, rows.columns, rows.starts), shape=(len(rows), columns))
