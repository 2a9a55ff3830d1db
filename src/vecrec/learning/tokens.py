"""What records are made of: tokens with weights, and a direction for each token."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.records import JSON

if TYPE_CHECKING:
    from vecrec.data import Feature

__all__ = ["Floats", "centred", "direction", "edges", "mean_of", "month_of", "references", "tokens", "unit"]

Floats: TypeAlias = NDArray[np.float64]
"""A vector or a matrix before it is rounded to float32."""

_BUCKETS = 8
_MONTH = 0.5  # beside the time itself
_WORD = re.compile(r"\w+")


def tokens(
    side: str, features: Iterable[Feature], record: Mapping[str, JSON], known: Mapping[str, Sequence[float]]
) -> Iterator[tuple[str, float]]:
    """The tokens of a record with their weights; those of one feature have a length of about 1.

    Args:
        side: ``"item"`` or ``"user"``.
        features: What to read of the record, which was checked against them.
        record: The record.
        known: The `references` of the features.
    """
    for feature in features:
        value: Any = record.get(feature.name)
        if value is None:
            continue
        name = f"{side} {feature.name}"
        if feature.kind == "numeric":
            yield from _neighbours(name, float(value), known[name])
        elif feature.kind == "date":
            moment = feature.seconds(value)
            yield from _neighbours(name, moment, known[name])
            yield f"{name} month {month_of(moment)}", _MONTH
        elif feature.kind == "embedding":
            found = centred(value, known[name])
            yield from ((f"{name} @{place}", part) for place, part in enumerate(found.tolist()) if part)
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


def references(side: str, features: Iterable[Feature], read: Callable[[str], Iterable[JSON]]) -> dict[str, list[float]]:
    """What the values of features are compared with, by side and name: `edges` of numbers and times, means of vectors.

    Args:
        side: ``"item"`` or ``"user"``.
        features: The features.
        read: The values of a feature, ``None`` for a missing one.
    """
    found = {}
    for feature in features:
        values = [value for value in read(feature.name) if value is not None]
        if feature.kind == "numeric":
            found[f"{side} {feature.name}"] = edges(values)
        elif feature.kind == "date":
            found[f"{side} {feature.name}"] = edges(map(feature.seconds, values))
        elif feature.kind == "embedding":
            found[f"{side} {feature.name}"] = mean_of(values, feature.dim)
    return found


def mean_of(values: Sequence[Any], dim: int) -> list[float]:
    """The mean of vectors, of length ``dim``; zeros for none."""
    total = np.zeros(dim)
    for value in values:
        total += unit(np.asarray(value, np.float64))
    return [*map(float, total / max(len(values), 1))]


def centred(value: Any, mean: Sequence[float]) -> Floats:
    """The direction in which a vector, scaled to length 1, differs from the mean: of length 1, or 0 for no difference.

    The vectors of most models lie in a narrow cone, so that their directions from the mean tell them apart.
    """
    return unit(unit(np.asarray(value, np.float64)) - np.asarray(mean, np.float64))


def month_of(moment: float) -> int:
    """The month of a time in seconds since 1970, 1 to 12."""
    return int(np.datetime64(int(min(max(moment, -6e10), 2e11)), "s").astype("datetime64[M]").astype(int)) % 12 + 1


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
