"""The contract of a vector store. `vecrec.testing.VectorStoreTests` holds a test for each promise made here."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self, TypeAlias

from vecrec.errors import CollectionNotFoundError, DimensionMismatchError, InvalidDataError
from vecrec.filters import FieldType, Filter, Scalar, check_field_name, check_filter
from vecrec.ids import Id, check_ids
from vecrec.types import Hit

__all__ = ["Attributes", "CollectionSpec", "Entry", "Metric", "Vectors", "VectorStore"]

Metric: TypeAlias = Literal["ip", "cosine"]
"""How vectors compare: inner product, or inner product of the vectors scaled to length 1."""

Vectors: TypeAlias = NDArray[np.float32]
"""A float32 array of shape (n, dim)."""

Attributes: TypeAlias = "dict[str, Scalar | list[int] | list[str] | None]"
"""An item's values of the filterable fields; a missing field and ``None`` are the same."""

MAX_DIM = 32768
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}\Z")


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """What a collection holds. Fixed when it is created.

    Raises:
        InvalidDataError: for a dimension outside 1 to 32,768, an unknown metric, a field name that is none or an unknown field type.
    """

    dim: int
    """The length of every vector."""
    metric: Metric = "ip"
    """How vectors compare."""
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    """The filterable fields and their types."""

    def __post_init__(self) -> None:
        if isinstance(self.dim, bool) or not isinstance(self.dim, (int, np.integer)) or not 1 <= self.dim <= MAX_DIM:
            raise InvalidDataError(f"the dimension of a collection is {self.dim!r}: give an int from 1 to {MAX_DIM}")
        if self.metric not in get_args(Metric):
            raise InvalidDataError(f"metric {self.metric!r} is unknown: use one of {get_args(Metric)}")
        for name, kind in self.fields.items():
            check_field_name(name)
            if kind not in get_args(FieldType):
                raise InvalidDataError(
                    f"field {name!r} has the unknown type {kind!r}: use one of {get_args(FieldType)}"
                )
        object.__setattr__(self, "dim", int(self.dim))
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


