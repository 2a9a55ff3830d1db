"""What is measured after each epoch, on events that training does not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.data import Vocabulary
from vecrec.encoders.two_tower.inference import Towers
from vecrec.encoders.two_tower.training_data import Material, Validation

__all__ = ["Measured", "measure"]

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


def measure(towers: Towers, material: Material) -> Measured | None:
    """The figures of the towers; ``None`` without a validation part."""
    validation = material.validation
    if validation is None:
        return None
    items = towers.items(np.arange(material.language.items.size), material.item_features)
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
        # The target is one of those that score at least as much as it, unless it is in the history as well.
        scores[np.arange(len(targets)), targets] = right
        ranks = (scores >= right[:, None]).sum(axis=1).astype(np.float64)
        blocks.append(np.where(targets == Vocabulary.UNKNOWN, np.inf, ranks))
    return np.concatenate(blocks)


def _rmse(towers: Towers, users: Floats, items: Floats, validation: Validation) -> float | None:
    rated = ~np.isnan(validation.ratings)
    if towers.scale is None or not rated.any():
        return None
    predicted = np.einsum("nd,nd->n", users[rated], items[validation.targets[rated]])
    return float(np.sqrt(((predicted - validation.ratings[rated]) ** 2).mean()))
