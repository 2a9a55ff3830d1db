"""What a refresh keeps of a training: MovieLens 1M cut by time.

Run it as ``python -m benchmarks.freshness --data ml-1m/ [--encoder two-tower --trainings 10]``. The last 22 % of the
events are eleven slices. An encoder is trained on what comes before them. Then one slice after the other is recorded,
and the events of the next one are predicted, each from what its user did before, through the library with stores in
memory: by the first release (stale), by the release that `Recommender.refresh` makes of it, and, after the slices that
``--trainings`` names, by an encoder that is trained on everything until then. ``--hide 0.1`` takes the events of a
tenth of the items out of the first training, as if these items had come later. It writes
``benchmarks/results/freshness-ENCODER-HIDE.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import report, versions
from benchmarks.quality import MAKERS, RESULTS
from vecrec import Recommender
from vecrec.data import Dataset
from vecrec.datasets import movielens
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.vector_stores import MemoryVectorStore

SLICES, SHARE = 10, 0.02
EVENTS = 1_000
"""Events of a slice that are predicted."""


class Stream:
    """A data set by time."""

    def __init__(self, data: Dataset) -> None:
        assert data.times is not None
        self.data, self.times = data, data.times
        ordered, first = np.sort(data.times), 1 - (SLICES + 1) * SHARE
        places = [round((first + SHARE * slice_) * len(ordered)) for slice_ in range(SLICES + 2)]
        self.bounds = [float(ordered[min(place, len(ordered) - 1)]) for place in places]

    def until(self, slice_: int, hidden: NDArray[np.bool_]) -> Dataset:
        """The events before a slice; those of hidden items only since the first one."""
        early = self.times < self.bounds[0]
        kept = self.data.select_events((self.times < self.bounds[slice_]) & ~(early & hidden[self.data.item_codes]))
        kept.as_of = self.bounds[slice_]
        return kept

    def rows(self, slice_: int) -> NDArray[np.int64]:
        """The rows of the events of a slice."""
        return np.flatnonzero((self.times >= self.bounds[slice_]) & (self.times < self.bounds[slice_ + 1]))

    def gains(self, recommender: Recommender, slice_: int) -> NDArray[np.float64]:
        """The NDCG@10 of some events of a slice, each predicted from what its user did before."""
        rows = self.rows(slice_)
        found = []
        for row in rows[np.linspace(0, len(rows) - 1, EVENTS).astype(int)].tolist():
            item = self.data.item_ids[self.data.item_codes[row]]
            user, at = self.data.user_before(row, 10_000), float(self.times[row])
            served = recommender.recommend_for(user, 10, at=at).item_ids
            found.append(1 / math.log2(served.index(item) + 2) if item in served else 0.0)
        return np.array(found)


def opened(encoder: str, folder: Path) -> Recommender:
    """An empty recommender."""
    made = MAKERS[encoder](256, 0, {})
    return Recommender(made, MemoryVectorStore(), MemoryMetadataStore(), name=folder.name, artifacts=folder)


def measure(stream: Stream, encoder: str, trainings: set[int], hidden: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """A row for each slice that is recorded; the CPU seconds are those of the whole call."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        with opened(encoder, Path(place) / "first") as recommender:
            recommender.fit(stream.until(0, hidden))
            stale = [stream.gains(recommender, slice_ + 1).mean() for slice_ in range(SLICES)]
            for slice_ in range(SLICES):
                events = stream.data.select_events(np.isin(np.arange(stream.data.n_events), stream.rows(slice_)))
                recommender.record(events.events())
                start = time.process_time()
                recommender.refresh(since=stream.bounds[slice_] - 1)
                seconds = time.process_time() - start
                fresh = stream.gains(recommender, slice_ + 1).mean()
                rows.append({"stale": stale[slice_], "refreshed": fresh, "refresh_cpu_seconds": seconds})
                print(slice_ + 1, rows[-1], flush=True)
        for slice_ in sorted(trainings):
            with opened(encoder, Path(place) / f"again{slice_}") as recommender:
                start = time.process_time()
                recommender.fit(stream.until(slice_, hidden))
                seconds = time.process_time() - start
                trained = stream.gains(recommender, slice_).mean()
                rows[slice_ - 1] |= {"trained": trained, "training_cpu_seconds": seconds}
                print(slice_, rows[slice_ - 1], flush=True)
    return [{name: round(float(value), 4) for name, value in row.items()} for row in rows]


def main() -> None:
    """Stale, refreshed and trained again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help="1m, or a directory with MovieLens files")
    parser.add_argument("--encoder", choices=MAKERS, default="linear")
    parser.add_argument("--hide", type=float, default=0.0, help="the share of items that come after the first training")
    parser.add_argument(
        "--trainings", type=int, nargs="*", default=list(range(1, SLICES + 1)), help="after which slices to train again"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    data = movielens.load(args.data)
    hidden = np.random.default_rng(0).random(data.n_items) < args.hide
    rows = measure(Stream(data), args.encoder, set(args.trainings), hidden)
    compared = [row for row in rows if "trained" in row]
    total = {name: sum(row[name] for row in compared) for name in compared[0]} if compared else {}
    figures = {
        "benchmark": "freshness", "encoder": args.encoder, "data": data.name, "hidden": args.hide, "slices": rows,
        "ndcg_of_trained": {name: round(total[name] / total["trained"], 4) for name in ("stale", "refreshed") if total},
        "cpu_of_trained": round(total["refresh_cpu_seconds"] / total["training_cpu_seconds"], 4) if total else None,
    }  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    name = f"freshness-{args.encoder}-{args.hide:g}.json"
    (args.out / name).write_text(json.dumps({**figures, "versions": versions()}, indent=1) + "\n")
    columns = ("stale", "refreshed", "trained", "refresh_cpu_seconds", "training_cpu_seconds")
    cells = [[f"{row[each]:.4g}" if each in row else "" for each in columns] for row in rows]
    table = [[str(number), *row] for number, row in enumerate(cells, 1)]
    report(f"NDCG@10 of the next slice, {args.encoder}", ["slice", *columns], table, figures)


if __name__ == "__main__":
    main()
