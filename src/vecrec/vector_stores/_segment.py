"""The two files of a collection of a `FileVectorStore`: rows of vectors, and the log that says what they are of.

Both only grow. A write appends its rows, then one record to the log, each synchronized; the record is what commits it.
A record that is not whole, which a crash leaves, is ignored by readers and overwritten by the next writer. Rows are
never changed, so a reader's view stays valid while others write.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.exact import longest, unit
from vecrec.errors import StoreError
from vecrec.filters import Filter
from vecrec.ids import Id, decode_id, encode_id
from vecrec.vector_stores.base import Attributes, CollectionSpec, Vectors

__all__ = ["Segment", "Snapshot", "create"]

_HEADER = struct.Struct("<4sII")
_MAGIC = b"vec1"
_PART = 4096
_MASKS = 64


def create(stem: Path) -> None:
    """Make the empty files of a new collection."""
    for suffix in (".rows", ".log"):
        with stem.with_suffix(suffix).open("xb") as file:
            os.fsync(file.fileno())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a collection held at one moment. Shared by the threads that read; nothing of it changes."""

    vectors: Vectors
    """The rows as they were given, shape (rows, dim), mapped from the file."""
    compared: Vectors
    """The rows as they are compared: of length 1 for cosines."""
    ids: list[Id]
    """The id of each row; longer than ``vectors`` where rows were written since."""
    attributes: list[Attributes]
    """The attributes of each row, as long as ``ids``."""
    live: NDArray[np.bool_]
    """The rows that have not been replaced or deleted, shape (rows,)."""
    length: float
    """The length of the longest row of ``compared``."""
    _masks: dict[Filter, NDArray[np.bool_]] = field(default_factory=dict)

    def matching(self, where: Filter | None) -> NDArray[np.bool_] | None:
        """The rows that a filter finds, shape (rows,); ``None`` for all. Filters that come again are remembered."""
        if where is None:
            return None if self.live.all() else self.live
        mask = self._masks.get(where)
        if mask is None:
            mask = self.live.copy()
            for row in np.flatnonzero(self.live).tolist():
                mask[row] = where.matches(self.attributes[row])
            if len(self._masks) < _MASKS:
                self._masks[where] = mask
        return mask


