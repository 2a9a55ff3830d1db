"""How fast the store in files searches, beside the bare product of NumPy in the same run.

``python -m benchmarks.file_store`` prints a table: items, dimension, the median in milliseconds of a search of the best
ten by NumPy alone and by `FileVectorStore`, their ratio, and how long a second process takes until its first answer.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vecrec.filters import field
from vecrec.vector_stores import CollectionSpec, FileVectorStore

SIZES = ((3_706, 64), (3_706, 256), (20_000, 256), (100_000, 256), (200_000, 128))
BATCH = 10_000
K = 10


def median_ms(call: Callable[[int], object], repeats: int) -> float:
    """The median of the seconds that a call takes, in milliseconds."""
    times = []
    for number in range(repeats):
        started = time.perf_counter()
        call(number)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def measure(path: Path, count: int, dim: int, repeats: int) -> str:
    """One line of the table."""
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((count, dim)).astype(np.float32)
    queries = rng.standard_normal((repeats, dim)).astype(np.float32)
    with FileVectorStore(path) as store:
        store.create("items", CollectionSpec(dim, "ip", {"year": "integer"}))
        for start in range(0, count, BATCH):
            part = range(start, min(count, start + BATCH))
            store.upsert("items", part, vectors[start : start + BATCH], [{"year": n % 100} for n in part])
    with FileVectorStore(path) as store:
        started = time.perf_counter()
        store.search("items", queries[:1], K)
        first = 1000 * (time.perf_counter() - started)

        def bare(number: int) -> object:
            scores = vectors @ queries[number]
            best = np.argpartition(-scores, K)[:K]
            return best[np.argsort(-scores[best])]

        numpy_ms = median_ms(bare, repeats)
        plain = median_ms(lambda n: store.search("items", queries[n : n + 1], K), repeats)
        filtered = median_ms(lambda n: store.search("items", queries[n : n + 1], K, field("year") < 50), repeats)
        write = median_ms(lambda n: store.upsert("items", [n], queries[n : n + 1]), min(repeats, 20))
    return (
        f"{count:>8,}  {dim:>4}  {numpy_ms:>8.2f}  {plain:>8.2f}  {plain / numpy_ms:>6.2f}"
        f"  {filtered:>8.2f}  {write:>8.2f}  {first:>8.1f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    arguments = parser.parse_args()
    print("   items   dim  numpy ms  store ms   ratio  filtered  write ms  first ms")
    for count, dim in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(Path(folder, "items.vec"), count, dim, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
