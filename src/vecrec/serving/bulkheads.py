"""Rooms for requests by what they wait for, so that those that wait for one engine do not occupy the threads of others.

An endpoint runs in a worker thread, of which there are as many as all rooms together have. A request takes a place in
the room of its endpoint: recommendations wait for the vector store, changes of the catalogue for each other and for
both stores, everything else for the metadata store at most.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

import anyio
from anyio.to_thread import current_default_thread_limiter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from vecrec.errors import StoreTimeoutError
from vecrec.serving.idempotency import takes_key

__all__ = ["Bulkheads", "Guarded"]

Room: TypeAlias = Literal["vectors", "writes", "records"]

_SHARE: dict[Room, float] = {"vectors": 0.25, "writes": 0.5, "records": 0.25}
"""How much of the requests in flight may be in a room."""
_LEAST = 8
"""How many may be in a room, however few requests may be in flight."""
_THREADS: dict[Room, int] = {"vectors": 32, "writes": 256, "records": 32}
"""The most threads of a room. Writes wait in theirs to be committed together."""
_SPARE = 16
"""Threads beside the rooms, for health and the page."""

_SEARCHING = (
    "/recommendations",
    "/batch",
    "/retrieval",
    "/ranking",
    "/similar",
    "/search",
    "/explanation",
    "/explanations",
)
_CHANGING = {"/v1/items", "/v1/items/delete", "/v1/items/{item_id}"}


class Bulkheads:
    """The rooms of one application, which belongs to one event loop."""

    def __init__(self, max_in_flight: int) -> None:
        self._most = {room: max(_LEAST, int(share * max_in_flight)) for room, share in _SHARE.items()}
        self._inside = dict.fromkeys(_SHARE, 0)
        self._threads = {room: anyio.CapacityLimiter(min(most, _THREADS[room])) for room, most in self._most.items()}

    @asynccontextmanager
    async def place(self, room: Room) -> AsyncIterator[None]:
        """A place in a room, and a thread.

        Raises:
            StoreTimeoutError: when the room is full.
        """
        if self._inside[room] >= self._most[room]:
            raise StoreTimeoutError(f"{self._inside[room]} requests for {room} are being answered", "try again later")
        limiter = current_default_thread_limiter()
        limiter.total_tokens = max(limiter.total_tokens, sum(_THREADS.values()) + _SPARE)
        self._inside[room] += 1
        try:
            async with self._threads[room]:
                yield
        finally:
            self._inside[room] -= 1


class Guarded(APIRoute):
    """A route whose requests take a place in their room until they are answered."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI, in the room; a request with an `Idempotency-Key` comes to it once."""
        answer, room = super().get_route_handler(), _room_of(self)
        keeps = any(takes_key(method, self.path) for method in self.methods or ())

        async def handler(request: Request) -> Response:
            service = request.app.state.vecrec
            async with service.bulkheads.place(room):
                return await (service.answers.once(request, answer) if keeps else answer(request))

        return handler


def _room_of(route: APIRoute) -> Room:
    if route.path.endswith(_SEARCHING):
        return "vectors"
    return "writes" if route.path in _CHANGING and "GET" not in (route.methods or ()) else "records"
