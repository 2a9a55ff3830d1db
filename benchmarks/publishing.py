"""Publishing a catalogue to a Milvus server beside the release that serves: the client's part, beside pymilvus.

    python -m benchmarks.publishing                                # 100,000 items
    python -m benchmarks.publishing --items 1000000 --dim 64

A recommender has a live release of the first two thousand items. Then all records are there, in SQLite, and a second
release is built beside it: `Recommender.publish` reads and checks each record, has each item encoded, writes it, reads
some back, compares the index with the exact result and seals the artifacts. Its encoder has a vector for each item, as
one that was trained does. pymilvus upserts rows of the same content that are ready-made. Each side has a process of its
own. The processor's time and the memory are the client's: the server has processes of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self, override

from benchmarks._jobs import apart
from benchmarks._report import report
from benchmarks.indexing import address, batches, opened
from benchmarks.scale import Figures, measured, rounded
from vecrec import Event, Recommender, ReleaseChecks
from vecrec._internal.storage import array_digest, load_parts, save_parts
from vecrec.data import Categorical, Dataset, MultiCategorical, Numeric, Schema
from vecrec.encoders import Encoder
from vecrec.metadata_stores import SQLMetadataStore
from vecrec.progress import Progress
from vecrec.types import Item, User
from vecrec.vector_stores import MilvusVectorStore
from vecrec.vector_stores.milvus import Flat
from vecrec.vector_stores.milvus.layout import ID

_BATCH, _USERS, _TIMEOUT = 2_000, 300, 600.0
_SCHEMA = Schema(
    filters=(Numeric("year", dtype="integer"), Categorical("lang"), MultiCategorical("genres")),
)


class GivenVectors(Encoder):
    """A vector for each item, by its number, and for a user the mean of those of the history."""

    name = "given_vectors"

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors

    @property
    @override
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    @property
    @override
    def is_fitted(self) -> bool:
        return True

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        raise NotImplementedError

    @override
    def _encode_items(self, items: Sequence[Item]) -> NDArray[np.float32]:
        return self.vectors[[int(item.id or 0) for item in items]]

    @override
    def _encode_users(self, users: Sequence[User]) -> NDArray[np.float32]:
        return np.stack([self.vectors[[int(e.item_id) for e in user.history] or [0]].mean(axis=0) for user in users])

    @override
    def _save(self, directory: Path) -> None:
        save_parts(directory, self.name, {}, {"vectors": self.vectors})

    @classmethod
    @override
    def _load(cls, directory: Path) -> Self:
        return cls(load_parts(directory, cls.name)[1]["vectors"])

    @override
    def _fingerprint(self) -> str:
        return array_digest(self.name, self.vectors)

    @override
    def _schema(self) -> Schema:
        return _SCHEMA


def vectors_of(n_items: int, dim: int) -> NDArray[np.float32]:
    """Those of the items that `batches` makes."""
    found = np.empty((n_items, dim), np.float32)
    for batch in batches(n_items, dim, _BATCH):
        found[batch.ids] = batch.vectors
    return found


def vecrec(uri: str, home: Path, n_items: int, dim: int) -> Figures:
    """Publish all items beside a live release of two thousand."""
    found, rng = Figures(), np.random.default_rng(7)
    GivenVectors(vectors_of(n_items, dim)).save(home / "encoder")
    encoder = GivenVectors.load(home / "encoder")  # as the command line and the service have it
    with (
        MilvusVectorStore(uri, timeout=_TIMEOUT, index=Flat()) as vectors,
        SQLMetadataStore(f"sqlite:///{home / 'metadata.db'}") as metadata,
        Recommender(
            encoder, vectors, metadata, name="publishing", artifacts=home / "artifacts",
            checks=ReleaseChecks(beat_popularity=False),
        ) as recommender,
    ):  # fmt: skip
        for batch in batches(n_items, dim, _BATCH):
            metadata.put("item", dict(zip(batch.ids, batch.attributes)))
            if not batch.ids[0]:
                items = rng.integers(0, len(batch.ids), (_USERS, 5)).tolist()
                metadata.append_events([Event(u, item, t) for u, row in enumerate(items) for t, item in enumerate(row)])
                recommender.publish()
        with measured(found):
            release = recommender.publish()
        assert vectors.count(release.collection) == n_items
        for name in vectors.collections():
            if name.startswith("publishing__"):
                vectors.drop(name)
    return found


def pymilvus(uri: str, home: Path, n_items: int, dim: int) -> Figures:
    """Write rows that are ready-made; that one batch of them is made at a time is not counted."""
    found, made = Figures(), 0.0
    options = argparse.Namespace(index="flat", dim=dim)
    with opened(uri, options, "publishing_raw") as (_, client, columns), measured(found):
        for batch in batches(n_items, dim, _BATCH):
            began = time.process_time()
            rows = batch.rows(columns)
            made += time.process_time() - began
            client.upsert("publishing_raw", rows, timeout=_TIMEOUT)
        client.query("publishing_raw", filter=f'{ID} == "i0"', consistency_level="Strong", timeout=_TIMEOUT)
    return {**found, "processor": found["processor"] - made}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both sides, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000, help="(%(default)s)")
    parser.add_argument("--dim", type=int, default=64, help="(%(default)s)")
    options = parser.parse_args(arguments)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # threads that wait for each other would count as work
    figures: dict[str, Figures] = {}
    with address("server") as uri, tempfile.TemporaryDirectory() as home:
        for side in (vecrec, pymilvus):
            for found in apart(side, [(uri, Path(home), options.items, options.dim)], 1):
                figures[side.__name__] = rounded(found)
    keys = ("processor", "private_gb", "gb", "seconds")
    rows = [(side, *(f"{found[key]:,.3g}" for key in keys)) for side, found in figures.items()]
    columns = "", "client's processor s", "private memory GB", "with mapped files GB", "seconds"
    what = {"items": options.items, "dim": options.dim}
    report(
        f"Publishing {options.items:,} items to Milvus", columns, rows, {"benchmark": "publishing", **what, **figures}
    )


if __name__ == "__main__":
    main()
