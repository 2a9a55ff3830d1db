"""A vector store of one's own: the class has under 90 lines of code. `tests/examples` proves it with the kit."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vecrec.errors import CollectionExistsError, StoreError
from vecrec.filters import Filter
from vecrec.ids import Id, decode_id, encode_id, id_order
from vecrec.types import Hit
from vecrec.vector_stores import CollectionSpec, Entry, VectorStore

Query = Callable[..., list[Any]]


class SQLiteVectorStore(VectorStore):
    """Keeps a small catalogue of vectors in one SQLite file, and compares a query with each of them.

    `VectorStore` checks all arguments before it calls the methods here: ids are unique, arrays are float32 copies.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self._closed = Path(path), False

    @contextmanager
    def _query(self) -> Iterator[Query]:
        if self._closed:
            raise StoreError("this vector store was closed", "make a new one")
        try:
            # One transaction: all of a batch is written, or none.
            with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
                connection.execute("create table if not exists specs (name text primary key, spec text)")
                connection.execute(
                    "create table if not exists entries (name, id, vector, attributes, primary key (name, id))"
                )
                yield lambda sql, *values: connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:  # whatever the engine raises, callers see one family of errors
            raise StoreError(f"{self.path} cannot be used ({error})", "check the path and its permissions") from error

    @override
    def ping(self) -> None:
        self._collections()

    @override
    def close(self) -> None:
        self._closed = True

    def _create(self, collection: str, spec: CollectionSpec) -> None:
        with self._query() as query:
            query("insert or ignore into specs values (?, ?)", collection, json.dumps(asdict(spec)))
            if query("select changes()") != [(1,)]:
                raise CollectionExistsError(f"there is a collection {collection!r} already", "drop it first")

    def _drop(self, collection: str) -> None:
        with self._query() as query:
            query("delete from specs where name = ?", collection)
            query("delete from entries where name = ?", collection)

    def _collections(self) -> list[str]:
        with self._query() as query:
            return [name for (name,) in query("select name from specs")]

    def _spec(self, collection: str) -> CollectionSpec | None:
        with self._query() as query:
            found = query("select spec from specs where name = ?", collection)
        return CollectionSpec(**json.loads(found[0][0])) if found else None

    def _upsert(
        self,
        collection: str,
        spec: CollectionSpec,
        ids: list[Id],
        vectors: NDArray[np.float32],
        attributes: list[dict[str, Any]],
    ) -> None:
        with self._query() as query:
            for key, vector, row in zip(ids, vectors, attributes):
                values = encode_id(key), vector.tobytes(), json.dumps(row)
                query("insert or replace into entries values (?, ?, ?, ?)", collection, *values)

    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        with self._query() as query:
            for key in ids:
                query("delete from entries where name = ? and id = ?", collection, encode_id(key))

    def _search(
        self, collection: str, spec: CollectionSpec, queries: NDArray[np.float32], k: int, where: Filter | None
    ) -> list[list[Hit]]:
        found = list(self._scan(collection, spec, True, 1))
        if where is not None:
            found = [entry for entry in found if where.matches(entry.attributes)]
        vectors = np.array([entry.vector for entry in found], np.float64).reshape(-1, spec.dim)
        hits: list[list[Hit]] = []
        for query in queries.astype(np.float64):
            scores = (vectors * query).sum(axis=1)  # row by row, so that equal vectors get equal scores
            if spec.metric == "cosine":
                lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
                scores = scores / np.where(lengths > 0, lengths, 1)
            ranked = [Hit(entry.id, score) for entry, score in zip(found, scores.astype(np.float32).tolist())]
            hits.append(sorted(ranked, key=lambda hit: (-hit.score, id_order(hit.id)))[:k])
        return hits

    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        wanted = set(ids)
        return {entry.id: entry for entry in self._scan(collection, spec, True, 1) if entry.id in wanted}

    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]:
        with self._query() as query:
            rows = query("select id, vector, attributes from entries where name = ?", collection)
        for key, vector, attributes in rows:
            array = np.frombuffer(vector, np.float32).copy() if vectors else None
            yield Entry(decode_id(key), array, json.loads(attributes))

    def _count(self, collection: str, spec: CollectionSpec) -> int:
        return len(list(self._scan(collection, spec, False, 1)))
