"""The vector store on Milvus."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from vecrec._internal.validation import choice, number
from vecrec.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    InvalidDataError,
    StoreError,
    StoreTimeoutError,
)
from vecrec.ids import Id
from vecrec.progress import Progress, Step, silent
from vecrec.types import Hit
from vecrec.vector_stores.base import CollectionSpec, Entry, VectorStore
from vecrec.vector_stores.milvus import writes
from vecrec.vector_stores.milvus.client import Client, halved, parse_address
from vecrec.vector_stores.milvus.collections import Catalog
from vecrec.vector_stores.milvus.errors import is_unanswered
from vecrec.vector_stores.milvus.filters import id_in
from vecrec.vector_stores.milvus.index import Flat, Index, check_index
from vecrec.vector_stores.milvus.layout import PROPERTY, VECTOR, Layout
from vecrec.vector_stores.milvus.reads import Table, search

if TYPE_CHECKING:
    from vecrec.filters import Filter
    from vecrec.vector_stores.base import Attributes, Vectors

__all__ = ["MilvusVectorStore"]

_IDS = 2_000
_POLL = 0.1

# A server makes no index for a segment of fewer rows (its dataCoord.segment.minSegmentNumRowsToEnableIndex).
_INDEXED_ROWS = 1024
_TAKING = 60.0


class MilvusVectorStore(VectorStore):
    """Vectors in Milvus: Milvus Lite inside this process, or a Milvus server, standalone or distributed.

    ``MilvusVectorStore("movies.db")`` is the choice for development and for up to some 20,000 items; its directory
    serves one process at a time. ``MilvusVectorStore("http://milvus:19530")`` is the choice for everything else. The
    connection is opened by the first call.

    What one call has written, the next call reads, in any process: a write to a server returns when the server's
    readers have seen it, which takes 200 to 400 milliseconds, and reads are as fast as the server is. So write many
    items in one call, or inside of `bulk`. Where a collection is loaded with several replicas,
    ``consistency="Strong"`` makes each read wait instead.

    Args:
        uri: A path that ends in ``.db``, whose folder is made if need be, or a server's address, with credentials or
            without: ``http://``, ``https://``, ``tcp://`` or ``unix:``. Its path names the database.
        token: ``"user:password"`` or an API key.
        index: The index of the collections that this store creates; by default `Flat`, which is exact. Take another
            one for more than some 100,000 items, and measure what it loses: a graph like `HNSW` is made for vectors of
            one length, and those of a recommender, popular or not, are of many.
        timeout: Seconds in which a single request to the engine has to be answered.
        flush_timeout: Seconds that `flush` waits for the index to advance; one that goes on being built is waited for,
            however long that takes.
        consistency: ``"Bounded"`` reads what every finished write of vecrec wrote, as far as a collection has one
            replica; ``"Strong"`` reads what any client wrote, and takes 200 to 400 milliseconds longer for each read.

    Raises:
        InvalidDataError: for an invalid address or setting.
    """

    db_system = "milvus"

    def __init__(
        self,
        uri: str | os.PathLike[str],
        *,
        token: str | None = None,
        index: Index | None = None,
        timeout: float = 10.0,
        flush_timeout: float = 600.0,
        consistency: str = "Bounded",
    ) -> None:
        address = parse_address(uri)
        self._index = check_index(Flat() if index is None else index)
        self.timeout = number(timeout, "timeout", above=0)
        self._client = Client(address, _token(token), self.timeout)
        self._flush_timeout = number(flush_timeout, "flush_timeout", above=0)
        self._consistency = choice(consistency, "consistency", ("Bounded", "Strong"))
        self.one_process = self._client.address.lite
        self._catalog = Catalog(self._client)
        self._bulk: dict[str, int] = {}
        self._efforts: dict[str, int | None] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MilvusVectorStore({self._client.address.shown!r})"

    # -- the connection

    @override
    def ping(self) -> None:
        self._client.direct("ping", "get_server_version")

    @override
    def close(self) -> None:
        self._client.close()

    @override
    @contextlib.contextmanager
    def bulk(self, collection: str) -> Iterator[None]:
        self.spec(collection)
        with self._lock:
            self._bulk[collection] = self._bulk.get(collection, 0) + 1
        try:
            yield
        except BaseException:
            self._leave_bulk(collection)
            # What went wrong is the caller's news, not that the server does not answer either.
            with contextlib.suppress(StoreError):
                self._await_visible(collection)
            raise
        self._leave_bulk(collection)
        self._await_visible(collection)

    def _leave_bulk(self, collection: str) -> None:
        with self._lock:
            self._bulk[collection] -= 1
            if not self._bulk[collection]:
                del self._bulk[collection]

    # -- collections

    def _layout_of(self, spec: CollectionSpec) -> Layout:
        layout = Layout(spec, self._index, arrays=not self._client.address.lite)
        layout.check()
        return layout

    @override
    def _check_spec(self, spec: CollectionSpec) -> None:
        self._layout_of(spec)

    @override
    def _create(self, collection: str, spec: CollectionSpec) -> None:
        layout = self._layout_of(spec)
        if self._catalog.describe(collection) is not None:
            raise self._taken(collection)
        try:
            self._make(collection, layout)
        except StoreError as error:
            made = self._catalog.layout(collection)
            if made is not None and made.key != layout.key:
                raise self._taken(collection) from error  # by another process in the meantime
            if made is not None:
                with contextlib.suppress(StoreError):
                    self._drop(collection)
            raise

    def _make(self, collection: str, layout: Layout) -> None:
        doing, engine = f"creation of {collection!r}", self._client.engine()
        # A second creation with an equal schema would be no error to a server; the layout's key makes them differ.
        schema, properties = layout.schema(engine), {PROPERTY: layout.description()}
        self._client.direct(
            doing, "create_collection", collection, schema=schema, properties=properties, consistency_level="Bounded"
        )
        self._client.make_index(doing, collection, layout)

    @override
    def _drop(self, collection: str) -> None:
        record = self._catalog.describe(collection)
        self._catalog.forget(collection)
        self._efforts.pop(collection, None)
        if record is None:
            return
        if Layout.read(record) is None:
            raise StoreError(
                f"vecrec has not made the collection {collection!r}, and does not drop what is not its own",
                "drop it with the tool that made it, or use another name",
            )
        with contextlib.suppress(CollectionNotFoundError):
            self._client.direct(f"drop of {collection!r}", "drop_collection", collection)

    @override
    def _collections(self) -> list[str]:
        names = self._client.direct("list of collections", "list_collections")
        return [name for name in names if self._catalog.layout(name) is not None]

    @override
    def _spec(self, collection: str) -> CollectionSpec | None:
        layout = self._catalog.layout(collection)
        return None if layout is None else layout.spec

    # -- entries

    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        layout = self._table(collection).layout

        def send(part: writes.Batch) -> None:
            self._client.send(f"upsert into {collection!r}", writes.request(collection, layout, part))

        batches = writes.parts(layout, writes.Batch(ids, vectors, attributes))
        with self._catalog.about(collection):
            for batch in batches:
                for _ in halved(batch, send):
                    pass
        self._await_visible(collection)

    @override
    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        with self._catalog.about(collection):
            for start in range(0, len(ids), _IDS):
                condition = id_in(ids[start : start + _IDS])
                self._client.call(f"deletion from {collection!r}", "delete", collection, filter=condition)
        self._await_visible(collection)

    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        with self._catalog.about(collection):
            return search(self._table(collection), queries, k, where)

    @override
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        with self._catalog.about(collection):
            return {entry.id: entry for entry in self._table(collection).fetch(ids)}

    @override
    def _fetch_vectors(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        with self._catalog.about(collection):
            return {entry.id: entry for entry in self._table(collection).fetch(ids, fields=())}

    @override
    def _scan(self, collection: str, spec: CollectionSpec, vectors: bool, batch_size: int) -> Iterator[Entry]:
        table = self._table(collection)

        def entries() -> Iterator[Entry]:
            with self._catalog.about(collection):
                for page in table.pages("", batch_size, vectors=vectors):
                    yield from page

        return entries()

    @override
    def _count(self, collection: str, spec: CollectionSpec) -> int:
        with self._catalog.about(collection):
            return self._table(collection).count("")

    @override
    def _flush(self, collection: str, spec: CollectionSpec, progress: Progress) -> None:
        doing = f"flush of {collection!r}"
        with self._catalog.about(collection):
            if self._client.address.lite:
                self._client.direct(doing, "flush", collection, timeout=self._flush_timeout)
                return
            watch = IndexWatch(lambda: self._index_state(doing, collection), self._flush_timeout, doing, progress)
            self._write_out(doing, collection, watch)
            watch.wait()
            if not isinstance(self._table(collection).layout.index, Flat):
                self._take_index(doing, collection)

    def _take_index(self, doing: str, collection: str) -> None:
        """Return when searches use the index that was built.

        By itself a server takes it some ten seconds later. Until then it searches by a coarse one of its own, and a
        measurement of the index would measure that.
        """
        # It will be taken anyway, so the wait is short.
        deadline = time.monotonic() + min(self._flush_timeout, _TAKING)
        with contextlib.suppress(StoreTimeoutError):
            left = max(deadline - time.monotonic(), _POLL)
            self._client.direct(doing, "refresh_load", collection, timeout=left)
        written = int(self._index_state(doing, collection).get("total_rows", 0))
        while time.monotonic() < deadline:
            segments = self._client.direct(doing, "list_loaded_segments", collection)
            indexed = all(segment.index_name or segment.num_rows < _INDEXED_ROWS for segment in segments)
            if indexed and sum(segment.num_rows for segment in segments) >= written:
                return
            time.sleep(_POLL)

    def _write_out(self, doing: str, collection: str, watch: IndexWatch) -> None:
        while True:
            try:
                self._client.direct(doing, "flush", collection)
            except StoreTimeoutError as error:
                # A server that answers, and has only not finished, may go on; to ask again is cheap.
                if is_unanswered(error.__cause__):
                    raise
                watch.look()
            else:
                return

    @override
    def _widen(self, collection: str, spec: CollectionSpec, effort: int | None) -> bool:
        index = self._table(collection).layout.index
        before = self._efforts.get(collection, 1)
        self._efforts[collection] = effort
        if effort is None or before is None:
            return effort != before and type(index) is not Flat
        return index.search(1, effort) != index.search(1, before)

    # -- helpers

    def _table(self, collection: str) -> Table:
        layout = self._catalog.layout(collection)
        if layout is None:
            raise CollectionNotFoundError(
                f"the collection {collection!r} was dropped meanwhile", "publish the items again"
            )
        # While this process writes in bulk, its own reads wait for what it has written.
        consistency = "Strong" if collection in self._bulk else self._consistency
        return Table(self._client, collection, layout, consistency, self._efforts.get(collection, 1))

    def _taken(self, collection: str) -> CollectionExistsError:
        return CollectionExistsError(
            f"there is a collection {collection!r} already", "drop it first or use another name"
        )

    def _await_visible(self, collection: str) -> None:
        if self._client.address.lite or collection in self._bulk:
            return
        with self._catalog.about(collection):
            self._client.await_visible(f"write to {collection!r}", collection)

    def _index_state(self, doing: str, collection: str) -> dict[str, Any]:
        state: dict[str, Any] = self._client.direct(doing, "describe_index", collection, index_name=VECTOR)
        return state


class IndexWatch:
    """Looks at an index while it is built: one that advances may take as long as it needs.

    Args:
        read: What the engine says of the index.
        patience: Seconds that may pass without any row being written or indexed, or any other change.
        doing: How messages call it.
        progress: Receives how many rows are indexed, whenever that changes.
    """

    def __init__(
        self, read: Callable[[], dict[str, Any]], patience: float, doing: str, progress: Progress = silent
    ) -> None:
        self._read, self._patience, self._doing, self._progress = read, patience, doing, progress
        self._last: dict[str, Any] | None = None
        self._deadline = time.monotonic() + patience

    def wait(self) -> None:
        """Return when the index is built.

        Raises:
            StoreTimeoutError: when it has stopped advancing for so long.
        """
        while not self.look():
            time.sleep(_POLL)

    def look(self) -> bool:
        """Whether the index is built.

        Raises:
            StoreTimeoutError: as for `wait`.
        """
        state = self._read()
        if state != self._last:
            self._last, self._deadline = state, time.monotonic() + self._patience
            done, total = (int(state.get(name) or 0) for name in ("indexed_rows", "total_rows"))
            if total:
                self._progress(Step("build index", min(done, total), total))
        elif time.monotonic() > self._deadline and not _is_built(state):
            raise StoreTimeoutError(
                f"{self._doing}: the index has not advanced for {self._patience} s and is not built ({state})",
                "it may go on, and until then searches are slow; look at the server, or give the store a longer "
                "flush_timeout",
            )
        return _is_built(state)


def _is_built(state: dict[str, Any]) -> bool:
    return state.get("state") == "Finished" and not state.get("pending_index_rows")


def _token(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidDataError(f"the token is of type {type(value).__name__}", "give 'user:password' or an API key")
    return value
