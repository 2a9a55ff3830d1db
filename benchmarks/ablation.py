"""What each part of the encoders brings, by protocol P1: one part after the other, and one setting at a time.

Run it as ``python -m benchmarks.ablation --data ml-1m/``; it takes about an hour and a half on two cores, since it
trains some twenty models. ``--only WORD`` trains those whose name contains the word. Figures of the validation part as
well, since that is what settings are chosen by. It writes ``benchmarks/results/ablation.json`` after each model and
ends with a table. Started again, it trains only what is not in that file with the same settings, defaults included.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._jobs import apart
from benchmarks._published import METRICS
from benchmarks._report import report, versions
from benchmarks.quality import DEPTHS, MAKERS, RESULTS
from vecrec.data import Dataset, splits
from vecrec.datasets import movielens
from vecrec.evaluation import evaluate

COLUMNS = METRICS["P1"]


@dataclass(frozen=True)
class Variant:
    """One model to train."""

    encoder: str
    options: dict[str, Any] = field(default_factory=dict)
    dim: int = 256
    without: frozenset[str] = frozenset()
    """What the data set is robbed of: ``"features"``, ``"times"``."""


PLAIN = {"hidden": 0, "decays": []}

VARIANTS = {
    "two-tower: ids only": Variant("two-tower", PLAIN, without=frozenset({"features"})),
    "two-tower: + features": Variant("two-tower", PLAIN),
    "two-tower: + history as a bag": Variant("two-tower", {"hidden": 0, "decays": [0.99]}),
    "two-tower: + order, one decay": Variant("two-tower", {"hidden": 0, "decays": [0.7]}),
    "two-tower: + order, three decays": Variant("two-tower", {"hidden": 0}),
    "two-tower: + hidden layer (default)": Variant("two-tower"),
    "two-tower: default without features": Variant("two-tower", without=frozenset({"features"})),
    "two-tower: default without user ids": Variant("two-tower", {"user_ids": False}),
    "two-tower: loss on ratings": Variant("two-tower", {"loss": "rating"}),
    "two-tower: 1 negative": Variant("two-tower", {"negatives": 1}),
    "two-tower: 64 negatives": Variant("two-tower", {"negatives": 64}),
    "two-tower: all items as negatives": Variant("two-tower", {"negatives": 4096}),
    "two-tower: negatives drawn evenly": Variant("two-tower", {"negative_power": 0.0}),
    "two-tower: negatives by popularity": Variant("two-tower", {"negative_power": 1.0}),
    "two-tower: 128 dimensions": Variant("two-tower", dim=128),
    "two-tower: 64 dimensions": Variant("two-tower", dim=64),
    "recurrent": Variant("recurrent"),
    "recurrent: without pauses": Variant("recurrent", without=frozenset({"times"})),
    "linear": Variant("linear"),
    "linear: one decay": Variant("linear", {"decays": [0.7]}),
    "linear: plain closed form": Variant("linear", {"rounds": 0}),
    "linear: 128 dimensions": Variant("linear", dim=128),
    "linear: 64 dimensions": Variant("linear", dim=64),
}


def robbed(data: Dataset, without: frozenset[str]) -> Dataset:
    """The data set without features or times; the order of the events stays."""
    if not without:
        return data
    log: dict[str, Any] = {
        "user_id": [data.user_ids[code] for code in data.user_codes.tolist()],
        "item_id": [data.item_ids[code] for code in data.item_codes.tolist()],
    }
    if "times" not in without and data.times is not None:
        log["time"] = data.times
    if "features" in without:
        return Dataset(log, name=data.name)
    return Dataset(log, list(data.items()), list(data.users()), data.schema, name=data.name)


def measure(name: str, data_name: str, seed: int) -> dict[str, Any]:
    """Train and measure one variant."""
    variant = VARIANTS[name]
    split = splits.leave_last_out(robbed(movielens.load(data_name), variant.without))
    start, busy = time.perf_counter(), time.process_time()
    encoder = MAKERS[variant.encoder](variant.dim, seed, dict(variant.options)).fit(split.train)
    took, cpu = time.perf_counter() - start, time.process_time() - busy
    parts = {part: evaluate(encoder, split, k=DEPTHS, part=part, baselines=()) for part in ("validation", "test")}
    return {
        "variant": name,
        "data": split.train.name,
        "encoder": variant.encoder,
        "options": variant.options,
        "dim": variant.dim,
        "without": sorted(variant.without),
        "settings": _settings(variant),
        "seed": seed,
        "train_seconds": round(took, 1),
        "train_cpu_seconds": round(cpu, 1),
        **{part: {metric: round(found[metric], 6) for metric in COLUMNS} for part, found in parts.items()},
    }


def main() -> None:
    """Train what is asked for, one process each, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help="1m, 100k, or a directory with MovieLens files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a word in the names of the variants")
    parser.add_argument("--jobs", type=int, default=1, help="how many models to train at a time, which share the cores")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    path = args.out / "ablation.json"
    done = _done(path, movielens.load(args.data).name, args.seed)
    current = {name for name, run in done.items() if _is_current(run)}
    names = [name for name in VARIANTS if name not in current and args.only in name]
    for name, found in zip(names, apart(measure, [(name, args.data, args.seed) for name in names], args.jobs)):
        print(name, file=sys.stderr, flush=True)
        done[name] = found
        args.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**_figures(done, args.seed), "versions": versions()}, indent=1) + "\n")
    figures = _figures(done, args.seed)
    rows = [
        [
            run["variant"],
            *(f"{run['test'][metric]:.4f}" for metric in COLUMNS),
            f"{run['validation']['ndcg@10']:.4f}",
            f"{run['train_cpu_seconds']:,.0f} s",
        ]
        for run in figures["runs"]
    ]
    report("P1, one seed", ["model", *COLUMNS, "validation ndcg@10", "training, CPU"], rows, figures)


def _done(path: Path, data_name: str, seed: int) -> dict[str, dict[str, Any]]:
    """The runs that an earlier start has written of the same data, by variant; stale ones stay until replaced."""
    found = json.loads(path.read_text())["runs"] if path.exists() else []
    mine = [run for run in found if (run["data"], run["seed"]) == (data_name, seed)]
    return {run["variant"]: run for run in mine}


def _is_current(run: dict[str, Any]) -> bool:
    variant = VARIANTS.get(run["variant"])
    described = Variant(run["encoder"], run["options"], run["dim"], frozenset(run["without"]))
    return variant == described and run.get("settings") == _settings(described)


def _settings(variant: Variant) -> dict[str, Any]:
    """All settings of the encoder, as they are read from a file, so that new defaults are noticed."""
    encoder: Any = MAKERS[variant.encoder](variant.dim, 0, dict(variant.options))
    read: dict[str, Any] = json.loads(json.dumps(encoder.settings.to_json()))
    return read


def _figures(done: dict[str, dict[str, Any]], seed: int) -> dict[str, Any]:
    runs = [done[name] for name in VARIANTS if name in done]
    return {"benchmark": "ablation", "protocol": "P1", "seed": seed, "runs": runs}


if __name__ == "__main__":
    main()
