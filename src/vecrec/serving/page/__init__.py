"""The page at ``/`` and the operator's view at ``/admin``: files of this package, and nothing from another host."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

__all__ = ["install"]

_FILES = Path(__file__).parent / "files"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:{}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _headers(*, pictures: bool) -> dict[str, str]:
    return {
        "Content-Security-Policy": _POLICY.format(" https:" if pictures else ""),
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


class _Files(StaticFiles):
    """The scripts and styles, requested again at each visit, so that a new version is seen at once."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__(directory=_FILES)
        self._headers = headers

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(self._headers)
        return response


def install(app: FastAPI, *, pictures: bool = False, admin: bool = False) -> None:
    """Serve the page.

    Args:
        app: The application.
        pictures: Whether items have pictures, which may be on other hosts.
        admin: Whether to serve the operator's view at ``/admin`` too.
    """
    headers = _headers(pictures=pictures)

    async def index(request: Request) -> Response:
        return FileResponse(_FILES / "index.html", headers=headers)

    async def operator(request: Request) -> Response:
        return FileResponse(_FILES / "admin.html", headers=headers)

    if admin:
        app.add_route("/admin", operator, include_in_schema=False)
    app.add_route("/", index, include_in_schema=False)
    app.mount("/page", _Files(headers), name="page")
