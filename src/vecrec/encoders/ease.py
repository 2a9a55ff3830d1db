"""What goes together, whatever the order: the linear autoencoder EASE, as vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec._internal.sampling import evenly_spaced
from vecrec._internal.storage import array_digest, load_parts, save_parts
from vecrec._internal.validation import integer, number
from vecrec.encoders.base import Encoder
from vecrec.encoders.parts import Part, UserParts, collected
from vecrec.errors import InvalidDataError, NotFittedError
from vecrec.ids import Id
from vecrec.learning.algebra import Factor, leading_vectors
from vecrec.learning.events import weighted_popularity
from vecrec.learning.feature_map import FeatureMap
from vecrec.learning.sets import SomeSets, UserSets
from vecrec.learning.settings import Settings
from vecrec.progress import Step
from vecrec.types import Event, Item, User, column

if TYPE_CHECKING:
    from vecrec.data import Dataset, Schema
    from vecrec.progress import Progress

__all__ = ["EASEEncoder", "EASESettings"]

Array = NDArray[np.float32]

_ACTIVITY_POWER = 0.5
"""How much less a user with many items counts: by their number to the power of minus this."""

_POPULARITY_POWER = 0.4
"""How much less a popular item's errors count in the reduction, each: by its users to the power of minus this."""

_FEATURE_RIDGE = 10.0
"""How many items must share a feature before it says half of what it could."""


@dataclass(frozen=True, slots=True, repr=False)
class EASESettings(Settings):
    """How an `EASEEncoder` is fitted. The defaults were chosen on MovieLens 1M, from an earlier part to a later one.

    Raises:
        InvalidDataError: for a value out of range.
    """

    ridge: float = 200.0
    """How much large coefficients cost, in means of the squares on the diagonal. A few for what is missing at random,
    much more where the future is not like the past."""
    popularity: float = 0.3
    """What a factor of e in an item's events counts, in standard deviations of a user's other scores."""
    exact_items: int = 4096
    """How many items, the most popular ones, are read in a history and take part in the closed form, whose memory is
    that of four squares of so many floats. The others are predicted all the same."""
    history: int = 1000
    """How many of a user's last events are read; all of them where the order of events is unknown."""

    def __post_init__(self) -> None:
        for name, (low, high) in {"ridge": (1e-6, 1e9), "popularity": (0, 1e6)}.items():
            object.__setattr__(self, name, number(getattr(self, name), name, low=low, high=high))
        for name in ("exact_items", "history"):
            object.__setattr__(self, name, integer(getattr(self, name), name, low=1))


