"""Moving a recommender to other stores: copied, gone on with after a break, compared, and only then claimed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vecrec.errors import InvalidDataError, StoreError
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.progress import Progress, ProgressLike, Step, showing
from vecrec.recommender.catalogue import ITEM, PENDING, USER, batches
from vecrec.records import record_digest
from vecrec.vector_stores.base import Entry, VectorStore

if TYPE_CHECKING:
    from vecrec.recommender import Recommender

__all__ = ["Migration", "migrate"]

_AT_A_TIME = 1_000
_OWNER = "vecrec"


@dataclass(slots=True)
class Migration:
    """What was moved. Each count is of what the target lacked or had otherwise."""

    records: int = 0
    """Records of items, users and marks that were written."""
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


def migrate(
    recommender: Recommender,
    vector_store: VectorStore,
    metadata_store: MetadataStore,
    *,
    progress: ProgressLike = None,
) -> Migration:
    """Copy everything of a recommender into other stores: records, events, and the vectors of the kept releases.

    The artifacts stay where they are: afterwards the same name and artifacts with the new stores are the same
    recommender, same release, same answers. The old stores are only read. Called again, after a break or for what has
    changed meanwhile, it writes only what differs. Until all of it is there and found equal, the target does not count
    as this recommender's, so that nobody serves from half of it.

    No release can be built meanwhile. Items, users and events can change, which the comparison at the end then finds;
    so stop the writers, or call it again without them.

    Args:
        recommender: What to move, open on its old stores.
        vector_store: The new one.
        metadata_store: The new one, empty or holding an earlier attempt.
        progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.

    Raises:
        InvalidDataError: when the target holds another recommender.
        NotFittedError: when there is nothing to move.
        StoreError: when source and target still differ in the end, since somebody has gone on writing.
    """
    if vector_store is recommender.vector_store or metadata_store is recommender.metadata_store:
        raise InvalidDataError("source and target are the same store", "open other ones to move to")
    recommender.ask(lambda live: live.release.id)
    owner = metadata_store.get(_OWNER, ["owner"]).get("owner", {}).get("name")
    if owner not in (None, recommender.name):
        raise InvalidDataError(f"the target holds the recommender {owner!r}", "take an empty store or another prefix")
    mover = _Mover(recommender, vector_store, metadata_store, Migration())
    # The lock is no business of applications, so the facade does not offer it.
    with showing(progress) as show, recommender._archive.build_lock():  # noqa: SLF001
        mover.copy(show)
        mover.compare(show)
    mover.target_metadata.put(_OWNER, dict(recommender.metadata_store.scan(_OWNER)))
    return mover.done


@dataclass(frozen=True, slots=True)
class _Mover:
    recommender: Recommender
    target_vectors: VectorStore
    target_metadata: MetadataStore
    done: Migration

    def copy(self, progress: Progress) -> None:
        for kind in (ITEM, USER, PENDING):
            self._copy_records(kind, progress)
        self._copy_events(progress)
        for release in self.recommender.releases():
            self._copy_vectors(release.collection, progress)

    def compare(self, progress: Progress) -> None:
        before = (self.done.records, self.done.events, self.done.vectors)
        differing = sum(1 for _ in self._differences(progress))
        if differing:
            raise StoreError(
                f"{differing:,} entries differ after {sum(before):,} were copied",
                "somebody goes on writing to the source; stop the writers and call it again, which copies only these",
            )

    # -- records

    def _copy_records(self, kind: str, progress: Progress) -> None:
        source, total, read = self.recommender.metadata_store, None, 0
        kept: set[Id] = set()
        for rows in batches(source.scan(kind), _AT_A_TIME):
            records = dict(rows)
            held = self.target_metadata.get(kind, list(records))
            changed = {key: record for key, record in records.items() if not _same(record, held.get(key))}
            self.target_metadata.put(kind, changed)
            self.done.records += len(changed)
            kept.update(records)
            read += len(records)
            progress(Step(f"{kind} records", read, total))
        for extra in batches((key for key, _ in self.target_metadata.scan(kind) if key not in kept), _AT_A_TIME):
            self.target_metadata.delete(kind, extra)
            self.done.removed += len(extra)

    # -- events

    def _copy_events(self, progress: Progress) -> None:
        read = 0
        kept: set[Id] = set()
        for rows in batches(self.recommender.metadata_store.scan_events(), _AT_A_TIME):
            histories = dict(rows)
            held = self.target_metadata.recent_events(list(histories))
            changed = [key for key, events in histories.items() if events != held[key]]
            # A history is ordered by what was appended first, so one that differs is written anew.
            self.target_metadata.delete_events([key for key in changed if held[key]])
            moved = [event for key in changed for event in histories[key]]
            self.target_metadata.append_events(moved)
            self.done.events += len(moved)
            kept.update(histories)
            read += len(histories)
            progress(Step("histories", read, None))
        for extra in batches((key for key, _ in self.target_metadata.scan_events() if key not in kept), _AT_A_TIME):
            self.target_metadata.delete_events(extra)
            self.done.removed += len(extra)

    # -- vectors

    def _copy_vectors(self, collection: str, progress: Progress) -> None:
        source, target = self.recommender.vector_store, self.target_vectors
        spec = source.spec(collection)
        if collection in target.collections() and target.spec(collection) != spec:
            target.drop(collection)
        if collection not in target.collections():
            target.create(collection, spec)
        total, read = source.count(collection), 0
        kept: set[Id] = set()
        for entries in batches(source.scan(collection, vectors=True), _AT_A_TIME):
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
        target.flush(collection)

    def _upsert(self, collection: str, entries: Sequence[Entry]) -> None:
        vectors = np.stack([entry.vector for entry in entries if entry.vector is not None])
        attributes = [entry.attributes for entry in entries]
        self.target_vectors.upsert(collection, [entry.id for entry in entries], vectors, attributes)
        self.done.vectors += len(entries)

    # -- comparing

    def _differences(self, progress: Progress) -> Iterator[Any]:
        source = self.recommender.metadata_store
        for kind in (ITEM, USER, PENDING):
            for rows in batches(source.scan(kind), _AT_A_TIME):
                held = self.target_metadata.get(kind, [key for key, _ in rows])
                yield from self._unequal(((key, _same(record, held.get(key))) for key, record in rows), progress)
            yield from _more(source.count(kind), self.target_metadata.count(kind))
        for histories in batches(source.scan_events(), _AT_A_TIME):
            found = self.target_metadata.recent_events([key for key, _ in histories])
            yield from self._unequal(((key, events == found[key]) for key, events in histories), progress)
        for release in self.recommender.releases():
            name, vectors = release.collection, self.recommender.vector_store
            for entries in batches(vectors.scan(name, vectors=True), _AT_A_TIME):
                there = self.target_vectors.fetch(name, [entry.id for entry in entries])
                yield from self._unequal(((each.id, _equal(each, there.get(each.id))) for each in entries), progress)
            yield from _more(vectors.count(name), self.target_vectors.count(name))

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
