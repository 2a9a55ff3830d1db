"""Which events an encoder learns from and predicts: how much each counts, and how far ahead it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec.errors import InvalidDataError
from vecrec.records import JSON

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.data.events import Order

__all__ = [
    "LearningReport",
    "event_weights",
    "horizon_offsets",
    "weighted_pairs",
    "weighted_popularity",
    "without_repeats",
]


_ORDERS = {"time": "in order of time", "rows": "in order of the rows", "unknown": "order unknown: read as sets"}


@dataclass(frozen=True, slots=True)
class LearningReport:
    """What an encoder learnt from. ``str`` makes a line of it."""

    n_events: int
    """How many events took part."""
    n_given: int
    """How many there were; the others are negative, neutral or of disliked items."""
    order: Order
    """The assumed origin of the events' order; see `vecrec.data.Dataset.order`."""
    weights: Literal["equal", "read", "not read"]
    """Whether the feedback policy gives some events another weight than others, and the encoder reads it."""
    chosen: Mapping[str, JSON] = field(default_factory=dict)
    """What was left to the data, and what they have decided."""

    @classmethod
    def of(cls, data: Dataset, n_given: int, *, reads_weights: bool) -> Self:
        """The report of the events to learn from."""
        equal = data.is_target.all() and (data.weights is None or data.weights.min() == data.weights.max())
        return cls(data.n_events, n_given, data.order, "equal" if equal else "read" if reads_weights else "not read")

    @property
    def assumptions(self) -> str:
        """Order and weights, as a short text."""
        return f"{_ORDERS[self.order]}, weights {self.weights}"

    @property
    def told(self) -> str:
        """What the data have decided, as a short text in brackets; empty where they have decided nothing."""
        return f" ({', '.join(f'{name} {value}' for name, value in self.chosen.items())})" if self.chosen else ""

    def __str__(self) -> str:
        return f"{self.n_events:,} of {self.n_given:,} events, {self.assumptions}{self.told}"


def event_weights(data: Dataset) -> NDArray[np.float32] | None:
    """How much each event counts as one to predict, by the feedback policy of the data set.

    Args:
        data: The events to learn from, as `vecrec.encoders.base.Encoder` hands them on.

    Returns:
        Shape (n_events,); 0 for an event that is not to be predicted, and a mean of 1 over the others, so that the
        scale of the policy's weights changes nothing. ``None`` where every event counts 1.

    Raises:
        InvalidDataError: when no event is to be predicted.
    """
    if data.weights is None and data.is_target.all():
        return None
    weights = np.ones(data.n_events) if data.weights is None else data.weights.astype(np.float64)
    weights[~data.is_target] = 0
    counted = np.count_nonzero(weights)
    if not counted:
        raise InvalidDataError(
            f"none of the {data.n_events:,} events to learn from is to be predicted",
            "let the FeedbackPolicy of Dataset have targets, and weights above 0, that occur in the data",
        )
    found: NDArray[np.float32] = (weights * (counted / weights.sum())).astype(np.float32)
    return None if (found == 1).all() else found


def weighted_popularity(data: Dataset) -> NDArray[np.int64] | NDArray[np.float64]:
    """How many users chose each item, each once by the weight of the heaviest event, shape (n_items,).

    Args:
        data: The events to learn from.

    Returns:
        Integers where every event counts 1. See `event_weights`.
    """
    _, items, weights = weighted_pairs(data)
    if weights is None:
        return data.popularity()
    return np.bincount(items, weights=weights, minlength=data.n_items)


def weighted_pairs(data: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64] | None]:
    """Who chose what: each pair of user and item once, by user and item.

    Args:
        data: The events to learn from.

    Returns:
        The codes of users and items, shape (n_pairs,), and the weight of the heaviest event of each pair; ``None``
        where every event counts 1. See `event_weights`.
    """
    unique, places = np.unique(_pairs(data), return_inverse=True)
    users, items = np.divmod(unique, data.n_items)
    weights = event_weights(data)
    if weights is None:
        return users, items, None
    heaviest = np.zeros(len(unique))
    np.maximum.at(heaviest, places, weights.astype(np.float64))
    return users, items, heaviest


def without_repeats(data: Dataset) -> Dataset:
    """The data set with one event, the heaviest, of each user with each item; itself where nothing is repeated."""
    weights = event_weights(data)
    order = np.arange(data.n_events) if weights is None else np.argsort(-weights, kind="stable")
    pairs, first = np.unique(_pairs(data)[order], return_index=True)
    if len(pairs) == data.n_events:
        return data
    kept = np.zeros(data.n_events, np.bool_)
    kept[order[first]] = True
    return data.select_events(kept)


def _pairs(data: Dataset) -> NDArray[np.int64]:
    return data.user_codes.astype(np.int64) * data.n_items + data.item_codes


def horizon_offsets(horizon: int, shape: int | tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    """How many events are left out before the one that is predicted, at random by a geometric distribution.

    Args:
        horizon: 1 for always the next event; the mean of what is left out is one less.
        shape: Of the result.
        rng: Where chance comes from.
    """
    return rng.geometric(1 / horizon, shape) - 1
