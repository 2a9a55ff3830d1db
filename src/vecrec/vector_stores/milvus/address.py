"""Where a Milvus is: a file of Milvus Lite or the address of a server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vecrec.errors import InvalidDataError

__all__ = ["Address", "parse_address"]

_SCHEMES = ("http", "https", "tcp")
_CURE = (
    "name a file of Milvus Lite that ends in .db, such as 'movies.db', or a server, such as 'http://localhost:19530'"
)


@dataclass(frozen=True, slots=True)
class Address:
    """One Milvus."""

    uri: str
    """What the client connects to; of Milvus Lite, the absolute path."""
    lite: bool
    """Whether it is Milvus Lite, which runs inside this process."""
    shown: str
    """How messages call it: without the credentials that a URI may carry."""


def parse_address(uri: Any) -> Address:
    """The address of a URI or path.

    Raises:
        InvalidDataError: for what is neither, with what was probably meant.
    """
    text = os.fspath(uri) if isinstance(uri, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text.strip():
        raise InvalidDataError(f"{uri!r} is no address of a Milvus: {_CURE}")
    if text.startswith("unix:"):
        return Address(text, False, text)
    if "://" in text:
        return _server(text)
    if text.endswith(".db"):
        # Absolute, so that a later change of the working directory names no other database.
        path = os.path.realpath(Path(text).expanduser())
        return Address(path, True, path)
    raise InvalidDataError(f"{text!r} is no address of a Milvus: {_guess(text)}")


def _server(text: str) -> Address:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidDataError(f"the address of the Milvus server cannot be read ({error}): {_CURE}") from error
    if parts.scheme.lower() not in _SCHEMES:
        raise InvalidDataError(f"a Milvus server is not reached by {parts.scheme!r}", f"use one of {_SCHEMES}; {_CURE}")
    if not host:
        raise InvalidDataError(f"the address of the Milvus server names no host: {_CURE}")
    shown = f"{parts.scheme}://{host}" + (f":{port}" if port else "") + parts.path.rstrip("/")
    return Address(text, False, shown)


def _guess(text: str) -> str:
    _, colon, port = text.rpartition(":")
    if colon and port.isdecimal():
        return f"for the server write 'http://{text}'"
    if os.sep in text or "." not in text:
        return f"for a file of Milvus Lite write '{text}.db'"
    return _CURE
