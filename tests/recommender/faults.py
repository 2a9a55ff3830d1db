"""Stores in memory, and an archive, that end the work at the n-th write."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import pytest

from vecrec.errors import StoreUnavailableError
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.records import Record
from vecrec.releases import Archive
from vecrec.types import Event
from vecrec.vector_stores import CollectionSpec, MemoryVectorStore
from vecrec.vector_stores.base import Attributes, Vectors

When = Literal["before", "half", "after"]
"""Whether nothing, a part or all of the fatal write is done."""

Kind = Literal["error", "kill"]
"""Whether the write fails as by a lost connection, or the process ends there and writes nothing any more."""


class Killed(BaseException):
    """Stands for the end of the process: no handler of errors may do anything after it."""


@dataclass
class Saboteur:
    """Counts the writes to both stores and to the archive, and ends the work at one of them."""

    at: int | None = None
    when: When = "before"
    kind: Kind = "kill"
    after_each: Callable[[], None] | None = None
    """Called after each write, to look at what a reader would see at this moment."""
    count: int = 0
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


class FaultyVectorStore(MemoryVectorStore):
    """A vector store whose writes may be sabotaged."""

    saboteur: Saboteur | None = None

    def _create(self, collection: str, spec: CollectionSpec) -> None:
        self._do(functools.partial(super()._create, collection, spec))

    def _drop(self, collection: str) -> None:
        self._do(functools.partial(super()._drop, collection))

    def _upsert(
        self, collection: str, spec: CollectionSpec, ids: list[Id], vectors: Vectors, attributes: list[Attributes]
    ) -> None:
        upsert, n = functools.partial(super()._upsert, collection, spec), len(ids) // 2
        self._do(lambda: upsert(ids, vectors, attributes), lambda: upsert(ids[:n], vectors[:n], attributes[:n]))

    def _delete(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> None:
        delete = functools.partial(super()._delete, collection, spec)
        self._do(lambda: delete(ids), lambda: delete(ids[: len(ids) // 2]))

    def _do(self, whole: Callable[[], None], half: Callable[[], None] = lambda: None) -> None:
        whole() if self.saboteur is None else self.saboteur.write(whole, half)


class FaultyMetadataStore(MemoryMetadataStore):
    """A metadata store whose writes may be sabotaged; its batches are not all or nothing."""

    saboteur: Saboteur | None = None

    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        put = functools.partial(super()._put, kind)
        self._do(lambda: put(records), lambda: put(dict(islice(records.items(), len(records) // 2))))

    def _delete(self, kind: str, ids: list[Id]) -> None:
        delete = functools.partial(super()._delete, kind)
        self._do(lambda: delete(ids), lambda: delete(ids[: len(ids) // 2]))

    def _append_events(self, events: list[Event]) -> None:
        append = super()._append_events
        self._do(lambda: append(events), lambda: append(events[: len(events) // 2]))

    def _do(self, whole: Callable[[], None], half: Callable[[], None] = lambda: None) -> None:
        whole() if self.saboteur is None else self.saboteur.write(whole, half)


@contextmanager
def sabotaged(saboteur: Saboteur, vectors: FaultyVectorStore, metadata: FaultyMetadataStore) -> Iterator[Saboteur]:
    """Let the saboteur in, at the stores and at the archive's files, for the time of the block."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("identify", "set_building", "seal", "switch", "remove"):
            patch.setattr(Archive, name, _guarded(getattr(Archive, name), saboteur))
        vectors.saboteur = metadata.saboteur = saboteur
        try:
            yield saboteur
        finally:
            vectors.saboteur = metadata.saboteur = None


def _guarded(method: Callable[..., Any], saboteur: Saboteur) -> Callable[..., Any]:
    def guarded(self: Archive, *arguments: Any) -> Any:
        answers: list[Any] = []
        saboteur.write(lambda: answers.append(method(self, *arguments)))
        return answers[0]

    return guarded
