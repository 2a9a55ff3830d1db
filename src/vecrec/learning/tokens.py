"""What records are made of: tokens with weights, and a direction for each token."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.records import JSON

if TYPE_CHECKING:
    from vecrec.data import Feature

__all__ = ["Floats", "direction", "edges", "tokens", "unit"]

Floats: TypeAlias = NDArray[np.float64]
"""A vector or a matrix before it is rounded to float32."""

_BUCKETS = 8
_WORD = re.compile(r"\w+")


def tokens(
    side: str, features: Iterable[Feature], record: Mapping[str, JSON], known: Mapping[str, Sequence[float]]
) -> Iterator[tuple[str, float]]:
    """The tokens of a record with their weights; those of one feature have a length of about 1.

    Args:
        side: ``"item"`` or ``"user"``.
        features: What to read of the record, which was checked against them.
        record: The record.
        known: The `edges` of the numeric features, by side and name.
    """
    for feature in features:
        value: Any = record.get(feature.name)
        if value is None:
            continue
        name = f"{side} {feature.name}"
        if feature.kind == "numeric":
            yield from _neighbours(name, float(value), known[name])
        else:
            parts = _WORD.findall(value.lower()) if feature.kind == "text" else value
            listed = parts if isinstance(parts, list) else [parts]
            # repr, because 1, "1" and True are three values.
            yield from ((f"{name} {part!r}", len(listed) ** -0.5) for part in listed)


@lru_cache(maxsize=50_000)
def direction(token: str, seed: int, dim: int) -> Floats:
    """A pseudo-random vector of length 1, shape (dim,), read-only."""
    # Signs of a hash: the same in every process and with every version of NumPy, which random generators are not.
    digest = hashlib.shake_256(f"{seed} {token}".encode()).digest((dim + 7) // 8)
    signs: Floats = (np.unpackbits(np.frombuffer(digest, np.uint8))[:dim] * 2.0 - 1.0) / np.sqrt(dim)
    signs.setflags(write=False)
    return signs


def edges(values: Iterable[JSON]) -> list[float]:
    """The places that divide the known numbers into parts of equal size, ascending; none for no numbers."""
    known = [float(value) for value in values if isinstance(value, (int, float))]
    return [] if not known else [*map(float, np.unique(np.quantile(known, np.linspace(0, 1, _BUCKETS + 1))))]


def unit(vector: Floats) -> Floats:
    """The vector scaled to length 1; zero stays zero."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


def _neighbours(name: str, value: float, known: Sequence[float]) -> Iterator[tuple[str, float]]:
    """The two edges that a number lies between, weighted by nearness, so that near numbers have near vectors."""
    place = float(np.interp(value, known, range(len(known)))) if known else 0.0
    low, part = int(place), place - int(place)
    yield f"{name} #{low}", 1.0 - part
    if part:
        yield f"{name} #{low + 1}", part
