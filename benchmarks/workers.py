"""Training the towers in one process and in several: seconds an epoch, and what they learn.

Run it as ``python -m benchmarks.workers --data ml-1m/ --workers 1 2``. The last event of each user is held out, as in
protocol P1. Each process computes with one thread, so that the ratio is that of the cores.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks._report import report
from vecrec.data import splits
from vecrec.datasets import movielens
from vecrec.encoders import TwoTowerEncoder
from vecrec.evaluation import evaluate, from_split


def measure(data: str, workers: int, epochs: int, seed: int) -> dict[str, Any]:
    """Train once; the seconds that the epochs took, without reading the data and starting the processes."""
    split = splits.leave_last_out(movielens.load(data))
    encoder = TwoTowerEncoder(seed=seed, settings={"epochs": epochs}, threads=1, workers=workers).fit(split.train)
    found = evaluate(encoder, from_split(split), k=10, baselines=())
    return {
        "workers": workers,
        "seconds_an_epoch": round(sum(epoch.seconds for epoch in encoder.learning_curve) / epochs, 1),
        "losses": [round(epoch.loss, 4) for epoch in encoder.learning_curve],
        "hit_rate@10": round(found.metrics["hit_rate@10"], 4),
        "ndcg@10": round(found.metrics["ndcg@10"], 4),
    }


def main() -> None:
    """Train with each number of processes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help="1m, 100k, or a directory with MovieLens files")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    runs = [measure(args.data, workers, args.epochs, args.seed) for workers in args.workers]
    first = runs[0]["seconds_an_epoch"]
    rows = [
        [
            str(run["workers"]),
            f"{run['seconds_an_epoch']:.1f}",
            f"{first / run['seconds_an_epoch']:.2f}",
            " ".join(f"{loss:.3f}" for loss in run["losses"]),
            f"{run['hit_rate@10']:.4f}",
            f"{run['ndcg@10']:.4f}",
        ]
        for run in runs
    ]
    columns = ["processes", "seconds an epoch", "times as fast", "loss of each epoch", "HR@10", "NDCG@10"]
    report("Towers trained by several processes", columns, rows, {"benchmark": "workers", "runs": runs})


if __name__ == "__main__":
    main()
