"""The items in both stores, changed in an order that survives a crash at any step.

Every change marks its ids as pending, changes the stores so that a searchable item always has its record, and clears
the marks. What a crash leaves is found by the marks, or by comparing the digest beside each vector with its record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import batched
from vecrec.encoders.base import Encoder
from vecrec.encoders.fold_in import FoldedItems
from vecrec.errors import InvalidDataError, ItemNotFoundError, ReleaseError, StoreError
from vecrec.filters import FieldType, Filter, FilterType
from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore, ReportsRisks
from vecrec.recommender.edits import ITEM_EDIT, edit_record, edits_of
from vecrec.recommender.ownership import Ownership
from vecrec.recommender.report import Report
from vecrec.recommender.words import WordIndex
from vecrec.records import Record, record_digest
from vecrec.releases import Archive
from vecrec.types import Item
from vecrec.vector_stores.base import CollectionSpec, Entry, VectorStore

if TYPE_CHECKING:
    from vecrec.data import Schema

__all__ = [
    "BATCH", "DIGEST", "EVENT_BATCH", "ITEM", "JOURNAL", "PENDING", "USER", "Catalogue", "Generation", "Rows",
    "changed_fields",
]  # fmt: skip

ITEM, USER = "item", "user"
PENDING = "pending"
"""Kind of the marks: ids of items that a change was working on."""
JOURNAL = "journal"
"""Kind of the ids of items that were changed while a release was being built."""

BATCH = 2_000
"""Items written at a time."""
EVENT_BATCH = 20_000
"""Events written at a time."""

DIGEST = "_digest"
"""The attribute beside each vector that says which state of the record it was made from."""

MAX_DELETED = 0.5
"""The share of the vectors that `Catalogue.repair` deletes without being told to."""

_UPSERT, _DELETE = "upsert", "delete"

_log = logging.getLogger("vecrec")


@dataclass(frozen=True, slots=True)
class Rows:
    """Items as a collection takes them."""

    ids: list[Id]
    vectors: NDArray[np.float32]
    """Shape (n, dim)."""
    attributes: list[Record]


@dataclass(frozen=True, slots=True)
class Generation:
    """An encoder and the collection that holds its item vectors."""

    collection: str
    encoder: Encoder
    folded: FoldedItems = field(default_factory=FoldedItems, kw_only=True)
    """What events say of items that the encoder has not learnt."""
    schema: Schema = field(init=False)
    """The features that the encoder reads."""
    filter_fields: Mapping[str, FilterType] = field(init=False)
    """The fields of items that a filter may name."""

    def __post_init__(self) -> None:
        # Read once, since every request needs them.
        object.__setattr__(self, "schema", self.encoder.schema)
        object.__setattr__(self, "filter_fields", self.schema.filter_fields())

    def spec(self) -> CollectionSpec:
        """What the collection is made by: its attributes are what may be filtered, and the digest."""
        return collection_spec(self.encoder.dim, self.schema)

    def encode(
        self, records: Mapping[Id, Record], known: Mapping[Id, NDArray[np.float32] | None] | None = None
    ) -> Rows:
        """Make the rows of items.

        The catalogue outlives the schemas, so a feature that this one does not allow counts as missing.

        Args:
            records: The items' records.
            known: Vectors that some of the items have already, shape (dim,) each; they are not encoded.
        """
        items = [self.schema.drop_invalid_features(Item(key, record)) for key, record in records.items()]
        attributes = [
            {**self.schema.attributes(item), DIGEST: record_digest(record)}
            for item, record in zip(items, records.values())
        ]
        vectors = {key: vector for key, vector in (known or {}).items() if vector is not None}
        missing = [item for item in items if item.id not in vectors]
        made: Any = self.encoder.encode_items(missing) if missing or not vectors else []
        made = self.folded.join([item.id for item in missing if item.id is not None], made)
        if vectors:
            vectors |= {item.id: vector for item, vector in zip(missing, made) if item.id is not None}
            made = np.stack([vectors[key] for key in records])
        return Rows(list(records), np.asarray(made, np.float32), attributes)

    def differ(self, one: Record, other: Record) -> bool:
        """Whether two records differ in a feature, so that their vectors do."""
        return any(
            record_digest({"": one.get(each.name)}) != record_digest({"": other.get(each.name)})
            for each in self.schema.items
        )

    def matches(self, key: Id, record: Record, where: Filter | None) -> bool:
        """Whether an item passes a filter, as its record is now."""
        if where is None:
            return True
        return where.matches(self.schema.attributes(self.schema.drop_invalid_features(Item(key, record))))

    def write(self, store: VectorStore, rows: Rows) -> None:
        """Put rows into the collection."""
        store.upsert(self.collection, rows.ids, rows.vectors, rows.attributes)


class Catalogue:
    """Writes and compares the two sides of the catalogue.

    The caller of a method that changes something must hold the archive's catalogue lock.
    """

    def __init__(self, vectors: VectorStore, metadata: MetadataStore, archive: Archive) -> None:
        self.vectors, self._metadata, self._archive = vectors, metadata, archive
        self.ownership = Ownership(metadata, archive)
        self.words = WordIndex(lambda: self.metadata, ITEM)
        """What a search by text looks up."""

    @property
    def metadata(self) -> MetadataStore:
        """The metadata store, after it was found to be the recommender's own.

        Raises:
            InvalidDataError: when it is that of another recommender or another catalogue.
            ReleaseError: when it holds nothing of a recommender that has a live release.
        """
        self.ownership.check()
        return self._metadata

    # -- changing it

    def check_artifacts(self) -> None:
        """Compare the artifacts with the release that the store says is live.

        Raises:
            ReleaseError: when these artifacts are a copy, and a later release was published elsewhere: what is written
                to the release that they know would be lost from search.
        """
        owner, newest = self.ownership.owner(), self._archive.newest()
        if owner is not None and owner.live is not None and newest is not None and owner.live > newest:
            raise ReleaseError(
                f"the release {owner.live!r} was published from other artifacts than {self._archive.path}, which "
                f"end with {newest!r}",
                "let all processes share one directory of artifacts, or copy it again",
            )

    def upsert(self, generation: Generation, records: Mapping[Id, Record]) -> None:
        """Write records and their vectors."""
        self.check_artifacts()
        rows = generation.encode(records)  # what cannot be encoded is refused before anything is written
        self._write(generation, records, rows, self.metadata.get(ITEM, rows.ids))

    def update(self, generation: Generation, changes: Mapping[Id, Record]) -> None:
        """Change fields of stored records; vectors are made again only where a feature changes.

        Raises:
            ItemNotFoundError: for an item without a record.
            InvalidDataError: for an unknown field, or a value that the schema does not allow.
        """
        self.check_artifacts()
        before = self.metadata.get(ITEM, list(changes))
        records = {key: changed_record(generation.schema, key, before.get(key), changes[key]) for key in changes}
        held = self.vectors.fetch(generation.collection, list(records))
        same = {
            key: held[key].vector
            for key, record in records.items()
            if key in held and _agree(held[key], before[key]) and not generation.differ(before[key], record)
        }
        self._write(generation, records, generation.encode(records, same), before)

    def check_changes(self, generation: Generation, changes: Mapping[Id, Record]) -> None:
        """Raise what `update` would raise, and write nothing."""
        before = self.metadata.get(ITEM, list(changes))
        for key, change in changes.items():
            changed_record(generation.schema, key, before.get(key), change)

    def _write(
        self, generation: Generation, records: Mapping[Id, Record], rows: Rows, before: Mapping[Id, Record]
    ) -> None:
        """Write records and vectors between marks; ``before`` is put back where the engine refuses a vector."""
        edit = self._begin(rows.ids, _UPSERT)
        self.metadata.put(ITEM, records)
        try:
            generation.write(self.vectors, rows)
        except InvalidDataError:
            # Each engine has limits of its own, such as on the length of a list, that only it knows.
            self.metadata.put(ITEM, before)
            self.metadata.delete(ITEM, [key for key in rows.ids if key not in before])
            self.unmark(rows.ids)
            raise
        self._end(rows.ids, edit)

    def delete(self, generation: Generation, ids: Sequence[Id]) -> None:
        """Remove vectors, then records."""
        self.check_artifacts()
        edit = self._begin(ids, _DELETE)
        self.vectors.delete(generation.collection, ids)
        self.metadata.delete(ITEM, ids)
        self._end(ids, edit)

    def put_records(self, records: Mapping[Id, Record | None], as_of: float, *, marked: bool) -> int:
        """Write the records of a data set that are new or differ, whose vectors a build will make.

        Args:
            records: ``None`` for an item that is only mentioned: it gets an empty record, unless it has one or was
                deleted.
            as_of: The moment that the data set is of. What was edited at that moment or later stays as it is.
            marked: Whether to mark the changed items until their vectors have followed.

        Returns:
            How many were written.
        """
        ids = list(records)
        held, marks = self.metadata.get(ITEM, ids), self.metadata.get(PENDING, ids)
        edits = edits_of(self.metadata.get(ITEM_EDIT, ids), marks)
        stated = {
            key: record
            for key, record in records.items()
            if record is not None and (key not in edits or edits[key].at < as_of)
        }
        # By digest, since 1, 1.0 and True are equal in Python and not in JSON.
        digests = {key: record_digest(record) for key, record in held.items()}
        changed = {key: record for key, record in stated.items() if digests.get(key) != record_digest(record)}
        gone = {key for key, edit in edits.items() if edit.deleted}
        changed |= {key: {} for key, record in records.items() if record is None and key not in {*held, *gone}}
        # A deletion that a crash has cut short must not be brought to its end after this.
        to_mark = dict.fromkeys([*(changed if marked else ()), *(key for key in marks if key in stated)])
        if to_mark:
            self._mark({key: {"op": _UPSERT} for key in to_mark})
        self.metadata.put(ITEM, changed)
        self.metadata.delete(ITEM_EDIT, [key for key in stated if key in edits])
        return len(changed)

    def mend(self, generation: Generation, ids: Sequence[Id]) -> None:
        """Make the vectors of these items agree with their records, and end what a crash has left half done."""
        for part in batched(ids, BATCH):
            self._journal(part)
            self._finish(generation, part)
            records = self.metadata.get(ITEM, part)
            self.vectors.delete(generation.collection, [key for key in part if key not in records])
            generation.write(self.vectors, generation.encode(records))

    def repair(self, generation: Generation, ids: Sequence[Id], *, allow_deletions: bool = False) -> None:
        """Mend items of the generation that serves, and clear their marks.

        Raises:
            ReleaseError: when more than a share `MAX_DELETED` of the vectors would be deleted, since their items have
                no record, and ``allow_deletions`` is false.
        """
        self.check_artifacts()
        if not allow_deletions:
            self._refuse_deletions(generation, ids)
        self.mend(generation, ids)
        self.unmark(ids)

    def switch(self, release_id: str, settled: Sequence[Id]) -> None:
        """Make a release the live one, and clear the marks that it settles."""
        self._archive.switch(release_id)
        try:
            self.ownership.claim(release_id)
            # Not before: until the switch, these marks are what finds the other release's unfinished changes.
            self.unmark(settled)
        except StoreError as error:  # it is live already, and repair() clears the marks
            _log.warning("the release %s is live, its marks could not be cleared: %s", release_id, error)

    # -- its marks

    def mark_differing(self, generation: Generation, ids: Sequence[Id]) -> None:
        """Remember items for `repair` that are searchable without a record, or by a vector of an earlier record.

        It happens while a request is served, so it neither fails nor waits: another process that holds the lock may be
        changing these very items, and if not, the next reader meets them again.
        """
        try:
            with self._archive.catalogue_lock(timeout=0):
                searchable = self.vectors.fetch(generation.collection, ids)
                records, marks = self.metadata.get(ITEM, ids), self.metadata.get(PENDING, ids)
                lost = [key for key in searchable if key not in records and key not in marks]
                stale = [
                    key
                    for key, record in records.items()
                    if key in searchable and key not in marks and not _agree(searchable[key], record)
                ]
                operations = {key: {"op": "missing"} for key in lost} | {key: {"op": "stale"} for key in stale}
                self.metadata.put(PENDING, operations)
        except (StoreError, ReleaseError) as error:
            _log.warning("could not mark %s for repair: %s", list(ids)[:10], error)
            return
        if lost:
            _log.warning("%d items are searchable without a record, marked for repair: %s", len(lost), lost[:10])
        if stale:
            _log.warning("%d items have a vector of an earlier record, marked for repair: %s", len(stale), stale[:10])

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
        for rows in batched(self.metadata.scan(ITEM, BATCH), BATCH):
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
        for part in batched(dict.fromkeys([*suspects, *pending]), BATCH):
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

    def _begin(self, ids: Sequence[Id], operation: str) -> Record:
        """Mark items that an edit is about to change; returns the edit."""
        edit = edit_record(operation, time.time())
        self._mark(dict.fromkeys(ids, edit))
        return edit

    def _end(self, ids: Sequence[Id], edit: Record) -> None:
        """Keep the time of an edit that is done, and clear its marks."""
        self.metadata.put(ITEM_EDIT, dict.fromkeys(ids, edit))
        self.words.edited(ids)
        self.unmark(ids)

    def _mark(self, marks: Mapping[Id, Record]) -> None:
        self._journal(list(marks))
        self.metadata.put(PENDING, marks)

    def _journal(self, ids: Sequence[Id]) -> None:
        # Before the stores change, so that a build of a release beside this one cannot miss it.
        if self._archive.building():
            self.metadata.put(JOURNAL, {key: {} for key in ids})

    def _refuse_deletions(self, generation: Generation, ids: Sequence[Id]) -> None:
        held = self.vectors.count(generation.collection)
        doomed = 0
        for part in batched(ids, BATCH):
            records, marks = self.metadata.get(ITEM, part), self.metadata.get(PENDING, part)
            lost = [key for key in part if key not in records and marks.get(key, {}).get("op") != _DELETE]
            doomed += len(self.vectors.fetch(generation.collection, lost))
        if doomed > MAX_DELETED * held:
            raise ReleaseError(
                f"{doomed:,} of {held:,} vectors would be deleted, since their items have no record",
                "check that the metadata store has not lost them; repair(allow_deletions=True), or "
                "vecrec repair --allow-deletions, deletes them",
            )

    def _finish(self, generation: Generation, ids: Sequence[Id]) -> None:
        """Bring to their ends the edits of items that a crash has cut short."""
        marks = self.metadata.get(PENDING, ids)
        self.metadata.put(ITEM_EDIT, {key: mark for key, mark in marks.items() if "at" in mark})
        doomed = [key for key, mark in marks.items() if mark.get("op") == _DELETE]
        if doomed:
            # Where another generation serves still, the items must not be found there without their records either.
            live, held = self._archive.live()[0], self.vectors.collections()
            serving = generation.collection if live is None else self._archive.collection(live)
            for collection in {generation.collection, serving}.intersection(held):
                self.vectors.delete(collection, doomed)
            self.metadata.delete(ITEM, doomed)


def collection_spec(dim: int, schema: Schema) -> CollectionSpec:
    """What a release's collection holds beside its vectors: the filterable fields, times in seconds, and the digest."""
    fields: dict[str, FieldType] = {
        name: "number" if kind == "time" else kind for name, kind in schema.filter_fields().items()
    }
    return CollectionSpec(dim, "ip", {**fields, DIGEST: "string"})


