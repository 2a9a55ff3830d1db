"""What can be set about the linear sequence encoder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from typing_extensions import Self

from vecrec.errors import InvalidDataError

__all__ = ["LinearSequenceSettings"]

_ABOVE_0 = 1e-9


@dataclass(frozen=True, slots=True)
class LinearSequenceSettings:
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
        for name, least in (("horizon", 1), ("window", 1), ("exact_items", 1), ("rounds", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise InvalidDataError(f"{name} is {value!r}", f"give a whole number of at least {least}")
        for name in ("ridge", "background", "feature_ridge"):
            _check_number(name, getattr(self, name), _ABOVE_0)
        _check_number("shrinkage", self.shrinkage, 0.0)

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object, which `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The settings that `to_json` has written.

        Raises:
            InvalidDataError: for a value out of range, or a setting of a newer version.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise InvalidDataError(f"the settings {value!r} cannot be read: {error}") from error


def _check_decays(value: Any) -> tuple[float, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidDataError(f"decays is {value!r}", "give a list of numbers from 0 to below 1")
    decays = tuple(value)
    if not decays or not all(_is_number(each) and 0 <= each < 1 for each in decays) or len({*decays}) < len(decays):
        raise InvalidDataError(f"decays is {decays!r}", "give one or several different numbers from 0 to below 1")
    return decays


def _check_number(name: str, value: Any, least: float) -> None:
    if not _is_number(value) or value < least:
        raise InvalidDataError(f"{name} is {value!r}", f"give a number {'above' if least else 'of at least'} 0")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
