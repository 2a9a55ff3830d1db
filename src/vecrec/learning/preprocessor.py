"""From ids and features to numbers, the same in training and in serving: what is saved with a model."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec.data import Categorical, Date, Embedding, Feature, MultiCategorical, Numeric, Schema, Text, Vocabulary
from vecrec.errors import InvalidDataError
from vecrec.learning.tokens import centred, mean_of, month_of
from vecrec.records import JSON, Record

__all__ = ["FeatureSpace", "Preprocessor", "SparseRows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessor:
    """How ids and features are numbered: saved with the model."""

    schema: Schema
    """What the records were checked against."""
    items: Vocabulary
    """Ids of the items that have an event to learn from."""
    users: Vocabulary
    """Likewise of the users; empty for a model without user ids."""
    item_space: FeatureSpace
    """The items' features."""
    user_space: FeatureSpace
    """The users' features."""

    def to_json(self) -> dict[str, Any]:
        """The preprocessor as a JSON object, which `from_json` reads."""
        names = ("schema", "items", "users", "item_space", "user_space")
        return {name: getattr(self, name).to_json() for name in names}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The preprocessor that `to_json` has written."""
        schema = Schema.from_json(value["schema"])
        return cls(
            schema=schema,
            items=Vocabulary.from_json(value["items"]),
            users=Vocabulary.from_json(value["users"]),
            item_space=FeatureSpace.from_json(value["item_space"], schema.items),
            user_space=FeatureSpace.from_json(value["user_space"], schema.users),
        )


Entries = list[tuple[int, float]]
"""Columns and their weights."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A sparse matrix, row by row (CSR)."""

    starts: NDArray[np.int64]
    """Shape (n + 1,): row ``i`` has the entries ``starts[i]:starts[i + 1]``."""
    columns: NDArray[np.int64]
    """The column of each entry."""
    weights: NDArray[np.float32]
    """The value of each entry."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def times(self, table: NDArray[np.float32]) -> NDArray[np.float32]:
        """The product with a dense matrix (columns, d), shape (n, d)."""
        product = np.zeros((len(self), table.shape[1]), np.float32)
        filled = np.flatnonzero(np.diff(self.starts))
        if len(filled):
            product[filled] = np.add.reduceat(table[self.columns] * self.weights[:, None], self.starts[filled], axis=0)
        return product

    def rows(self, chosen: NDArray[np.int64]) -> SparseRows:
        """Some of the rows, in the order given."""
        lengths = np.diff(self.starts)[chosen]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        # Entry j of the result is entry j - (start of its row in the result) + (start of its row here).
        entries = np.arange(starts[-1]) + np.repeat(self.starts[chosen] - starts[:-1], lengths)
        return SparseRows(starts, self.columns[entries], self.weights[entries])


class FeatureSpace:
    """The columns that the features of one side stand for, learnt from its records.

    Every feature has a column for a value that is missing or was never seen, so a model can learn what to do then.
    A category is one column; several categories or words share a weight whose squares add up to 1; a number lies
    between two of up to 16 quantiles and divides its weight between them, which lets a linear model follow any curve
    (the piecewise linear encoding of Gorishniy et al., "On Embeddings for Numerical Features", 2022). A date is a
    number and its month; an embedding is its direction from the mean, a column for each place.
    """

    def __init__(self, columns: Sequence[_Column]) -> None:
        self._columns = tuple(columns)
        self.size: int = sum(column.size for column in columns)
        """How many columns there are."""

    @classmethod
    def learn(cls, features: Sequence[Feature], records: Iterable[Mapping[str, JSON] | None]) -> FeatureSpace:
        """The space of the features in these records, each of which may lack any of them."""
        known = [record for record in records if record]
        return cls([_COLUMNS[type(feature)].learn(feature, _present(known, feature.name)) for feature in features])

    def rows(self, records: Iterable[Mapping[str, JSON] | None]) -> SparseRows:
        """A row for each record, shape (n, size)."""
        return _sparse([[*chain.from_iterable(self._entries(record or {}))] for record in records])

    def by_feature(self, record: Mapping[str, JSON]) -> tuple[list[str], SparseRows]:
        """The features that a record has, and a row for each, after a first row for those that it lacks."""
        entries = list(self._entries(record))
        given = [record.get(column.name) is not None for column in self._columns]
        names = [column.name for column, has in zip(self._columns, given) if has]
        lacking = [*chain.from_iterable(each for each, has in zip(entries, given) if not has)]
        return names, _sparse([lacking, *(each for each, has in zip(entries, given) if has)])

    def to_json(self) -> list[JSON]:
        """The space as a JSON array, which `from_json` reads."""
        return [column.to_json() for column in self._columns]

    @classmethod
    def from_json(cls, value: Any, features: Sequence[Feature]) -> FeatureSpace:
        """The space that `to_json` has written.

        Raises:
            InvalidDataError: when it is none, or of other features.
        """
        if not isinstance(value, list) or len(value) != len(features):
            raise InvalidDataError(f"expected a list of {len(features)} feature spaces, got {str(value)[:200]}")
        return cls([_COLUMNS[type(feature)].from_json(feature.name, entry) for feature, entry in zip(features, value)])

    def _entries(self, record: Mapping[str, JSON]) -> Iterator[Entries]:
        """What each feature of a record says."""
        offset = 0
        for column in self._columns:
            value = record.get(column.name)
            found = column.entries(value) if value is not None else []
            yield [(offset + place, weight) for place, weight in found or [(Vocabulary.UNKNOWN, 1.0)]]
            offset += column.size


class _Column(ABC):
    """How one feature becomes columns. Column 1 is the missing or unknown value, as in `Vocabulary`."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size

    @classmethod
    @abstractmethod
    def learn(cls, feature: Any, values: list[Any]) -> _Column: ...

    @classmethod
    @abstractmethod
    def from_json(cls, name: str, value: Any) -> _Column: ...

    @abstractmethod
    def to_json(self) -> Record: ...

    @abstractmethod
    def entries(self, value: Any) -> Entries:
        """The columns of a value; empty where it says nothing."""


