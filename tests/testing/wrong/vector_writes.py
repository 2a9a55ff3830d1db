"""Vector stores that are wrong about writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from tests.testing.references import SharedVectorStore
from tests.testing.wrong import caught_by
from vecrec.errors import InvalidDataError, StoreError
from vecrec.filters import Filter
from vecrec.ids import Id
from vecrec.types import Hit
from vecrec.vector_stores import CollectionSpec, Entry
from vecrec.vector_stores.base import Attributes, Vectors


class _Upsert(SharedVectorStore):
    """Bends what is written on its way to the engine."""

    def bend(self, spec: CollectionSpec, key: Id, vector: Vectors, row: Attributes) -> tuple[Id, Vectors, Attributes]:
        return key, vector, row

    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        bent = [self.bend(spec, *entry) for entry in zip(ids, vectors, attributes)]
        super()._upsert(
            collection, spec, [row[0] for row in bent], np.array([row[1] for row in bent]), [row[2] for row in bent]
        )


class _Given(SharedVectorStore):
    """Bends what the caller hands in before it is checked."""

    def given(self, ids: Any, vectors: Any, attributes: Any, spec: CollectionSpec) -> tuple[Any, Any, Any]:
        raise NotImplementedError

    @override
    def upsert(
        self, collection: str, ids: Sequence[Id], vectors: Any, attributes: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        super().upsert(collection, *self.given(ids, vectors, attributes, self.spec(collection)))


class _Read(SharedVectorStore):
    """Bends attributes when they are read."""

    def read(self, spec: CollectionSpec, row: Attributes) -> Attributes:
        raise NotImplementedError

    @override
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        found = super()._fetch(collection, spec, ids)
        return {key: Entry(key, entry.vector, self.read(spec, entry.attributes)) for key, entry in found.items()}


@caught_by("test_what_was_written_comes_back")
class IntegersBecomeFloats(_Read):
    @override
    def read(self, spec: CollectionSpec, row: Attributes) -> Attributes:
        return {name: float(value) if spec.fields[name] == "integer" else value for name, value in row.items()}  # type: ignore[arg-type]


@caught_by("test_what_was_written_comes_back")
class BendsVectors(_Upsert):
    @override
    def bend(self, spec: CollectionSpec, key: Id, vector: Vectors, row: Attributes) -> tuple[Id, Vectors, Attributes]:
        return key, vector * np.float32(1.001), row


@caught_by("test_what_was_written_comes_back")
class EmptyListIsMissing(_Upsert):
    @override
    def bend(self, spec: CollectionSpec, key: Id, vector: Vectors, row: Attributes) -> tuple[Id, Vectors, Attributes]:
        return key, vector, {name: value for name, value in row.items() if value != []}


@caught_by("test_vectors_compared_by_angle_come_back_as_written")
class ScalesOnWriting(_Upsert):
    @override
    def bend(self, spec: CollectionSpec, key: Id, vector: Vectors, row: Attributes) -> tuple[Id, Vectors, Attributes]:
        return key, vector / np.linalg.norm(vector) if spec.metric == "cosine" else vector, row


@caught_by("test_the_engine_holds_what_was_written")
class TwoBugsThatCancel(SharedVectorStore):
    """Writes every vector negated and reads it negated, which no test through the store alone can see."""

    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        super()._upsert(collection, spec, ids, -vectors, attributes)

    @override
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        found = super()._fetch(collection, spec, ids)
        return {k: Entry(k, -e.vector, e.attributes) for k, e in found.items() if e.vector is not None}

    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        return super()._search(collection, spec, -queries, k, where)


@caught_by("test_upsert_replaces_the_whole_entry")
class MergesAttributes(SharedVectorStore):
    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        held = self._data[collection].entries
        merged = [held[key].attributes | row if key in held else row for key, row in zip(ids, attributes)]
        super()._upsert(collection, spec, ids, vectors, merged)


@caught_by("test_upsert_is_idempotent")
class VectorsAddUp(SharedVectorStore):
    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        held = self._data[collection].entries
        added = np.array([vector + held[key].vector if key in held else vector for key, vector in zip(ids, vectors)])
        super()._upsert(collection, spec, ids, added, attributes)


@caught_by("test_the_last_of_a_repeated_id_counts")
class FirstOfARepeatedIdCounts(_Given):
    @override
    def given(self, ids: Any, vectors: Any, attributes: Any, spec: CollectionSpec) -> tuple[Any, Any, Any]:
        return ids[::-1], vectors[::-1], attributes and attributes[::-1]


@caught_by("test_attributes_may_be_left_out")
class MissingIsNone(_Read):
    @override
    def read(self, spec: CollectionSpec, row: Attributes) -> Attributes:
        return dict.fromkeys(spec.fields) | row  # type: ignore[return-value]


@caught_by("test_every_real_type_is_stored_as_float32")
class RefusesIntegers(_Given):
    @override
    def given(self, ids: Any, vectors: Any, attributes: Any, spec: CollectionSpec) -> tuple[Any, Any, Any]:
        if np.asarray(vectors).dtype.kind == "i":
            raise InvalidDataError("vectors must be float")
        return ids, vectors, attributes


@caught_by("test_bad_vectors_are_refused_before_anything_is_written")
class AcceptsNaN(_Given):
    @override
    def given(self, ids: Any, vectors: Any, attributes: Any, spec: CollectionSpec) -> tuple[Any, Any, Any]:
        whole = isinstance(vectors, list) and len({np.size(row) for row in vectors}) == 1
        return ids, np.nan_to_num(vectors) if whole else vectors, attributes


class _OneByOne(SharedVectorStore):
    @override
    def upsert(
        self, collection: str, ids: Sequence[Id], vectors: Any, attributes: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        sized = isinstance(ids, (list, range)) and isinstance(vectors, (list, np.ndarray))
        if not sized or not len(ids) == len(vectors) == len(attributes or ids):
            raise InvalidDataError("as many of each")
        for position, key in enumerate(ids):
            row = None if attributes is None else [attributes[position]]
            super().upsert(collection, [key], [vectors[position]], row)


@caught_by("test_bad_vectors_are_refused_before_anything_is_written")
class StopsAtTheBadVector(_OneByOne):
    pass


@caught_by("test_bad_attributes_are_refused_before_anything_is_written")
class StopsAtTheBadRow(_OneByOne):
    pass


@caught_by("test_bad_ids_are_refused_before_anything_is_written")
class StopsAtTheBadId(_OneByOne):
    pass


@caught_by("test_another_dimension_is_refused")
class CutsVectors(_Given):
    @override
    def given(self, ids: Any, vectors: Any, attributes: Any, spec: CollectionSpec) -> tuple[Any, Any, Any]:
        matrix = np.asarray(vectors)
        return ids, matrix[:, : spec.dim] if matrix.ndim == 2 else matrix, attributes


@caught_by("test_bad_attributes_are_refused_before_anything_is_written")
class DropsUnknownFields(_Given):
    @override
    def given(self, ids: Any, vectors: Any, attributes: Any, spec: CollectionSpec) -> tuple[Any, Any, Any]:
        rows = attributes and [
            {name: row[name] for name in row if name in spec.fields} if isinstance(row, dict) else row
            for row in attributes
        ]
        return ids, vectors, rows


@caught_by("test_bad_ids_are_refused_before_anything_is_written")
class IdsFromAnything(_Given):
    @override
    def given(self, ids: Any, vectors: Any, attributes: Any, spec: CollectionSpec) -> tuple[Any, Any, Any]:
        return [key if isinstance(key, (int, str)) else repr(key) for key in ids], vectors, attributes


@caught_by("test_the_callers_arrays_are_neither_kept_nor_changed")
class KeepsTheCallersArrays(SharedVectorStore):
    @override
    def upsert(
        self, collection: str, ids: Sequence[Id], vectors: Any, attributes: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        super().upsert(collection, ids, vectors, attributes)
        held = self._data[collection]
        for key, vector in zip(ids, vectors):
            held.entries[key] = Entry(key, np.asarray(vector, np.float32), held.entries[key].attributes)


@caught_by("test_the_callers_arrays_are_neither_kept_nor_changed")
class ChangesTheCallersRows(_Given):
    @override
    def given(self, ids: Any, vectors: Any, attributes: Any, spec: CollectionSpec) -> tuple[Any, Any, Any]:
        for row in attributes or ():
            if isinstance(row, dict):
                row.setdefault("price", None)
        return ids, vectors, attributes


@caught_by("test_the_callers_queries_are_not_changed")
class ScalesTheCallersQueries(SharedVectorStore):
    @override
    def search(self, collection: str, queries: Any, k: int, where: Filter | None = None) -> list[list[Hit]]:
        if isinstance(queries, np.ndarray) and len(queries):
            queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        return super().search(collection, queries, k, where)


@caught_by("test_what_was_read_belongs_to_the_caller")
class GivesItsOwnEntries(SharedVectorStore):
    @override
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        entries = self._open()[collection].entries
        return {key: entries[key] for key in ids if key in entries}


@caught_by("test_empty_batches_are_no_error")
class RefusesNothing(_Given):
    @override
    def given(self, ids: Any, vectors: Any, attributes: Any, spec: CollectionSpec) -> tuple[Any, Any, Any]:
        if not len(ids):
            raise StoreError("nothing to insert")
        return ids, vectors, attributes


@caught_by("test_large_batches_are_whole")
class FetchesAThousand(SharedVectorStore):
    @override
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        return super()._fetch(collection, spec, ids[:1000])


@caught_by("test_every_string_and_integer_is_an_id")
class IdsFolded(_Upsert):
    @override
    def bend(self, spec: CollectionSpec, key: Id, vector: Vectors, row: Attributes) -> tuple[Id, Vectors, Attributes]:
        return key.lower() if isinstance(key, str) else key, vector, row


@caught_by("test_a_hostile_id_deletes_only_itself")
class InjectedDelete(SharedVectorStore):
    @override
    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        super()._delete(collection, spec, ids)
        if any("'] or id != '" in str(key) for key in ids):
            self._data[collection].entries.clear()


@caught_by("test_an_integer_and_its_text_are_two_ids")
class IdsAsText(_Upsert):
    @override
    def bend(self, spec: CollectionSpec, key: Id, vector: Vectors, row: Attributes) -> tuple[Id, Vectors, Attributes]:
        return str(key), vector, row


@caught_by("test_every_string_is_an_attribute")
class TextEndsAtNul(_Upsert):
    @override
    def bend(self, spec: CollectionSpec, key: Id, vector: Vectors, row: Attributes) -> tuple[Id, Vectors, Attributes]:
        return key, vector, {n: v.split("\0")[0] if isinstance(v, str) else v for n, v in row.items()}


@caught_by("test_deleted_entries_are_gone")
class SearchFindsTheDeleted(SharedVectorStore):
    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        hits = super()._search(collection, spec, queries, k, where)
        return [[Hit("a", 9.0), *row] for row in hits] if self._dead else hits

    _dead = False

    @override
    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        self._dead = "a" in ids
        super()._delete(collection, spec, ids)


@caught_by("test_deleted_entries_are_gone")
class DeletesOneMore(SharedVectorStore):
    @override
    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        others = [key for key in self._data[collection].entries if key not in ids]
        super()._delete(collection, spec, [*ids, *others[:1]])


@caught_by("test_large_batches_are_whole")
class LosesTheLastOfABatch(SharedVectorStore):
    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        most = max(1, len(ids) - 1)
        super()._upsert(collection, spec, ids[:most], vectors[:most], attributes[:most])


@caught_by("test_deleting_what_is_missing_is_no_error")
class DeleteInsists(SharedVectorStore):
    @override
    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        if any(key not in self._data[collection].entries for key in ids):
            raise StoreError("no such entry")
        super()._delete(collection, spec, ids)
