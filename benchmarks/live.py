"""Protocol P1 through the live path: what the index and the stores lose of what the vectors find.

Run it as ``python -m benchmarks.live --data ml-1m/ [--encoder linear | --fitted DIR]``, where ``DIR`` holds an encoder
that ``benchmarks.quality --keep`` has trained on the same data. It is published on Milvus Lite with SQLite, and on a
Milvus server with Redis, which it starts, with the exact default and with a graph. The validation events are recorded,
and `Recommender.evaluate` asks for all. Beside what was served stands an exact search of the same vectors. It writes
``benchmarks/results/live-ENCODER.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._published import METRICS
from benchmarks._report import report, versions
from benchmarks.quality import DEPTHS, MAKERS, RESULTS
from tests.servers.milvus import MilvusServer
from tests.servers.redis import RedisServer
from vecrec import Recommender
from vecrec._internal.files import read_json
from vecrec.config.compose import open_metadata_store
from vecrec.data import Split, splits
from vecrec.datasets import movielens
from vecrec.encoders import Encoder
from vecrec.registry import find_part
from vecrec.vector_stores import MilvusVectorStore
from vecrec.vector_stores.milvus import HNSW, Flat

COLUMNS = METRICS["P1"]


def measure(encoder: Encoder, split: Split, vectors: MilvusVectorStore, url: str, folder: Path) -> dict[str, Any]:
    """Publish, record the validation events, and recommend to everybody."""
    metadata = open_metadata_store(url, folder.name)
    metadata.put("item", {item.id: item.features for item in split.train.items() if item.id is not None})
    metadata.put("user", {user.id: user.features for user in split.train.users() if user.id is not None})
    metadata.append_events(list(split.train.events()))
    with Recommender(encoder, vectors, metadata, name=folder.name, artifacts=folder) as recommender:
        release = recommender.publish()
        recommender.record(event for user in split.validation.users(history=True) for event in user.history)
        began = time.perf_counter()
        found = recommender.evaluate(split.test, DEPTHS)
        seconds = time.perf_counter() - began
    print(found, flush=True)
    exact = found.baselines[0]
    return {
        "served": {metric: round(found[metric], 6) for metric in COLUMNS},
        "exact": {metric: round(exact[metric], 6) for metric in COLUMNS},
        "fates": {
            fate: {str(k): round(share, 6) for k, share in shares.items()} for fate, shares in found.fates.items()
        },
        "checks": dict(release.checks),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Every pair of stores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help="1m, 100k, or a directory with MovieLens files")
    parser.add_argument("--encoder", choices=MAKERS, default="linear")
    parser.add_argument("--fitted", type=Path, help="the directory of a trained encoder")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    split = splits.leave_last_out(movielens.load(args.data))
    if args.fitted is None:
        encoder = MAKERS[args.encoder](256, 0, {}).fit(split.train)
    else:
        kind: Any = find_part("vecrec.encoders", read_json(args.fitted / "encoder.json")["encoder"])
        encoder = kind.load(args.fitted)
    pairs: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vecrec-bench-")))
        lite = MilvusVectorStore(folder / "vectors.db")
        sqlite = f"sqlite:///{folder / 'metadata.sqlite'}"
        pairs["Milvus Lite, SQLite"] = measure(encoder, split, lite, sqlite, folder / "embedded")
        milvus, redis = stack.enter_context(MilvusServer()).url, stack.enter_context(RedisServer()).url
        for index in (Flat(), HNSW()):
            server = MilvusVectorStore(milvus, index=index)
            pairs[f"Milvus server with {index.kind}, Redis"] = measure(
                encoder, split, server, redis, folder / index.kind.lower()
            )
    figures = {"benchmark": "live", "encoder": encoder.name, "data": split.train.name, "stores": pairs}
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"live-{encoder.name}.json").write_text(
        json.dumps({**figures, "versions": versions()}, indent=1) + "\n"
    )
    rows = [
        [f"{name}, {what}", *(f"{found[what][metric]:.4f}" for metric in COLUMNS)]
        for name, found in pairs.items()
        for what in ("served", "exact")
    ]
    report(f"P1 through the live path, {encoder.name}", ["", *COLUMNS], rows, figures)


if __name__ == "__main__":
    main()