class VectorStore(ABC):
    """Vectors by id in named collections, searched by similarity and filter.

    The public methods check what they are given, the same way for every store, and hand plain values to the methods with a leading
    underscore, which a store implements. What they promise:

    - A higher score is better, and the score of ``"ip"`` is the inner product. Equal scores are ordered by id, integers first.
    - What one call has written, the next call reads, in this process and in any other.
    - ``upsert`` is idempotent; of an id given twice in one call the last counts. Deleting what is not there is no error.
    - Bad input is refused before anything is written. The caller's arrays are neither kept nor changed.
    - Any ``int`` of 64 bits and any ``str`` up to 512 bytes is an id; ``1`` and ``"1"`` are different ids and may share a collection.
    - Engine errors surface as `vecrec.errors.StoreError` and its subclasses, within the store's timeout.
    - A store may be used from several threads. ``close`` may be called twice; after it every call raises `StoreError`.
    """

    # -- collections

    def create(self, collection: str, spec: CollectionSpec) -> None:
        """Create an empty collection.

        Raises:
            CollectionExistsError: when there is one of that name.
            InvalidDataError: for a name that is not a letter or underscore followed by up to 199 letters, digits and underscores.
        """
        if not isinstance(spec, CollectionSpec):
            raise InvalidDataError(f"a collection is created from a CollectionSpec, got {spec!r}")
        self._create(_check_collection(collection), spec)

    def drop(self, collection: str) -> None:
        """Remove a collection and all it holds. No error when there is none."""
        self._drop(_check_collection(collection))

    def collections(self) -> list[str]:
        """The names of all collections made by vecrec in this store, sorted."""
        return sorted(self._collections())

    def spec(self, collection: str) -> CollectionSpec:
        """What the collection was created with, by whichever process.

        Raises:
            CollectionNotFoundError: when there is none of that name.
        """
        spec = self._spec(_check_collection(collection))
        if spec is None:
            raise CollectionNotFoundError(f"no collection {collection!r}: there are {self.collections()}")
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
            InvalidDataError: for NaN or infinity, lengths that differ, an unknown field or a value of another type than its field.
            CollectionNotFoundError: when there is no such collection.
        """
        spec = self.spec(collection)
        checked = check_ids(ids, "item id")
        matrix = check_vectors(vectors, spec.dim, "vectors")
        rows = [{}] * len(checked) if attributes is None else list(attributes)
        if not len(checked) == len(matrix) == len(rows):
            raise InvalidDataError(
                f"{len(checked)} ids, {len(matrix)} vectors and {len(rows)} attributes: give as many of each"
            )
        plain = [check_attributes(row, spec.fields, key) for key, row in zip(checked, rows)]
        last = {key: position for position, key in enumerate(checked)}
        if len(last) < len(checked):
            keep = list(last.values())
            matrix, plain = matrix[keep], [plain[position] for position in keep]
        if last:
            self._upsert(collection, spec, list(last), matrix, plain)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        """Remove entries; ids that are not there are no error.

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
        check_count(k, "k")
        checked = check_filter(where, spec.fields)
        return self._search(collection, spec, matrix, int(k), checked) if len(matrix) else []

    def fetch(self, collection: str, ids: Sequence[Id]) -> dict[Id, Entry]:
        """The entries of those ids that are there, with their vectors, in the order of ``ids``.

        Raises:
            CollectionNotFoundError: when there is no such collection.
        """
        spec = self.spec(collection)
        unique = list(dict.fromkeys(check_ids(ids, "item id")))
        found = self._fetch(collection, spec, unique) if unique else {}
        return {key: found[key] for key in unique if key in found}

    def scan(self, collection: str, *, vectors: bool = False, batch_size: int = 1000) -> Iterator[Entry]:
        """Every entry once, in any order, read ``batch_size`` at a time. Entries written meanwhile may or may not come.

        Raises:
            CollectionNotFoundError: when there is no such collection, at the call.
        """
        spec = self.spec(collection)
        check_count(batch_size, "batch_size")
        return self._scan(collection, spec, bool(vectors), int(batch_size))

    def count(self, collection: str) -> int:
        """How many entries the collection holds.

        Raises:
            CollectionNotFoundError: when there is no such collection.
        """
        return self._count(collection, self.spec(collection))

    # -- the connection

    def flush(self, collection: str) -> None:
        """Make what was written durable and fast to search; to be called after a bulk load.

        Raises:
            CollectionNotFoundError: when there is no such collection.
        """
        self._flush(collection, self.spec(collection))

    @abstractmethod
    def ping(self) -> None:
        """Return if the engine answers.

        Raises:
            StoreUnavailableError: if it does not, within the store's timeout.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the connection. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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

    @abstractmethod
    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]: ...

    @abstractmethod
    def _count(self, collection: str, spec: CollectionSpec) -> int: ...

    def _flush(self, collection: str, spec: CollectionSpec) -> None:
        """Nothing to do where every write is durable and searchable at once."""


def check_vectors(vectors: Any, dim: int, what: str) -> Vectors:
    """A float32 copy of shape (n, dim).

    Raises:
        DimensionMismatchError: for another number of columns.
        InvalidDataError: for something that is no matrix of real numbers, or holds NaN, infinity or what float32 cannot hold.
    """
    try:
        given = np.asarray(vectors)
        if given.dtype.kind not in "fiu" and given.size:
            raise TypeError(f"of type {given.dtype}")
        with np.errstate(over="ignore"):
            matrix = np.array(given, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"{what} must be a matrix of real numbers, got {type(vectors).__name__} ({error})"
        ) from error
    if matrix.size == 0 and matrix.ndim <= 2 and len(matrix) == 0:
        return matrix.reshape(0, dim)
    if matrix.ndim != 2:
        raise InvalidDataError(f"{what} must have two dimensions, (n, {dim}), got the shape {matrix.shape}")
    if matrix.shape[1] != dim:
        raise DimensionMismatchError(
            f"{what} have {matrix.shape[1]} dimensions, the collection has {dim}: are they from the encoder that filled it?"
        )
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if bad.size:
        raise InvalidDataError(
            f"row {bad[0]} of the {what} holds NaN, infinity or a value beyond float32 ({bad.size} such rows)"
        )
    return matrix


def check_attributes(row: Any, fields: Mapping[str, FieldType], key: Id) -> Attributes:
    """A plain copy of an item's attributes without the missing ones.

    Raises:
        InvalidDataError: for an unknown field or a value of another type than its field.
    """
    if not isinstance(row, Mapping):
        raise InvalidDataError(
            f"the attributes of item {key!r} must be a mapping of field names to values, got {row!r}"
        )
    unknown = row.keys() - fields.keys()
    if unknown:
        raise InvalidDataError(
            f"item {key!r} has the unknown fields {sorted(map(str, unknown))}: the collection has {sorted(fields)}"
        )
    return {name: check_attribute(value, fields[name], name, key) for name, value in row.items() if value is not None}


def check_attribute(value: Any, kind: FieldType, name: str, key: Id) -> Any:
    """A plain copy of one attribute's value; an ``int`` for a ``number`` field becomes a ``float``.

    Raises:
        InvalidDataError: when the value is not of the field's type.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if kind == "integers" or kind == "strings":
        if isinstance(value, (list, tuple)):
            single: FieldType = "integer" if kind == "integers" else "string"
            return [check_attribute(item, single, name, key) for item in value]
    elif kind == "boolean":
        if isinstance(value, bool):
            return value
    elif kind == "integer":
        if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
            return int(value)
    elif kind == "number":
        if isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value):
            return float(value)
    elif isinstance(value, str) and value.encode(errors="ignore").decode() == value:
        return str(value)
    raise InvalidDataError(f"field {name!r} of item {key!r} holds {kind}, got {value!r} of type {type(value).__name__}")


def check_count(value: Any, what: str) -> int:
    """A whole number of at least 1.

    Raises:
        InvalidDataError: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InvalidDataError(f"{what} is {value!r}: give a whole number of at least 1")
    return int(value)


def _check_collection(collection: Any) -> str:
    if not isinstance(collection, str) or not _NAME.match(collection):
        raise InvalidDataError(
            f"{collection!r} is no name of a collection: use a letter or underscore, then up to 199 ASCII letters, digits and underscores"
        )
    return collection