class EASEEncoder(Encoder):
    """Scores an item by what the user has of what goes with it, whenever it was.

    For lists that stay up for weeks, and for data without an order, such as likes or what is in a collection. Who does
    what *next* is better known by an encoder that reads the order.

    - **Learning.** Each item is predicted from the others that the same user has, by the ridge regression without a
      diagonal that Steck describes in *Embarrassingly Shallow Autoencoders for Sparse Data* (2019), where a user
      with many items counts less for each. It is solved, not trained, in NumPy alone, and brought into ``dim``
      dimensions by a truncated SVD of the scores. About ten seconds for a million events. Where events weigh, the
      weight of the heaviest event is predicted instead of 1, from the same ones: Steck's derivation by Lagrange's
      multipliers, for other targets than the ones themselves.
    - **Users.** The sum of a vector for each different item in the history. Order, id and profile say nothing; a user
      without a history gets what is popular.
    - **Items.** An item without events gets a vector from its features.

    Args:
        dim: The length of every vector, at least 2: one of the numbers is the item's popularity.
        seed: Where the randomised SVD starts; it decides next to nothing.
        settings: The rest; a dictionary changes some of the defaults.

    Raises:
        InvalidDataError: for an argument out of range.
    """

    name: ClassVar[str] = "ease"

    def __init__(self, dim: int = 256, seed: int = 0, settings: EASESettings | Mapping[str, Any] | None = None) -> None:
        self._dim = integer(dim, "dim", low=2)
        self.seed = integer(seed, "seed", low=0)
        """Where the randomised SVD starts."""
        self.settings = EASESettings.of(settings)
        """How it is fitted."""
        self._learnt: _Learnt | None = None
        self._places: dict[Id, int] = {}

    @property
    @override
    def dim(self) -> int:
        return self._dim

    @property
    @override
    def reads_weights(self) -> bool:
        return True

    @property
    @override
    def is_fitted(self) -> bool:
        return self._learnt is not None

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        self._adopt(_learn(data, self._dim, self.seed, self.settings, progress))

    def _adopt(self, learnt: _Learnt) -> None:
        self._learnt = learnt
        self._places = {key: place for place, key in enumerate(learnt.item_ids)}

    # -- encoding

    @override
    def _encode_items(self, items: Sequence[Item]) -> Array:
        learnt = self._known()
        vectors = np.empty((len(items), self._dim), np.float32)
        for row, item in enumerate(items):
            place = None if item.id is None else self._places.get(item.id)
            vectors[row] = learnt.features(item.features) if place is None else learnt.vectors[place]
        return vectors

    @override
    def _encode_users(self, users: Sequence[User]) -> Array:
        learnt = self._known()
        vectors = np.zeros((len(users), self._dim), np.float32)
        vectors[:, -1] = 1
        for row, user in enumerate(users):
            vectors[row, :-1] = learnt.tables[self._had(user.history)].sum(axis=0)
        return vectors

    @override
    def _explain_user(self, user: User) -> UserParts:
        learnt = self._known()
        vectors = np.zeros((1 + len(user.history), self._dim), np.float32)
        vectors[0, -1] = 1
        start = max(0, len(user.history) - self.settings.history) if learnt.ordered else 0
        latest = {event.item_id: place for place, event in enumerate(user.history[start:], start)}
        parts = {Part("base"): vectors[0]}
        for key, place in latest.items():
            if key in self._places:
                vectors[1 + place, :-1] = learnt.tables[self._places[key]]
                parts[Part("event", place=place)] = vectors[1 + place]
        return collected(parts, self._dim)

    def _had(self, history: Sequence[Event]) -> list[int]:
        """The different known items, ascending, so that the order changes nothing, not even the rounding."""
        latest = history[-self.settings.history :] if self._known().ordered else history
        return sorted({place for key in column(latest, "item_id") if (place := self._places.get(key)) is not None})

    @override
    def knows(self, item_id: Id) -> bool:
        return item_id in self._places

    # -- saving

    @override
    def _save(self, directory: Path) -> None:
        learnt = self._known()
        values = self._values() | {"schema": learnt.schema.to_json(), "seed": self.seed}
        save_parts(directory, self.name, values, learnt.arrays())

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        from vecrec.data import Schema

        values, arrays = load_parts(directory, cls.name)
        loaded = cls(values["dim"], values["seed"], EASESettings.from_json(values["settings"]))
        schema, item_ids = Schema.from_json(values["schema"]), values["items"]
        dim, rows = loaded.dim, len(item_ids)
        shapes = {
            "tables": (rows, dim - 1),
            "vectors": (rows, dim),
            "features": (len(values["features"]["tokens"]) + 1, dim),
        }
        found = {name: arrays[name].shape for name in shapes}
        if found != shapes:
            raise InvalidDataError(
                f"{directory} has arrays of the shapes {found}, not {shapes}", "save the encoder again"
            )
        features = FeatureMap.from_json("item", schema.items, values["features"], arrays["features"])
        ordered = values.get("ordered", True)
        loaded._adopt(_Learnt(schema, item_ids, arrays["tables"], arrays["vectors"], features, ordered))
        return loaded

    @override
    def _fingerprint(self) -> str:
        learnt = self._known()
        read = [(each.kind, each.name) for each in learnt.schema.items]
        return array_digest([self.name, read, self._values()], *learnt.arrays().values())

    @override
    def _schema(self) -> Schema:
        return self._known().schema

    def _known(self) -> _Learnt:
        if self._learnt is None:
            raise NotFittedError("this EASEEncoder is not fitted", "call fit(data)")
        return self._learnt

    def _values(self) -> dict[str, Any]:
        learnt = self._known()
        return {
            **({} if learnt.ordered else {"ordered": False}),
            "dim": self._dim,
            "settings": self.settings.to_json(),
            "items": learnt.item_ids,
            "features": learnt.features.to_json(),
        }


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What the encoder knows once it is fitted."""

    schema: Schema
    """The features of the data set."""
    item_ids: list[Id]
    """The items with events, one a row."""
    tables: Array
    """What each item adds to the vector of a user who had it, but for popularity, shape (n_items, dim - 1)."""
    vectors: Array
    """The items' vectors, shape (n_items, dim)."""
    features: FeatureMap
    """The vector of an item without events."""
    ordered: bool = True
    """Whether the order of the events was known, so that some of them are the latest."""

    def arrays(self) -> dict[str, Array]:
        """Everything that is an array, by name."""
        return {"tables": self.tables, "vectors": self.vectors, "features": self.features.table}


def _learn(data: Dataset, dim: int, seed: int, settings: EASESettings, progress: Progress) -> _Learnt:
    sets = UserSets(data, settings.exact_items)
    progress(Step("learn", 0, 3, "counting what goes together"))
    gram, wanted = _products(sets)
    progress(Step("learn", 1, 3, "solving"))
    matrix = gram.copy()
    matrix[np.diag_indices(len(gram))] += np.float32(settings.ridge * gram.trace() / len(gram))
    try:
        factor = Factor(matrix)
    except np.linalg.LinAlgError as error:
        raise InvalidDataError(f"the ridge {settings.ridge!r} is too small for this data", "raise it") from error
    tables, vectors = _reduced(factor, gram, wanted, sets.worth[sets.exact], dim - 1, seed=seed)
    del wanted
    progress(Step("learn", 2, 3, "predicting the other items"))
    everything = np.zeros((len(sets.met), dim), np.float32)
    everything[:, :-1] = _others(sets, factor, gram, tables)
    everything[sets.exact, :-1] = vectors
    read = np.zeros((len(sets.met), dim - 1), np.float32)
    read[sets.exact] = tables
    _scale(sets, read, everything[:, :-1])
    everything[:, -1] = settings.popularity * np.log1p(weighted_popularity(data)[sets.met])
    records = [data.item_records[code] for code in sets.met.tolist()]
    features = FeatureMap.learn("item", data.schema.items, records, everything, _FEATURE_RIDGE)
    progress(Step("learn", 3, 3))
    item_ids = [data.item_ids[code] for code in sets.met.tolist()]
    return _Learnt(data.schema, item_ids, read, everything, features, data.order != "unknown")


