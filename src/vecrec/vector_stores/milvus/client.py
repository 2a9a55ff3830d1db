"""The address of a Milvus, and the connection to it, opened when first needed, by one process."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

from vecrec._internal.budget import Opening, remaining
from vecrec.errors import InvalidDataError, StoreError, shown
from vecrec.vector_stores.milvus import lite
from vecrec.vector_stores.milvus.errors import (
    engine_errors,
    is_loaded,
    is_not_loaded,
    is_too_large,
    is_unreachable,
    is_without_index,
    translate,
)
from vecrec.vector_stores.milvus.layout import ID, Layout

__all__ = ["Address", "Client", "halved", "parse_address"]

_R = TypeVar("_R")

_SCHEMES = ("http", "https", "tcp")
_CURE = (
    "name a file of Milvus Lite that ends in .db, such as 'movies.db', or a server, such as 'http://localhost:19530'"
)

_PAUSE = 0.1
_READS = frozenset({"search", "query", "describe_collection", "list_collections", "has_collection", "describe_index"})
_ANSWERS = frozenset({"search", "query"})

# A read of nothing, which is answered when everything is there.
_LATEST: dict[str, Any] = {"filter": f'{ID} == ""', "output_fields": [ID], "consistency_level": "Strong"}

# By default a lost connection is tried again after pauses that grow to two minutes.
_CHANNEL = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 1000,
    "grpc.max_reconnect_backoff_ms": 1000,
}

# Milvus Lite breaks an idle connection that asks every ten seconds, as pymilvus does, whether it is still there.
_LITE_CHANNEL = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": False}


@dataclass(frozen=True, slots=True)
class Address:
    """One Milvus."""

    uri: str
    """What the client connects to; of Milvus Lite, the absolute path."""
    lite: bool
    """Whether it is Milvus Lite, which runs inside this process."""
    shown: str
    """How messages call it: without the credentials that a URI may carry."""


def parse_address(uri: Any) -> Address:
    """The address of a URI or path.

    Raises:
        InvalidDataError: for anything else, with what was probably meant.
    """
    text = os.fspath(uri) if isinstance(uri, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text.strip():
        raise InvalidDataError(f"{shown(uri)} is not a valid address of a Milvus", _CURE)
    if text.startswith("unix:"):
        return Address(text, False, text)
    if "://" in text:
        return _server(text)
    if text.endswith(".db"):
        # Absolute, so that a later change of the working directory names no other database.
        path = os.path.realpath(Path(text).expanduser())
        return Address(path, True, path)
    raise InvalidDataError(f"{text!r} is not a valid address of a Milvus", _guess(text))


class Client:
    """Calls the engine through pymilvus.

    Args:
        address: Where it is.
        token: ``"user:password"`` or an API key.
        timeout: Seconds that a call may take.
    """

    def __init__(self, address: Address, token: str | None, timeout: float) -> None:
        self.address = address
        self.timeout = timeout
        self._token = token
        self._opening, self._lock = Opening(), threading.Lock()
        self._engine: Any = None
        self._process: int | None = None
        self._closed = False

    def call(self, doing: str, method: str, collection: str, **arguments: Any) -> Any:
        """Call a method of the engine that is about a collection; load the collection first where that is needed.

        Raises:
            StoreError: whatever went wrong, in vecrec's terms.
        """
        try:
            answer = self.direct(doing, method, collection, **arguments)
        except StoreError as error:
            if not is_not_loaded(error.__cause__):
                raise
        else:
            if method not in _ANSWERS or not self._may_be_unloaded(doing, collection, answer):
                return answer
        self._load(doing, collection)
        if not self.address.lite:
            # A collection that was just loaded is still reading what was written lately.
            self.direct(doing, "query", collection, **_LATEST)
        return self.direct(doing, method, collection, **arguments)

    def await_visible(self, doing: str, collection: str) -> None:
        """Return when every reader of the server sees what has been written.

        A read of this consistency is answered only then. Afterwards the server's fast reads see it too, in every
        process, so that none of them has to wait. (``"Session"`` would not do: it overlooks deletions.)
        """
        self.call(doing, "query", collection, **_LATEST)

    def _may_be_unloaded(self, doing: str, collection: str, answer: Any) -> bool:
        # While a server takes a collection out of memory, for about a second, it finds nothing and calls that no error.
        if self.address.lite or any(any(row.values()) if isinstance(row, dict) else row for row in answer):
            return False
        return not is_loaded(self.direct(doing, "get_load_state", collection))

    def make_index(self, doing: str, collection: str, layout: Layout) -> None:
        """Make a collection's index and load it. Each step by itself, since both in one would wait half a second."""
        self.direct(doing, "create_index", collection, layout.index_params(self.engine()), sync=False)
        self.direct(doing, "load_collection", collection)

    def _load(self, doing: str, collection: str) -> None:
        # Milvus Lite forgets what was loaded when its process ends, and an operator may have released it.
        try:
            self.direct(doing, "load_collection", collection)
        except StoreError as error:
            # The process that created it may have died, or not have made the index yet. To make it twice does no harm.
            record = self.direct(doing, "describe_collection", collection)
            layout = Layout.read(record)
            if layout is None or not is_without_index(error.__cause__):
                raise
            self.make_index(doing, collection, layout)

    def direct(self, doing: str, method: str, /, *positional: Any, **arguments: Any) -> Any:
        """Call any method of the engine."""
        engine, most = self.engine(), arguments.pop("timeout", self.timeout)
        failures = engine_errors()
        with self._exclusive():
            try:
                return getattr(engine, method)(*positional, timeout=remaining(most), **arguments)
            except failures as error:
                if method not in _READS or not is_unreachable(error):
                    raise translate(error, doing, self.address.shown) from error
            # The connection broke under the call, as it does when a server was restarted. Only reads are repeated:
            # a write may have been done, and others may have written since.
            time.sleep(_PAUSE)
            try:
                return getattr(engine, method)(*positional, timeout=remaining(most), **arguments)
            except failures as error:
                raise translate(error, doing, self.address.shown) from error

    def send(self, doing: str, request: Any) -> None:
        """Upsert a ready-made request, which saves the client from packing each number by itself."""
        engine = self.engine()
        with self._exclusive():
            try:
                # The public upsert() takes rows only, and packs them 60 times slower than this.
                handler, context = engine._get_connection(), engine._generate_call_context()  # noqa: SLF001
                handler.upsert(
                    request.collection_name, [], upsert_param=request, schema={"fields": []}, context=context,
                    timeout=remaining(self.timeout),
                )  # fmt: skip
            except engine_errors() as error:
                raise translate(error, doing, self.address.shown) from error

    def engine(self) -> Any:
        """The open ``MilvusClient``.

        Raises:
            StoreError: when the store was closed or belongs to another process.
            StoreUnavailableError: when nothing answers at the address.
        """
        if self._engine is not None and self._process == os.getpid():
            return self._engine
        self._check_usable()
        with self._opening.turn(self.timeout):
            self._check_usable()
            return self._engine or self._take(self._open())

    def _take(self, engine: Any) -> Any:
        with self._lock:
            if not self._closed:
                self._engine, self._process = engine, os.getpid()
                return engine
        self._disconnect(engine)  # it was closed meanwhile
        return self._check_usable()

    def close(self) -> None:
        """Disconnect. What a forked child closes stays open in its parent."""
        with self._lock:
            engine, self._engine, self._closed = self._engine, None, True
        if engine is not None and self._process == os.getpid():
            self._disconnect(engine)

    def _disconnect(self, engine: Any) -> None:
        with contextlib.suppress(*engine_errors()):
            engine.close()
        if self.address.lite:
            lite.release(self.address.uri)

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreError("this vector store was closed", "create a new one")
        if self._process not in (None, os.getpid()):
            raise StoreError(
                f"this vector store was opened in process {self._process} and is used in its fork {os.getpid()}, which "
                "would corrupt its connection",
                "make a new store in each process, or start processes by 'spawn'",
            )

    def _open(self) -> Any:
        failures = engine_errors()
        import pymilvus

        _silence()
        channel = {**_CHANNEL, **_LITE_CHANNEL} if self.address.lite else _CHANNEL
        uri = lite.acquire(self.address.uri) if self.address.lite else self.address.uri
        try:
            # Dedicated, since pymilvus never closes a connection that it shares.
            engine = pymilvus.MilvusClient(
                uri, token=self._token or "", timeout=remaining(self.timeout), dedicated=True, grpc_options=channel
            )
        except failures as error:
            if self.address.lite:
                lite.release(self.address.uri)
            raise translate(error, "connect", self.address.shown) from error
        # By default each call goes on connecting until its timeout; this way a dead server is told at once.
        handler = engine._get_connection()  # noqa: SLF001
        handler._on_rpc_error = _give_up  # noqa: SLF001
        handler._execute_search = _bare_search(handler)  # noqa: SLF001
        return engine

    @contextlib.contextmanager
    def _exclusive(self) -> Any:
        # Milvus Lite is not made for calls that meet, and gains nothing from them.
        if not self.address.lite:
            yield
            return
        with lite.lock_of(self.address.uri):
            yield


