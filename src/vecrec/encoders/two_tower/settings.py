"""The settings of the two-tower encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec._internal.validation import choice, flag, integer, number
from vecrec.errors import InvalidDataError, shown
from vecrec.learning.settings import Settings

__all__ = ["BY_DATA", "ResolvedSettings", "TwoTowerSettings", "has_few_events"]


@dataclass(frozen=True, slots=True, repr=False)
class TwoTowerSettings(Settings):
    """How a `TwoTowerEncoder` is built and trained.

    The defaults were chosen on the validation parts of MovieLens 1M and Amazon Beauty. What is ``None`` follows from
    the data when the encoder is fitted: there is one value for items with many events and one for items with few; see
    `ResolvedSettings`.

    Raises:
        InvalidDataError: for a value that cannot be used; the message says what can.
    """

    loss: Literal["softmax", "rating"] = "softmax"
    """``"softmax"`` learns to rank the next item; ``"rating"`` fits the cosine of the vectors to the events' ratings by
    squared error, as PaddlePaddle's original model does, and ranks worse."""
    decays: tuple[float, ...] = (0.0, 0.6, 0.9)
    """How much of an event's influence is left after each later one, each with a matrix of its own: 0 sees the last
    event only, .9 about the last twenty. None of them makes the user tower blind to the history."""
    horizon: int = 1
    """How far ahead the event lies, on average, that is predicted: 1 for always the next one. Farther ahead, what users
    do at any time counts more than what follows what, as it should for lists that stay up for weeks."""
    layers: int = 0
    """Gated recurrent layers that read the history event by event, with the time between the events; each takes about
    as long to train as everything else. They learn more slowly: give them more epochs and a smaller step size."""
    width: int = 128
    """How many numbers these layers keep of the history."""
    hidden: int | None = None
    """Width of a hidden layer that corrects the user vector; 0 for none, which trains in two thirds of the time. By
    default 256, and none where items have few events."""
    user_ids: bool | None = None
    """Whether every user of the data has a vector of their own, beside profile and history. By default only with the
    loss of ratings: what comes next is told better by the history alone."""
    positions: int = 32
    """How many of a user's first events are told apart by their number, each with a vector of its own and weights of
    its own for the decays: what people do first follows other rules than what they do later."""
    history: int = 200
    """How many of a user's latest events are read when a vector is made."""
    negatives: int | None = None
    """Wrong items that the events of a step are compared with; with no more items than that, all of them. By default
    2,048, and 4,096 where items have few events."""
    negative_power: float = 0.5
    """How strongly the chance to be drawn as a negative grows with an item's events: 0 not at all, 1 proportionally."""
    batch: int = 2048
    """Events a step; fewer where the data are so few that an epoch would have under 20 steps."""
    epochs: int | None = None
    """Passes over the events; more where the data are so few that there would be under ``min_steps`` steps. By default
    3, and 8 where items have few events."""
    epoch_events: int | None = None
    """Events of an epoch, at most, of users who are drawn for each; ``None`` for all. With hundreds of millions of
    events it bounds the time of a training, and that between two validations and checkpoints."""
    min_steps: int = 400
    """Steps that even the smallest data get."""
    patience: int = 3
    """Epochs without a better validation metric before training stops."""
    learning_rate: float = 0.004
    """The highest step size of Adam; it rises at first, then falls along a cosine."""
    dropout: float | None = None
    """Share of the hidden layer's numbers, or of the user vector's without one, that a training step leaves out. By
    default .2, and .5 where items have few events."""
    unknown_items: float = 0.1
    """Share of the items that a training step sees by their features alone, so that new ones get a sensible vector."""
    unknown_users: float = 0.3
    """Share of the users that a training step sees without their id; a tenth as often, also without the profile."""
    unknown_history: float = 0.02
    """Share of the users that a training step sees without their history."""
    unknown_pause: float = 0.5
    """Share of the users that a training step sees without the pause before the event that it predicts; 1 for towers
    that never read the time of the request."""
    validation_users: int = 10_000
    """Users, at most, whose last event is kept from training to choose the best epoch by; 0 trains on everything."""
    sparse_above: int = 10_000
    """Tables with more rows than this are trained by sparse gradients."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "decays", _decays(self.decays))
        choice(self.loss, "loss", ("softmax", "rating"))
        self._check("user_ids", flag)
        for name, least in _LEAST.items():
            self._check(name, partial(integer, low=least))
        for name, (low, high) in _RANGES.items():
            self._check(name, partial(number, low=low, high=high))

    @property
    def reads_pauses(self) -> bool:
        """Whether the pause before the request is read; what lies farther ahead than the next event has another."""
        return self.unknown_pause < 1 and self.horizon == 1

    def _check(self, name: str, check: Callable[[Any, str], object]) -> None:
        value = getattr(self, name)
        if value is not None or name not in (*BY_DATA, "user_ids", "epoch_events"):
            object.__setattr__(self, name, check(value, name))

    @classmethod
    def recurrent(cls, **changes: Any) -> Self:
        """What suits towers that read the history by recurrent layers; ``changes`` are settings as well.

        Raises:
            InvalidDataError: for an unknown name or an invalid value.
        """
        slow = {"layers": 2, "decays": (0.0,), "batch": 1024, "epochs": 10, "learning_rate": 0.002}
        return cls.from_json({**slow, **changes})


@dataclass(frozen=True, slots=True, repr=False)
class ResolvedSettings(TwoTowerSettings):
    """Settings of which nothing is left to the data."""

    hidden: int = 256
    user_ids: bool = False
    negatives: int = 2048
    epochs: int = 3
    dropout: float = 0.2

    @classmethod
    def of_data(cls, settings: TwoTowerSettings, counts: NDArray[np.int64]) -> Self:
        """What is given, and for the rest what suits the data.

        Args:
            settings: The encoder's.
            counts: How many events each item has, shape (n_items,).
        """
        few = settings.loss == "softmax" and has_few_events(counts)
        suited = {name: values[few] for name, values in BY_DATA.items()} | {"user_ids": settings.loss == "rating"}
        given = {name: value for name, value in settings.to_json().items() if value is not None}
        return cls.from_json(suited | given)


def has_few_events(counts: NDArray[np.int64]) -> bool:
    """Whether items have few events, below 50 on average.

    Args:
        counts: How many events each item has, shape (n_items,); those without any do not count.
    """
    met = counts[counts > 0]
    return len(met) > 0 and float(met.mean()) < _FEW


_FEW = 50
BY_DATA: dict[str, tuple[Any, Any]] = {
    "hidden": (256, 0),
    "negatives": (2048, 4096),
    "epochs": (3, 8),
    "dropout": (0.2, 0.5),
}
"""The values for items with many events, and for items with few."""

_LEAST = {
    "horizon": 1,
    "layers": 0,
    "width": 1,
    "hidden": 0,
    "positions": 0,
    "history": 0,
    "negatives": 1,
    "batch": 1,
    "epochs": 1,
    "epoch_events": 1,
    "min_steps": 1,
    "patience": 1,
    "validation_users": 0,
    "sparse_above": 0,
}
_RANGES = {
    "negative_power": (0.0, 1.0),
    "learning_rate": (1e-8, 1.0),
    "dropout": (0.0, 0.95),
    "unknown_items": (0.0, 0.95),
    "unknown_users": (0.0, 1.0),
    "unknown_history": (0.0, 1.0),
    "unknown_pause": (0.0, 1.0),
}


def _decays(values: Any) -> tuple[float, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, (tuple, list)):
        raise InvalidDataError(
            f"decays is {shown(values)}", "give a tuple of numbers from 0 to below 1, such as (0, .6, .9)"
        )
    for value in values:
        number(value, "a decay", low=0.0, high=0.999)
    if len(set(values)) < len(values):
        raise InvalidDataError(f"decays is {values!r}", "name each of them once")
    return tuple(map(float, values))
