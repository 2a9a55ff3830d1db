"""The reference stores, with a second connection and an address where nobody answers, and their kits; a reranker.

Every deliberately wrong store or reranker is a subclass of one of them with one bug.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from typing_extensions import Self, override

from vecrec._internal.storage import array_digest, load_parts, save_parts
from vecrec.data import Dataset
from vecrec.encoders import Encoder
from vecrec.errors import StoreUnavailableError
from vecrec.ids import Id
from vecrec.metadata_stores import MemoryMetadataStore, MetadataStore
from vecrec.progress import Progress
from vecrec.recommendations import Recommendation
from vecrec.records import Record
from vecrec.rerankers import Candidates, Reranker
from vecrec.testing import MetadataStoreTests, VectorStoreTests
from vecrec.types import User
from vecrec.vector_stores import MemoryVectorStore, VectorStore


def _refuse() -> None:
    try:
        raise ConnectionRefusedError("nobody listens")
    except ConnectionRefusedError as error:
        raise StoreUnavailableError("no vector store at this address: is it running?") from error


class SharedVectorStore(MemoryVectorStore):
    """A memory store whose data several connections share."""

    def twin(self) -> Self:
        """Another connection to the same data."""
        other = type(self)()
        other._data, other._lock = self._data, self._lock
        return other

    @classmethod
    def lost(cls) -> VectorStore:
        """A connection to an engine that is not there."""
        _refuse()
        return cls()


class SharedVectorStoreTests(VectorStoreTests):
    """The kit on `SharedVectorStore`, or on a wrong subclass of it."""

    make: ClassVar[type[SharedVectorStore]] = SharedVectorStore

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls) -> Iterator[VectorStore]:
        store = cls.make()
        yield store
        SharedVectorStore.close(store)

    @override
    def reopen(self, store: VectorStore) -> VectorStore:
        assert isinstance(store, SharedVectorStore)
        return store.twin()

    @override
    def unreachable(self) -> VectorStore:
        return self.make.lost()

    @override
    def raw_vectors(self, store: VectorStore, collection: str) -> Mapping[Id, Sequence[float]]:
        assert isinstance(store, SharedVectorStore)
        entries = store._data[collection].entries.values()
        return {entry.id: entry.vector.tolist() for entry in entries if entry.vector is not None}


class SharedMetadataStore(MemoryMetadataStore):
    """A memory store whose data several connections share, and which counts its calls."""

    def __init__(self) -> None:
        super().__init__(max_events_per_user=520)
        self.calls = 0

    def twin(self) -> Self:
        """Another connection to the same data."""
        other = type(self)()
        other._records, other._events, other._lock = self._records, self._events, self._lock
        return other

    @classmethod
    def lost(cls) -> MetadataStore:
        """A connection to an engine that is not there."""
        _refuse()
        return cls()

    @override
    def _put(self, kind: str, records: dict[Id, Record]) -> None:
        self.calls += 1
        super()._put(kind, records)

    @override
    def _get(self, kind: str, ids: list[Id]) -> dict[Id, Record]:
        self.calls += 1
        return super()._get(kind, ids)

    @override
    def _delete(self, kind: str, ids: list[Id]) -> None:
        self.calls += 1
        super()._delete(kind, ids)


class SharedMetadataStoreTests(MetadataStoreTests):
    """The kit on `SharedMetadataStore`, or on a wrong subclass of it."""

    make: ClassVar[type[SharedMetadataStore]] = SharedMetadataStore

    @pytest.fixture
    def store(self) -> Iterator[MetadataStore]:
        store = self.make()
        yield store
        SharedMetadataStore.close(store)

    @override
    def reopen(self, store: MetadataStore) -> MetadataStore:
        assert isinstance(store, SharedMetadataStore)
        return store.twin()

    @override
    def unreachable(self) -> MetadataStore:
        return self.make.lost()

    @override
    def raw_record(self, store: MetadataStore, kind: str, key: Id) -> Record | None:
        assert isinstance(store, SharedMetadataStore)
        return store._records[kind].get(key)

    @override
    def round_trips(self, store: MetadataStore) -> int | None:
        assert isinstance(store, SharedMetadataStore)
        return store.calls


class BestRated(Reranker):
    """Orders candidates by the mean of their ratings, with a little chance, and those nobody rated last."""

    name: ClassVar[str] = "best_rated"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._means: dict[Id, float] | None = None

    @property
    @override
    def depth(self) -> int:
        return 20

    @property
    @override
    def is_fitted(self) -> bool:
        return self._means is not None

    @override
    def _fit(self, data: Dataset, encoder: Encoder, progress: Progress) -> None:
        noise = np.random.default_rng(self._seed).random(data.n_items) / 10
        rated: NDArray[Any] = np.zeros(data.n_events) if data.ratings is None else data.ratings
        sums = np.bincount(data.item_codes, rated, data.n_items) + noise
        counts = np.maximum(data.popularity(), 1)
        self._means = {key: float(mean) for key, mean in zip(data.item_ids, sums / counts)}

    @override
    def _rerank(self, user: User, candidates: Candidates) -> Sequence[Recommendation]:
        means = self._means or {}
        scored = [replace(item, score=means.get(item.item_id, 0.0)) for item in candidates]
        return sorted(scored, key=lambda item: -item.score)

    @override
    def _save(self, directory: Path) -> None:
        means = self._means or {}
        save_parts(directory, self.name, self._state(), {"means": np.array([*means.values()])}, "reranker")

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        values, arrays = load_parts(directory, cls.name, "reranker")
        loaded = cls(values["seed"])
        loaded._means = dict(zip(values["items"], arrays["means"].tolist(), strict=True))
        return loaded

    @override
    def _fingerprint(self) -> str:
        return array_digest([self.name, list((self._means or {}).items())])

    def _state(self) -> dict[str, Any]:
        return {"seed": self._seed, "items": list(self._means or {})}
