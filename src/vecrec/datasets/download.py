"""Files fetched over HTTP: resumed, checked, and in place whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecrec.errors import DownloadError
from vecrec.progress import Progress, Step, silent

__all__ = ["fetch", "file_digest", "locked"]

_CHUNK = 1 << 18
_PAUSE = 0.5


class _PermanentError(Exception):
    """Trying again will not help."""


def fetch(
    url: str, target: Path, *, md5: str | None = None, show: Progress = silent, timeout: float = 30.0, attempts: int = 5
) -> Path:
    """The file of a URL at ``target``, which is only there once it is whole and its checksum is right.

    A transfer that breaks off is resumed where it stopped, by this call or by a later one: the beginning is kept
    beside ``target`` with the suffix ``.part``. Calls for one target from several threads and processes wait for each
    other, and one of them downloads.

    Args:
        url: Of ``http`` or ``https``.
        target: A path in a directory that exists.
        md5: 32 hexadecimal digits that the file must have.
        show: Receives the steps, counted in bytes.
        timeout: Seconds to wait for each answer.
        attempts: How often to try before giving up.

    Raises:
        DownloadError: when the file cannot be had, or is another than expected.
    """
    with locked(target):
        if not target.exists():
            _Transfer(url, target.with_name(target.name + ".part"), show, timeout, attempts).finish(target, md5)
    return target


def file_digest(path: Path, algorithm: str) -> str:
    """The hexadecimal checksum of a file, by the name of its algorithm in `hashlib`."""
    state = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keep other threads and processes from working on ``target`` in the meantime.

    Raises:
        DownloadError: when the directory cannot be written.
    """
    try:
        file = target.with_name(f".{target.name}.lock").open("w")
    except OSError as error:
        raise DownloadError(f"{target.parent} cannot be written: {error}; name another cache") from error
    with file:
        try:
            import fcntl
        except ImportError:  # Windows, where two downloads at once replace the file by itself
            yield
            return
        # Released when the file is closed, and by the system when the process dies.
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, slots=True)
class _Transfer:
    """One download, into a file that may have the beginning already."""

    url: str
    part: Path
    show: Progress
    timeout: float
    attempts: int

    def finish(self, target: Path, md5: str | None) -> None:
        resumed = self.part.exists()
        self._complete()
        if md5 and resumed and file_digest(self.part, "md5") != md5:
            # Perhaps the beginning that lay here is of another version of the file.
            self.part.unlink()
            self._complete()
        if md5 and (found := file_digest(self.part, "md5")) != md5:
            self.part.unlink()
            raise DownloadError(
                f"{self.url} has the md5 checksum {found}, expected {md5}", "it was not kept, try again"
            )
        self.part.replace(target)

    def _complete(self) -> None:
        for attempt in range(self.attempts):
            try:
                self._continue()
            except (OSError, http.client.HTTPException, _PermanentError) as error:
                if attempt + 1 == self.attempts or _is_hopeless(error):
                    raise DownloadError(f"{self.url} cannot be fetched: {_reason(error)}") from error
                time.sleep(_PAUSE * 2**attempt)
            else:
                return

    def _continue(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise _PermanentError("its scheme is neither http nor https")
        have = self.part.stat().st_size if self.part.exists() else 0
        # No compression, since Content-Length must count the bytes that arrive.
        headers = {"User-Agent": "vecrec", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        request = urllib.request.Request(self.url, headers=headers)  # noqa: S310 - the scheme is checked above
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:  # noqa: S310 - likewise
                self._receive(answer, have)
        except urllib.error.HTTPError as error:
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            _settle_range(error, self.part, have)

    def _receive(self, answer: Any, have: int) -> None:
        # A server that does not know ranges sends all of it.
        start = have if answer.status == http.client.PARTIAL_CONTENT else 0
        if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            self.part.unlink()
            raise ConnectionError(f"asked for the bytes from {start} on, got {answer.headers.get('Content-Range')!r}")
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        done = start
        with self.part.open("ab" if start else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                self.show(Step("download", done, total))
        # read() of a given size does not complain when the connection closes early.
        if total is not None and done != total:
            raise ConnectionError(f"the transfer broke off after {done:,} of {total:,} bytes")


def _settle_range(error: urllib.error.HTTPError, part: Path, have: int) -> None:
    """After "range not satisfiable": either all of it is here, or what is here is something else."""
    if error.headers.get("Content-Range") != f"bytes */{have}":
        part.unlink()
        raise ConnectionError(f"the {have:,} bytes that were here are not the beginning of the file") from error


def _is_hopeless(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code < 500 and error.code not in (408, 429)
    if isinstance(error, urllib.error.URLError):
        return isinstance(error.reason, socket.gaierror)
    return isinstance(error, _PermanentError)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection: {error.reason}"
    return str(error) or type(error).__name__
