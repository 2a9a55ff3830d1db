"""Moving a recommender to other stores: copied, gone on with after a break, compared, and only then claimed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from vecrec._internal.batching import batched
from vecrec.errors import InvalidDataError, StoreError
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.progress import Progress, ProgressLike, Step, showing
from vecrec.recommender.catalogue import ITEM, PENDING, USER
from vecrec.recommender.edits import DELETED_EVENTS, FORGOTTEN, ITEM_EDIT, USER_EDIT
from vecrec.recommender.ownership import Ownership
from vecrec.records import record_digest
from vecrec.releases import Archive
from vecrec.vector_stores.base import Entry, VectorStore

__all__ = ["Migration", "Stores", "migrate"]

_AT_A_TIME = 1_000
_KINDS = (ITEM, USER, PENDING, ITEM_EDIT, USER_EDIT, DELETED_EVENTS, FORGOTTEN)


class Stores(NamedTuple):
    """Where a recommender keeps its data."""

    vectors: VectorStore
    """The item vectors."""
    metadata: MetadataStore
    """Records and events."""


@dataclass(slots=True)
class Migration:
    """What was moved. Each count is of what the target lacked or had otherwise."""

    records: int = 0
    """Records of items, users, marks and edits that were written."""
    events: int = 0
    """Events that were written."""
    vectors: int = 0
    """Vectors that were written."""
    removed: int = 0
    """Records, histories and vectors of the target that the source did not have."""
    compared: int = 0
    """Records, histories and vectors that were found equal in the end."""

    def to_json(self) -> dict[str, int]:
        """The counts as a JSON object."""
        return asdict(self)


def migrate(source: Stores, target: Stores, archive: Archive, *, progress: ProgressLike = None) -> Migration:
    """Copy everything of a recommender into other stores: records, events, and the vectors of the kept releases.

    The artifacts stay where they are: afterwards the same name and artifacts with the new stores are the same
    recommender, same release, same answers. The source is only read. Called again, after a break or for what has
    changed meanwhile, it writes only what differs. Until all of it is there and found equal, the target does not count
    as this recommender's, so that it never serves half of it.

    No release can be built meanwhile. Items, users and events can change, which the comparison at the end then finds;
    so stop the writers, or call it again without them.

    Args:
        source: The stores of the recommender, which has a live release.
        target: The new stores, empty or holding an earlier attempt.
        archive: The recommender's releases.
        progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.

    Raises:
        InvalidDataError: when the target holds another recommender, or is the source.
        StoreError: when source and target still differ in the end, since the source was written to meanwhile.
    """
    if target.vectors is source.vectors or target.metadata is source.metadata:
        raise InvalidDataError("source and target are the same store", "open other ones to move to")
    ownership = Ownership(target.metadata, archive)
    ownership.owner()
    mover = _Mover(source, target, archive, Migration())
    with showing(progress) as show, archive.build_lock():
        mover.copy(show)
        mover.compare(show)
    with archive.catalogue_lock():
        ownership.claim(archive.live()[0])
    return mover.done


@dataclass(frozen=True, slots=True)
class _Mover:
    source: Stores
    target: Stores
    archive: Archive
    done: Migration

    def copy(self, progress: Progress) -> None:
        for kind in _KINDS:
            self._copy_records(kind, progress)
        self._copy_events(progress)
        for release in self.archive.releases():
            self._copy_vectors(release.collection, progress)

    def compare(self, progress: Progress) -> None:
        before = (self.done.records, self.done.events, self.done.vectors)
        differing = sum(1 for _ in self._differences(progress))
        if differing:
            raise StoreError(
                f"{differing:,} entries differ after {sum(before):,} were copied",
                "the source is being written to; stop the writers and call it again, which copies only these",
            )

    # -- records

    def _copy_records(self, kind: str, progress: Progress) -> None:
        source, total, read = self.source.metadata, None, 0
        kept: set[Id] = set()
        for rows in batched(source.scan(kind), _AT_A_TIME):
            records = dict(rows)
            held = self.target.metadata.get(kind, list(records))
            changed = {key: record for key, record in records.items() if not _same(record, held.get(key))}
            self.target.metadata.put(kind, changed)
            self.done.records += len(changed)
            kept.update(records)
            read += len(records)
            progress(Step(f"{kind} records", read, total))
        for extra in batched((key for key, _ in self.target.metadata.scan(kind) if key not in kept), _AT_A_TIME):
            self.target.metadata.delete(kind, extra)
            self.done.removed += len(extra)

    # -- events

    def _copy_events(self, progress: Progress) -> None:
        read = 0
        kept: set[Id] = set()
        for rows in batched(self.source.metadata.scan_events(), _AT_A_TIME):
            histories = dict(rows)
            held = self.target.metadata.recent_events(list(histories))
            changed = [key for key, events in histories.items() if events != held[key]]
            # A history is ordered by what was appended first, so one that differs is written again.
            self.target.metadata.delete_events([key for key in changed if held[key]])
            moved = [event for key in changed for event in histories[key]]
            self.target.metadata.append_events(moved)
            self.done.events += len(moved)
            kept.update(histories)
            read += len(histories)
            progress(Step("histories", read, None))
        for extra in batched((key for key, _ in self.target.metadata.scan_events() if key not in kept), _AT_A_TIME):
            self.target.metadata.delete_events(extra)
            self.done.removed += len(extra)

    # -- vectors

    def _copy_vectors(self, collection: str, progress: Progress) -> None:
        source, target = self.source.vectors, self.target.vectors
        spec = source.spec(collection)
        if collection in target.collections() and target.spec(collection) != spec:
            target.drop(collection)
        if collection not in target.collections():
            target.create(collection, spec)
        total, read = source.count(collection), 0
        kept: set[Id] = set()
        for entries in batched(source.scan(collection, vectors=True), _AT_A_TIME):
            held = target.fetch(collection, [entry.id for entry in entries])
            changed = [entry for entry in entries if not _equal(entry, held.get(entry.id))]
            if changed:
                self._upsert(collection, changed)
            kept.update(entry.id for entry in entries)
            read += len(entries)
            progress(Step("vectors", read, total))
        extra = [entry.id for entry in target.scan(collection) if entry.id not in kept]
        target.delete(collection, extra)
        self.done.removed += len(extra)
        target.flush(collection, progress)

    def _upsert(self, collection: str, entries: Sequence[Entry]) -> None:
        vectors = np.stack([entry.vector for entry in entries if entry.vector is not None])
        attributes = [entry.attributes for entry in entries]
        self.target.vectors.upsert(collection, [entry.id for entry in entries], vectors, attributes)
        self.done.vectors += len(entries)

    # -- comparing

    def _differences(self, progress: Progress) -> Iterator[Any]:
        source = self.source.metadata
        for kind in _KINDS:
            for rows in batched(source.scan(kind), _AT_A_TIME):
                held = self.target.metadata.get(kind, [key for key, _ in rows])
                yield from self._unequal(((key, _same(record, held.get(key))) for key, record in rows), progress)
            yield from _more(source.count(kind), self.target.metadata.count(kind))
        for histories in batched(source.scan_events(), _AT_A_TIME):
            found = self.target.metadata.recent_events([key for key, _ in histories])
            yield from self._unequal(((key, events == found[key]) for key, events in histories), progress)
        for release in self.archive.releases():
            name, vectors = release.collection, self.source.vectors
            for entries in batched(vectors.scan(name, vectors=True), _AT_A_TIME):
                there = self.target.vectors.fetch(name, [entry.id for entry in entries])
                yield from self._unequal(((each.id, _equal(each, there.get(each.id))) for each in entries), progress)
            yield from _more(vectors.count(name), self.target.vectors.count(name))

    def _unequal(self, pairs: Iterator[tuple[Id, bool]], progress: Progress) -> Iterator[Id]:
        for key, equal in pairs:
            self.done.compared += equal
            if not equal:
                yield key
        progress(Step("compare", self.done.compared, None))


def _same(record: Any, other: Any) -> bool:
    # By digest, since 1, 1.0 and True are equal in Python and not in JSON.
    return other is not None and record_digest(record) == record_digest(other)


def _equal(entry: Entry, other: Entry | None) -> bool:
    return (
        other is not None
        and np.array_equal(entry.vector, other.vector)  # type: ignore[arg-type]
        and _same(entry.attributes, other.attributes)
    )


def _more(source: int, target: int) -> Iterator[int]:
    if target > source:
        yield target - source
