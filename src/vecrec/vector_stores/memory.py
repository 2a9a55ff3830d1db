"""The plain reference of a vector store: exact search over NumPy arrays, in this process only."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from typing_extensions import override

from vecrec._internal.exact import longest, nearest, unit
from vecrec.errors import CollectionExistsError, CollectionNotFoundError, StoreError
from vecrec.filters import Filter
from vecrec.ids import Id, id_order
from vecrec.types import Hit
from vecrec.vector_stores.base import Attributes, CollectionSpec, Entry, Vectors, VectorStore

__all__ = ["MemoryVectorStore"]


@dataclass(slots=True)
class _Collection:
    spec: CollectionSpec
    entries: dict[Id, Entry] = field(default_factory=dict)
    matrix: Vectors | None = (
        None  # of the vectors, in the order of the ids, of length 1 for cosines; None after a write
    )
    length: float = 0.0  # of the longest row of the matrix
    ids: list[Id] = field(default_factory=list)


class MemoryVectorStore(VectorStore):
    """Keeps everything in this process and searches exactly. For tests, and for catalogues that need no engine."""

    db_system = "memory"
    one_process = True

    def __init__(self) -> None:
        self._data: dict[str, _Collection] = {}
        self._lock = threading.RLock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemoryVectorStore of {len(self._data)} collections>"

    @override
    def ping(self) -> None:
        self._open()

    @override
    def close(self) -> None:
        self._closed = True

    def _create(self, collection: str, spec: CollectionSpec) -> None:
        with self._lock:
            if collection in self._open():
                raise CollectionExistsError(f"there is a collection {collection!r} already", "drop it first")
            self._data[collection] = _Collection(spec)

    def _drop(self, collection: str) -> None:
        with self._lock:
            self._open().pop(collection, None)

    def _collections(self) -> list[str]:
        return list(self._open())

    def _spec(self, collection: str) -> CollectionSpec | None:
        held = self._open().get(collection)
        return held.spec if held else None

    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        with self._lock:
            held = self._held(collection)
            held.entries.update((key, Entry(key, vector, row)) for key, vector, row in zip(ids, vectors, attributes))
            held.matrix = None

    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        with self._lock:
            held = self._held(collection)
            for key in ids:
                held.entries.pop(key, None)
            held.matrix = None

    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        with self._lock:
            held = self._held(collection)
            if held.matrix is None:
                held.ids = sorted(held.entries, key=id_order)
                matrix = np.array([held.entries[key].vector for key in held.ids], np.float32).reshape(-1, spec.dim)
                held.matrix = unit(matrix) if spec.metric == "cosine" else matrix
                held.length = longest(held.matrix)
            ids, matrix, length, entries = held.ids, held.matrix, held.length, held.entries.copy()
        allowed = None if where is None else np.array([where.matches(entries[key].attributes) for key in ids], bool)
        # Ids are in their order, so of equal scores the earlier place is the earlier id.
        queries = unit(queries) if spec.metric == "cosine" else queries
        found = nearest(queries, matrix, k, length=length, allowed=allowed)
        return [[Hit(ids[place], score) for place, score in each] for each in found]

    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        with self._lock:
            entries = self._held(collection).entries
            return {key: _copy(entries[key], True) for key in ids if key in entries}

    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]:
        with self._lock:
            entries = list(self._held(collection).entries.values())
        return (_copy(entry, vectors) for entry in entries)

    def _count(self, collection: str, spec: CollectionSpec) -> int:
        return len(self._held(collection).entries)

    def _held(self, collection: str) -> _Collection:
        held = self._open().get(collection)
        if held is None:  # another thread may have dropped it since the spec was read
            raise CollectionNotFoundError(f"the collection {collection!r} was dropped meanwhile", "create it again")
        return held

    def _open(self) -> dict[str, _Collection]:
        if self._closed:
            raise StoreError("this vector store was closed", "create a new one")
        return self._data


def _copy(entry: Entry, vectors: bool) -> Entry:
    vector = entry.vector.copy() if vectors and entry.vector is not None else None
    return Entry(entry.id, vector, copy.deepcopy(entry.attributes))