def _give_up(error: Exception) -> bool:
    import grpc

    if isinstance(error, grpc.RpcError):
        raise error
    return False


class _Hits(NamedTuple):
    """The hits of one query, as pymilvus's own lists name them."""

    ids: list[str]
    distances: list[float]

    def __bool__(self) -> bool:
        return bool(self.ids)


def _bare_search(handler: Any) -> Callable[..., list[_Hits]]:
    """The last step of pymilvus's search, with ids and scores as the result.

    pymilvus makes dictionaries of each hit, which takes the interpreter longer than many searches take the server.
    """
    from pymilvus.client.utils import check_status

    def execute(request: Any, timeout: float | None = None, context: Any = None, **_: Any) -> list[_Hits]:
        metadata = None if context is None else context.to_grpc_metadata()
        response = handler._stub.Search(request, timeout=timeout, metadata=metadata)  # noqa: SLF001
        check_status(response.status)
        results = response.results
        ids, scores = iter(results.ids.str_id.data), iter(results.scores)
        return [_Hits([*islice(ids, count)], [*islice(scores, count)]) for count in results.topks]

    return execute


def _silence() -> None:
    # Both print each failed call with its traceback, although the caller gets an error that says so.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)
    # Milvus Lite loads it, and it tells how.
    if (faiss := logging.getLogger("faiss")).level == logging.NOTSET:
        faiss.setLevel(logging.WARNING)


