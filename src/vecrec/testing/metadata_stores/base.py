"""The base of the tests of a metadata store: hooks that a subclass fills, and unique names."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import ClassVar

import pytest

from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.records import Record
from vecrec.testing.base import ConformanceTests
from vecrec.types import Event

__all__ = ["MetadataStoreKit", "histories"]


class MetadataStoreKit(ConformanceTests):
    """The hooks of `MetadataStoreTests`."""

    persistent: ClassVar[bool] = True
    """Whether another connection sees the same data. ``False`` for a store that lives in its process only."""

    remote: ClassVar[bool] = True
    """Whether the engine is a server, which may be out of reach: override `unreachable`. ``False`` if embedded."""

    atomic: ClassVar[bool] = True
    """Whether a batch is written whole or not at all. ``False`` for an engine that can't, as the store's docs say."""

    kept_events: ClassVar[int] = 500
    """How many events of a user the store of the fixture keeps at least."""

    def reopen(self, store: MetadataStore) -> MetadataStore:
        """Another connection to the data of ``store``, closed by the kit; where not `persistent`, a new empty store."""
        raise NotImplementedError(f"{type(self).__name__} needs a method reopen(self, store): see MetadataStoreTests")

    def unreachable(self) -> MetadataStore:
        """A store at an address without a server, with a timeout of a second or two. Making it may raise."""
        raise NotImplementedError(f"{type(self).__name__} needs a method unreachable(self), or the line remote = False")

    def raw_record(self, store: MetadataStore, kind: str, key: Id) -> Record | None:
        """What the engine holds of one record, read without the store under test; ``None`` when there is none.

        By default through a second connection; override it where there is none, or where the engine can be asked.
        """
        if not self.persistent:
            raise NotImplementedError(
                f"{type(self).__name__} is not persistent, so it needs raw_record(store, kind, key)"
            )
        with self.reopen(store) as other:
            return other.get(kind, [key]).get(key)

    def round_trips(self, store: MetadataStore) -> int | None:
        """How many requests the store has sent to its engine so far; ``None`` where that cannot be told."""
        return None

    @pytest.fixture
    def kind(self) -> str:
        """A kind of records that no other test uses."""
        return f"k{uuid.uuid4().hex[:20]}"

    @pytest.fixture
    def users(self) -> list[Id]:
        """Ids of ten users without events that no other test uses: strings first, then integers."""
        tag = uuid.uuid4()
        return [f"{tag} {number}" for number in range(5)] + [(tag.int >> 68) * 8 + number for number in range(5)]


def histories(store: MetadataStore, user_ids: Sequence[Id], batch_size: int = 1000) -> dict[Id, list[Event]]:
    """What a scan gives of some users, once it is certain that it gave each of them once."""
    wanted = set(user_ids)
    found = [(user, events) for user, events in store.scan_events(batch_size) if user in wanted]
    assert _is_unique(user for user, _ in found), "a user came twice"
    return dict(found)


def _is_unique(values: Iterable[Id]) -> bool:
    seen = list(values)
    return len(seen) == len(set(seen))
