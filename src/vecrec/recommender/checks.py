"""What the calls of the facade check before anything is read or written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.rerankers.base import Reranker
from vecrec.types import Event, Item, User

__all__ = [
    "check_all", "check_encoder", "check_flag", "check_number", "check_part", "check_reranker", "check_seconds",
    "required_id",
]  # fmt: skip

_T = TypeVar("_T", Item, User, Event)


def check_all(values: Any, kind: type[_T]) -> list[_T]:
    """The values of an iterable, each of which must be of a kind."""
    name = kind.__name__
    if isinstance(values, (str, bytes, kind)) or not isinstance(values, Iterable):
        raise InvalidDataError(f"expected {name}s, got {values!r}", "put them into a list")
    checked = list(values)
    for value in checked:
        if not isinstance(value, kind):
            raise InvalidDataError(
                f"expected {name}s, got {value!r} of type {type(value).__name__}", f"make a {name} of it, {name}(...)"
            )
    return checked


def check_flag(value: Any, what: str) -> bool:
    """``True`` or ``False``, and nothing that merely counts as one of them."""
    if not isinstance(value, bool):
        raise InvalidDataError(f"{what} is {value!r}", "give True or False")
    return value


def check_encoder(encoder: Any) -> tuple[Encoder | None, type[Encoder] | None]:
    """An encoder and its class, as far as they are given."""
    if encoder is None or isinstance(encoder, Encoder):
        return encoder, None if encoder is None else type(encoder)
    if not isinstance(encoder, type) or not issubclass(encoder, Encoder):
        raise InvalidDataError(f"encoder is {encoder!r}", "give an encoder, such as TwoTowerEncoder()")
    return None, encoder


def check_reranker(reranker: Any) -> tuple[Reranker | None, type[Reranker] | None]:
    """A reranker and its class, as far as they are given."""
    if reranker is None or isinstance(reranker, Reranker):
        return reranker, None if reranker is None else type(reranker)
    if not isinstance(reranker, type) or not issubclass(reranker, Reranker):
        raise InvalidDataError(f"reranker is {reranker!r}", "give a vecrec.rerankers.Reranker, such as MMRReranker()")
    return None, reranker


def check_number(value: Any, what: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidDataError(f"{what} is {value!r}", "give a finite number")
    return float(value)


def check_part(part: Any, kind: type) -> None:
    """A part of the recommender must implement its interface."""
    if not isinstance(part, kind):
        raise InvalidDataError(f"expected an instance of {kind.__name__}, got {part!r}", f"see {kind.__module__}")


def check_seconds(value: Any, what: str) -> float:
    """A finite number of seconds that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise InvalidDataError(f"{what} is {value!r}", "give a number of seconds that is not negative")
    return float(value)


def required_id(key: Id | None, what: str) -> Id:
    """An id that may not be missing."""
    if key is None:
        raise InvalidDataError(f"{what} has the id None", "give it an int or a str")
    return key