class Segment:
    """The files of one collection, and what has been read of them. `refresh` and `snapshot` take one thread at a time.

    Args:
        stem: The path of both files without their suffixes, ``.rows`` and ``.log``.
        spec: What the collection holds.

    Raises:
        OSError: when the files cannot be read; `FileNotFoundError` when they were replaced meanwhile.
    """

    def __init__(self, stem: Path, spec: CollectionSpec) -> None:
        self.stem, self.spec = stem, spec
        self.places: dict[Id, int] = {}
        self._ids: list[Id] = []
        self._attributes: list[Attributes] = []
        self._dead: list[int] = []
        self._length = 0.0
        self._offset = 0
        self._snapshot: Snapshot | None = None
        # For cosines each row is followed by itself scaled to length 1.
        self._width = spec.dim * (2 if spec.metric == "cosine" else 1)
        self._log = stem.with_suffix(".log").open("rb", buffering=0)
        try:
            self._rows = stem.with_suffix(".rows").open("rb", buffering=0)
        except OSError:
            self._log.close()
            raise

    def close(self) -> None:
        """Close the files. Snapshots stay valid."""
        self._log.close()
        self._rows.close()

    @property
    def dead(self) -> int:
        """The rows that have been replaced or deleted."""
        return len(self._dead)

    def refresh(self) -> None:
        """Read what was committed since the last time."""
        size = os.fstat(self._log.fileno()).st_size
        if size <= self._offset:
            return
        block = os.pread(self._log.fileno(), size - self._offset, self._offset)
        for record, length in _records(block):
            try:
                self._apply(record)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise StoreError(
                    f"{self.stem}.log is damaged at byte {self._offset} ({error})", "restore a backup"
                ) from error
            self._offset += length
            self._snapshot = None

    def snapshot(self) -> Snapshot:
        """What the collection holds, as of the last `refresh`."""
        if self._snapshot is None:
            count, dim = len(self._ids), self.spec.dim
            live = np.ones(count, bool)
            live[self._dead] = False
            rows = self._mapped(count)
            compared = rows[:, dim:] if self.spec.metric == "cosine" else rows
            self._snapshot = Snapshot(rows[:, :dim], compared, self._ids, self._attributes, live, self._length)
        return self._snapshot

    def put(self, ids: list[Id], vectors: Vectors, attributes: list[Attributes]) -> None:
        """Append entries in one commit, which the next `refresh` reads. Its caller is the only writer, up to date."""
        rows, length = vectors, longest(vectors)
        if self.spec.metric == "cosine":
            rows, length = np.hstack([vectors, unit(vectors)]), 1.0
        path, start = self.stem.with_suffix(".rows"), 4 * self._width * len(self._ids)
        _write_at(path, start, np.ascontiguousarray(rows, "<f4").tobytes())
        self._commit({"put": [encode_id(key) for key in ids], "attributes": attributes, "longest": length})

    def remove(self, ids: list[Id]) -> None:
        """Delete entries in one commit, under the same conditions."""
        present = [encode_id(key) for key in ids if key in self.places]
        if present:
            self._commit({"delete": present})

    def copy_to(self, stem: Path) -> None:
        """Write the live entries into new files."""
        create(stem)
        other, snapshot = Segment(stem, self.spec), self.snapshot()
        try:
            entries = list(self.places.items())
            for start in range(0, len(entries), _PART):
                part = entries[start : start + _PART]
                rows = [row for _, row in part]
                other.put([key for key, _ in part], snapshot.vectors[rows], [self._attributes[row] for row in rows])
                other.refresh()
        finally:
            other.close()

    def _commit(self, record: dict[str, Any]) -> None:
        payload = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
        header = _HEADER.pack(_MAGIC, len(payload), zlib.crc32(payload))
        _write_at(self.stem.with_suffix(".log"), self._offset, header + payload)

    def _apply(self, record: dict[str, Any]) -> None:
        for text in record.get("delete", ()):
            self._dead.append(self.places.pop(decode_id(text)))
        for text, attributes in zip(record.get("put", ()), record.get("attributes", ())):
            key = decode_id(text)
            if key in self.places:
                self._dead.append(self.places[key])
            self.places[key] = len(self._ids)
            self._ids.append(key)
            self._attributes.append(attributes)
        self._length = max(self._length, record.get("longest", 0.0))

    def _mapped(self, count: int) -> Vectors:
        size = 4 * count * self._width
        if not size:
            return np.empty((0, self._width), np.float32)
        held = os.fstat(self._rows.fileno()).st_size
        if held < size:
            raise StoreError(f"{self._rows.name} holds {held:,} bytes of {size:,}", "restore a backup")
        # Shared by all processes that have the file mapped.
        shared = mmap.mmap(self._rows.fileno(), size, access=mmap.ACCESS_READ)
        return np.frombuffer(shared, "<f4").reshape(count, self._width)


def _records(block: bytes) -> Iterator[tuple[dict[str, Any], int]]:
    """The whole records at the beginning of a block, each with its length in bytes."""
    start = 0
    while start + _HEADER.size <= len(block):
        magic, length, checksum = _HEADER.unpack_from(block, start)
        payload = block[start + _HEADER.size : start + _HEADER.size + length]
        if magic != _MAGIC or len(payload) < length or zlib.crc32(payload) != checksum:
            return
        yield json.loads(payload), _HEADER.size + length
        start += _HEADER.size + length


def _write_at(path: Path, offset: int, content: bytes) -> None:
    """Write the end of a file, in place of what a crash has left there, and make it durable."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        if os.fstat(descriptor).st_size > offset:
            os.ftruncate(descriptor, offset)
        view = memoryview(content)
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
