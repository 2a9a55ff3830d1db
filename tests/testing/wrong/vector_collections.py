"""Vector stores that are wrong about collections and connections."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from typing_extensions import override

from tests.testing.references import SharedVectorStore
from tests.testing.wrong import caught_by
from vecrec.errors import CollectionExistsError, StoreError
from vecrec.filters import Filter
from vecrec.ids import Id
from vecrec.progress import Progress, silent
from vecrec.types import Hit
from vecrec.vector_stores import CollectionSpec, Entry, VectorStore
from vecrec.vector_stores.base import Attributes, Vectors
from vecrec.vector_stores.memory import _Collection


@caught_by("test_a_created_collection_is_empty")
class SearchOfNothingFails(SharedVectorStore):
    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        if not self._data[collection].entries:
            raise StoreError("the collection is empty")
        return super()._search(collection, spec, queries, k, where)


@caught_by("test_create_refuses_a_name_that_is_taken")
class CreateReplaces(SharedVectorStore):
    @override
    def _create(self, collection: str, spec: CollectionSpec) -> None:
        self._open()[collection] = _Collection(spec)


@caught_by("test_create_refuses_what_is_no_name")
class NamesUnchecked(SharedVectorStore):
    @override
    def create(self, collection: str, spec: CollectionSpec) -> None:
        self._create(str(collection), spec)


@caught_by("test_create_refuses_what_is_no_spec")
class SpecUnchecked(SharedVectorStore):
    @override
    def create(self, collection: str, spec: Any) -> None:
        super().create(collection, spec if isinstance(spec, CollectionSpec) else CollectionSpec(1))


@caught_by("test_names_of_any_length_and_case_are_distinct_and_listed_in_order")
class NamesFolded(SharedVectorStore):
    @override
    def _create(self, collection: str, spec: CollectionSpec) -> None:
        if collection.lower() in map(str.lower, self._data):
            raise CollectionExistsError(collection)
        super()._create(collection, spec)


@caught_by("test_names_of_any_length_and_case_are_distinct_and_listed_in_order")
class NamesUnsorted(SharedVectorStore):
    @override
    def collections(self) -> list[str]:
        return sorted(self._collections(), reverse=True)


@caught_by("test_drop_removes_the_collection_and_all_it_holds")
class DropKeepsEntries(SharedVectorStore):
    def __init__(self) -> None:
        super().__init__()
        self._dropped: dict[str, _Collection] = {}

    @override
    def _drop(self, collection: str) -> None:
        if collection in self._data:
            self._dropped[collection] = self._data.pop(collection)

    @override
    def _create(self, collection: str, spec: CollectionSpec) -> None:
        super()._create(collection, spec)
        if collection in self._dropped:
            self._data[collection].entries = self._dropped[collection].entries


@caught_by("test_spec_is_what_the_collection_was_created_with")
class SpecForgetsTheMetric(SharedVectorStore):
    @override
    def _spec(self, collection: str) -> CollectionSpec | None:
        spec = super()._spec(collection)
        return spec and CollectionSpec(spec.dim, "ip", spec.fields)


@caught_by("test_spec_is_known_to_every_connection")
class SpecsOfItsOwnOnly(SharedVectorStore):
    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, CollectionSpec] = {}

    @override
    def _create(self, collection: str, spec: CollectionSpec) -> None:
        super()._create(collection, spec)
        self._made[collection] = spec

    @override
    def _spec(self, collection: str) -> CollectionSpec | None:
        return self._made.get(collection)


@caught_by("test_every_call_names_a_collection_that_is_missing")
class MissingCollectionIsEmpty(SharedVectorStore):
    @override
    def count(self, collection: str) -> int:
        return super().count(collection) if collection in self._open() else 0


@caught_by("test_every_call_names_a_collection_that_is_missing")
class ScanRaisesLate(SharedVectorStore):
    @override
    def scan(self, collection: str, *, vectors: bool = False, batch_size: int = 1000) -> Any:
        yield from super().scan(collection, vectors=vectors, batch_size=batch_size)


@caught_by("test_collections_are_independent")
class DeletesEverywhere(SharedVectorStore):
    @override
    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        for name, held in self._open().items():
            super()._delete(name, held.spec, ids)


@caught_by("test_threads_lose_nothing")
class LosesRaces(SharedVectorStore):
    @override
    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        held = self._open()[collection]
        entries = held.entries | {key: Entry(key, vector, row) for key, vector, row in zip(ids, vectors, attributes)}
        time.sleep(0.001)
        held.entries, held.matrix = entries, None


@caught_by("test_flush_keeps_everything")
class FlushLosesTheLast(SharedVectorStore):
    @override
    def _flush(self, collection: str, spec: CollectionSpec, progress: Progress) -> None:
        self._data[collection].entries.popitem()


@caught_by("test_data_outlives_the_connection")
class ForgetsWhenClosed(SpecsOfItsOwnOnly):
    @override
    def _spec(self, collection: str) -> CollectionSpec | None:
        return SharedVectorStore._spec(self, collection)

    @override
    def close(self) -> None:
        for name in self._made:
            self._data.pop(name, None)
        super().close()


@caught_by("test_ping_returns_while_the_engine_answers")
class PingFails(SharedVectorStore):
    @override
    def ping(self) -> None:
        raise StoreError("ping is not supported")


@caught_by("test_close_may_be_called_twice")
class ClosesOnce(SharedVectorStore):
    @override
    def close(self) -> None:
        self._open()
        super().close()


@caught_by("test_close_may_be_called_twice")
class ClosesOthersToo(SharedVectorStore):
    connections: list[SharedVectorStore] = []  # noqa: RUF012  # shared by design: that is the bug

    def __init__(self) -> None:
        super().__init__()
        self.connections.append(self)

    @override
    def close(self) -> None:
        for connection in self.connections:
            connection._closed = True


@caught_by("test_leaving_the_with_block_closes")
class StaysOpen(SharedVectorStore):
    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@caught_by("test_a_closed_store_refuses_every_call")
class CountsWhenClosed(SharedVectorStore):
    @override
    def count(self, collection: str) -> int:
        held = self._data.get(collection)
        return len(held.entries) if held else super().count(collection)


@caught_by("test_a_closed_store_refuses_every_call")
class WrongErrorWhenClosed(SharedVectorStore):
    @override
    def flush(self, collection: str, progress: Progress = silent) -> None:
        if self._closed:
            raise AttributeError("'NoneType' object has no attribute 'flush'")
        super().flush(collection, progress)


@caught_by("test_an_engine_out_of_reach_is_told_in_time")
class RawErrorWhenLost(SharedVectorStore):
    @override
    @classmethod
    def lost(cls) -> VectorStore:
        raise ConnectionRefusedError("nobody listens")


@caught_by("test_an_engine_out_of_reach_is_told_in_time")
class SilentWhenLost(SharedVectorStore):
    @override
    @classmethod
    def lost(cls) -> VectorStore:
        return cls()


@caught_by("test_an_engine_that_hangs_is_waited_for_once")
class WaitsEachTime(SharedVectorStore):
    @override
    def guard(self) -> AbstractContextManager[None]:
        return nullcontext()