def changed_record(schema: Schema, key: Id, record: Record | None, change: Record) -> Record:
    """A stored record with some fields changed; ``None`` removes a field.

    Raises:
        ItemNotFoundError: when there is no record.
        InvalidDataError: for a field that neither the schema nor the record has, or a value that the schema does not
            allow.
    """
    if record is None:
        raise ItemNotFoundError(f"no item {key!r} in the catalogue", "upsert_items adds one")
    schema.check_item(Item(key, change))
    return changed_fields(f"item {key!r}", record, change, (feature.name for feature in schema.item_fields))


def changed_fields(what: str, record: Record, change: Record, known: Iterable[str]) -> Record:
    """A record with some fields changed; ``None`` removes a field.

    Args:
        what: What messages call it.
        record: As it is.
        change: The new values.
        known: Fields that it may have beside those that it has.

    Raises:
        InvalidDataError: for another field.
    """
    fields = {*record, *known}
    for name, value in change.items():
        if name not in fields and value is not None:  # a field that was removed before may be removed again
            raise InvalidDataError(
                f"{what} has no field {name!r}, and the schema has none",
                f"its fields are {sorted(fields)}; replace the whole record to add another one",
            )
    return {name: value for name, value in {**record, **change}.items() if value is not None or name not in change}


def _agree(entry: Entry, record: Record) -> bool:
    return entry.attributes.get(DIGEST) == record_digest(record)
