"""Answers that are kept by the `Idempotency-Key` of a request, so that a retry gets the answer and writes nothing.

They are records of the metadata store, so they hold for all processes of the service and outlive a restart. A store has
no operation that writes a record only where there is none: of two requests with one key that arrive at the same moment,
one process refuses the second; two processes may carry out both, which an event with a time survives.
"""

from __future__ import annotations

import heapq
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from vecrec._internal.batching import batched
from vecrec.errors import InvalidDataError, VecrecError
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommender import Recommender
from vecrec.records import Record
from vecrec.serving.errors import KeyInUseError
from vecrec.serving.middleware import GUARDED, READS, shown_key

__all__ = ["HEADER", "KIND", "PARAMETER", "REPLAYED", "KeptAnswers", "takes_key"]

HEADER, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
KIND = "idempotency_key"
"""The kind of the records."""

PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A text that names this request, such as a new UUID. Sent again with the same key within a day, the "
    "request gets the same answer and writes nothing.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
"""The header as a parameter of OpenAPI."""

_KEY = re.compile(r"[!-~]{1,255}\Z")
_KEPT_SECONDS = 86_400.0
_CLAIM_SECONDS = 60.0
"""How long a request of another process that has no answer yet counts as being answered."""
_MOST = 10_000
"""Answers that a sweep leaves, the latest ones."""
_SWEEP_AFTER = 1_000
"""New keys of a process between two sweeps."""
_BATCH = 1_000

_log = logging.getLogger("vecrec.serving")


class KeptAnswers:
    """The answers to the requests of one application that came with a key."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender, self._worker = recommender, uuid.uuid4().hex
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._until_sweep = 0

    async def once(self, request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        """The kept answer to a request, or the answer of an endpoint, which is then kept.

        Only what an endpoint has answered is kept. After an error the same key is free for another try, whose events
        without a time are of the time of the first.

        Raises:
            InvalidDataError: for a key that is not valid, or that another request had.
            KeyInUseError: when the first request with the key has no answer yet.
        """
        given = request.headers.get(HEADER)
        if given is None:
            return await answer(request)
        name, digest = self._name(request, given), _digest(request, await request.body())
        with self._alone(name):
            record, kept = await run_sync(self._begin, name, digest)
            if kept is not None:
                return kept
            request.scope["vecrec.at"] = record["at"]
            try:
                response = await answer(request)
            except Exception:
                await run_sync(self._keep, name, {**record, "worker": ""})
                raise
            body = bytes(response.body).decode()
            await run_sync(self._keep, name, {**record, "status": response.status_code, "body": body})
            return response

    @staticmethod
    def _name(request: Request, given: str) -> str:
        # The draft's syntax is a string in quotes; most clients send none.
        key = given[1:-1] if len(given) > 1 and given[0] == given[-1] == '"' else given
        if not _KEY.match(key):
            raise InvalidDataError(
                f"{HEADER} is {given[:40]!r}", "give 1 to 255 visible ASCII characters, such as a new UUID"
            )
        # Two clients may choose the same key, and see nothing of each other's answers.
        return blake2b(f"{shown_key(request.headers)}\0{key}".encode(), digest_size=20).hexdigest()

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with self._lock:
            if name in self._busy:
                raise KeyInUseError("the first request with this key is being answered")
            self._busy.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(name)

    def _begin(self, name: str, digest: str) -> tuple[Record, Response | None]:
        """The claim of a request, and the answer that is kept for it."""
        self._sweep()
        now, store = time.time(), self._store()
        held: dict[str, Any] = store.get(KIND, [name]).get(name, {})
        if not held or held["at"] < now - _KEPT_SECONDS:
            held = {"at": now, "request": digest}
        if held["request"] != digest:
            raise InvalidDataError(f"this {HEADER} was used for another request", "send a new request with a new key")
        if "status" in held:
            headers = {REPLAYED: "true", "Content-Type": "application/json"}
            return held, Response(held["body"], held["status"], headers)
        if held.get("worker", self._worker) not in ("", self._worker) and held["since"] > now - _CLAIM_SECONDS:
            raise KeyInUseError("the first request with this key is being answered")
        claim = {**held, "worker": self._worker, "since": now}
        store.put(KIND, {name: claim})
        return claim, None

    def _keep(self, name: str, record: Record) -> None:
        """Write what became of a request, which is answered whether or not that works."""
        try:
            self._store().put(KIND, {name: record})
        except VecrecError as error:
            _log.warning("the answer to a request with a key was not kept: %s", error)

    def _store(self) -> MetadataStore:
        self._recommender.get_users([])  # raises where the store is that of another recommender
        return self._recommender.metadata_store

    def _sweep(self) -> None:
        """Remove what is older than a day or more than the most, now and then."""
        with self._lock:
            self._until_sweep -= 1
            if self._until_sweep >= 0:
                return
            self._until_sweep = _SWEEP_AFTER
        store, oldest = self._store(), time.time() - _KEPT_SECONDS
        records: Iterator[tuple[Id, Any]] = store.scan(KIND)
        times = [(float(record["at"]), key) for key, record in records]
        kept = {key for at, key in heapq.nlargest(_MOST, times) if at >= oldest}
        for part in batched((key for _, key in times if key not in kept), _BATCH):
            store.delete(KIND, part)


def takes_key(method: str, path: str) -> bool:
    """Whether an endpoint keeps answers: those that change something and could do so twice."""
    is_change = method.upper() in ("PATCH", "POST") and path.startswith(GUARDED) and path not in READS
    return is_change and path not in ("/v1/admin/repair", "/v1/admin/verify")


def _digest(request: Request, body: bytes) -> str:
    """What two requests with one key must have in common: where they are sent, and their JSON."""
    with suppress(ValueError, RecursionError):  # which the endpoint refuses
        body = json.dumps(json.loads(body), sort_keys=True).encode()
    place = f"{request.method} {request.url.path}?{request.url.query}\0".encode("utf-8", "surrogatepass")
    return blake2b(place + body, digest_size=20).hexdigest()
