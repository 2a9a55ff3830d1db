"""What features say about vectors: ridge regression from tokens, for items and users without events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec.learning.tokens import references, tokens
from vecrec.records import JSON

if TYPE_CHECKING:
    from vecrec.data import Feature

__all__ = ["FeatureMap"]

_MOST_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A linear map from the features of items, or of users, to vectors: a mean, and what each token adds to it."""

    side: str
    """``"item"`` or ``"user"``."""
    features: tuple[Feature, ...]
    """What it reads of a record."""
    edges: Mapping[str, Sequence[float]]
    """What values are compared with, by `vecrec.learning.tokens.references`."""
    places: Mapping[str, int]
    """The row of each token; a token without one adds nothing."""
    table: NDArray[np.float32]
    """The mean in the last row, before it what each token adds, shape (n_tokens + 1, width)."""

    @classmethod
    def learn(
        cls,
        side: str,
        features: tuple[Feature, ...],
        records: Sequence[Mapping[str, JSON] | None],
        vectors: NDArray[np.float32],
        ridge: float,
    ) -> Self:
        """Fit the vectors of those who have some.

        Args:
            side: ``"item"`` or ``"user"``.
            features: What to read of a record.
            records: A record for each vector; ``None`` counts as empty.
            vectors: Shape (n, width).
            ridge: How many records must share a token before it says half of what it could.
        """
        known = references(side, features, lambda name: [(record or {}).get(name) for record in records])
        rows = [list(tokens(side, features, record or {}, known)) for record in records]
        places = _frequent(rows)
        mean = vectors.mean(axis=0) if len(vectors) else np.zeros(vectors.shape[1])
        left, right = np.zeros((len(places), len(places))), np.zeros((len(places), vectors.shape[1]))
        for row, vector in ((row, vector) for row, vector in zip(rows, vectors) if row):
            at, weights = _present(row, places)
            left[np.ix_(at, at)] += np.outer(weights, weights)
            right[at] += np.outer(weights, vector - mean)
        left[np.diag_indices(len(places))] += ridge
        table = np.concatenate([np.linalg.solve(left, right), mean[None]]).astype(np.float32)
        return cls(side, features, known, places, table)

    def __call__(self, record: Mapping[str, JSON]) -> NDArray[np.float32]:
        """The vector of a record, shape (width,)."""
        at, weights = _present(tokens(self.side, self.features, record, self.edges), self.places)
        found: NDArray[np.float32] = self.table[-1] + weights.astype(np.float32) @ self.table[at]
        return found

    def by_feature(self, record: Mapping[str, JSON]) -> dict[str, NDArray[np.float32]]:
        """What each feature of a record adds to the mean, shape (width,) each; together the vector less the mean."""
        found = {}
        for feature in self.features:
            at, weights = _present(tokens(self.side, [feature], record, self.edges), self.places)
            if at:
                found[feature.name] = weights.astype(np.float32) @ self.table[at]
        return found

    def knows(self, record: Mapping[str, JSON]) -> bool:
        """Whether anything in the record says more than nothing."""
        found = tokens(self.side, self.features, record, self.edges)
        return any(token in self.places for token, _ in found)

    def to_json(self) -> dict[str, Any]:
        """What is not in the table, as a JSON object."""
        return {"edges": {name: list(values) for name, values in self.edges.items()}, "tokens": list(self.places)}

    @classmethod
    def from_json(
        cls, side: str, features: tuple[Feature, ...], value: Mapping[str, Any], table: NDArray[np.float32]
    ) -> Self:
        """The map that `to_json` has written, with its table."""
        places = {token: row for row, token in enumerate(value["tokens"])}
        return cls(side, features, value["edges"], places, table)


def _frequent(rows: Iterable[list[tuple[str, float]]]) -> dict[str, int]:
    """A row for each of the tokens that two records share at least, the most frequent ones where there are many."""
    counts: dict[str, int] = {}
    for row in rows:
        for token in {token for token, _ in row}:
            counts[token] = counts.get(token, 0) + 1
    shared = sorted((token for token, count in counts.items() if count > 1), key=lambda token: (-counts[token], token))
    return {token: place for place, token in enumerate(sorted(shared[:_MOST_TOKENS]))}


def _present(row: Iterable[tuple[str, float]], places: Mapping[str, int]) -> tuple[list[int], NDArray[np.float64]]:
    """The rows and weights of the tokens that are known, each once."""
    weights: dict[int, float] = {}
    for token, weight in row:
        if token in places:
            weights[places[token]] = weights.get(places[token], 0.0) + weight
    return list(weights), np.array(list(weights.values()))
