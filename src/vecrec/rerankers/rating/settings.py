"""The settings of the rating reranker."""

from __future__ import annotations

from dataclasses import dataclass

from vecrec._internal.validation import integer, number
from vecrec.errors import InvalidDataError, shown
from vecrec.learning.settings import Settings

__all__ = ["RatingSettings"]


@dataclass(frozen=True, slots=True, repr=False)
class RatingSettings(Settings):
    """How a `RatingReranker` is built and trained. The defaults were chosen on the validation part of MovieLens 1M.

    Raises:
        InvalidDataError: for a value that cannot be used; the message says what can.
    """

    width: int = 32
    """Length of what is made of a user, and of an item, before the hidden layers."""
    hidden: tuple[int, ...] = (128, 64)
    """Widths of the hidden layers."""
    history: int = 1_000
    """How many of a user's latest rated events are read."""
    folds: int = 5
    """Parts of the ratings. What is known of a user and of an item when a rating is learnt comes from the other parts,
    as it comes from other ratings when one is predicted. The encoder makes this many vectors of each user."""
    max_users: int = 50_000
    """Users, at most, whose ratings are learnt from; a random choice, where there are more."""
    users: int = 200
    """Users a training step; fewer where there are so few that an epoch would have under 20 steps."""
    epochs: int = 15
    """Passes over the ratings, at most."""
    patience: int = 3
    """Epochs without a smaller validation error before training stops."""
    learning_rate: float = 0.002
    """The highest step size of Adam; it falls along a cosine."""
    decay: float = 4.0
    """Share of what users and items are made of that every step takes off, times the step size (decoupled weight decay:
    Loshchilov and Hutter, ICLR 2019)."""
    dropout: float = 0.4
    """Share of a hidden layer's numbers that a training step leaves out."""
    unknown: float = 0.3
    """Share of the users, and of the items, that a training step sees without their id, so that new ones get a sensible
    rating."""
    validation: float = 0.05
    """Share of the ratings kept from training to choose the best epoch by; 0 trains all epochs on everything."""

    def __post_init__(self) -> None:
        if not isinstance(self.hidden, (tuple, list)):
            raise InvalidDataError(f"hidden is {shown(self.hidden)}", "give a tuple of widths, such as (128, 64)")
        widths = tuple(integer(width, "a width in hidden", low=1) for width in self.hidden)
        object.__setattr__(self, "hidden", widths)
        for name, least in _LEAST.items():
            object.__setattr__(self, name, integer(getattr(self, name), name, low=least))
        for name, (low, high) in _RANGES.items():
            object.__setattr__(self, name, number(getattr(self, name), name, low=low, high=high))


_LEAST = {"width": 1, "history": 1, "folds": 2, "max_users": 1, "users": 1, "epochs": 1, "patience": 1}
_RANGES = {
    "learning_rate": (1e-8, 1.0),
    "decay": (0.0, 10.0),
    "dropout": (0.0, 0.95),
    "unknown": (0.0, 0.95),
    "validation": (0.0, 0.5),
}
