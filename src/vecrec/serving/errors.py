"""Errors as problem documents (RFC 9457), each with a status that says what it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

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

__all__ = ["MEDIA_TYPE", "NotThereError", "install", "problem"]

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger("vecrec.serving")

# The first that fits counts: name of the problem, status, title.
_KINDS: Sequence[tuple[type[VecrecError], str, int, str]] = (
    (InvalidDataError, "invalid-data", 422, "A value cannot be used"),
    (ItemNotFoundError, "not-found", 404, "There is no such item"),
    (NotFittedError, "no-release", 503, "There is no live release yet"),
    (ReleaseError, "release", 503, "The release cannot be used at this moment"),
    (StoreTimeoutError, "store-timeout", 503, "A store does not answer in time"),
    (StoreUnavailableError, "store-unavailable", 503, "A store does not answer"),
    (StoreError, "store", 503, "A store has refused the operation"),
)


class NotThereError(ItemNotFoundError):
    """Something that a path names is not there."""


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
    again = {"Retry-After": "1"} if status == 503 else {}
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
    for kind, name, status, title in _KINDS:
        if isinstance(error, kind):
            if status >= 500:
                _log.warning("%s %s: %s", request_id(request), type(error).__name__, error)
            return problem(status, title, str(error), kind=name, request_id=request_id(request))
    return await _unexpected_error(request, error)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    # What was sent is not sent back: it may be large, or somebody's secret.
    faults = [{"where": ".".join(map(str, each["loc"])), "message": str(each["msg"])} for each in found[:20]]
    no_json = any(each["type"] == "json_invalid" for each in found)
    title = "The body is no JSON" if no_json else "The request does not fit its description"
    detail = "; ".join(f"{fault['where']}: {fault['message']}" for fault in faults[:3])
    return problem(
        400 if no_json else 422, title, detail, kind="invalid-request", request_id=request_id(request), errors=faults
    )


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    headers = error.headers if isinstance(error, HTTPException) else None
    return problem(status, detail, detail, request_id=request_id(request), headers=headers)


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s %s", request_id(request), request.method, request.url.path, exc_info=error)
    detail = "The service has made a mistake. Its log has the details under the request's id."
    return problem(500, "Internal error", detail, request_id=request_id(request))