class _Values(_Column):
    """One category or several."""

    def __init__(self, name: str, vocabulary: Vocabulary) -> None:
        super().__init__(name, vocabulary.size)
        self.vocabulary = vocabulary

    @classmethod
    @override
    def learn(cls, feature: Categorical | MultiCategorical, values: list[Any]) -> _Values:
        # A value of a closed list that no record holds would never be trained: it counts as unknown.
        return cls(feature.name, Vocabulary(part for value in values for part in cls.parts(value)))

    @classmethod
    @override
    def from_json(cls, name: str, value: Any) -> _Values:
        return cls(name, Vocabulary.from_json(value))

    @override
    def to_json(self) -> Record:
        return self.vocabulary.to_json()

    @override
    def entries(self, value: Any) -> Entries:
        places = [self.vocabulary.index(part) for part in self.parts(value)]
        return [(place, len(places) ** -0.5) for place in places]

    @staticmethod
    def parts(value: Any) -> list[Any]:
        """The different values in it, in order."""
        return list(dict.fromkeys(value)) if isinstance(value, list) else [value]


class _Words(_Values):
    """The words of a text, upper and lower case alike. A word that only one record has is unknown."""

    MOST: ClassVar[int] = 50_000

    @classmethod
    @override
    def learn(cls, feature: Any, values: list[Any]) -> _Words:
        counts = Counter(word for value in values for word in cls.parts(value))
        often = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
        return cls(feature.name, Vocabulary(often[: cls.MOST]))

    @staticmethod
    @override
    def parts(value: str) -> list[str]:
        return list(dict.fromkeys(_WORD.findall(value.casefold())))


class _Number(_Column):
    """A number between two of the quantiles that were learnt."""

    KNOTS: ClassVar[int] = 16

    def __init__(self, name: str, knots: NDArray[np.float64]) -> None:
        super().__init__(name, len(knots) + 2)
        self.knots = knots

    @classmethod
    @override
    def learn(cls, feature: Numeric, values: list[Any]) -> _Number:
        found = np.array([_finite(value) for value in values], np.float64)
        knots = np.quantile(found, np.linspace(0, 1, cls.KNOTS), method="nearest") if len(found) else found
        return cls(feature.name, np.unique(knots))

    @classmethod
    @override
    def from_json(cls, name: str, value: Any) -> _Number:
        return cls(name, np.array(value["knots"], np.float64))

    @override
    def to_json(self) -> Record:
        return {"knots": self.knots.tolist()}

    @override
    def entries(self, value: float) -> Entries:
        if not len(self.knots):
            return []
        number = min(max(_finite(value), self.knots[0]), self.knots[-1])
        above = int(np.searchsorted(self.knots, number))
        if number == self.knots[above]:
            return [(2 + above, 1.0)]
        low, high = self.knots[above - 1], self.knots[above]
        share = float((number - low) / (high - low))
        return [(1 + above, 1 - share), (2 + above, share)]


class _Moment(_Number):
    """A date or a time: its place among the quantiles, which is its age, and the month, which is its season."""

    MONTHS: ClassVar[int] = 12

    def __init__(self, name: str, knots: NDArray[np.float64]) -> None:
        super().__init__(name, knots)
        self.size += self.MONTHS
        self._field = Date(name)

    @classmethod
    @override
    def learn(cls, feature: Any, values: list[Any]) -> _Moment:
        found = _Number.learn(Numeric(feature.name), [feature.seconds(value) for value in values])
        return cls(feature.name, found.knots)

    @override
    def entries(self, value: Any) -> Entries:
        moment = self._field.seconds(value)
        age, month = super().entries(moment), 1 + len(self.knots) + month_of(moment)
        return [*((place, weight * 0.5**0.5) for place, weight in age), (month, 0.5**0.5)] if age else []


class _Vector(_Column):
    """The direction in which an embedding differs from the mean."""

    def __init__(self, name: str, mean: list[float]) -> None:
        super().__init__(name, len(mean) + 2)
        self.mean = mean

    @classmethod
    @override
    def learn(cls, feature: Embedding, values: list[Any]) -> _Vector:
        return cls(feature.name, mean_of(values, feature.dim))

    @classmethod
    @override
    def from_json(cls, name: str, value: Any) -> _Vector:
        return cls(name, [*map(float, value["mean"])])

    @override
    def to_json(self) -> Record:
        return {"mean": [*self.mean]}

    @override
    def entries(self, value: Any) -> Entries:
        found = centred(value, self.mean)
        return [(2 + place, part) for place, part in enumerate(found.tolist()) if part]


_COLUMNS: dict[type[Feature], type[_Column]] = {
    Categorical: _Values,
    MultiCategorical: _Values,
    Text: _Words,
    Numeric: _Number,
    Date: _Moment,
    Embedding: _Vector,
}


def _sparse(rows: Iterable[Entries]) -> SparseRows:
    starts, columns, weights = [0], [], []
    for row in rows:
        for column, weight in row:
            columns.append(column)
            weights.append(weight)
        starts.append(len(columns))
    return SparseRows(np.array(starts, np.int64), np.array(columns, np.int64), np.array(weights, np.float32))


def _finite(value: float) -> float:
    """The value, or the nearest number whose differences are finite."""
    return float(min(max(value, -1e300), 1e300))


def _present(records: list[Mapping[str, JSON]], name: str) -> list[JSON]:
    return [value for record in records if (value := record.get(name)) is not None]
