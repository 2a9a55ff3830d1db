"""The interface of a vector store. `vecrec.testing.VectorStoreTests` has a test for each promise."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecrec._internal.connection import Connection
from vecrec._internal.validation import choice, dimension, flag, instance, integer, listed, mapping
from vecrec.errors import CollectionNotFoundError, DimensionMismatchError, InvalidDataError, shown
from vecrec.filters import FieldType, Filter, Scalar, check_field_name, check_filter
from vecrec.ids import Id, check_ids
from vecrec.progress import Progress, silent
from vecrec.types import Hit

__all__ = [
    "Attributes", "CollectionSpec", "Entry", "Metric", "VectorStore", "Vectors", "check_attributes", "check_collection",
    "check_vectors",
]  # fmt: skip

Metric: TypeAlias = Literal["ip", "cosine"]
"""The score of two vectors: their inner product, or their cosine."""

Vectors: TypeAlias = NDArray[np.float32]
"""A float32 array of shape (n, dim)."""

Attributes: TypeAlias = "dict[str, Scalar | list[int] | list[str]]"
"""An item's values of the filterable fields; a field without a value is left out."""

MAX_K = 2**31 - 1
"""The most hits of one query."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}\Z")


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """The dimension, metric and filterable fields of a collection, fixed when it is created.

    Raises:
        InvalidDataError: for a dimension outside 1 to 32,768, an unknown metric, an invalid field name or an
            unknown field type.
    """

    dim: int
    """The length of every vector."""
    metric: Metric = "ip"
    """The score of two vectors: ``"ip"`` for the inner product, ``"cosine"`` for the cosine."""
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    """The filterable fields and their types."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", dimension(self.dim, "the dimension of a collection"))
        choice(self.metric, "metric", get_args(Metric))
        object.__setattr__(self, "fields", mapping(self.fields, "fields"))
        for name, kind in self.fields.items():
            check_field_name(name)
            choice(kind, f"the type of field {name!r}", get_args(FieldType))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a collection: an id with its vector and attributes."""

    id: Id
    """The item's id."""
    vector: Vectors | None
    """Its vector, shape (dim,); ``None`` where the caller did not ask for vectors."""
    attributes: Attributes
    """Its filterable values; a field without a value is left out."""


