"""What can be set about the linear sequence encoder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec._internal.validation import integer, number
from vecrec.errors import InvalidDataError, shown
from vecrec.learning.settings import Settings

__all__ = ["LinearSequenceSettings", "Shape"]

_ABOVE_0 = 1e-9

_MOST_FEATURES = 12_288
"""Items in all blocks of the closed form, at most: a square of so many floats has 604 MB."""

_DENSE_DECAYS, _SPARSE_DECAYS = (0.0, 0.7, 0.95), (0.7,)
"""The decays by default, in three blocks and in one."""

_NEARLY_ALL = 0.95
"""The share of the events that the items in three blocks must have. A closed form without many items loses more than
the blocks gain."""


@dataclass(frozen=True, slots=True, repr=False)
class LinearSequenceSettings(Settings):
    """The settings of `vecrec.encoders.LinearSequenceEncoder`, chosen on validation data of MovieLens 1M and Beauty.

    What is ``None`` follows from the data when the encoder is fitted: see `Shape`.

    Raises:
        InvalidDataError: for a value out of range.
    """

    decays: tuple[float, ...] | None = None
    """One block of features for each: how much an event counts in it, against the event after it, in [0, 1). The block
    of 0 knows the last event alone. By default three blocks where the items that fit beside them have nearly all
    events, and otherwise one block, in which there is room for three times as many items. Not read where the order of
    events is unknown."""
    horizon: int = 1
    """How far ahead the event lies, on average, that is predicted: 1 for always the next one. Farther ahead, what users
    do at any time counts more than what follows what, as it should for lists that stay up for weeks; decays nearer to 1
    go with it. Not read where the order of events is unknown."""
    window: int = 100
    """How many of a user's last events are read; all of them where the order of events is unknown."""
    ridge: float = 300.0
    """How much large coefficients cost, in events; at most the mean number of events of an item."""
    exact_items: int | None = None
    """How many items, the most popular ones, take part in the closed form. Its memory is that of
    ``(len(decays) * exact_items) ** 2`` floats twice; the other items get their vectors from their events and
    features. By default as many as 1.2 GB have room for: 12,288 in one block, 4,096 in three."""
    background: float = 0.006
    """What the score of an item that did not come next counts against that of the one that did, above 0: the weight of
    the negatives in the last step, which fits the items' vectors to the users'."""
    shrinkage: float = 0.003
    """How much an item's vector is drawn towards what its features say, against its events."""
    rounds: int = 3
    """How often the items' vectors are fitted to the users' and these to the items' again, by the weights of events; 0
    leaves the plain closed form, which then predicts the weight of what comes next."""
    feature_ridge: float = 10.0
    """How many items or users must share a feature before it says half of what it could."""

    def __post_init__(self) -> None:
        if self.decays is not None:
            object.__setattr__(self, "decays", _check_decays(self.decays))
        if self.exact_items is not None:
            object.__setattr__(self, "exact_items", integer(self.exact_items, "exact_items", low=1))
        for name, low in (("horizon", 1), ("window", 1), ("rounds", 0)):
            object.__setattr__(self, name, integer(getattr(self, name), name, low=low))
        for name in ("ridge", "background", "feature_ridge"):
            object.__setattr__(self, name, number(getattr(self, name), name, low=_ABOVE_0))
        object.__setattr__(self, "shrinkage", number(self.shrinkage, "shrinkage", low=0))


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of the closed form for some data."""

    decays: tuple[float, ...]
    """The decay of each block; none where the order of events is unknown."""
    exact_items: int
    """How many items take part, the most popular ones."""

    @classmethod
    def of(cls, settings: LinearSequenceSettings, counts: NDArray[np.int64], *, ordered: bool = True) -> Self:
        """The decays and the number of items that are given, and for the others those that suit the data.

        Args:
            settings: The encoder's.
            counts: How many events each item has, shape (n_items,).
            ordered: Whether the order of events is known; sets have one block, which does not decay.
        """
        if not ordered:
            return cls((), settings.exact_items or _MOST_FEATURES)
        popular = np.sort(counts)[::-1][: settings.exact_items]
        decays = settings.decays
        if decays is None:
            exact = popular[: _MOST_FEATURES // len(_DENSE_DECAYS)]
            decays = _DENSE_DECAYS if exact.sum() >= _NEARLY_ALL * popular.sum() else _SPARSE_DECAYS
        return cls(decays, settings.exact_items or max(1, _MOST_FEATURES // len(decays)))


def _check_decays(value: Any) -> tuple[float, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidDataError(f"decays is {shown(value)}", "give a list of numbers from 0 to below 1")
    decays = tuple(value)
    checked = tuple(number(each, "a value in decays", low=0) for each in decays)
    if not checked or max(checked) >= 1 or len({*checked}) < len(checked):
        raise InvalidDataError(f"decays is {decays!r}", "give one or several different numbers from 0 to below 1")
    return checked
