"""The contract of a vector store. `vecrec.testing.VectorStoreTests` holds a test for each promise made here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from numpy.typing import ArrayLike

from vecrec._internal.connection import Connection
from vecrec._internal.validation import instance, integer
from vecrec.errors import CollectionNotFoundError, InvalidDataError
from vecrec.filters import FieldType, Filter, check_field_name, check_filter
from vecrec.ids import Id, check_ids
from vecrec.types import Hit
from vecrec.vector_stores.checks import (
    Attributes,
    Vectors,
    check_attributes,
    check_collection,
    check_vectors,
)

__all__ = ["Attributes", "CollectionSpec", "Entry", "Metric", "VectorStore", "Vectors"]

Metric: TypeAlias = Literal["ip", "cosine"]
"""How vectors compare: inner product, or inner product of the vectors scaled to length 1."""

MAX_DIM = 32768


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """What a collection holds. Fixed when it is created.

    Raises:
        InvalidDataError: for a dimension outside 1 to 32,768, an unknown metric, an invalid field name or an
            unknown field type.
    """

    dim: int
    """The length of every vector."""
    metric: Metric = "ip"
    """How vectors compare."""
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    """The filterable fields and their types."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", integer(self.dim, "the dimension of a collection", low=1, high=MAX_DIM))
        if self.metric not in get_args(Metric):
            raise InvalidDataError(f"metric {self.metric!r} is unknown", f"use one of {get_args(Metric)}")
        for name, kind in self.fields.items():
            check_field_name(name)
            if kind not in get_args(FieldType):
                raise InvalidDataError(
                    f"field {name!r} has the unknown type {kind!r}", f"use one of {get_args(FieldType)}"
                )
        object.__setattr__(self, "fields", dict(self.fields))


@dataclass(frozen=True, slots=True)
class Entry:
    """What a collection holds of one id."""

    id: Id
    """The id."""
    vector: Vectors | None
    """Its vector, shape (dim,); ``None`` where vectors were not asked for."""
    attributes: Attributes
    """Its filterable values; a field without a value is left out."""


