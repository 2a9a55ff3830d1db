"""Training: steps, validation after every epoch, the best weights kept. Only ``fit`` imports this module."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import paddle
from numpy.typing import NDArray

from vecrec._internal.exact import ranks_of
from vecrec.data import Vocabulary
from vecrec.encoders.two_tower import checkpoint
from vecrec.encoders.two_tower.inference import Towers
from vecrec.encoders.two_tower.learning_curve import Epoch
from vecrec.encoders.two_tower.network import folded
from vecrec.encoders.two_tower.objective import Objective
from vecrec.encoders.two_tower.ranks import Ranks
from vecrec.encoders.two_tower.sampling import Batch, Sampler
from vecrec.encoders.two_tower.settings import ResolvedSettings
from vecrec.encoders.two_tower.training_data import TrainingData, Validation
from vecrec.learning.paddle import available_device, prepared
from vecrec.progress import Progress, Step

__all__ = ["Measured", "Plan", "available_device", "measure", "train"]

Floats: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]

BLOCK = 512
"""Users whose scores are held at a time."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of one state of the model."""

    recall: float
    """Recall@10: the share of the users whose next item is among the first ten of all that are new to them."""
    reciprocal_rank: float
    """The mean of 1 / rank of the next item: it settles which of two equal recalls is better."""
    rmse: float | None
    """Of the ratings, in a model of ratings."""

    def better_than(self, other: Measured) -> bool:
        """Whether it is the one to keep."""
        if self.rmse is not None and other.rmse is not None:
            return self.rmse < other.rmse
        return (self.recall, self.reciprocal_rank) > (other.recall, other.reciprocal_rank)


def measure(towers: Towers, data: TrainingData) -> Measured | None:
    """The figures of the towers; ``None`` without a validation part."""
    validation = data.validation
    if validation is None:
        return None
    items = towers.items(np.arange(data.preprocessor.items.size), data.item_features)
    users = towers.users(validation.users, validation.profiles, validation.histories)
    ranks = _ranks(users, items, validation)
    return Measured(float((ranks <= 10).mean()), float((1 / ranks).mean()), _rmse(towers, users, items, validation))


def _ranks(users: Floats, items: Floats, validation: Validation) -> NDArray[np.float64]:
    """The rank of each next item, after equal scores, shape (n,); infinite for one that training does not know."""
    blocks = []
    for start in range(0, len(users), BLOCK):
        targets = validation.targets[start : start + BLOCK]
        scores = users[start : start + BLOCK] @ items.T
        right = scores[np.arange(len(targets)), targets].copy()
        scores[:, : Vocabulary.UNKNOWN + 1] = -np.inf
        for row, history in zip(scores, validation.histories[start : start + BLOCK]):
            row[history.items] = -np.inf
        scores[np.arange(len(targets)), targets] = right  # the target may be in the history as well
        ranks = ranks_of(scores, np.where(targets == Vocabulary.UNKNOWN, -1, targets))
        blocks.append(np.where(ranks > 0, ranks, np.inf))
    return np.concatenate(blocks)


def _rmse(towers: Towers, users: Floats, items: Floats, validation: Validation) -> float | None:
    rated = ~np.isnan(validation.ratings)
    if towers.scale is None or not rated.any():
        return None
    predicted = np.einsum("nd,nd->n", users[rated], items[validation.targets[rated]])
    return float(np.sqrt(((predicted - validation.ratings[rated]) ** 2).mean()))


WARM_UP = 50
"""Steps in which the step size rises."""

SMALL = 2048
"""Events a step below which more than one thread does not pay."""

FINAL_RATE = 0.02
"""What is left of the step size at the end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one training run goes, beside the settings."""

    dim: int
    """The length of a vector."""
    seed: int
    """Where all chance comes from."""
    threads: int | None
    """Threads for matrix products; ``None`` for one where the steps are small, and for NumPy's own choice elsewhere."""
    checkpoint: Path | None
    """The directory for what a run that ends early can go on from."""
    key: str
    """Stands for everything that the result depends on: a checkpoint of another key is not taken up."""
    device: str = "cpu"
    """PaddlePaddle's name of the device that computes; see `vecrec.learning.paddle.available_device`."""


