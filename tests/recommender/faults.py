"""Stores in memory, and files, that end the work at the n-th change of anything."""

from __future__ import annotations

import errno
import inspect
import os
import re
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from vecrec.errors import StoreUnavailableError
from vecrec.metadata_stores import MemoryMetadataStore, MetadataStore
from vecrec.vector_stores import MemoryVectorStore, VectorStore

When = Literal["before", "half", "after"]
"""Whether nothing, a part or all of the fatal write is done."""

Kind = Literal["error", "kill"]
"""Whether the write fails as by a lost connection, or the process ends there and writes nothing any more."""


class Killed(BaseException):
    """Stands for the end of the process: no handler of errors may do anything after it."""


@dataclass
class Saboteur:
    """Counts the writes to both stores and the changes of files, and ends the work at one of them."""

    at: int | None = None
    when: When = "before"
    kind: Kind = "kill"
    after_each: Callable[[], None] | None = None
    """Called after each write, to look at what a reader would see at this moment."""
    count: int = 0
    files: bool = True
    """Whether changes of files count too."""
    dead: bool = field(default=False, init=False)

    def write(self, whole: Callable[[], None], half: Callable[[], None] = lambda: None) -> None:
        """Do a write, or what is to become of it."""
        if self.dead:
            raise Killed
        self.count += 1
        if self.count != self.at:
            whole()
        else:
            {"before": lambda: None, "half": half, "after": whole}[self.when]()
        if self.after_each is not None:
            self.after_each()
        if self.count == self.at:
            if self.kind == "error":
                raise StoreUnavailableError("the connection was lost")
            self.dead = True
            raise Killed

    def file(self, half: Callable[[], None] = lambda: None) -> None:
        """A file is about to be changed, or made durable: end here, perhaps with half of it on the disk."""
        if self.dead:
            raise Killed
        if not self.files:
            return
        self.count += 1
        if self.count != self.at:
            return
        if self.kind == "error":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.when == "half":
            half()
        self.dead = True
        raise Killed


READS = {
    VectorStore: {"_collections", "_spec", "_check_spec", "_search", "_fetch", "_fetch_vectors", "_scan", "_count"},
    MetadataStore: {"_get", "_scan", "_count", "_recent_events", "_read_users", "_scan_events"},
}
"""What does not write. Every other method that a store implements is a crash point, a new one too."""


def _faulty(base: type[VectorStore | MetadataStore], kind: type[Any]) -> type[Any]:
    """A store in memory whose writes may be sabotaged; a batch of it may be half written."""
    hooks = {name for name in vars(base) if re.match("_[a-z]", name) and inspect.isfunction(vars(base)[name])}
    writes = {name: _sabotaged(getattr(kind, name)) for name in hooks - READS[base]}
    return type(f"Faulty{kind.__name__}", (kind,), {"saboteur": None, "writes": frozenset(writes), **writes})


def _sabotaged(method: Callable[..., Any]) -> Callable[..., Any]:
    def write(self: Any, *arguments: Any) -> None:
        whole, half = partial(method, self, *arguments), partial(method, self, *map(_half, arguments))
        whole() if self.saboteur is None else self.saboteur.write(whole, half)

    return write


def _half(argument: Any) -> Any:
    """The first half of a batch; anything else as it is."""
    if isinstance(argument, dict):
        return dict(islice(argument.items(), len(argument) // 2))
    return argument[: len(argument) // 2] if isinstance(argument, (list, np.ndarray)) else argument


FaultyVectorStore = _faulty(VectorStore, MemoryVectorStore)
FaultyMetadataStore = _faulty(MetadataStore, MemoryMetadataStore)


class _Files:
    """Tells the saboteur of everything that a thread changes in a directory, by the events of Python itself.

    So whatever code makes, renames or removes a file, or makes one durable, is a crash point without being named here.
    """

    CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate")

    def __init__(self) -> None:
        self.root = ""
        self.saboteur: Saboteur | None = None
        self._thread = 0
        sys.addaudithook(self._hear)  # for ever, so there is one

    @contextmanager
    def watched(self, root: Path, saboteur: Saboteur) -> Iterator[None]:
        """For the time of the block."""
        self.root, self.saboteur, self._thread = str(root), saboteur, threading.get_ident()
        fsync = os.fsync
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda file: self._sync(fsync, file))
            try:
                yield
            finally:
                self.saboteur = None

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.saboteur is None or threading.get_ident() != self._thread:
            return
        if (event in self.CHANGES and self._is_inside(arguments)) or (event == "open" and self._is_written(arguments)):
            self.saboteur.file()

    def _is_inside(self, arguments: tuple[Any, ...]) -> bool:
        path = str(arguments[0])
        # `shutil.rmtree` names what it removes by an open directory.
        return path.startswith(self.root) or (not path.startswith("/") and arguments[-1] != -1)

    def _is_written(self, arguments: tuple[Any, ...]) -> bool:
        path, mode, flags = arguments
        wanted = any(sign in mode for sign in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
        return bool(wanted) and str(path).startswith(self.root) and not str(path).endswith(".lock")

    def _sync(self, fsync: Callable[[int], None], file: int) -> None:
        mine = self.saboteur is not None and threading.get_ident() == self._thread
        if self.saboteur is not None and mine and not stat.S_ISDIR(os.fstat(file).st_mode):
            self.saboteur.file(lambda: os.ftruncate(file, os.fstat(file).st_size // 2))
        fsync(file)


_files = _Files()


@contextmanager
def sabotaged(saboteur: Saboteur, vectors: Any, metadata: Any, path: Path) -> Iterator[Saboteur]:
    """Let the saboteur in, at the stores and at all files below a path, for the time of the block."""
    vectors.saboteur = metadata.saboteur = saboteur
    try:
        with _files.watched(path, saboteur):
            yield saboteur
    finally:
        vectors.saboteur = metadata.saboteur = None
