"""The items in both stores, changed in an order that survives a crash at any step.

Every change marks its ids as pending, changes the stores so that a searchable item always has its record, and clears
the marks. What a crash leaves is found by the marks, or by comparing the digest beside each vector with its record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from vecrec.errors import InvalidDataError, ReleaseError, StoreError
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore, ReportsRisks
from vecrec.recommender.generation import DIGEST, Generation
from vecrec.recommender.report import Report
from vecrec.records import Record, record_digest
from vecrec.releases import Archive
from vecrec.vector_stores.base import Entry, VectorStore

__all__ = ["BATCH", "EVENT_BATCH", "ITEM", "JOURNAL", "PENDING", "USER", "Catalogue", "batches"]

ITEM, USER = "item", "user"
PENDING = "pending"
"""Kind of the marks: ids of items that a change was working on."""
JOURNAL = "journal"
"""Kind of the ids of items that were changed while a release was being built."""

BATCH = 2_000
"""Items written at a time."""
EVENT_BATCH = 20_000
"""Events written at a time."""

_DELETE = "delete"

_log = logging.getLogger("vecrec")
_T = TypeVar("_T")


class Catalogue:
    """Writes and compares the two sides of the catalogue.

    Whoever calls a method that changes something holds the archive's catalogue lock.
    """

    def __init__(self, vectors: VectorStore, metadata: MetadataStore, archive: Archive) -> None:
        self.vectors, self.metadata, self._archive = vectors, metadata, archive

    # -- changing it

    def upsert(self, generation: Generation, records: Mapping[Id, Record]) -> None:
        """Write records and their vectors."""
        rows = generation.encode(records)  # what cannot be encoded is refused before anything is written
        before = self.metadata.get(ITEM, rows.ids)
        self._mark(rows.ids, "upsert")
        self.metadata.put(ITEM, records)
        try:
            generation.write(self.vectors, rows)
        except InvalidDataError:
            # Each engine has limits of its own, such as on the length of a list, that only it knows.
            self.metadata.put(ITEM, before)
            self.metadata.delete(ITEM, [key for key in rows.ids if key not in before])
            self.unmark(rows.ids)
            raise
        self.unmark(rows.ids)

    def delete(self, generation: Generation, ids: Sequence[Id]) -> None:
        """Remove vectors, then records."""
        self._mark(ids, _DELETE)
        self.vectors.delete(generation.collection, ids)
        self.metadata.delete(ITEM, ids)
        self.unmark(ids)

    def put_records(self, records: Mapping[Id, Record], *, marked: bool) -> int:
        """Write the records that are new or differ, whose vectors a build will make; gives how many those were."""
        ids = list(records)
        held, marks = self.metadata.get(ITEM, ids), self.metadata.get(PENDING, ids)
        # By digest, since 1, 1.0 and True are equal in Python and not in JSON.
        digests = {key: record_digest(record) for key, record in held.items()}
        changed = {key: record for key, record in records.items() if digests.get(key) != record_digest(record)}
        # A deletion that a crash has cut short must not be brought to its end after this.
        to_mark = dict.fromkeys([*(changed if marked else ()), *marks])
        if to_mark:
            self._mark(list(to_mark), "upsert")
        self.metadata.put(ITEM, changed)
        return len(changed)

    def mend(self, generation: Generation, ids: Sequence[Id]) -> None:
        """Make the vectors of these items agree with their records, and end what a crash has left half done."""
        for part in batches(ids, BATCH):
            self._journal(part)
            self._finish_deletes(generation, part)
            records = self.metadata.get(ITEM, part)
            self.vectors.delete(generation.collection, [key for key in part if key not in records])
            generation.write(self.vectors, generation.encode(records))

    def repair(self, generation: Generation, ids: Sequence[Id]) -> None:
        """Mend items of the generation that serves, and clear their marks."""
        self.mend(generation, ids)
        self.unmark(ids)

    # -- its marks

    def mark_missing(self, generation: Generation, ids: Sequence[Id]) -> None:
        """Remember items that were found without a record, for `repair`.

        It happens while somebody is being served, so it neither fails nor waits: whoever changes the catalogue at this
        moment may be deleting these very items, and if not, the next reader will meet them again.
        """
        try:
            with self._archive.catalogue_lock(timeout=0):
                searchable = self.vectors.fetch(generation.collection, ids)
                known = self.metadata.get(ITEM, ids).keys() | self.metadata.get(PENDING, ids).keys()
                lost = [key for key in searchable if key not in known]
                self.metadata.put(PENDING, {key: {"op": "missing"} for key in lost})
        except (StoreError, ReleaseError) as error:
            _log.warning("could not mark %s for repair: %s", list(ids)[:10], error)
            return
        if lost:
            _log.warning("%d items are searchable without a record, marked for repair: %s", len(lost), lost[:10])

    def marked(self, kind: str) -> list[Id]:
        """The ids that have a mark of a kind."""
        return [key for key, _ in self.metadata.scan(kind)]

    def unmark(self, ids: Sequence[Id], kind: str = PENDING) -> None:
        """Clear the marks of items."""
        self.metadata.delete(kind, ids)

    # -- reading it

    def count(self) -> int:
        """How many items have a record."""
        return self.metadata.count(ITEM)

    def records(self) -> Iterator[dict[Id, Record]]:
        """All records, `BATCH` at a time."""
        for rows in batches(self.metadata.scan(ITEM, BATCH), BATCH):
            yield dict(rows)

    def suspects(self, generation: Generation) -> list[Id]:
        """The items whose two sides differ, streamed: only ids and digests are held in memory.

        Those that are changed meanwhile may be among them, so `inspect` has the last word.
        """
        digests = {entry.id: entry.attributes.get(DIGEST) for entry in self.vectors.scan(generation.collection)}
        differing = [key for key, record in self.metadata.scan(ITEM) if digests.pop(key, None) != record_digest(record)]
        return [*differing, *digests]

    def inspect(self, generation: Generation, suspects: Iterable[Id]) -> Report:
        """What is wrong with these items and with the marked ones. Exact where the lock is held."""
        pending = self.marked(PENDING)
        unsearchable, orphaned, stale = [], [], []
        for part in batches(dict.fromkeys([*suspects, *pending]), BATCH):
            records, entries = self.metadata.get(ITEM, part), self.vectors.fetch(generation.collection, part)
            orphaned += [key for key in part if key in entries and key not in records]
            unsearchable += [key for key in part if key in records and key not in entries]
            stale += [key for key, record in records.items() if key in entries and not _agree(entries[key], record)]
        return Report(
            records=self.count(),
            vectors=self.vectors.count(generation.collection),
            unsearchable=tuple(unsearchable),
            orphaned=tuple(orphaned),
            stale=tuple(stale),
            pending=tuple(pending),
            warnings=tuple(self._warnings()),
        )

    def _warnings(self) -> Iterator[str]:
        for store in (self.vectors, self.metadata):
            if isinstance(store, ReportsRisks):
                yield from map(str, store.warnings())

    # -- the steps of a change

    def _mark(self, ids: Sequence[Id], operation: str) -> None:
        self._journal(ids)
        self.metadata.put(PENDING, {key: {"op": operation} for key in ids})

    def _journal(self, ids: Sequence[Id]) -> None:
        # Before the stores change, so that whoever builds a release beside this one cannot miss it.
        if self._archive.building():
            self.metadata.put(JOURNAL, {key: {} for key in ids})

    def _finish_deletes(self, generation: Generation, ids: Sequence[Id]) -> None:
        marks = self.metadata.get(PENDING, ids)
        doomed = [key for key, mark in marks.items() if mark.get("op") == _DELETE]
        if doomed:
            # Where another generation serves still, the items must not be found there without their records either.
            live, held = self._archive.live()[0], self.vectors.collections()
            serving = generation.collection if live is None else self._archive.collection(live)
            for collection in {generation.collection, serving}.intersection(held):
                self.vectors.delete(collection, doomed)
            self.metadata.delete(ITEM, doomed)


def _agree(entry: Entry, record: Record) -> bool:
    return entry.attributes.get(DIGEST) == record_digest(record)


def batches(values: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of ``size`` values, the last one shorter."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part
