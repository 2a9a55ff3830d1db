"""What every request passes: its id, the path, keys and scopes, limits, the body, the log and the metrics."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import re
import sys
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vecrec._internal.tracing import MODULE as TRACED
from vecrec._internal.tracing import serving_span
from vecrec.config.settings import SCOPES, Settings, scope_of_key
from vecrec.serving.errors import MISTAKE, problem
from vecrec.serving.logs import current_request
from vecrec.serving.metrics import Metrics

__all__ = ["GUARDED", "READS", "Gate", "Keys", "RateLimit", "shown_key", "shows_admin_key"]

_CLIENTS = 10_000
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")
GUARDED = ("/v1", "/metrics")
"""The beginnings of the paths that need a key where there are keys."""
_COUNTED = "/v1/"
_ADMIN = "/v1/admin"
READS = {
    "/v1/explanations", "/v1/items/lookup", "/v1/items/vectors", "/v1/ranking", "/v1/recommendations",
    "/v1/recommendations/batch", "/v1/retrieval", "/v1/users/vectors",
}  # fmt: skip
"""What is asked by POST, since the question is too long for a URL."""
_JSON = re.compile(r"application/([a-z0-9.+-]+\+)?json\s*(;|\Z)", re.IGNORECASE)
_CLIENT_CLOSED = 499

_log = logging.getLogger("vecrec.serving")
_access = logging.getLogger("vecrec.serving.access")


class Keys:
    """The keys of a service with their scopes. Without any, the service is open."""

    def __init__(self, keys: Iterable[str]) -> None:
        # Digests have equal lengths, so that the comparison takes the same time for every key.
        self._held = [(_digest(key), scope) for scope, key in map(scope_of_key, keys)]

    def __bool__(self) -> bool:
        return bool(self._held)

    def scope(self, key: str) -> str:
        """The scope of a key, empty for a wrong one, in a time that does not tell how near it came."""
        given, found = _digest(key), ""
        for digest, scope in self._held:
            if hmac.compare_digest(given, digest):
                found = max(found, scope, key=_rank)
        return found


class RateLimit:
    """A bucket of tokens for each client: so many a minute, with room for a sixth of them at once.

    It remembers the latest clients only, so its memory is bounded; a client that was forgotten starts with a full
    bucket. It belongs to one event loop.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._size, self._clock = per_minute / 60, max(per_minute / 6, 1.0), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, *, take: bool = True) -> float:
        """Take a token, or only look; the seconds until there is one where there is none, else 0."""
        if not self._rate:
            return 0.0
        now = self._clock()
        tokens, since = self._buckets.get(client, (self._size, now))
        tokens = min(self._size, tokens + (now - since) * self._rate)
        allowed = tokens >= 1
        if take:
            self._buckets[client] = (tokens - allowed, now)
            self._buckets.move_to_end(client)
            if len(self._buckets) > _CLIENTS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._rate

    def headers(self, client: str) -> dict[str, str]:
        """What a client has left: the most at once, how many of them now, and the seconds until all are back."""
        if not self._rate:
            return {}
        tokens, _ = self._buckets.get(client, (self._size, 0.0))
        told = (self._size, tokens, math.ceil((self._size - tokens) / self._rate))
        return {f"X-RateLimit-{name}": str(int(each)) for name, each in zip(("Limit", "Remaining", "Reset"), told)}


