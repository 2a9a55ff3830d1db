"""The page at ``/``: files of this package, and nothing from another host."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

__all__ = ["install"]

_FILES = Path(__file__).parent / "files"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    """The scripts and styles, requested again at each visit, so that a new version is seen at once."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(_HEADERS)
        return response


def install(app: FastAPI) -> None:
    """Serve the page."""

    async def index(request: Request) -> Response:
        return FileResponse(_FILES / "index.html", headers=_HEADERS)

    app.add_route("/", index, include_in_schema=False)
    app.mount("/page", _Files(directory=_FILES), name="page")
