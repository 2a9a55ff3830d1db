"""What the indexes of a Milvus server lose and cost on a recommender's vectors, which are of many lengths.

Run it as ``python -m benchmarks.graph --data ml-1m/ [--items 100000] [--index "Flat()" "HNSW()"]``. The linear encoder
learns the data; each index gets its item vectors, is built, and is asked for the best 10 and 200 of a thousand users,
beside `Flat`, which compares with every vector. With ``--items`` the catalogue is filled up with made ones, each
between two real items chosen at random. It writes ``benchmarks/results/graph-ITEMS.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import report, versions
from benchmarks.quality import RESULTS
from tests.servers.milvus import MilvusServer
from vecrec.data import splits
from vecrec.datasets import movielens
from vecrec.encoders import LinearSequenceEncoder
from vecrec.vector_stores import CollectionSpec, MilvusVectorStore
from vecrec.vector_stores.milvus import HNSW, Flat, Index, IVFFlat

DEPTHS = (10, 200)
USERS = 1_000

INDEXES: tuple[Index, ...] = (
    Flat(),
    IVFFlat(nlist=64, nprobe=32),
    HNSW(m=16, ef_construction=200, ef=64),
    HNSW(m=16, ef_construction=200, ef=256),
    HNSW(m=32, ef_construction=400, ef=512),
    HNSW(),
)

Vectors = NDArray[np.float32]


def learnt(data: str) -> tuple[Vectors, Vectors]:
    """The vectors of all items and of some users."""
    train = splits.leave_last_out(movielens.load(data)).train
    encoder = LinearSequenceEncoder(dim=256, seed=0).fit(train)
    users = list(train.users(history=True))[:USERS]
    return encoder.encode_items(list(train.items())), encoder.encode_users(users)


def filled_up(vectors: Vectors, count: int) -> Vectors:
    """The vectors and as many made ones as are missing."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(vectors), (2, max(0, count - len(vectors))))
    share = rng.random((len(first), 1), np.float32)
    return np.concatenate([vectors, share * vectors[first] + (1 - share) * vectors[second]])


def measure(uri: str, index: Index, items: Vectors, users: Vectors, exact: NDArray[np.int64]) -> dict[str, Any]:
    """Build the index, search, and compare."""
    found: dict[str, Any] = {"index": repr(index)}
    with MilvusVectorStore(uri, index=index, timeout=120, flush_timeout=3600) as store:
        store.drop("graph")
        store.create("graph", CollectionSpec(items.shape[1]))
        with store.bulk("graph"):
            for start in range(0, len(items), 10_000):
                part = items[start : start + 10_000]
                store.upsert("graph", range(start, start + len(part)), part)
        began = time.perf_counter()
        store.flush("graph")
        found["build_seconds"] = round(time.perf_counter() - began, 1)
        for depth in DEPTHS:
            began = time.perf_counter()
            lists = [hits for start in range(0, len(users), 100) for hits in _search(store, users, start, depth)]
            found[f"ms@{depth}"] = round((time.perf_counter() - began) / len(users) * 1000, 3)
            shared = [len({*hits} & {*best[:depth].tolist()}) for hits, best in zip(lists, exact)]
            found[f"recall@{depth}"] = round(sum(shared) / depth / len(users), 5)
        store.drop("graph")
    print(found, flush=True)
    return found


def _search(store: MilvusVectorStore, users: Vectors, start: int, depth: int) -> list[list[Any]]:
    return [[hit.id for hit in hits] for hits in store.search("graph", users[start : start + 100], depth)]


def main() -> None:
    """Every index on one server, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help="1m, 100k, or a directory with MovieLens files")
    parser.add_argument("--items", type=int, default=0, help="fill the catalogue up to as many")
    named = {repr(index): index for index in INDEXES}
    parser.add_argument("--index", nargs="+", choices=named, default=list(named), help="all of them if none is named")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    items, users = learnt(args.data)
    items = filled_up(items, args.items)
    exact = np.stack([np.argsort(-(items @ user), kind="stable")[: max(DEPTHS)] for user in users])
    with MilvusServer() as server:
        results = [measure(server.url, named[index], items, users, exact) for index in args.index]
    figures = {"benchmark": "graph", "items": len(items), "users": len(users), "indexes": results}
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"graph-{len(items)}.json"
    path.write_text(json.dumps({**figures, "versions": versions()}, indent=1) + "\n")
    report(f"{len(items):,} items, {len(users):,} users", _columns(), _rows(results), figures)


def _columns() -> list[str]:
    found = [f"{what} of {depth}" for depth in DEPTHS for what in ("found", "ms a user")]
    return ["index", "build", *found, "time beside Flat"]


def _rows(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            row["index"],
            f"{row['build_seconds']:.1f} s",
            *(text for k in DEPTHS for text in (f"{row[f'recall@{k}']:.4f}", f"{row[f'ms@{k}']:.2f}")),
            f"{row['ms@10'] / results[0]['ms@10']:.2f}",
        ]
        for row in results
    ]


if __name__ == "__main__":
    main()
