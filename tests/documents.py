"""Runs the Python blocks of the documents as tests: one document, one namespace, one directory of its own."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def _own_directory() -> Iterator[None]:
    home = os.getcwd()  # noqa: PTH109 - chdir wants it back as it was
    with tempfile.TemporaryDirectory(prefix="vecrec-document-") as directory:
        os.chdir(directory)
        try:
            yield
        finally:
            os.chdir(home)


def _enter(namespace: dict[str, Any]) -> None:
    namespace["_directory"] = contextlib.ExitStack()
    namespace["_directory"].enter_context(_own_directory())


def _leave(namespace: dict[str, Any]) -> None:
    namespace["_directory"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    path=str(Path(__file__).resolve().parent.parent),
    setup=_enter,
    teardown=_leave,
    # For a block that needs a server: server_url("redis"). Nothing is started before it is called.
    fixtures=["server_url"],
).pytest()