class _Sliceable(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


_Part = TypeVar("_Part", bound=_Sliceable)


def halved(values: _Part, call: Callable[[_Part], _R]) -> Iterator[_R]:
    """The answers of a call about values; where one is too large for the engine, it is made again in two halves.

    Raises:
        StoreError: what the call raises otherwise, or for a single value that is too large.
    """
    try:
        answer = call(values)
    except StoreError as error:
        if len(values) < 2 or not is_too_large(error.__cause__):
            raise
        middle = len(values) // 2
        yield from halved(values[:middle], call)
        yield from halved(values[middle:], call)
    else:
        yield answer


def _server(text: str) -> Address:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidDataError(f"the address of the Milvus server cannot be read ({error})", _CURE) from error
    if parts.scheme.lower() not in _SCHEMES:
        raise InvalidDataError(f"a Milvus server is not reached by {parts.scheme!r}", f"use one of {_SCHEMES}; {_CURE}")
    if not host:
        raise InvalidDataError("the address of the Milvus server names no host", _CURE)
    shown = f"{parts.scheme}://{host}" + (f":{port}" if port else "") + parts.path.rstrip("/")
    return Address(text, False, shown)


def _guess(text: str) -> str:
    _, colon, port = text.rpartition(":")
    if colon and port.isdecimal():
        return f"for the server write 'http://{text}'"
    if os.sep in text or "." not in text:
        return f"for a file of Milvus Lite write '{text}.db'"
    return _CURE