class VectorStore(Connection):
    """Vectors by id in named collections, searched by similarity and filter.

    The public methods check what they are given, the same way for every store, and hand plain values to the methods
    with a leading underscore, which a store implements. What they promise:

    - A higher score is better, and the score of ``"ip"`` is the inner product. Equal scores are ordered by id,
      integers first.
    - What one call has written, the next call reads, in this process and in any other.
    - ``upsert`` is idempotent; of an id given twice in one call the last counts. Deleting what is not there is not an
      error.
    - Bad input is refused before anything is written. The caller's arrays are neither kept nor changed, and
      what a call returns is the caller's own.
    - Any ``int`` of 64 bits and any ``str`` up to 512 bytes is an id; ``1`` and ``"1"`` are different ids and may
      share a collection.
    - Engine errors surface as `vecrec.errors.StoreError` and its subclasses, within the store's timeout.
    - A store may be used from several threads. ``close`` may be called twice; after it every call raises `StoreError`.
    """

    # -- collections

    def create(self, collection: str, spec: CollectionSpec) -> None:
        """Create an empty collection.

        Raises:
            CollectionExistsError: when there is one of that name.
            InvalidDataError: for a name that is not a letter or underscore followed by up to 199 letters, digits and
                underscores.
        """
        self._create(check_collection(collection), instance(spec, "the spec", CollectionSpec, "CollectionSpec(dim=64)"))

    def drop(self, collection: str) -> None:
        """Remove a collection and all it holds. No error when there is none."""
        self._drop(check_collection(collection))

    def collections(self) -> list[str]:
        """The names of all collections made by vecrec in this store, sorted."""
        return sorted(self._collections())

    def spec(self, collection: str) -> CollectionSpec:
        """What the collection was created with, by any process.

        Raises:
            CollectionNotFoundError: when there is none of that name.
        """
        spec = self._spec(check_collection(collection))
        if spec is None:
            raise CollectionNotFoundError(f"no collection {collection!r}", f"there are {self.collections()}")
        return spec

    # -- entries

    def upsert(
        self,
        collection: str,
        ids: Sequence[Id],
        vectors: ArrayLike,
        attributes: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Write vectors with their attributes, replacing what their ids had.

        Args:
            collection: An existing collection.
            ids: n ids; of a repeated one the last counts.
            vectors: Shape (n, dim), any real type; stored as float32.
            attributes: One mapping for each id with values for the spec's fields; ``None`` for no attributes at all.

        Raises:
            DimensionMismatchError: when the vectors have another length than the collection's.
            InvalidDataError: for NaN or infinity, lengths that differ, an unknown field or a value of another type
                than its field.
            CollectionNotFoundError: when there is no such collection.
        """
        spec = self.spec(collection)
        checked = check_ids(ids, "item id")
        matrix = check_vectors(vectors, spec.dim, "vectors")
        rows = [{}] * len(checked) if attributes is None else list(attributes)
        if not len(checked) == len(matrix) == len(rows):
            raise InvalidDataError(
                f"{len(checked)} ids, {len(matrix)} vectors and {len(rows)} attributes", "give as many of each"
            )
        plain = [check_attributes(row, spec.fields, key) for key, row in zip(checked, rows)]
        last = {key: position for position, key in enumerate(checked)}
        if len(last) < len(checked):
            keep = list(last.values())
            matrix, plain = matrix[keep], [plain[position] for position in keep]
        if last:
            self._upsert(collection, spec, list(last), matrix, plain)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        """Remove entries; ids that are not there are not an error.

        Raises:
            CollectionNotFoundError: when there is no such collection.
        """
        spec = self.spec(collection)
        unique = list(dict.fromkeys(check_ids(ids, "item id")))
        if unique:
            self._delete(collection, spec, unique)

    def search(self, collection: str, queries: ArrayLike, k: int, where: Filter | None = None) -> list[list[Hit]]:
        """The k best entries for each query, best first.

        Args:
            collection: An existing collection.
            queries: Shape (n, dim); n may be 0.
            k: At least 1. With fewer entries that match, all of them come.
            where: A condition on the attributes.

        Returns:
            n lists of at most k hits, by falling score, equal scores by id.

        Raises:
            DimensionMismatchError: when the queries have another length than the collection's vectors.
            InvalidDataError: for NaN or infinity, k below 1, or a filter that does not fit the fields.
            CollectionNotFoundError: when there is no such collection.
        """
        spec = self.spec(collection)
        matrix = check_vectors(queries, spec.dim, "queries")
        limit = integer(k, "k", low=1)
        checked = check_filter(where, spec.fields)
        return self._search(collection, spec, matrix, limit, checked) if len(matrix) else []

    def fetch(self, collection: str, ids: Sequence[Id], *, attributes: bool = True) -> dict[Id, Entry]:
        """The entries of those ids that are there, with their vectors, in the order of ``ids``.

        Args:
            collection: An existing collection.
            ids: Any number of ids.
            attributes: Whether the entries come with their attributes. Without them, some engines answer several times
                faster where there are many fields.

        Raises:
            CollectionNotFoundError: when there is no such collection.
        """
        spec = self.spec(collection)
        unique = list(dict.fromkeys(check_ids(ids, "item id")))
        read = self._fetch if attributes else self._fetch_vectors
        found = read(collection, spec, unique) if unique else {}
        return {key: found[key] for key in unique if key in found}

    def scan(self, collection: str, *, vectors: bool = False, batch_size: int = 1000) -> Iterator[Entry]:
        """Every entry once, in any order, read ``batch_size`` at a time. Entries written meanwhile may or may not come.

        Raises:
            CollectionNotFoundError: when there is no such collection, at the call.
        """
        spec = self.spec(collection)
        return self._scan(collection, spec, bool(vectors), integer(batch_size, "batch_size", low=1))

    def count(self, collection: str) -> int:
        """How many entries the collection holds.

        Raises:
            CollectionNotFoundError: when there is no such collection.
        """
        return self._count(collection, self.spec(collection))

    # -- the connection

    @contextmanager
    def bulk(self, collection: str) -> Iterator[None]:
        """Many writes in a row to one collection, which others need not read before the block ends.

        Inside it, what this store writes it also reads, but another process may see it late. Some engines write several
        times faster that way; for the others it makes no difference.

        Raises:
            CollectionNotFoundError: when there is no such collection.
        """
        self.spec(collection)
        yield

    def flush(self, collection: str) -> None:
        """Make what was written durable and fast to search; to be called after a bulk load.

        Raises:
            CollectionNotFoundError: when there is no such collection.
        """
        self._flush(collection, self.spec(collection))

    # -- what a store implements; the arguments are checked, ids are unique, lists are not empty

    @abstractmethod
    def _create(self, collection: str, spec: CollectionSpec) -> None: ...

    @abstractmethod
    def _drop(self, collection: str) -> None: ...

    @abstractmethod
    def _collections(self) -> list[str]: ...

    @abstractmethod
    def _spec(self, collection: str) -> CollectionSpec | None:
        """The spec, or ``None`` when there is no such collection. Called before every operation: keep it cheap."""

    @abstractmethod
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        """The arrays are copies that the store may keep."""

    @abstractmethod
    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None: ...

    @abstractmethod
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]: ...

    @abstractmethod
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]: ...

    def _fetch_vectors(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        """As `_fetch`, without attributes; to be overridden where reading fewer columns is faster."""
        found = self._fetch(collection, spec, ids)
        return {key: Entry(key, entry.vector, {}) for key, entry in found.items()}

    @abstractmethod
    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]: ...

    @abstractmethod
    def _count(self, collection: str, spec: CollectionSpec) -> int: ...

    def _flush(self, collection: str, spec: CollectionSpec) -> None:
        """Nothing to do where every write is durable and searchable at once."""