class VectorStore(Connection):
    """Vectors by id in named collections, searched by similarity and filter.

    The public methods check their arguments in the same way for every store and pass plain values to the methods with a
    leading underscore, which a store implements. They promise:

    - A higher score is better, and the score of ``"ip"`` is the inner product. Equal scores are ordered by id,
      integers first.
    - A call reads what earlier calls have written, in this process and in any other.
    - ``upsert`` is idempotent. Of an id that is given twice in one call, the last one counts. Deleting a missing entry
      is not an error.
    - Invalid input is refused before anything is written. The store neither keeps nor changes the caller's arrays, and
      the caller may change what a call returns.
    - Any ``int`` of 64 bits and any ``str`` up to 512 bytes is an id; ``1`` and ``"1"`` are different ids and may
      share a collection.
    - Engine errors surface as `vecrec.errors.StoreError` and its subclasses, within the store's timeout.
    - An engine that does not answer is waited for once: after that calls fail at once, until it answers a probe.
    - A store may be used from several threads. ``close`` may be called twice; after it every call raises `StoreError`.
    """

    # -- collections

    def create(self, collection: str, spec: CollectionSpec) -> None:
        """Create an empty collection.

        Args:
            collection: The name of the new collection.
            spec: Its dimension, metric and filterable fields.

        Raises:
            CollectionExistsError: when a collection of that name exists.
            InvalidDataError: for a name that is not a letter or underscore followed by up to 199 letters, digits and
                underscores.
        """
        name = check_collection(collection)
        checked = instance(spec, "the spec", CollectionSpec, "CollectionSpec(dim=64)")
        self._asked(self._create, name, checked)

    def check_spec(self, spec: CollectionSpec) -> None:
        """Refuse, before anything is made, a spec that `create` would refuse since the engine cannot hold it.

        Raises:
            InvalidDataError: for such a spec, such as one of more fields than the engine has columns.
        """
        self._check_spec(instance(spec, "the spec", CollectionSpec, "CollectionSpec(dim=64)"))

    def drop(self, collection: str) -> None:
        """Remove a collection and all its entries. A missing collection is not an error."""
        name = check_collection(collection)
        self._asked(self._drop, name)

    def collections(self) -> list[str]:
        """Return the names of all collections that vecrec created in this store, sorted."""
        return sorted(self._asked(self._collections))

    def spec(self, collection: str) -> CollectionSpec:
        """Return the spec with which any process created the collection.

        Raises:
            CollectionNotFoundError: when no collection has that name.
        """
        name = check_collection(collection)
        spec = self._asked(self._spec, name)
        if spec is None:
            raise CollectionNotFoundError(
                f"no collection {collection!r}", f"use one of {self.collections()}, or create it first"
            )
        return spec

    # -- entries

    def upsert(
        self,
        collection: str,
        ids: Sequence[Id],
        vectors: ArrayLike,
        attributes: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Write vectors with their attributes. They replace the entries that the ids had.

        Args:
            collection: An existing collection.
            ids: n ids; of a repeated one the last counts.
            vectors: Shape (n, dim), any real type; stored as float32.
            attributes: One mapping for each id, from names of the spec's fields to values; ``None`` for no attributes.

        Raises:
            DimensionMismatchError: when the length of the vectors is not the collection's dimension.
            InvalidDataError: for NaN or infinity, lengths that differ, an unknown field or a value of another type
                than its field.
            CollectionNotFoundError: when the collection does not exist.

        Example:
            >>> store.create("films", CollectionSpec(dim=2, fields={"year": "int"}))
            >>> store.upsert("films", [1, 2], [[1, 0], [0, 1]], [{"year": 1994}, {}])
        """
        spec = self.spec(collection)
        checked = check_ids(ids, "item id")
        matrix = check_vectors(vectors, spec.dim, "vectors")
        rows = [{}] * len(checked) if attributes is None else listed(attributes, "attributes")
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
            self._asked(self._upsert, collection, spec, list(last), matrix, plain)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        """Remove entries. Ids without an entry are not an error.

        Raises:
            CollectionNotFoundError: when the collection does not exist.
        """
        spec = self.spec(collection)
        unique = list(dict.fromkeys(check_ids(ids, "item id")))
        if unique:
            self._asked(self._delete, collection, spec, unique)

    def search(self, collection: str, queries: ArrayLike, k: int, where: Filter | None = None) -> list[list[Hit]]:
        """Return the k best entries for each query, best first.

        Args:
            collection: An existing collection.
            queries: Shape (n, dim); n may be 0.
            k: At least 1. Where fewer entries match, all of them are returned.
            where: A condition on the attributes.

        Returns:
            n lists of at most k hits, by descending score; equal scores by id.

        Raises:
            DimensionMismatchError: when the length of the queries is not the collection's dimension.
            InvalidDataError: for NaN or infinity, k below 1, or a filter that does not fit the fields.
            CollectionNotFoundError: when the collection does not exist.

        Example:
            >>> store.search("films", [[1, 0]], k=10, where=field("year") >= 1990)
            [[Hit(id=1, score=1.0)]]
        """
        spec = self.spec(collection)
        matrix = check_vectors(queries, spec.dim, "queries")
        limit = integer(k, "k", low=1, high=MAX_K)
        checked = None if where is None else check_filter(where, spec.fields)
        if not len(matrix):
            return []
        return self._asked(self._search, collection, spec, matrix, limit, checked)

    def fetch(self, collection: str, ids: Sequence[Id], *, attributes: bool = True) -> dict[Id, Entry]:
        """Return the entries of the given ids with their vectors, in the order of ``ids``.

        Args:
            collection: An existing collection.
            ids: Any number of ids.
            attributes: Whether the entries include their attributes. Without them, some engines answer several times
                faster where there are many fields.

        Returns:
            The entries by id. Ids without an entry are left out.

        Raises:
            CollectionNotFoundError: when the collection does not exist.
        """
        spec = self.spec(collection)
        unique = list(dict.fromkeys(check_ids(ids, "item id")))
        read = self._fetch if flag(attributes, "attributes") else self._fetch_vectors
        if not unique:
            return {}
        found = self._asked(read, collection, spec, unique)
        return {key: found[key] for key in unique if key in found}

    def scan(self, collection: str, *, vectors: bool = False, batch_size: int = 1000) -> Iterator[Entry]:
        """Iterate over every entry once, in any order. Entries that are written meanwhile may be missing.

        Args:
            collection: An existing collection.
            vectors: Whether the entries include their vectors.
            batch_size: How many entries are read at a time, at least 1.

        Raises:
            CollectionNotFoundError: when the collection does not exist; raised by the call, not by the iteration.
        """
        spec = self.spec(collection)
        size, whole = integer(batch_size, "batch_size", low=1), flag(vectors, "vectors")
        return self._guarded(self._asked(self._scan, collection, spec, whole, size))

    def count(self, collection: str) -> int:
        """Return the number of entries in the collection.

        Raises:
            CollectionNotFoundError: when the collection does not exist.
        """
        spec = self.spec(collection)
        return self._asked(self._count, collection, spec)

    def widen(self, collection: str, effort: int | None) -> bool:
        """Let searches of this store look at more than its index is set to, so that they miss less and take longer.

        It holds for this object, until it is called again.

        Args:
            collection: Which collection.
            effort: How many times as much as usual a search looks at, at least 1, as far as the index can; ``None`` for
                comparing a query with every entry.

        Returns:
            Whether searches differ from before: ``False`` for a store that is exact already, or cannot do it.

        Raises:
            CollectionNotFoundError: when the collection does not exist.
        """
        spec = self.spec(collection)
        checked = None if effort is None else integer(effort, "effort", low=1)
        return self._asked(self._widen, collection, spec, checked)

    # -- the connection

    @contextmanager
    def bulk(self, collection: str) -> Iterator[None]:
        """Write many batches to one collection that other processes need not read before the block ends.

        Inside the block this store reads its own writes, but another process may see them later. Some engines write
        several times faster in a block; for the others it makes no difference.

        Raises:
            CollectionNotFoundError: when the collection does not exist.
        """
        self.spec(collection)
        yield

    def flush(self, collection: str, progress: Progress = silent) -> None:
        """Make all writes durable and fast to search. Call it after a bulk load.

        Args:
            collection: Which collection.
            progress: Receives how many entries an index holds that takes long to build.

        Raises:
            CollectionNotFoundError: when the collection does not exist.
        """
        spec = self.spec(collection)
        self._asked(self._flush, collection, spec, progress)

    # -- what a store implements; the collection exists, the arguments are checked, ids are unique, lists are not empty

    @abstractmethod
    def _create(self, collection: str, spec: CollectionSpec) -> None:
        """Create an empty collection and store ``spec``, so that every process can read it.

        Raises:
            CollectionExistsError: when a collection of that name exists.
        """

    def _check_spec(self, spec: CollectionSpec) -> None:
        """Raise `InvalidDataError` for a spec that the engine cannot hold. By default every spec is allowed."""

    def _widen(self, collection: str, spec: CollectionSpec, effort: int | None) -> bool:
        """Let searches look at more, and return whether they differ from before. By default nothing can be widened."""
        return False

    @abstractmethod
    def _drop(self, collection: str) -> None:
        """Remove a collection and all its entries. A missing collection is not an error."""

    @abstractmethod
    def _collections(self) -> list[str]:
        """Return the names of the collections that vecrec created in this store, in any order."""

    @abstractmethod
    def _spec(self, collection: str) -> CollectionSpec | None:
        """Return the spec with which any process created the collection.

        It is called before every operation: keep it cheap.

        Returns:
            The spec; ``None`` when the collection does not exist.
        """

    @abstractmethod
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        """Write entries. They replace the entries that the ids had, and the next call in any process reads them.

        Args:
            collection: An existing collection.
            spec: Its spec.
            ids: n ids, each once.
            vectors: float32, shape (n, dim). A copy that the store may keep.
            attributes: One mapping for each id. Copies that the store may keep.
        """

    @abstractmethod
    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        """Remove entries. Ids without an entry are not an error."""

    @abstractmethod
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        """Return the ``k`` entries with the highest score that match ``where``, for each query.

        The score of ``"ip"`` is the inner product, of ``"cosine"`` the cosine. The order by score is exact, and equal
        scores are ordered by `vecrec.ids.id_order`.

        Args:
            collection: An existing collection.
            spec: Its spec.
            queries: float32, shape (n, dim), n at least 1.
            k: At least 1.
            where: A condition on the fields of the spec, with the meaning of `Filter.matches`.

        Returns:
            n lists of hits, best first: k each, or fewer where fewer entries match.
        """

    @abstractmethod
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        """Return the entries of the given ids with vectors and attributes, read in one batch.

        Returns:
            The entries by id, in any order. Ids without an entry are left out.
        """

    def _fetch_vectors(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        """Return what `_fetch` returns, without attributes. Override it where reading fewer columns is faster."""
        found = self._fetch(collection, spec, ids)
        return {key: Entry(key, entry.vector, {}) for key, entry in found.items()}

    @abstractmethod
    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]:
        """Iterate over every entry once, in any order.

        Entries that exist from the first batch to the last must be among them.

        Args:
            collection: An existing collection.
            spec: Its spec.
            vectors: Whether the entries include their vectors.
            batch_size: How many entries to read at a time, at least 1.
        """

    @abstractmethod
    def _count(self, collection: str, spec: CollectionSpec) -> int:
        """Return the number of entries in the collection."""

    def _flush(self, collection: str, spec: CollectionSpec, progress: Progress) -> None:
        """Make all writes durable and fast to search. The default does nothing: override it where writes wait.

        Args:
            collection: An existing collection.
            spec: Its spec.
            progress: Receives the steps of a build that takes long; `vecrec.progress.silent` by default.
        """


def check_vectors(vectors: Any, dim: int, what: str) -> Vectors:
    """A float32 copy of shape (n, dim).

    Raises:
        DimensionMismatchError: for another number of columns.
        InvalidDataError: for anything but a matrix of real numbers that float32 can hold, NaN and infinity excluded.
    """
    try:
        given = np.asarray(vectors)
        if given.dtype.kind not in "fiu" and given.size:
            raise TypeError(f"of type {given.dtype}")
        with np.errstate(over="ignore"):
            matrix = np.array(given, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"{what} are a {type(vectors).__name__} ({error})", f"give a matrix of real numbers, of shape (n, {dim})"
        ) from error
    if matrix.size == 0 and matrix.ndim <= 2 and len(matrix) == 0:
        return matrix.reshape(0, dim)
    if matrix.ndim != 2:
        raise InvalidDataError(f"{what} have the shape {matrix.shape}", f"give a matrix of shape (n, {dim})")
    if matrix.shape[1] != dim:
        raise DimensionMismatchError(
            f"{what} have {matrix.shape[1]} dimensions, the collection has {dim}",
            "are they from the encoder that filled it?",
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
            f"the attributes of item {shown(key)} are {shown(row)}", "give a mapping of field names to values"
        )
    unknown = row.keys() - fields.keys()
    if unknown:
        raise InvalidDataError(
            f"item {key!r} has the unknown fields {sorted(map(str, unknown))}", f"the collection has {sorted(fields)}"
        )
    return {name: _check_attribute(value, fields[name], name, key) for name, value in row.items() if value is not None}


def check_collection(collection: Any) -> str:
    """A collection's name.

    Raises:
        InvalidDataError: for anything but a letter or underscore and up to 199 letters, digits and underscores.
    """
    if not isinstance(collection, str) or not _NAME.match(collection):
        raise InvalidDataError(
            f"{shown(collection)} is not a valid name of a collection",
            "use a letter or underscore, then up to 199 ASCII letters, digits and underscores",
        )
    return collection


def _check_attribute(value: Any, kind: FieldType, name: str, key: Id) -> Any:
    """A plain copy of one attribute's value; an ``int`` for a ``number`` field becomes a ``float``."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    many = kind in {"integers", "strings"}
    fits = _FITS[kind[:-1] if many else kind]
    if many and isinstance(value, (list, tuple)) and all(fits(one) for one in value):
        return list(value)
    if not many and fits(value):
        return float(value) if kind == "number" else value
    raise InvalidDataError(
        f"field {name!r} of item {key!r} is {value!r} of type {type(value).__name__}", f"the field holds {kind}"
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and bool(np.isfinite(value)))


def _is_text(value: Any) -> bool:
    # Text with lone surrogates loses them here, and no engine takes it.
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


_FITS: dict[str, Callable[[Any], bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "number": _is_number,
    "string": _is_text,
}
