"""What can be set about the linear sequence encoder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vecrec._internal.validation import integer, number
from vecrec.errors import InvalidDataError
from vecrec.learning.settings import Settings

__all__ = ["LinearSequenceSettings"]

_ABOVE_0 = 1e-9


@dataclass(frozen=True, slots=True, repr=False)
class LinearSequenceSettings(Settings):
    """The settings of `vecrec.encoders.LinearSequenceEncoder`, chosen on the validation part of MovieLens 1M.

    Raises:
        InvalidDataError: for a value out of range.
    """

    decays: tuple[float, ...] = (0.0, 0.7, 0.95)
    """One block of features for each: how much an event counts in it, against the event after it, in [0, 1). The block
    of 0 knows the last event alone."""
    horizon: int = 1
    """How far ahead the event lies, on average, that is predicted: 1 for always the next one. Farther ahead, what users
    do at any time counts more than what follows what, as it should for lists that stay up for weeks; decays nearer to 1
    go with it."""
    window: int = 100
    """How many of a user's last events are read."""
    ridge: float = 300.0
    """How much large coefficients cost, in events."""
    exact_items: int = 4096
    """How many items, the most popular ones, take part in the closed form. Its memory is that of
    ``(len(decays) * exact_items) ** 2`` floats twice; the other items get their vectors from their events and
    features."""
    background: float = 0.006
    """What the score of an item that did not come next counts against that of the one that did, above 0: the weight of
    the negatives in the last step, which fits the items' vectors to the users'."""
    shrinkage: float = 0.003
    """How much an item's vector is drawn towards what its features say, against its events."""
    rounds: int = 3
    """How often the items' vectors are fitted to the users' and these to the items' again; 0 leaves the plain closed
    form."""
    feature_ridge: float = 10.0
    """How many items or users must share a feature before it says half of what it could."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "decays", _check_decays(self.decays))
        for name, low in (("horizon", 1), ("window", 1), ("exact_items", 1), ("rounds", 0)):
            object.__setattr__(self, name, integer(getattr(self, name), name, low=low))
        for name in ("ridge", "background", "feature_ridge"):
            object.__setattr__(self, name, number(getattr(self, name), name, low=_ABOVE_0))
        object.__setattr__(self, "shrinkage", number(self.shrinkage, "shrinkage", low=0))


def _check_decays(value: Any) -> tuple[float, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidDataError(f"decays is {value!r}", "give a list of numbers from 0 to below 1")
    decays = tuple(value)
    checked = tuple(number(each, "a value in decays", low=0) for each in decays)
    if not checked or max(checked) >= 1 or len({*checked}) < len(checked):
        raise InvalidDataError(f"decays is {decays!r}", "give one or several different numbers from 0 to below 1")
    return checked