class Gate:
    """An ASGI middleware.

    A request's id is taken from ``X-Request-ID``, or made, and comes back in that header, in problem documents, in
    lists and in the log. A body is read whole before the request counts as in flight, so that slow clients do not
    keep others out.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._keys, self._rate = Keys(settings.api_keys), RateLimit(settings.rate_per_minute)
        self._wrong = RateLimit(settings.wrong_keys_per_minute)
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
        is_head = scope["method"] == "HEAD"
        # HEAD is answered as GET is, without the body.
        inner = {**scope, "vecrec.request_id": request_id, "method": "GET" if is_head else scope["method"]}
        answer = _Answer(send, request_id, is_head)
        current_request.set(request_id)  # in the context of this request's task
        span = serving_span(scope["method"], headers, request_id) if TRACED in sys.modules else None
        if span is None:
            await self._pass(scope, inner, receive, answer)
            return
        with span as told:
            await self._pass(scope, inner, receive, answer)
            _describe(told, inner, answer.status)

    async def _pass(self, scope: Scope, inner: Scope, receive: Receive, answer: _Answer) -> None:
        headers, began = Headers(scope=scope), time.perf_counter()
        try:
            refusal = self._refusal(inner, headers)
            answer.headers = inner.get("vecrec.rate", {})
            if refusal is not None:
                await refusal(inner, receive, answer)
            elif not _is_guarded(inner):
                await self._answer(inner, receive, answer)
            else:
                await self._read_and_answer(inner, receive, answer)
        finally:
            self._note(scope, inner, answer.status or _CLIENT_CLOSED, time.perf_counter() - began)

    async def _read_and_answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            with anyio.fail_after(self._settings.body_seconds):
                body = await _read(receive, self._settings.max_body_bytes)
        except TimeoutError:
            detail = f"The body did not arrive within {self._settings.body_seconds:g} seconds: send smaller batches."
            late = _refused(scope, 408, "The body is too slow", detail, "timeout", {"Connection": "close"})
            await late(scope, receive, answer)
            return
        if body is None:
            return  # the client has gone
        if len(body) > self._settings.max_body_bytes:
            await self._too_large(scope, f"more than {self._settings.max_body_bytes}")(scope, receive, answer)
        elif self._in_flight >= self._settings.max_in_flight:
            detail = f"{self._settings.max_in_flight} requests are being answered: try again in a moment."
            await _refused(scope, 503, "The service is busy", detail, "busy")(scope, receive, answer)
        else:
            self._in_flight += 1
            self._metrics.in_flight.inc()
            try:
                await self._answer(scope, _Replay(body, receive), answer)
            finally:
                self._in_flight -= 1
                self._metrics.in_flight.dec()

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            await self._app(scope, receive, answer)
        except Exception:
            _log.exception("%s %s %s", scope["vecrec.request_id"], scope["method"], scope["path"])
            if answer.status:
                raise  # the answer has begun: only a broken connection can still say that it is not whole
            await _refused(scope, 500, "Internal error", MISTAKE, "internal")(scope, receive, answer)

    # -- what is refused

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request that may not pass."""
        if not _keep_separators(scope):
            detail = "The path holds bytes that are not UTF-8 text: encode ids as UTF-8, then percent-encode them."
            return _refused(scope, 400, "The path is not text", detail, "path")
        key, client = shown_key(headers), (scope.get("client") or ("",))[0]
        locked = self._wrong.wait(client, take=False) if self._keys else 0.0
        held = scope["vecrec.scope"] = self._scope(key, client, locked)
        if not _is_guarded(scope):
            return None
        refusal = self._forbidden(scope, held, locked) if self._keys else None
        return refusal or self._excess(scope, key if self._keys else client) or self._bad_body(scope, headers)

    def _scope(self, key: str, client: str, locked: float) -> str:
        if not self._keys or not key or locked:
            return ""
        scope = self._keys.scope(key)
        if not scope:
            self._wrong.wait(client)
        return scope

    def _forbidden(self, scope: Scope, held: str, locked: float) -> Response | None:
        if locked:
            detail = f"Too many wrong keys came from this address: wait {locked:.1f} seconds."
            return _refused(scope, 429, "Too many wrong keys", detail, "key", _retry_after(locked))
        if not held:
            detail = "Show a key: Authorization: Bearer KEY, or X-API-Key: KEY."
            return _refused(scope, 401, "A key is needed", detail, "key", {"WWW-Authenticate": "Bearer"})
        wanted = _wanted_scope(scope)
        if _rank(held) < _rank(wanted):
            detail = f"This needs a key with the scope {wanted!r}; the one shown has {held!r}."
            return _refused(scope, 403, "The key does not allow this", detail, "scope")
        return None

    def _excess(self, scope: Scope, client: str) -> Response | None:
        wait = self._rate.wait(client)
        scope["vecrec.rate"] = self._rate.headers(client)
        if not wait:
            return None
        detail = f"More than {self._settings.rate_per_minute} requests a minute: wait {wait:.1f} seconds."
        return _refused(scope, 429, "Too many requests", detail, "rate", _retry_after(wait))

    def _bad_body(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a body that need not be read."""
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._settings.max_body_bytes:
            return self._too_large(scope, f"{length} bytes, more than {self._settings.max_body_bytes}")
        has_body = length != "0" or "transfer-encoding" in headers
        if has_body and not _JSON.match(headers.get("content-type", "")):
            detail = "The body must be JSON: send it with Content-Type: application/json."
            return _refused(scope, 415, "The body is not JSON", detail, "content-type")
        return None

    @staticmethod
    def _too_large(scope: Scope, size: str) -> Response:
        detail = f"The body has {size}: send smaller batches."
        return _refused(scope, 413, "The body is too large", detail, "size")

    def _note(self, scope: Scope, inner: Scope, status: int, seconds: float) -> None:
        # The path's pattern and not the path: a label for each id would fill the memory.
        route = getattr(inner.get("route"), "path", "other")
        self._metrics.requests.labels(scope["method"] if route != "other" else "other", route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if _path(scope).startswith(_COUNTED):
            self._metrics.history.note(status, seconds)
        request_id = inner["vecrec.request_id"]
        ms = 1e3 * seconds
        told = {"method": scope["method"], "path": scope["path"], "status": status, "ms": round(ms, 1)}
        _access.info("%s %s %s %d %.1f ms", request_id, scope["method"], scope["path"], status, ms, extra=told)


class _Answer:
    """Sends an answer with what all answers carry, and remembers its status."""

    def __init__(self, send: Send, request_id: str, is_head: bool) -> None:
        self._send, self._request_id, self._is_head = send, request_id, is_head
        self.status = 0
        self.headers: dict[str, str] = {}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
            headers.update(self.headers)
        elif self._is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


class _Replay:
    """Receives a body that was read already, then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _describe(span: Any, scope: Scope, status: int) -> None:
    """Tell a span what was asked and answered, by the conventions for HTTP servers."""
    route = getattr(scope.get("route"), "path", "")
    if route:
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status or _CLIENT_CLOSED)
    if status >= 500:
        span.set_attribute("error.type", str(status))


