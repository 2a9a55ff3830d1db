"""Files fetched over HTTP: resumed, checked, and in place whole or not at all.

Not by ``pooch``, which starts an interrupted file from its beginning and repeats requests that cannot succeed.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vecrec.errors import DownloadError
from vecrec.progress import Progress, Step, silent

__all__ = ["fetch", "file_digest", "locked"]

_CHUNK = 1 << 18
_PAUSE = 0.5
_TEMPORARY = (http.client.REQUEST_TIMEOUT, http.client.TOO_MANY_REQUESTS)


def fetch(
    url: str, target: Path, *, md5: str | None = None, show: Progress = silent, timeout: float = 30.0, attempts: int = 5
) -> Path:
    """The file of a URL at ``target``, which only appears once it is whole and its checksum is right.

    An interrupted transfer is resumed where it stopped, by this call or by a later one: the beginning is kept beside
    ``target`` with the suffix ``.part``. Calls for one target from several threads and processes wait for each other,
    and one of them downloads.

    Args:
        url: An ``http`` or ``https`` URL.
        target: A path in a directory that exists.
        md5: 32 hexadecimal digits that the file must have.
        show: Receives the steps, counted in bytes.
        timeout: Seconds to wait for each answer.
        attempts: The number of requests before giving up.

    Raises:
        DownloadError: when the file cannot be fetched, or its checksum is wrong.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url} cannot be fetched", "give a URL that begins with http:// or https://")
    part = target.with_name(target.name + ".part")
    with locked(target):
        if target.exists():
            return target
        resumed = part.exists()
        _complete(url, part, show, timeout, attempts)
        if md5 and resumed and file_digest(part, "md5") != md5:
            part.unlink()  # the beginning may be of another version of the file
            _complete(url, part, show, timeout, attempts)
        if md5 and (found := file_digest(part, "md5")) != md5:
            part.unlink()
            raise DownloadError(f"{url} has the md5 checksum {found}, expected {md5}", "it was not kept, try again")
        part.replace(target)
    return target


def file_digest(path: Path, algorithm: str) -> str:
    """The hexadecimal checksum of a file, by the name of its algorithm in `hashlib`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keep other threads and processes from working on ``target`` at the same time.

    Raises:
        DownloadError: when the directory cannot be written.
    """
    from filelock import FileLock  # slow to import, and not needed once the data is there

    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire()
    except OSError as error:
        raise DownloadError(f"{target.parent} cannot be written: {error}", "name another cache") from error
    try:
        yield
    finally:
        lock.release()


def _complete(url: str, part: Path, show: Progress, timeout: float, attempts: int) -> None:
    """Fetch what is missing of a file, in several requests if need be."""
    for attempt in range(1, attempts + 1):
        try:
            _continue(url, part, show, timeout)
        except (OSError, http.client.HTTPException) as error:
            if attempt == attempts or _is_permanent(error):
                raise DownloadError(f"{url} cannot be fetched: {_reason(error)}") from error
            time.sleep(_PAUSE * 2 ** (attempt - 1))
        else:
            return


def _continue(url: str, part: Path, show: Progress, timeout: float) -> None:
    have = part.stat().st_size if part.exists() else 0
    # No compression, since Content-Length must count the bytes that arrive.
    headers = {"User-Agent": "vecrec", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - fetch has checked the scheme
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 - likewise
            _receive(answer, part, have, show)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") != f"bytes */{have}":  # else all of it was there
            part.unlink()
            raise ConnectionError(f"the {have:,} bytes in {part} are not the beginning of the file") from error


def _receive(answer: http.client.HTTPResponse, part: Path, have: int, show: Progress) -> None:
    done = have if answer.status == http.client.PARTIAL_CONTENT else 0  # a server without ranges sends all of it
    if done and not answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
        part.unlink()
        raise ConnectionError(f"asked for the bytes from {done} on, got {answer.headers.get('Content-Range')!r}")
    length = answer.headers.get("Content-Length")
    total = done + int(length) if length else None
    with part.open("ab" if done else "wb") as file:
        while chunk := answer.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            show(Step("download", done, total))
    # read() of a given size does not complain when the connection closes early.
    if total not in (None, done):
        raise ConnectionError(f"the transfer was interrupted after {done:,} of {total:,} bytes")


def _is_permanent(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code < http.client.INTERNAL_SERVER_ERROR and error.code not in _TEMPORARY
    return isinstance(error, urllib.error.URLError) and isinstance(error.reason, socket.gaierror)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection: {error.reason}"
    return str(error) or type(error).__name__