def _products(sets: UserSets) -> tuple[Array, Array | None]:
    """``X'X`` and ``X'Y`` of the exact items, the latter ``None`` where it is the same, shape (n_exact, n_exact)."""
    gram = np.zeros((len(sets.exact), len(sets.exact)), np.float32)
    wanted = np.zeros_like(gram) if sets.weighted else None
    for some in sets:
        ones = some.ones * _activity(some)
        gram += ones.T @ ones
        if wanted is not None:
            wanted += ones.T @ (some.worth * _activity(some))
    return gram, wanted


def _activity(some: SomeSets) -> Array:
    """How much the ones of each user count, shape (n_users, 1): less where the user has many."""
    counts: Array = np.sqrt(some.sizes.astype(np.float32) ** np.float32(-_ACTIVITY_POWER))[:, None]
    return counts


def _regression(factor: Factor, wanted: Array | None) -> Array:
    """The weights B of the regression without a diagonal, shape (n_exact, n_exact).

    With P for ``(X'X + ridge I)^-1``, Lagrange's multipliers of the diagonal make it ``P X'Y - P diag(p)``, where p
    makes the diagonal zero. Where Y is X, that is ``-P / diag(P)`` outside of the diagonal.
    """
    inverse: Array = factor.solve(np.eye(len(factor), dtype=np.float32))
    if wanted is None:
        weights: Array = inverse / -np.diag(inverse)
    else:
        weights = factor.solve(wanted)
        weights -= inverse * np.divide(np.diag(weights), np.diag(inverse), dtype=np.float32)
    weights[np.diag_indices(len(weights))] = 0
    return weights


def _reduced(
    factor: Factor, gram: Array, wanted: Array | None, worth: NDArray[Any], dim: int, *, seed: int
) -> tuple[Array, Array]:
    """Tables and item vectors whose product is the weights B of the regression, as nearly as ``dim`` allows.

    What is small is the difference in the users' scores, popular items' errors weighing less.
    """
    weights = _regression(factor, wanted)
    damped = np.maximum(worth, 1)[:, None].astype(np.float32) ** np.float32(-_POPULARITY_POWER)

    def multiply(right: Array) -> Array:
        product: Array = damped * (weights.T @ (gram @ (weights @ (damped * right))))
        return product

    rank = min(dim, len(gram))
    leading = np.zeros((len(gram), dim), np.float32)
    leading[:, :rank] = leading_vectors(multiply, len(gram), rank, seed=seed)
    return weights @ (damped * leading), leading / damped


def _others(sets: UserSets, factor: Factor, gram: Array, tables: Array) -> Array:
    """The vectors of all items as those outside the closed form get them, shape (n_items, dim).

    The plain ridge regression of an item y on the items read, ``(X'X + ridge I)^-1 X'y``, brought into the dimensions
    of the tables A by least squares in the users' scores: ``(A'GA)^-1 A'G (X'X + ridge I)^-1 X'y``, from right to left.
    """
    found = np.zeros((len(sets.met), tables.shape[1]), np.float32)
    if len(sets.exact) == len(sets.met):
        return found
    seen = gram @ tables
    solved = factor.solve(seen)
    for some in sets:
        # The weights of y count as little as the ones of X.
        known = some.ones @ solved * _activity(some) ** 2
        np.add.at(found, some.items, known[some.rows] * some.weights[:, None])
    # Dimensions that a small catalogue does not need have no inverse.
    inverse = np.linalg.pinv((tables.T @ seen).astype(np.float64), rcond=1e-9, hermitian=True)
    projected: Array = (found @ inverse).astype(np.float32)
    return projected


def _scale(sets: UserSets, tables: Array, vectors: Array) -> None:
    """Make a user's scores of a standard deviation of 1, and both sides of one length, in place."""
    spread, long = [], []
    read = tables[sets.exact]
    for some in sets:
        users = some.ones[evenly_spaced(len(some.ones), 200)] @ read
        spread.append((users @ vectors.T).std(axis=1).mean())
        long.append(np.sqrt((users**2).sum(axis=1).mean()))
    wide = np.sqrt((vectors**2).sum(axis=1).mean())
    if min(np.mean(spread), np.mean(long), wide) > 0:
        balance = np.sqrt(wide / np.mean(long))
        root = np.sqrt(np.mean(spread))
        tables *= np.float32(balance / root)
        vectors /= np.float32(balance * root)
