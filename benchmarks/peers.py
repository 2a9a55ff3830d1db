"""Other libraries on protocol P1, on the same data and machine as ours: quality, training time and memory.

They need an environment of their own, since vecrec depends on none of them::

    python -m venv peers && peers/bin/pip install . "pyarrow<20" "rectools[torch]" implicit
    peers/bin/python -m benchmarks.peers --data ml-1m/

A peer learns from the train part and is given each user's whole history before the test, as ours are; its first 200
items that the user has not seen are measured by our metrics. Each one runs in a process of its own, with the settings
of its authors for such data, or its defaults. ``benchmarks/results/peers.json`` is written after each one, and
``python -m benchmarks.quality --protocol P1`` measures ours. RecTools needs a NumPy that newer PyArrows do not take.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._published import METRICS
from benchmarks._report import report, versions
from benchmarks.quality import DEPTHS, RESULTS
from vecrec.data import Dataset, Split, splits
from vecrec.datasets import movielens
from vecrec.evaluation.metrics import hit_rate, ndcg

COLUMNS = METRICS["P1"]

Lists = Callable[[], NDArray[np.int64]]
"""The first items of every user, best first, shape (users, 200): asked for when the training is over."""


def sasrec(split: Split, seed: int, epochs: int) -> Lists:
    """RecTools' SASRec with a softmax over all items: 2 blocks of 64, 1 head, the last 100 events, dropout .2."""
    import pandas as pd
    from pytorch_lightning import seed_everything
    from rectools import Columns
    from rectools.dataset import Dataset as Interactions
    from rectools.models import SASRecModel

    def interactions(data: Dataset) -> Any:
        # Ranks for times: of two events of one second, the later in the file is the later one.
        times = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(data.n_events), unit="s")
        columns = (data.user_codes, data.item_codes, np.ones(data.n_events), times)
        names = (Columns.User, Columns.Item, Columns.Weight, Columns.Datetime)
        return Interactions.construct(pd.DataFrame(dict(zip(names, columns))))

    seed_everything(seed)
    shape = {"n_blocks": 2, "n_heads": 1, "n_factors": 64, "dropout_rate": 0.2, "session_max_len": 100}
    model = SASRecModel(**shape, loss="softmax", lr=0.001, batch_size=128, epochs=epochs, deterministic=True)
    model.fit(interactions(split.train))

    def lists() -> NDArray[np.int64]:
        before = split.before_test
        found = model.recommend(np.arange(before.n_users), interactions(before), k=DEPTHS[-1], filter_viewed=True)
        filled = np.full((before.n_users, DEPTHS[-1]), -1)
        filled[found[Columns.User].to_numpy(), found[Columns.Rank].to_numpy() - 1] = found[Columns.Item].to_numpy()
        return filled

    return lists


def als(split: Split, seed: int, epochs: int) -> Lists:
    """Implicit's alternating least squares with 128 factors; users are folded in with their whole history."""
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    def matrix(data: Dataset) -> Any:
        rows = (np.ones(data.n_events, np.float32), (data.user_codes, data.item_codes))
        return csr_matrix(rows, shape=(data.n_users, data.n_items))

    model = AlternatingLeastSquares(factors=128, iterations=epochs, random_state=seed)
    model.fit(matrix(split.train), show_progress=False)

    def lists() -> NDArray[np.int64]:
        before = split.before_test
        found, _ = model.recommend(np.arange(before.n_users), matrix(before), N=DEPTHS[-1], recalculate_user=True)
        return np.asarray(found, np.int64)

    return lists


PEERS = {
    "RecTools SASRec": (sasrec, 40, ("rectools", "torch")),
    "implicit ALS": (als, 15, ("implicit",)),
}
"""What trains it, for how many epochs, and the packages it is made of."""


def measure(name: str, data_name: str, seed: int, epochs: int | None) -> dict[str, Any]:
    """Train and measure one peer."""
    split = splits.leave_last_out(movielens.load(data_name))
    train, usual, packages = PEERS[name]
    start, busy = time.perf_counter(), time.process_time()
    lists = train(split, seed, epochs or usual)
    took, cpu = time.perf_counter() - start, time.process_time() - busy
    users = np.flatnonzero(np.diff(split.test.user_offsets))
    relevant = lists()[users] == split.test.item_codes[:, None]
    ones = np.ones(len(users), np.int64)
    metrics = {
        f"{each.__name__}@{k}": float(each(relevant, ones, k).mean()) for each in (hit_rate, ndcg) for k in DEPTHS
    }
    return {
        "peer": name,
        "data": split.train.name,
        "epochs": epochs or usual,
        "seed": seed,
        "train_seconds": round(took, 1),
        "train_cpu_seconds": round(cpu, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20), 2),
        "metrics": {key: round(value, 6) for key, value in metrics.items()},
        "versions": {package: version(package) for package in packages},
    }


def main() -> None:
    """Measure the peers that are asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help="1m, 100k, or a directory with MovieLens files")
    parser.add_argument("--peer", action="append", choices=PEERS, help="all of them where none is named")
    parser.add_argument("--epochs", type=int, help="instead of the usual number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    path = args.out / "peers.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    for name in args.peer or PEERS:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            run = pool.submit(measure, name, args.data, args.seed, args.epochs).result()
        runs = [*(each for each in runs if each["peer"] != name), run]
        args.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"benchmark": "peers", "runs": runs, "versions": versions()}, indent=1) + "\n")
    rows = [
        [
            run["peer"],
            *(f"{run['metrics'][metric]:.4f}" for metric in COLUMNS),
            f"{run['train_seconds']:,.0f} s",
            f"{run['train_cpu_seconds']:,.0f} s",
            f"{run['peak_gb']:.2f} GB",
        ]
        for run in runs
    ]
    report("P1, one seed", ["peer", *COLUMNS, "training", "CPU", "memory"], rows, {"benchmark": "peers", "runs": runs})


if __name__ == "__main__":
    main()
