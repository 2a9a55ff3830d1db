"""A vector store in files, for several processes of one machine: exact search, without a server."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from typing_extensions import override

from vecrec._internal.exact import nearest, unit
from vecrec._internal.files import sync_directory, write_json
from vecrec._internal.validation import number, path_of
from vecrec.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    InvalidDataError,
    StoreError,
    StoreTimeoutError,
    VecrecError,
    shown,
)
from vecrec.filters import Filter
from vecrec.ids import Id
from vecrec.types import Hit
from vecrec.vector_stores._segment import Segment, Snapshot, create
from vecrec.vector_stores.base import Attributes, CollectionSpec, Entry, Vectors, VectorStore

__all__ = ["FileVectorStore"]

_FORMAT = 1
_MANIFEST = "manifest.json"
_COMPACT_ABOVE = 1024
_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The collections that there are, and the file that says so."""

    file: Any
    """The open file: while it is open, no newer one has its number."""
    number: int
    """The file's number in the file system."""
    stems: dict[str, str]
    """The name of the files of each collection."""
    specs: dict[str, CollectionSpec]
    """What each holds."""


class FileVectorStore(VectorStore):
    """Vectors in a directory that many processes read and write at a time, one writer after the other.

    For up to some 200,000 items on one machine: each search compares with every vector, exactly, and takes about as
    long as NumPy needs for the product. The vectors are mapped into memory, where all processes share them; ids and
    attributes are held by each process. What one call has written is durable, and the next call in any process reads
    it. A process that is killed while it writes leaves its last call done or not done.

    The directory must be on a local disk: locks and shared memory of network file systems cannot be relied on.

    Args:
        path: A directory, made by the first write; its name ends in ``.vec``, or its path follows ``file://``.
        timeout: Seconds that a write waits for other processes to finish theirs.

    Raises:
        InvalidDataError: for an invalid path or timeout.
    """

    db_system = "file"

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 60.0) -> None:
        self.path = _directory(path)
        self.timeout: float = number(timeout, "timeout", above=0)
        self._closed = False
        self._reset()

    def __repr__(self) -> str:
        return f"FileVectorStore({str(self.path)!r})"

    # -- the connection

    @override
    def ping(self) -> None:
        self._collections()

    @override
    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._forget()

    # -- collections

    @override
    def _create(self, collection: str, spec: CollectionSpec) -> None:
        with self._exclusive(f"creation of {collection!r}") as manifest:
            if collection in manifest.stems:
                raise CollectionExistsError(f"there is a collection {collection!r} already", "drop it first")
            stem = uuid.uuid4().hex
            create(self.path / stem)
            self._switch({**manifest.stems, collection: stem}, {**manifest.specs, collection: spec})

    @override
    def _drop(self, collection: str) -> None:
        with self._reading(f"drop of {collection!r}") as manifest:
            if collection not in manifest.stems:
                return
        with self._exclusive(f"drop of {collection!r}") as manifest:
            stems = {name: stem for name, stem in manifest.stems.items() if name != collection}
            self._switch(stems, {name: manifest.specs[name] for name in stems})

    @override
    def _collections(self) -> list[str]:
        with self._reading("list of collections") as manifest:
            return list(manifest.stems)

    @override
    def _spec(self, collection: str) -> CollectionSpec | None:
        with self._reading(f"look at {collection!r}") as manifest:
            return manifest.specs.get(collection)

    # -- entries

    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        with self._exclusive(f"upsert into {collection!r}") as manifest:
            segment = self._current(collection)
            if segment.spec != spec:
                raise CollectionNotFoundError(f"the collection {collection!r} was replaced", "try again")
            segment.put(ids, vectors, attributes)
            self._compact(collection, manifest)

    @override
    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        with self._exclusive(f"deletion from {collection!r}") as manifest:
            self._current(collection).remove(ids)
            self._compact(collection, manifest)

    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        snapshot = self._snapshot(f"search in {collection!r}", collection)
        queries, ids = unit(queries) if spec.metric == "cosine" else queries, snapshot.ids
        found = nearest(
            queries,
            snapshot.compared,
            k,
            length=snapshot.length,
            allowed=snapshot.matching(where),
            tie=lambda row: (isinstance(ids[row], str), ids[row]),
        )
        return [[Hit(ids[row], score) for row, score in each] for each in found]

    @override
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        with self._reading(f"read of {collection!r}") as manifest:
            segment = self._segment(collection, manifest)
            snapshot = segment.snapshot()
            places = {key: segment.places[key] for key in ids if key in segment.places}
        return {key: _entry(snapshot, row, vectors=True) for key, row in places.items()}

    @override
    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]:
        snapshot = self._snapshot(f"read of {collection!r}", collection)
        return (_entry(snapshot, row, vectors=vectors) for row in snapshot.live.nonzero()[0].tolist())

    @override
    def _count(self, collection: str, spec: CollectionSpec) -> int:
        with self._reading(f"count of {collection!r}") as manifest:
            return len(self._segment(collection, manifest).places)

    # -- what this process has read

    def _reset(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._known: _Manifest | None = None
        self._segments: dict[str, Segment] = {}

    def _forget(self, stems: Mapping[str, str] = MappingProxyType({})) -> None:
        """Close the files of the collections, but for those that are still in use."""
        for name, segment in list(self._segments.items()):
            if segment.stem.name != stems.get(name):
                self._segments.pop(name).close()
        if self._known is not None and self._known.file is not None:
            self._known.file.close()
        self._known = None

    @contextlib.contextmanager
    def _reading(self, doing: str) -> Iterator[_Manifest]:
        """The collections as they are now, for one thread of this process at a time."""
        if self._process != os.getpid():
            self._reset()  # in a fork, whose parent may have held the lock; the parent's files are closed by it
        with self._lock, self._told(doing):
            if self._closed:
                raise StoreError("this vector store was closed", "create a new one")
            yield self._manifest()

    def _snapshot(self, doing: str, collection: str) -> Snapshot:
        with self._reading(doing) as manifest:
            return self._segment(collection, manifest).snapshot()

    def _manifest(self) -> _Manifest:
        path = self.path / _MANIFEST
        try:
            found = path.stat().st_ino
        except FileNotFoundError:
            self._forget()
            return _Manifest(None, 0, {}, {})
        if self._known is None or self._known.number != found:
            known = _read_manifest(path)
            self._forget(known.stems)
            self._known = known
        return self._known

    def _segment(self, collection: str, manifest: _Manifest) -> Segment:
        """The collection's files, read to their ends."""
        for _ in range(_ATTEMPTS):
            if collection not in manifest.stems:
                raise CollectionNotFoundError(
                    f"no collection {collection!r}", "it was dropped; publish the items again"
                )
            segment = self._segments.get(collection)
            try:
                if segment is None:
                    segment = Segment(self.path / manifest.stems[collection], manifest.specs[collection])
                    self._segments[collection] = segment
                segment.refresh()
            except FileNotFoundError:
                manifest = self._manifest()  # another process has just replaced the files
            else:
                return segment
        raise StoreError(f"the files of the collection {collection!r} are missing in {self.path}", "restore a backup")

    # -- writing

    @contextlib.contextmanager
    def _exclusive(self, doing: str) -> Iterator[_Manifest]:
        """The collections as they are now, for one thread of one process at a time."""
        from filelock import FileLock, Timeout

        if self._closed:
            raise StoreError("this vector store was closed", "create a new one")
        with self._told(doing):
            self._prepare()
            lock = FileLock(self.path / ".lock", timeout=self.timeout, poll_interval=0.01)
            try:
                lock.acquire()
            except Timeout as error:
                raise StoreTimeoutError(
                    f"{doing}: another process has written to {self.path} for {self.timeout:g} s",
                    "find out whether it is stopped, or give the store a longer timeout",
                ) from error
        try:
            with self._reading(doing) as manifest:
                pass
            with self._told(doing):  # without the lock of this process, so that its other threads go on reading
                yield manifest
        finally:
            lock.release()

    def _current(self, collection: str) -> Segment:
        with self._reading(f"look at {collection!r}") as manifest:
            return self._segment(collection, manifest)

    def _prepare(self) -> None:
        if (self.path / ".lock").exists():
            return
        if self.path.is_dir() and any(self.path.iterdir()):
            raise StoreError(f"{self.path} holds files of something else", "name a new directory for the vectors")
        self.path.mkdir(parents=True, exist_ok=True)

    def _switch(self, stems: dict[str, str], specs: dict[str, CollectionSpec]) -> None:
        """Make other files the collections, in one step that survives a crash; then remove those that are not."""
        sync_directory(self.path)
        collections = {
            name: {
                "files": stem,
                "dim": specs[name].dim,
                "metric": specs[name].metric,
                "fields": dict(specs[name].fields),
            }
            for name, stem in stems.items()
        }
        write_json(self.path / _MANIFEST, {"format": _FORMAT, "collections": collections})
        kept = set(stems.values())
        for path in self.path.iterdir():
            if path.suffix in (".rows", ".log") and path.stem not in kept:
                path.unlink(missing_ok=True)

    def _compact(self, collection: str, manifest: _Manifest) -> None:
        """Leave the dead rows behind once they are more than the live ones."""
        segment = self._current(collection)
        if segment.dead <= max(_COMPACT_ABOVE, len(segment.places)):
            return
        stem = uuid.uuid4().hex
        # The write itself is done. Where there is no room for a copy, a later write makes it.
        with contextlib.suppress(OSError):
            segment.copy_to(self.path / stem)
            self._switch({**manifest.stems, collection: stem}, manifest.specs)

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except VecrecError:
            raise
        except OSError as error:
            raise StoreError(
                f"{doing}: {self.path} cannot be used ({error.strerror or error})",
                "make room on the disk, or name a place that this user can read and write",
            ) from error


def _directory(path: Any) -> Path:
    path_of(path, "the path of the vector store")
    text = os.fspath(path)
    if not text.removeprefix("file://").strip():
        raise InvalidDataError(f"{shown(path)} is not a path of a vector store", "give one such as 'movies.vec'")
    # Absolute, so that a later change of the working directory names no other store.
    return Path(os.path.realpath(Path(text.removeprefix("file://")).expanduser()))


def _read_manifest(path: Path) -> _Manifest:
    file = path.open("rb")
    try:
        record = json.loads(file.read())
        if record["format"] != _FORMAT:
            raise StoreError(f"a newer vecrec has written {path}", "upgrade vecrec")
        found = record["collections"]
        specs = {name: CollectionSpec(each["dim"], each["metric"], each["fields"]) for name, each in found.items()}
        stems = {name: str(each["files"]) for name, each in found.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        file.close()
        raise StoreError(f"{path} is damaged ({type(error).__name__}: {error})", "restore a backup") from error
    except BaseException:
        file.close()
        raise
    return _Manifest(file, os.fstat(file.fileno()).st_ino, stems, specs)


def _entry(snapshot: Snapshot, row: int, *, vectors: bool) -> Entry:
    vector = snapshot.vectors[row].copy() if vectors else None
    return Entry(snapshot.ids[row], vector, copy.deepcopy(snapshot.attributes[row]))
