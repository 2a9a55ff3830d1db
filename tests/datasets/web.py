"""A web server of files that can misbehave in the ways that servers do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """What the server has, how it behaves, and what it was asked."""

    files: dict[str, bytes]
    ranges: bool = True
    """Whether it knows byte ranges."""
    cut_after: list[int] = field(default_factory=list)
    """After how many bytes each of the next answers breaks off."""
    statuses: list[int] = field(default_factory=list)
    """With which error the next requests are answered."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """The path and the range of each request."""
    url: str = ""


@contextmanager
def serving(web: Web) -> Iterator[Web]:
    """Answer at ``web.url`` until the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, web)

        def log_message(self, *args: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(request: BaseHTTPRequestHandler, web: Web) -> None:
    wanted = request.headers.get("Range")
    web.asked.append((request.path, wanted))
    body = web.files.get(request.path.lstrip("/"))
    if web.statuses or body is None:
        request.send_error(web.statuses.pop(0) if web.statuses else 404)
        return
    match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
    start = int(match[1]) if match and web.ranges else 0
    if start >= len(body) > 0:
        request.send_response(416)
        request.send_header("Content-Range", f"bytes */{len(body)}")
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    request.send_header("Content-Length", str(len(body) - start))
    request.end_headers()
    end = start + web.cut_after.pop(0) if web.cut_after else len(body)
    request.wfile.write(body[start:end])
