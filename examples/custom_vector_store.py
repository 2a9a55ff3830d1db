"""A custom vector store: exact search over vectors in one SQLite file. `tests/examples` runs the kit."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vecrec import Filter, Hit
from vecrec.errors import CollectionExistsError, CollectionNotFoundError, StoreError
from vecrec.ids import Id, decode_id, encode_id, id_order
from vecrec.vector_stores import CollectionSpec, Entry, VectorStore
from vecrec.vector_stores.base import Attributes, Vectors

TABLES = (
    "CREATE TABLE IF NOT EXISTS collections (name TEXT PRIMARY KEY, spec TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS entries (
        collection TEXT NOT NULL REFERENCES collections ON DELETE CASCADE,
        id BLOB NOT NULL, vector BLOB NOT NULL, attributes TEXT NOT NULL, PRIMARY KEY (collection, id)
    )""",
)


class SQLiteVectorStore(VectorStore):
    """Keeps vectors in one SQLite file, for several processes of one machine. Each call is one transaction."""

    def __init__(self, path: str | Path) -> None:
        self.path, self._closed = Path(path), False

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise StoreError("this vector store was closed", "make a new one")
        try:  # a connection for each call may be used by any thread, and a fork inherits none
            with closing(sqlite3.connect(self.path, timeout=5)) as connection, connection:
                connection.execute("PRAGMA foreign_keys = ON")
                for statement in TABLES:
                    connection.execute(statement)
                yield connection
        except sqlite3.IntegrityError as error:  # the foreign key: the collection was dropped since its spec was read
            raise CollectionNotFoundError("the collection was dropped meanwhile", "create it again") from error
        except sqlite3.Error as error:  # all errors of the engine become errors of vecrec
            raise StoreError(f"{self.path}: {error}", "check the file and its directory") from error

    @override
    def ping(self) -> None:
        self._collections()

    @override
    def close(self) -> None:
        self._closed = True

    @override
    def _create(self, collection: str, spec: CollectionSpec) -> None:
        with self._connected() as connection:
            row = (collection, json.dumps(asdict(spec)))
            if connection.execute("INSERT OR IGNORE INTO collections VALUES (?, ?)", row).rowcount == 0:
                raise CollectionExistsError(f"there is a collection {collection!r} already", "drop it first")

    @override
    def _drop(self, collection: str) -> None:
        with self._connected() as connection:
            connection.execute("DELETE FROM collections WHERE name = ?", (collection,))

    @override
    def _collections(self) -> list[str]:
        with self._connected() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM collections")]

    @override
    def _spec(self, collection: str) -> CollectionSpec | None:
        with self._connected() as connection:
            row = connection.execute("SELECT spec FROM collections WHERE name = ?", (collection,)).fetchone()
        return CollectionSpec(**json.loads(row[0])) if row else None

    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        rows = [
            (collection, _key(key), vector.tobytes(), json.dumps(values))
            for key, vector, values in zip(ids, vectors, attributes)
        ]
        with self._connected() as connection:
            connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", rows)

    @override
    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        with self._connected() as connection:
            rows = [(collection, _key(key)) for key in ids]
            connection.executemany("DELETE FROM entries WHERE collection = ? AND id = ?", rows)

    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        entries = [each for each in self._entries(collection) if where is None or where.matches(each.attributes)]
        entries.sort(key=lambda entry: id_order(entry.id))  # a stable sort by score keeps equal scores in this order
        matrix = np.array([entry.vector for entry in entries], np.float64).reshape(-1, spec.dim)
        sides = (queries.astype(np.float64), matrix)
        users, items = map(_unit, sides) if spec.metric == "cosine" else sides
        scores = users @ items.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [[Hit(entries[n].id, float(row[n])) for n in order] for row, order in zip(scores, best)]

    @override
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        return {entry.id: entry for entry in self._entries(collection, ids)}

    @override
    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]:
        for entry in self._entries(collection):
            yield entry if vectors else Entry(entry.id, None, entry.attributes)

    @override
    def _count(self, collection: str, spec: CollectionSpec) -> int:
        return len(self._entries(collection))

    def _entries(self, collection: str, ids: Iterable[Id] | None = None) -> list[Entry]:
        query = "SELECT id, vector, attributes FROM entries WHERE collection = ?"
        with self._connected() as connection:
            if ids is None:
                rows = connection.execute(query, (collection,)).fetchall()
            else:
                one = f"{query} AND id = ?"
                rows = [row for key in ids for row in connection.execute(one, (collection, _key(key)))]
        return [
            Entry(decode_id(key.decode()), np.frombuffer(vector, np.float32).copy(), json.loads(values))
            for key, vector, values in rows
        ]


def _key(key: Id) -> bytes:
    return encode_id(key).encode()  # bytes, since text that looks alike must stay apart


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
