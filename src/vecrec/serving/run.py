"""The processes that serve until they are told to stop."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vecrec._internal.connection import Connection
from vecrec.config.compose import compose
from vecrec.config.settings import Settings
from vecrec.errors import InvalidDataError, VecrecError
from vecrec.serving.app import create_app
from vecrec.serving.logs import configure
from vecrec.serving.service import Service
from vecrec.serving.workers import listen, supervise

__all__ = ["bounded_protocol", "serve"]

_PATIENCE = 1.0
"""Seconds for the first question to the metadata store, before anything is known about it."""
_CONNECTING = 1.0
"""Seconds that the stores are waited for once everything else is ready; one that needs longer is used from then on."""
_LOOK = 0.01

_log = logging.getLogger("vecrec.serving")


def serve(settings: Settings, *, access_log: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight end first.

    With several ``settings.workers``, each is a process with a recommender of its own, and this process watches them.
    They are fresh processes that import the main module again: a program that calls this does so under
    ``if __name__ == "__main__":``.

    Args:
        settings: Where the parts are and how to behave.
        access_log: Whether to log every request.

    Raises:
        InvalidDataError: for a port that is in use, or several workers on a store that serves one process.
        VecrecError: for parts that cannot be opened.
    """
    _prepare(settings, access_log)
    if not settings.api_keys and not _is_loopback(settings.host):
        _log.warning("open to everyone who reaches %s: set VECREC_API_KEYS, or listen on 127.0.0.1", settings.host)
    # The port comes first: one that is in use is said before anything is loaded.
    with _ending_by_sigterm(), listen(settings.host, settings.port) as shared:
        if settings.workers == 1:
            _serve(settings, shared)
            return
        _check_stores(settings)
        _log.info("%d workers serve on %s port %d", settings.workers, *shared.getsockname()[:2])
        work = partial(_work, settings, access_log)
        supervise(work, settings.workers, shared, seconds=settings.shutdown_seconds)


def _prepare(settings: Settings, access_log: bool) -> None:
    configure(settings.log_format)
    logging.getLogger("vecrec.serving.access").setLevel(logging.INFO if access_log else logging.WARNING)
    # Arrow's own allocator takes huge pages, 30 MB and more that stay empty. Read when Arrow is first imported.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def _check_stores(settings: Settings) -> None:
    """Open the parts once, so that what is wrong with them is said before anything is started."""
    with compose(settings, patience=_PATIENCE) as recommender:
        for store in (recommender.vector_store, recommender.metadata_store):
            if store.one_process:
                problem = f"{store} serves one process at a time, and workers is {settings.workers}"
                raise InvalidDataError(problem, "serve with one worker, or move to other stores with `vecrec migrate`")


def _work(settings: Settings, access_log: bool, number: int, shared: socket.socket, ready: Callable[[], None]) -> None:
    """What each of several workers does."""
    _prepare(settings, access_log)
    with _ending_by_sigterm():
        _serve(settings, shared, number, ready)


def _serve(
    settings: Settings,
    shared: socket.socket,
    number: int | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    with compose(settings, patience=_PATIENCE) as recommender:
        stores = [each for each in (recommender.vector_store, recommender.metadata_store) if not each.one_process]
        for store in stores:
            store.connect()  # while the release is loaded
        app = create_app(recommender, settings=settings)
        if number is not None:
            app.state.vecrec.metrics.labels = {"worker": str(number)}
        _warm_up(app.state.vecrec, stores)
        # What is here now stays to the end; looking through it again and again would hold requests up.
        gc.collect()
        gc.freeze()
        gc.enable()
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http=bounded_protocol(settings.max_header_bytes),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_graceful_shutdown=max(1, round(settings.shutdown_seconds)),
        )
        ready()
        if number is None:
            _log.info("serving on %s port %d (Ctrl-C ends it)", *shared.getsockname()[:2])
        uvicorn.Server(config).run([shared])


def _warm_up(service: Service, stores: Sequence[Connection]) -> None:
    """Load the live release and wait a moment for the stores. The service starts whatever fails."""
    try:
        with service.recommender.live() as live:
            _log.info("release %s of %s serves", live.release.id, live.release.name)
    except VecrecError as error:
        _log.warning("not ready: %s", error)
    until = time.monotonic() + _CONNECTING
    while time.monotonic() < until and not all(store.answers for store in stores):
        time.sleep(_LOOK)
    for part, problem in service.health.parts().items():
        if problem is not None:
            _log.warning("%s: %s", part, problem)


def bounded_protocol(most: int) -> type[HttpToolsProtocol]:
    """Uvicorn's HTTP protocol with a bound on the bytes of a request's line and headers, which uvicorn does not have.

    Args:
        most: How many bytes are read; a connection that sends more is answered 400 and closed.
    """

    class BoundedProtocol(HttpToolsProtocol):
        _head_bytes = 0
        _in_head = True

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._in_head:  # a header that has not ended was not handed to on_header yet
                self._head_bytes += len(data)
                if self._head_bytes > most and not self.transport.is_closing():
                    self.send_400_response("The headers are too large.")

        def on_message_begin(self) -> None:
            self._head_bytes, self._in_head = 0, True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > most:
                raise ValueError("the headers are too large")  # the parser passes it on, and the answer is 400
            super().on_headers_complete()

    return BoundedProtocol


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def _ending_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that the stores are closed; the server passes it on when it has stopped."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