def shows_admin_key(scope: Scope) -> bool:
    """Whether a request has shown a key of the scope ``admin``."""
    return scope.get("vecrec.scope") == "admin"


async def _read(receive: Receive, most: int) -> bytes | None:
    """A body as far as the first byte that is too many; ``None`` where the client has gone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > most or not message.get("more_body"):
            return bytes(body)


def _refused(  # noqa: PLR0917 - what each refusal says, in one order
    scope: Scope, status: int, title: str, detail: str, kind: str, headers: dict[str, str] | None = None
) -> Response:
    return problem(status, title, detail, kind=kind, request_id=scope["vecrec.request_id"], headers=headers)


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(math.ceil(seconds))}


def _path(scope: Scope) -> str:
    """The path below the place where the application is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def _is_guarded(scope: Scope) -> bool:
    return _path(scope).startswith(GUARDED)


def _wanted_scope(scope: Scope) -> str:
    if _path(scope).startswith(_ADMIN):
        return "admin"
    reads = scope["method"] in ("GET", "OPTIONS") or (scope["method"] == "POST" and _path(scope) in READS)
    return "read" if reads else "write"


def _rank(scope: str) -> int:
    return SCOPES.index(scope) if scope else -1


def _keep_separators(scope: Any) -> bool:
    """Decode the path again, so that an encoded slash within an id is not taken for the end of a segment.

    Encoded slashes and percent signs stay encoded, for `vecrec.serving.params` to decode. False for what is not UTF-8.
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


def shown_key(headers: Headers) -> str:
    """The API key that a request shows; empty for none."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
