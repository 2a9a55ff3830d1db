"""How Milvus indexes the vectors of a new collection: the kinds that both Milvus Lite and a server keep their word on.

Milvus Lite accepts others (IVF_PQ, SCANN, DISKANN, GPU_*) at creation and cannot load them after the next start.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

from vecrec._internal.validation import integer
from vecrec.errors import InvalidDataError, shown

__all__ = ["HNSW", "HNSWSQ", "IVFSQ8", "AutoIndex", "Flat", "IVFFlat", "Index", "dump_index", "load_index"]

_MAX_EF = 32_768


@dataclass(frozen=True, slots=True)
class Flat:
    """Compares a query with every vector: exact, no time to build, slow beyond some 100,000 vectors."""

    kind: ClassVar[str] = "FLAT"

    def build(self) -> dict[str, int]:
        """The engine's parameters for building."""
        return {}

    def search(self, limit: int, effort: int = 1) -> dict[str, int]:
        """The engine's parameters for a search of ``limit`` hits that looks at ``effort`` times as much as usual."""
        return {}


@dataclass(frozen=True, slots=True)
class AutoIndex(Flat):
    """Leaves the choice to the engine."""

    kind: ClassVar[str] = "AUTOINDEX"


@dataclass(frozen=True, slots=True)
class HNSW:
    """A graph of near vectors: fast at any size, and at its defaults nearly exact on MovieLens 1M; measure on more.

    Item vectors of a recommender are of many lengths, and users' vectors lie elsewhere than items'. That takes a far
    denser graph and a wider search than the usual settings for pictures and texts, of ``m=16`` and ``ef=64``, with
    which a third of the best ten is missed: ``python -m benchmarks.graph``.

    Raises:
        InvalidDataError: for a setting outside its range.
    """

    kind: ClassVar[str] = "HNSW"

    m: int = 128
    """Edges of a vector, 2 to 2,048. More is more exact and takes more memory: 8 bytes for each edge."""
    ef_construction: int = 1000
    """Candidates looked at when a vector is inserted, 1 to 32,768. More is more exact and slower to build."""
    ef: int = 1024
    """Candidates looked at in a search, 1 to 32,768; a search for more hits than that looks at as many."""

    def __post_init__(self) -> None:
        _check(self, "m", 2, 2048)
        _check(self, "ef_construction", 1, _MAX_EF)
        _check(self, "ef", 1, _MAX_EF)

    def build(self) -> dict[str, int]:
        """The engine's parameters for building."""
        return {"M": self.m, "efConstruction": self.ef_construction}

    def search(self, limit: int, effort: int = 1) -> dict[str, int]:
        """The engine's parameters for a search of ``limit`` hits that looks at ``effort`` times as much as usual."""
        return {"ef": max(min(effort * self.ef, _MAX_EF), limit)}


@dataclass(frozen=True, slots=True)
class HNSWSQ(HNSW):
    """An `HNSW` graph over vectors of one byte a number: a quarter of the memory, less exact. Milvus 2.5 and later."""

    kind: ClassVar[str] = "HNSW_SQ"

    def build(self) -> dict[str, Any]:
        """The engine's parameters for building."""
        return {"M": self.m, "efConstruction": self.ef_construction, "sq_type": "SQ8"}


@dataclass(frozen=True, slots=True)
class IVFFlat:
    """Vectors in clusters, of which a search looks at some: quick to build, less exact than `HNSW`.

    Raises:
        InvalidDataError: for a setting outside its range.
    """

    kind: ClassVar[str] = "IVF_FLAT"

    nlist: int = 128
    """Clusters, 1 to 65,536; about four times the square root of the number of vectors is usual."""
    nprobe: int = 16
    """Clusters that a search looks at, 1 to ``nlist``."""

    def __post_init__(self) -> None:
        _check(self, "nlist", 1, 65_536)
        _check(self, "nprobe", 1, self.nlist)

    def build(self) -> dict[str, int]:
        """The engine's parameters for building."""
        return {"nlist": self.nlist}

    def search(self, limit: int, effort: int = 1) -> dict[str, int]:
        """The engine's parameters for a search of ``limit`` hits that looks at ``effort`` times as much as usual."""
        return {"nprobe": min(effort * self.nprobe, self.nlist)}


@dataclass(frozen=True, slots=True)
class IVFSQ8(IVFFlat):
    """`IVFFlat` over vectors of one byte a number: a quarter of the memory, less exact again."""

    kind: ClassVar[str] = "IVF_SQ8"


Index: TypeAlias = Flat | AutoIndex | HNSW | HNSWSQ | IVFFlat | IVFSQ8
"""The indexes that a `MilvusVectorStore` makes."""

_KINDS: dict[str, type[Index]] = {index.kind: index for index in (Flat, AutoIndex, HNSW, HNSWSQ, IVFFlat, IVFSQ8)}


def check_index(index: Any) -> Index:
    """The index, if it is one.

    Raises:
        InvalidDataError: for anything else, the engine's own names and parameters included.
    """
    if type(index) not in _KINDS.values():
        names = ", ".join(f"{kind.__name__}()" for kind in _KINDS.values())
        raise InvalidDataError(f"{shown(index)} is not an index for Milvus", f"use one of {names}")
    return index  # type: ignore[no-any-return]


def dump_index(index: Index) -> dict[str, Any]:
    """The index as JSON."""
    return {"kind": index.kind, **asdict(index)}


def load_index(record: dict[str, Any]) -> Index:
    """The index of a JSON object made by `dump_index`."""
    settings = dict(record)
    return _KINDS[settings.pop("kind")](**settings)


def _check(index: Index, name: str, low: int, high: int) -> None:
    value = integer(getattr(index, name), f"{name} of {index.kind}", low=low, high=high)
    object.__setattr__(index, name, value)
