"""Errors as problem documents (RFC 9457), each with a status that says what it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from vecrec.errors import (
    InvalidDataError,
    ItemNotFoundError,
    NotFittedError,
    ReleaseError,
    StoreError,
    StoreTimeoutError,
    StoreUnavailableError,
    VecrecError,
)

__all__ = ["MEDIA_TYPE", "MISTAKE", "KeyInUseError", "UserNotFoundError", "install", "kind_of", "problem", "request_id"]

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger("vecrec.serving")

MISTAKE = "The service has made a mistake. Its log has the details under the request's id."


class UserNotFoundError(VecrecError, KeyError):
    """Nothing is stored about the user that a path names."""


class KeyInUseError(VecrecError, RuntimeError):
    """A request with the same `Idempotency-Key` has no answer yet."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of error is to a client."""

    name: str
    status: int
    title: str
    detail: str = ""
    """What the client reads instead of the message, which may name paths and addresses of the inside."""


# The first that fits counts.
_KINDS: Sequence[tuple[type[VecrecError], Kind]] = (
    (InvalidDataError, Kind("invalid-data", 422, "A value cannot be used")),
    (ItemNotFoundError, Kind("not-found", 404, "There is no such item")),
    (UserNotFoundError, Kind("not-found", 404, "There is no such user")),
    (KeyInUseError, Kind("key-in-use", 409, "The same request is being answered")),
    (NotFittedError, Kind("no-release", 503, "There is no live release yet", "Nothing is published yet.")),
    (ReleaseError, Kind("release", 503, "The release cannot be used", "The live release cannot be used.")),
    (StoreTimeoutError, Kind("store-timeout", 503, "A store does not answer in time", "A store did not answer.")),
    (StoreUnavailableError, Kind("store-unavailable", 503, "A store does not answer", "A store does not answer.")),
    (StoreError, Kind("store", 503, "A store has refused the operation", "A store refused the operation.")),
)  # fmt: skip
_UNKNOWN = Kind("internal", 500, "Internal error", MISTAKE)
_LOG = " The service's log has the reason under the request's id."


def kind_of(error: VecrecError) -> Kind:
    """What an error is to a client."""
    return next((kind for of, kind in _KINDS if isinstance(error, of)), _UNKNOWN)


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    kind: str = "about:blank",
    request_id: str = "",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """A problem document."""
    name = kind if ":" in kind else f"urn:vecrec:problem:{kind}"
    body = {"type": name, "title": title, "status": status, "detail": detail, "request_id": request_id, **more}
    again = {"Retry-After": "1"} if status in (409, 503) else {}
    return JSONResponse(body, status, {**again, **(headers or {})}, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error of an application become a problem document."""
    app.add_exception_handler(VecrecError, _vecrec_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected_error)


def request_id(request: Request) -> str:
    """The id of a request, which the gate has set."""
    return str(request.scope.get("vecrec.request_id", ""))


async def _vecrec_error(request: Request, error: Exception) -> JSONResponse:
    kind = kind_of(error) if isinstance(error, VecrecError) else _UNKNOWN
    if not isinstance(error, VecrecError) or kind is _UNKNOWN:
        return await _unexpected_error(request, error)
    if kind.status >= 500:
        _log.warning("%s %s: %s", request_id(request), type(error).__name__, error)
    # Where something is not there, the cure names methods of the library, which a client does not have.
    detail = kind.detail + _LOG if kind.detail else error.problem if kind.status == 404 else str(error)
    return problem(kind.status, kind.title, detail, kind=kind.name, request_id=request_id(request))


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    # What was sent is not sent back: it may be large, or a secret.
    faults = [{"where": ".".join(map(str, each["loc"])), "message": str(each["msg"])} for each in found[:20]]
    no_json = any(each["type"] == "json_invalid" for each in found)
    title = "The body is not valid JSON" if no_json else "The request does not fit its description"
    detail = "; ".join(f"{fault['where']}: {fault['message']}" for fault in faults[:3])
    return problem(
        400 if no_json else 422, title, detail, kind="invalid-request", request_id=request_id(request), errors=faults
    )


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    headers = dict((error.headers if isinstance(error, HTTPException) else None) or {})
    if status == 405:
        headers["Allow"] = ", ".join(_allowed(request))
        detail = f"This path takes {headers['Allow']}."
    title = HTTPStatus(status).phrase
    return problem(status, title, detail or title, request_id=request_id(request), headers=headers)


def _allowed(request: Request) -> list[str]:
    """The methods of all routes that have the path, since the router names those of the first only."""
    routes = request.app.routes
    found = {
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] == Match.FULL for route in routes)
    }
    return sorted(found | {"HEAD"} if "GET" in found else found)


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s %s", request_id(request), request.method, request.url.path, exc_info=error)
    return problem(500, _UNKNOWN.title, MISTAKE, kind=_UNKNOWN.name, request_id=request_id(request))