def train(data: TrainingData, settings: ResolvedSettings, plan: Plan, progress: Progress) -> tuple[Towers, list[Epoch]]:
    """The towers after their best epoch, and the learning curve."""
    events = min(len(data.histories.items), settings.epoch_events or math.inf)
    batch = int(min(settings.batch, max(64, events // 20)))
    # Threads that wait for each other at every small product are many times slower than one.
    threads = 1 if plan.threads is None and batch < SMALL else plan.threads
    with prepared(threads, plan.device):
        return _Run(data, settings, plan, progress, batch).finish()


class _Run:
    """One training run."""

    def __init__(
        self, data: TrainingData, settings: ResolvedSettings, plan: Plan, progress: Progress, batch: int
    ) -> None:
        self.data, self.settings, self.plan, self.progress = data, settings, plan, progress
        self.sampler = Sampler(
            data.histories,
            batch,
            settings.decays,
            recurrent=settings.layers > 0,
            horizon=settings.horizon,
            most=settings.epoch_events,
        )
        # An epoch is several passes where one pass is but a few steps.
        self.passes = math.ceil(settings.min_steps / (self.sampler.steps * settings.epochs))
        self.total = self.sampler.steps * self.passes * settings.epochs
        self.objective = Objective(data, settings, plan.dim, np.random.default_rng((plan.seed, 0)))
        self.network, self.ranks = self.objective.network, Ranks.joined()
        self.optimizer = paddle.optimizer.Adam(
            settings.learning_rate, beta2=0.98, parameters=self.network.parameters(), lazy_mode=True
        )

    def finish(self) -> tuple[Towers, list[Epoch]]:
        """Train to the end, or until nothing gets better."""
        kept = (self.plan.checkpoint, self.plan.key, self.network, self.optimizer)
        state = checkpoint.load(*kept) or checkpoint.State()
        while state.epoch < self.settings.epochs and state.epoch - state.best_epoch < self.settings.patience:
            self._run_epoch(state)
            if not self.ranks.rank:
                checkpoint.save(*kept, state)
        self.progress(Step("train", self.total, self.total, f"{state.curve[state.best_epoch - 1]}"))
        checkpoint.remove(self.plan.checkpoint)
        return self._towers(state.best), state.curve

    def _run_epoch(self, state: checkpoint.State) -> None:
        started = time.perf_counter()
        # Chance depends on the epoch and not on how training got there, so that it can be resumed.
        rng = np.random.default_rng((self.plan.seed, 2, state.epoch))
        chance = rng, np.random.default_rng((self.plan.seed, 4, state.epoch, self.ranks.rank))
        losses = [self._step(step, batch, chance, state) for step, batch in self._batches(state.epoch, rng)]
        weights = self.network.weights()
        measured = self._measure(weights)
        state.epoch += 1
        best = state.curve[state.best_epoch - 1] if state.best_epoch else None
        if measured is None or best is None or measured.better_than(_measured(best)):
            state.best, state.best_epoch = weights, state.epoch
        state.curve.append(_epoch(state.epoch, losses, measured, time.perf_counter() - started))
        if measured is not None:
            done = state.epoch * self.passes * self.sampler.steps
            better = -measured.rmse if measured.rmse is not None else measured.reciprocal_rank
            self.progress(Step("train", min(done, self.total), self.total, f"{state.curve[-1]}", better))

    def _batches(self, epoch: int, rng: np.random.Generator) -> Iterator[tuple[int, Batch]]:
        step = epoch * self.passes * self.sampler.steps
        for _ in range(self.passes):
            for batch in self.sampler.epoch(rng):
                yield step, batch
                step += 1

    def _step(
        self, step: int, batch: Batch, chance: tuple[np.random.Generator, np.random.Generator], state: checkpoint.State
    ) -> float | None:
        mine = self.objective.loss(self.ranks.share(batch), *chance, self.objective.counted(batch))
        if mine is not None:
            mine.backward()
        loss = self.ranks.add_up(self.network, None if mine is None else float(mine))
        if loss is None:
            return None
        self.optimizer.set_lr(self._rate(step))
        self.optimizer.step()
        self.optimizer.clear_grad()
        last = f"{state.curve[-1]}" if state.curve else f"loss {loss:.3f}"
        self.progress(Step("train", min(step + 1, self.total), self.total, last))
        return loss

    def _measure(self, weights: dict[str, np.ndarray]) -> Measured | None:
        if self.data.validation is None:
            return None
        found = None if self.ranks.rank else measure(self._towers(weights), self.data)
        told = [0.0, 0.0, math.nan]
        if found is not None:
            told = [found.recall, found.reciprocal_rank, math.nan if found.rmse is None else found.rmse]
        recall, reciprocal_rank, rmse = self.ranks.agree(told)
        return Measured(recall, reciprocal_rank, None if math.isnan(rmse) else rmse)

    def _rate(self, step: int) -> float:
        """Up in a straight line, then down along a cosine."""
        rise = min(1.0, (step + 1) / min(WARM_UP, self.total))
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.total)))
        return self.settings.learning_rate * rise * (FINAL_RATE + (1 - FINAL_RATE) * fall)

    def _towers(self, weights: dict[str, np.ndarray]) -> Towers:
        ordered, pauses = self.data.histories.ordered, self.data.pauses
        return Towers(folded(weights), self.settings, self.data.top_rating, ordered=ordered, pauses=pauses)


def _measured(epoch: Epoch) -> Measured:
    return Measured(epoch.recall or 0.0, epoch.reciprocal_rank or 0.0, epoch.rmse)


def _epoch(number: int, losses: list[float | None], measured: Measured | None, seconds: float) -> Epoch:
    known = [loss for loss in losses if loss is not None]
    loss = float(np.mean(known)) if known else 0.0
    if measured is None:
        return Epoch(number, loss, None, None, None, seconds)
    return Epoch(number, loss, measured.recall, measured.reciprocal_rank, measured.rmse, seconds)
