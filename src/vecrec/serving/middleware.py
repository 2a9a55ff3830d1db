"""What every request passes: its id, the limits, the key, the path, the log and the metrics."""

from __future__ import annotations

import logging
import math
import re
import time
import uuid
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vecrec.config.settings import Settings
from vecrec.serving.errors import problem
from vecrec.serving.limits import Keys, RateLimit
from vecrec.serving.metrics import Metrics

__all__ = ["Gate", "route_path"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")
_GUARDED = ("/v1", "/metrics")

_log = logging.getLogger("vecrec.serving")
_access = logging.getLogger("vecrec.serving.access")


class Gate:
    """An ASGI middleware.

    A request's id is taken from ``X-Request-ID``, or made, and comes back in that header, in problem documents, in
    lists and in the log.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._keys, self._rate = Keys(settings.api_keys), RateLimit(settings.rate_per_minute)
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not _REQUEST_ID.match(request_id):
            request_id = uuid.uuid4().hex
        scope["vecrec.request_id"] = request_id
        answer = _Answer(send, request_id)
        began = time.perf_counter()
        self._in_flight += 1
        self._metrics.in_flight.inc()
        try:
            refusal = self._refusal(scope, headers, request_id)
            await self._pass(scope, receive, answer, request_id, refusal)
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.dec()
            self._note(scope, answer.status, time.perf_counter() - began, request_id)

    async def _pass(
        self, scope: Scope, receive: Receive, answer: _Answer, request_id: str, refusal: Response | None
    ) -> None:
        if refusal is not None:
            await refusal(scope, receive, answer)
            return
        try:
            await self._app(scope, _Bounded(receive, self._settings.max_body_bytes), answer)
        except Exception:
            _log.exception("%s %s %s", request_id, scope["method"], scope["path"])
            if answer.status:
                raise  # the answer has begun: only a broken connection can still say that it is not whole
            detail = "The service has made a mistake. Its log has the details under the request's id."
            await problem(500, "Internal error", detail, request_id=request_id)(scope, receive, answer)

    def _refusal(self, scope: Scope, headers: Headers, request_id: str) -> Response | None:
        """The answer to a request that may not pass."""
        if not _keep_separators(scope):
            detail = "The path holds bytes that are no UTF-8 text: encode ids as UTF-8, then percent-encode them."
            return problem(400, "The path is no text", detail, request_id=request_id)
        if not route_path(scope).startswith(_GUARDED):
            return None
        key = _key(headers)
        if self._keys and not self._keys.accept(key):
            detail = "Show a key: Authorization: Bearer KEY, or X-API-Key: KEY."
            more = {"WWW-Authenticate": "Bearer"}
            return problem(401, "A key is needed", detail, kind="key", request_id=request_id, headers=more)
        return self._excess(scope, headers, key, request_id)

    def _excess(self, scope: Scope, headers: Headers, key: str, request_id: str) -> Response | None:
        """The answer to a request that is too much."""
        client = key if self._keys else (scope.get("client") or ("",))[0]
        wait = self._rate.wait(client)
        if wait:
            detail = f"More than {self._settings.rate_per_minute} requests a minute: wait {wait:.1f} seconds."
            more = {"Retry-After": str(math.ceil(wait))}
            return problem(429, "Too many requests", detail, kind="rate", request_id=request_id, headers=more)
        if self._in_flight > self._settings.max_in_flight:
            detail = f"{self._settings.max_in_flight} requests are being answered: come again in a moment."
            return problem(503, "The service is busy", detail, kind="busy", request_id=request_id)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._settings.max_body_bytes:
            detail = f"The body has {length} bytes, more than {self._settings.max_body_bytes}: send smaller batches."
            return problem(413, "The body is too large", detail, kind="size", request_id=request_id)
        return None

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        # The path's pattern and not the path: a label for each id would fill the memory.
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(scope["method"] if route != "other" else "other", route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        _access.info("%s %s %s %d %.1f ms", request_id, scope["method"], scope["path"], status, 1e3 * seconds)


class _Answer:
    """Sends an answer with what all answers carry, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self._request_id = send, request_id
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


class _Bounded:
    """Receives a body up to a size, whatever its header says."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left, self._most = receive, most, most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, f"The body has more than {self._most} bytes: send smaller batches.")
        return message


def route_path(scope: Scope) -> str:
    """The path below the place where the application is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def _keep_separators(scope: Any) -> bool:
    """Decode the path anew, so that an encoded slash within an id is not taken for the end of a segment.

    Encoded slashes and percent signs stay encoded, for `vecrec.serving.ids` to decode. False for what is no UTF-8.
    """
    raw = scope.get("raw_path")
    if raw is None or b"%" not in raw:
        return True
    text = re.sub("%(25|2[Ff])", r"%25\1", raw.decode("ascii", "replace"))
    try:
        scope["path"] = unquote(text, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _key(headers: Headers) -> str:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
