"""What the second source of candidates costs: counting, learning its weight, a request, and the disk.

Run it as ``python -m benchmarks.successors --data ml-1m/ --items 1000000``. A request's share is the time of
`vecrec.encoders.Successors.scores`, for histories of the data and for full windows, beside that of the encoder and of
an exact search of the same vectors in one process. ``--items`` also writes random lists for so many items and reads
them in place.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import report, versions
from benchmarks._taste import load
from vecrec.data import Dataset
from vecrec.encoders import LinearSequenceEncoder, Successors
from vecrec.encoders.item_lists import MOST, ItemLists
from vecrec.encoders.successors import WINDOW, hold_out

RESULTS = Path(__file__).parent / "results"


def median_ms(ask: Callable[[int], Any], count: int = 300) -> float:
    """The median time of a call, in milliseconds."""
    times = []
    for number in range(count):
        start = time.perf_counter()
        ask(number)
        times.append(time.perf_counter() - start)
    return round(1e3 * statistics.median(times), 4)


def of_data(data: Dataset) -> dict[str, Any]:
    """Counting, the weight and a request on a data set."""
    parts = hold_out(data)
    assert parts is not None
    before, held_out = parts
    encoder = LinearSequenceEncoder().fit(before)
    start = time.process_time()
    counted = Successors.of(data)
    counting = time.process_time() - start
    start = time.process_time()
    found = Successors.of(before).weighed(encoder, before, held_out)
    learning = time.process_time() - start
    users = [data.user(code, history=True) for code in range(min(300, data.n_users))]
    histories = [[event.item_id for event in user.history] for user in users]
    items = encoder.encode_items(list(data.items()))
    vectors = encoder.encode_users(users)
    return {
        "data": data.name,
        "events": data.n_events,
        "counting_cpu_seconds": round(counting, 2),
        "counting_and_weighing_cpu_seconds": round(learning, 2),
        "weight": found.weight,
        "decay": found.decay,
        "scores_ms": median_ms(lambda n: replace(counted, weight=1.0).scores(histories[n % len(histories)])),
        "encode_ms": median_ms(lambda n: encoder.encode_users([users[n % len(users)]])),
        "exact_search_ms": median_ms(lambda n: np.argpartition(items @ vectors[n % len(users)], -100)),
    }


def of_size(n_items: int) -> dict[str, Any]:
    """Random lists for so many items, on disk and read in place."""
    rng = np.random.default_rng(0)
    lists = ItemLists.blank(list(range(n_items)))
    for start in range(0, n_items, 100_000):
        rows = slice(start, min(start + 100_000, n_items))
        lists.places[rows] = rng.integers(0, n_items, lists.places[rows].shape)
        lists.weights[rows] = rng.random(lists.weights[rows].shape, np.float32)
    with tempfile.TemporaryDirectory() as directory:
        made = Successors(lists, weight=1.0)
        made.save(Path(directory))
        size = sum(file.stat().st_size for file in Path(directory).iterdir())
        loaded = Successors.load(Path(directory))
        loaded.scores([0])  # builds the look-up of ids, once a process
        histories = rng.integers(0, n_items, (300, WINDOW)).tolist()
        scores = median_ms(lambda n: loaded.scores(histories[n]))
    return {"items": n_items, "list": MOST, "megabytes": round(size / 1e6, 1), "full_window_ms": scores}


def main() -> None:
    """Measure what is asked for, write the results and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", default=[], help="1m, 100k, or a directory")
    parser.add_argument("--items", type=int, action="append", default=[])
    args = parser.parse_args()
    runs = [*(of_data(load(each)) for each in args.data), *map(of_size, args.items)]
    figures = {"benchmark": "successors", "runs": runs, "versions": versions()}
    (RESULTS / "successors.json").write_text(json.dumps(figures, indent=1) + "\n")
    rows = [[key, str(value)] for run in runs for key, value in run.items()]
    report("successors", ["figure", "value"], rows, figures)


if __name__ == "__main__":
    main()
