"""The settings of the two-tower encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import Self

from vecrec._internal.validation import choice, flag, integer, number
from vecrec.errors import InvalidDataError, shown
from vecrec.learning.settings import Settings

__all__ = ["TwoTowerSettings"]


@dataclass(frozen=True, slots=True, repr=False)
class TwoTowerSettings(Settings):
    """How a `TwoTowerEncoder` is built and trained. The defaults were chosen on the validation part of MovieLens 1M.

    Raises:
        InvalidDataError: for a value that cannot be used; the message says what can.
    """

    loss: Literal["softmax", "rating"] = "softmax"
    """``"softmax"`` learns to rank the next item; ``"rating"`` fits the cosine of the vectors to the events' ratings by
    squared error, as PaddlePaddle's original model does, and ranks worse."""
    decays: tuple[float, ...] = (0.0, 0.6, 0.9)
    """How much of an event's influence is left after each later one, with a table of item vectors each: 0 sees the last
    event only, .9 about the last twenty. None of them makes the user tower blind to the history."""
    horizon: int = 1
    """How far ahead the event lies, on average, that is predicted: 1 for always the next one. Farther ahead, what users
    do at any time counts more than what follows what, as it should for lists that stay up for weeks."""
    layers: int = 0
    """Gated recurrent layers that read the history event by event, with the time between the events; each takes about
    as long to train as everything else. They learn more slowly: give them more epochs and a smaller step size."""
    width: int = 128
    """How many numbers these layers keep of the history."""
    hidden: int = 256
    """Width of a hidden layer that corrects the user vector; 0 for none, which trains in two thirds of the time."""
    user_ids: bool = True
    """Whether every user of the data has a vector of their own, beside profile and history."""
    positions: int = 32
    """How many of a user's first events are told apart by their number, each with a vector of its own and weights of
    its own for the decays: what people do first follows other rules than what they do later."""
    history: int = 200
    """How many of a user's latest events are read when a vector is made."""
    negatives: int = 512
    """Wrong items that the events of a step are compared with; with no more items than that, all of them."""
    negative_power: float = 0.5
    """How strongly the chance to be drawn as a negative grows with an item's events: 0 not at all, 1 proportionally."""
    batch: int = 2048
    """Events a step; fewer where the data are so few that an epoch would have under 20 steps."""
    epochs: int = 3
    """Passes over the events; more where the data are so few that there would be under ``min_steps`` steps."""
    min_steps: int = 400
    """Steps that even the smallest data get."""
    patience: int = 3
    """Epochs without a better validation metric before training stops."""
    learning_rate: float = 0.004
    """The highest step size of Adam; it rises at first, then falls along a cosine."""
    dropout: float = 0.2
    """Share of the hidden layer's numbers, or of the user vector's without one, that a training step leaves out."""
    unknown_items: float = 0.1
    """Share of the items that a training step sees by their features alone, so that new ones get a sensible vector."""
    unknown_users: float = 0.3
    """Share of the users that a training step sees without their id; a tenth as often, also without the profile."""
    unknown_history: float = 0.02
    """Share of the users that a training step sees without their history."""
    validation_users: int = 10_000
    """Users, at most, whose last event is kept from training to choose the best epoch by; 0 trains on everything."""
    sparse_above: int = 10_000
    """Tables with more rows than this are trained by sparse gradients."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "decays", _decays(self.decays))
        choice(self.loss, "loss", ("softmax", "rating"))
        object.__setattr__(self, "user_ids", flag(self.user_ids, "user_ids"))
        for name, least in _LEAST.items():
            object.__setattr__(self, name, integer(getattr(self, name), name, low=least))
        for name, (low, high) in _RANGES.items():
            object.__setattr__(self, name, number(getattr(self, name), name, low=low, high=high))

    @classmethod
    def recurrent(cls, **changes: Any) -> Self:
        """What suits towers that read the history by recurrent layers; ``changes`` are settings as well.

        Raises:
            InvalidDataError: for an unknown name or an invalid value.
        """
        slow = {"layers": 2, "decays": (0.0,), "batch": 1024, "epochs": 10, "learning_rate": 0.002}
        return cls.from_json({**slow, **changes})


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
