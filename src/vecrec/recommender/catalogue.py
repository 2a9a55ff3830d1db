"""The items in both stores, changed in an order that survives a crash at any step.

Every change marks its ids as pending, changes the stores so that a searchable item always has its record, and clears
the marks. What a crash leaves is found by the marks, or by comparing the digest beside each vector with its record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from vecrec.errors import StoreError
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.recommender.generation import DIGEST, Generation
from vecrec.records import Record, record_digest
from vecrec.releases import Archive
from vecrec.vector_stores.base import VectorStore

__all__ = ["BATCH", "EVENT_BATCH", "ITEM", "JOURNAL", "PENDING", "USER", "Catalogue", "Report", "batches"]

ITEM, USER = "item", "user"
PENDING = "pending"
"""Kind of the marks: ids of items that a change was working on."""
JOURNAL = "journal"
"""Kind of the ids of items that were changed while a release was being built."""

BATCH = 2_000
"""Items written at a time."""
EVENT_BATCH = 20_000
"""Events written at a time."""

_log = logging.getLogger("vecrec")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Report:
    """What differs between the stores. True when nothing does: ``if not rec.verify(): rec.repair()``."""

    unsearchable: tuple[Id, ...] = ()
    """Items with a record and no vector."""
    orphaned: tuple[Id, ...] = ()
    """Items with a vector and no record."""
    stale: tuple[Id, ...] = ()
    """Items whose vector was made from another state of the record."""
    pending: tuple[Id, ...] = ()
    """Items marked by a change that did not end, or by a reader that missed a record."""

    def __bool__(self) -> bool:
        return not (self.unsearchable or self.orphaned or self.stale or self.pending)

    @property
    def ids(self) -> list[Id]:
        """All the items that need mending, each once."""
        return list(dict.fromkeys(self.unsearchable + self.orphaned + self.stale + self.pending))


class Catalogue:
    """Writes and compares the two sides of the catalogue.

    Whoever calls a method that changes something holds the archive's catalogue lock.
    """

    def __init__(self, vectors: VectorStore, metadata: MetadataStore, archive: Archive) -> None:
        self._vectors, self._metadata, self._archive = vectors, metadata, archive

    def upsert(self, generation: Generation, records: Mapping[Id, Record]) -> None:
        """Write records and their vectors."""
        self._mark(records, "upsert")
        self._metadata.put(ITEM, records)
        generation.write(self._vectors, records)
        self._metadata.delete(PENDING, list(records))

    def delete(self, generation: Generation, ids: Sequence[Id]) -> None:
        """Remove vectors, then records."""
        self._mark(ids, "delete")
        self._vectors.delete(generation.collection, ids)
        self._metadata.delete(ITEM, ids)
        self._metadata.delete(PENDING, ids)

    def put_records(self, records: Mapping[Id, Record], *, marked: bool) -> int:
        """Write the records that are new or differ, whose vectors a build will make; gives how many those were."""
        held = self._metadata.get(ITEM, list(records))
        # By digest, since 1, 1.0 and True are equal in Python and not in JSON.
        digests = {key: record_digest(record) for key, record in held.items()}
        changed = {key: record for key, record in records.items() if digests.get(key) != record_digest(record)}
        if changed and marked:
            self._mark(changed, "upsert")
        self._metadata.put(ITEM, changed)
        return len(changed)

    def mark_missing(self, ids: Sequence[Id]) -> None:
        """Remember items that were found without a record, for `repair`.

        Never fails, since it happens while somebody is being served.
        """
        try:
            self._mark(ids, "missing")
        except StoreError as error:
            _log.warning("could not mark the items %s for repair: %s", list(ids)[:10], error)

    def clear(self, kind: str) -> list[Id]:
        """Remove all marks of a kind; gives the ids that had one."""
        ids = [key for key, _ in self._metadata.scan(kind)]
        self._metadata.delete(kind, ids)
        return ids

    def marked(self, kind: str) -> list[Id]:
        """The ids that have a mark of a kind."""
        return [key for key, _ in self._metadata.scan(kind)]

    def count(self) -> int:
        """How many items have a record."""
        return self._metadata.count(ITEM)

    def records(self) -> Iterator[dict[Id, Record]]:
        """All records, `BATCH` at a time."""
        for rows in batches(self._metadata.scan(ITEM, BATCH), BATCH):
            yield dict(rows)

    def compare(self, generation: Generation) -> Report:
        """Both sides against each other: ids and digests, streamed; only ids and digests are held in memory."""
        digests = {entry.id: entry.attributes.get(DIGEST) for entry in self._vectors.scan(generation.collection)}
        unsearchable, stale = [], []
        for key, record in self._metadata.scan(ITEM):
            if key not in digests:
                unsearchable.append(key)
            elif digests.pop(key) != record_digest(record):
                stale.append(key)
        return Report(tuple(unsearchable), tuple(digests), tuple(stale), tuple(self.marked(PENDING)))

    def mend(self, generation: Generation, ids: Sequence[Id]) -> None:
        """Make the vectors of these items agree with their records, and end what a crash has left half done."""
        for part in batches(ids, BATCH):
            self._journal({key: {} for key in part})
            self._finish_deletes(part)
            records = self._metadata.get(ITEM, part)
            self._vectors.delete(generation.collection, [key for key in part if key not in records])
            if records:
                generation.write(self._vectors, records)

    def unmark(self, ids: Sequence[Id]) -> None:
        """Clear the pending marks of mended items."""
        self._metadata.delete(PENDING, ids)

    def _finish_deletes(self, ids: Sequence[Id]) -> None:
        marks = self._metadata.get(PENDING, ids)
        self._metadata.delete(ITEM, [key for key, mark in marks.items() if mark.get("op") == "delete"])

    def _mark(self, ids: Mapping[Id, Record] | Sequence[Id], operation: str) -> None:
        digests = {key: record_digest(record) for key, record in ids.items()} if isinstance(ids, Mapping) else {}
        marks: dict[Id, Record] = {key: {"op": operation, "digest": digests.get(key)} for key in ids}
        if operation != "missing":
            self._journal(marks)
        self._metadata.put(PENDING, marks)

    def _journal(self, marks: Mapping[Id, Record]) -> None:
        # Before the stores change, so that whoever builds a release beside this one cannot miss it.
        if self._archive.building():
            self._metadata.put(JOURNAL, marks)


def batches(values: Iterator[_T] | Sequence[_T], size: int) -> Iterator[list[_T]]:
    """Lists of ``size`` values, the last one shorter."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part
