"""What the tests of a vector store stand on: the hooks that a subclass fills, and the collections that tests share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec.filters import Filter
from vecrec.ids import Id
from vecrec.testing.base import ConformanceTests
from vecrec.testing.data import DIM, FIELDS, random_rows, whole
from vecrec.vector_stores.base import CollectionSpec, Metric, VectorStore

__all__ = ["Library", "VectorStoreKit", "fresh_name"]

_ROWS = 200


def fresh_name() -> str:
    """The name of a collection that nothing else uses."""
    return f"kit_{uuid.uuid4().hex}"


@dataclass(frozen=True)
class Library:
    """A filled collection that tests only read, and what is known of it without asking the store."""

    name: str
    """The collection."""
    spec: CollectionSpec
    """Its spec."""
    ids: list[Id]
    """Its ids, integers and strings."""
    vectors: NDArray[np.float32]
    """Their vectors."""
    rows: list[dict[str, Any]]
    """Their attributes as they were given."""

    def attributes(self, position: int) -> dict[str, Any]:
        """The attributes of an entry as they have to come back."""
        return {name: value for name, value in self.rows[position].items() if value is not None}

    def scores(self, query: NDArray[np.float32]) -> NDArray[np.float64]:
        """Every entry's similarity to the query, calculated here."""
        matrix, vector = self.vectors.astype(np.float64), query.astype(np.float64)
        products: NDArray[np.float64] = matrix @ vector
        if self.spec.metric == "cosine":
            products = products / (np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector))
        return products

    def matching(self, where: Filter) -> list[Id]:
        """The ids that a filter has to find."""
        return [key for key, row in zip(self.ids, self.rows) if where.matches(row)]


class VectorStoreKit(ConformanceTests):
    """The hooks of `VectorStoreTests`, and the collections that its tests share."""

    persistent: ClassVar[bool] = True
    """Whether another connection sees the same data. ``False`` for a store that lives in its process only."""

    remote: ClassVar[bool] = True
    """Whether the engine is a server, which may be out of reach: override `unreachable`. ``False`` if embedded."""

    large_batch: ClassVar[int] = 5000
    """The entries of the largest batch that the kit writes."""

    filter_examples: ClassVar[int] = 60
    """The random filters that the kit tries."""

    def reopen(self, store: VectorStore) -> VectorStore:
        """Another connection to the data of ``store``, closed by the kit; where not `persistent`, a new empty store."""
        raise NotImplementedError(f"{type(self).__name__} needs a method reopen(self, store): see VectorStoreTests")

    def unreachable(self) -> VectorStore:
        """A store at an address where nothing answers, with a timeout of a second or two. Making it may raise."""
        raise NotImplementedError(f"{type(self).__name__} needs a method unreachable(self), or the line remote = False")

    def raw_vectors(self, store: VectorStore, collection: str) -> Mapping[Id, Sequence[float]]:
        """What the engine holds of a collection, read without the store under test.

        By default through a second connection; override it where there is none, or where the engine can be asked.
        """
        if not self.persistent:
            raise NotImplementedError(
                f"{type(self).__name__} is not persistent, so it needs raw_vectors(store, collection)"
            )
        with self.reopen(store) as other:
            return {entry.id: [*map(float, _vector(entry.vector))] for entry in other.scan(collection, vectors=True)}

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, store: VectorStore) -> Iterator[str]:
        """A collection for `scratch`."""
        yield from _created(store, CollectionSpec(DIM, "ip", FIELDS))

    @pytest.fixture
    def scratch(self, store: VectorStore, shared: str) -> str:
        """An empty collection of inner products with all `FIELDS`: emptied, since making one takes seconds."""
        left = [entry.id for entry in store.scan(shared)]
        if left:
            store.delete(shared, left)
        return shared

    @pytest.fixture(scope="class")
    @classmethod
    def library(cls, store: VectorStore) -> Iterator[Library]:
        """Some hundred entries compared by inner product, many of them with equal vectors."""
        rng = np.random.default_rng(7)
        vectors = whole(rng, _ROWS)
        vectors[_ROWS // 2 :] = vectors[: _ROWS // 2]
        yield from _filled(store, "ip", vectors)

    @pytest.fixture(scope="class")
    @classmethod
    def angles(cls, store: VectorStore) -> Iterator[Library]:
        """Some hundred entries of very different lengths compared by angle."""
        rng = np.random.default_rng(8)
        lengths = 10.0 ** rng.uniform(-3, 3, (_ROWS, 1))
        yield from _filled(store, "cosine", (rng.standard_normal((_ROWS, DIM)) * lengths).astype(np.float32))


def _created(store: VectorStore, spec: CollectionSpec) -> Iterator[str]:
    name = fresh_name()
    store.create(name, spec)
    yield name
    store.drop(name)


def _filled(store: VectorStore, metric: Metric, vectors: NDArray[np.float32]) -> Iterator[Library]:
    rng = np.random.default_rng(9)
    # Shuffled, so that neither the order of insertion nor that of text is the order of the ids.
    ids: list[Id] = [number if number % 2 else str(number) for number in rng.permutation(_ROWS).tolist()]
    rows = random_rows(rng, _ROWS)
    spec = CollectionSpec(DIM, metric, FIELDS)
    for name in _created(store, spec):
        store.upsert(name, ids, vectors, rows)
        yield Library(name, spec, ids, vectors, rows)


def _vector(vector: NDArray[np.float32] | None) -> NDArray[np.float32]:
    assert vector is not None, "scan(vectors=True) gave an entry without its vector"
    return vector
