"""How similar similar items are, by users who were held out: protocol P6, for any data set and every encoder.

Run it as ``python -m benchmarks.neighbours --data 100k --data ml-1m/ --data beauty/ --encoder linear``. A fifth of the
users is held out. For each item with at least 100 users among the others (50 on MovieLens 100K, 20 on Amazon Beauty),
its ten most similar items: the mean cosine of co-occurrence among the held-out users, and the mean Jaccard of genres or
attributes. "counted" is what `Recommender.similar_items` answers first, whichever encoder serves; with ``--encoder``,
beside it what the vectors of an encoder alone would answer. The last line of stdout is JSON, and so is
``benchmarks/results/neighbours.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._report import report, versions
from benchmarks._taste import ENCODERS, load
from vecrec._internal.exact import best, cosines
from vecrec.data import Dataset
from vecrec.recommender.neighbours import Neighbours

RESULTS = Path(__file__).parent / "results"
LEAST = {"MovieLens 100K": 50, "Amazon Beauty": 20}
TOP = 10


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, help="a name or a directory, see benchmarks._taste")
    parser.add_argument("--encoder", action="append", default=[], choices=sorted(ENCODERS))
    args = parser.parse_args()
    runs = [run for where in args.data for run in _runs(load(where), args.encoder)]
    figures = {"benchmark": "neighbours", "protocol": "P6", "runs": runs, "versions": versions()}
    (RESULTS / "neighbours.json").write_text(json.dumps(figures, indent=1) + "\n")
    rows = [(each["data"], each["by"], f"{each['co_occurrence']:.4f}", f"{each['jaccard']:.3f}") for each in runs]
    report("Similar items, P6", ("data", "by", "held-out co-occurrence", "Jaccard"), rows, figures)


def _runs(data: Dataset, encoders: list[str]) -> Iterator[dict[str, Any]]:
    held = np.zeros(data.n_users, np.bool_)
    held[np.random.default_rng(0).permutation(data.n_users)[: data.n_users // 5]] = True
    train, test = (data.select_events(held[data.user_codes] == side) for side in (False, True))
    asked = np.flatnonzero(train.popularity() >= LEAST.get(data.name, 100))
    begin = time.perf_counter()
    found = Neighbours.of_dataset(train)
    seconds = time.perf_counter() - begin
    codes = {key: code for code, key in enumerate(data.item_ids)}
    lists = [[codes[key] for key in found.near(data.item_ids[code])][:TOP] for code in asked.tolist()]
    yield {**_measured(test, asked, lists), "by": "counted", "seconds": round(seconds, 1)}
    for name in encoders:
        vectors = ENCODERS[name]().fit(train).encode_items(list(data.items()))
        angles = cosines(vectors[asked], vectors)
        angles[np.arange(len(asked)), asked] = -np.inf
        yield {**_measured(test, asked, best(angles, TOP).tolist()), "by": f"the vectors of {name}"}


def _measured(test: Dataset, asked: NDArray[np.int64], lists: list[list[int]]) -> dict[str, Any]:
    users = [set[int]() for _ in range(test.n_items)]
    for user, item in zip(test.user_codes.tolist(), test.item_codes.tolist()):
        users[item].add(user)
    name = "genres" if "genres" in {feature.name for feature in test.schema.items} else "attributes"
    traits = [{*(values or ())} for values in test.item_features(name)]  # type: ignore[misc]
    pairs = [(item, other) for item, row in zip(asked.tolist(), lists) for other in row]
    together = [
        len(users[item] & users[other]) / np.sqrt(max(len(users[item]) * len(users[other]), 1)) for item, other in pairs
    ]
    alike = [len(traits[item] & traits[other]) / max(len(traits[item] | traits[other]), 1) for item, other in pairs]
    return {
        "data": test.name,
        "items": len(asked),
        "co_occurrence": round(float(np.mean(together)), 4),
        "jaccard": round(float(np.mean(alike)), 4),
    }


if __name__ == "__main__":
    main()
