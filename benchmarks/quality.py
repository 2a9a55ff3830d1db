"""Recommendation quality on published protocols, from the raw files: our encoders beside what others report.

Run it as ``python -m benchmarks.quality --protocol P1 --data ml-1m/ --seeds 3 --encoder linear --encoder popularity``.
Each model is trained and measured in a process of its own, so that its time and its memory are its own. The table comes
last, and before it one file of JSON in ``benchmarks/results/`` with all figures, seeds, settings, times and versions.

- P1: leave last out, full ranking. P1t: the same, and once more with the time of the target as that of the request,
  which a service knows and time-blind models are not told.
- P3: global temporal split, ratings of 3 and more. P4: new items and new users.
- P5: as P1, on a directory with a text file in which a line is a user and then the items in order of time, such as
  ``Beauty.txt``. ``--attributes`` reads the items' attributes too.
- P2: leave last out among 99 given negatives; needs ``--ncf DIR`` with ``ml-1m.test.rating`` and
  ``ml-1m.test.negative``, and ``ratings.dat`` in the data's directory.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._jobs import apart
from benchmarks._published import METRICS, PUBLISHED
from benchmarks._report import report, versions
from benchmarks._sequences import load_sequences
from vecrec.data import Dataset, Split, splits
from vecrec.datasets import movielens
from vecrec.encoders import (
    CombinedEncoder,
    ContentEncoder,
    EASEEncoder,
    Encoder,
    LinearSequenceEncoder,
    LinearSequenceSettings,
    PopularityEncoder,
    Successors,
    TwoTowerEncoder,
    TwoTowerSettings,
    ensemble,
)
from vecrec.evaluation import Task, cold_items, cold_users, evaluate, from_split, sampled_negatives
from vecrec.ids import Id
from vecrec.progress import Step

RESULTS = Path(__file__).parent / "results"

DEPTHS = (10, 50, 200)
"""How many of a list are looked at."""


# -- the models


def _two_tower(dim: int, seed: int, options: dict[str, Any]) -> Encoder:
    threads = options.pop("threads", None)
    return TwoTowerEncoder(dim=dim, seed=seed, settings=TwoTowerSettings(**options), threads=threads)


def _recurrent(dim: int, seed: int, options: dict[str, Any]) -> Encoder:
    return TwoTowerEncoder(dim=dim, seed=seed, settings=TwoTowerSettings.recurrent(**options))


def _linear(dim: int, seed: int, options: dict[str, Any]) -> Encoder:
    return LinearSequenceEncoder(dim=dim, seed=seed, settings=LinearSequenceSettings(**options))


MAKERS: dict[str, Callable[[int, int, dict[str, Any]], Encoder]] = {
    "ensemble": lambda dim, seed, options: ensemble(dim, seed, **options),
    "popularity": lambda dim, seed, options: PopularityEncoder(),
    "content": lambda dim, seed, options: ContentEncoder(dim=dim, seed=seed),
    "ease": lambda dim, seed, options: EASEEncoder(dim=dim, seed=seed, settings=options),
    "linear": _linear,
    "two-tower": _two_tower,
    "recurrent": _recurrent,
}


def fitted(
    name: str, dim: int, seed: int, options: Mapping[str, Any], *, split: Split, chooser: Split
) -> tuple[Encoder, str]:
    """An encoder that has learnt from ``split.train``, and a line about what it settled on.

    ``linear+two-tower`` is both in one vector of as many dimensions as each has, with weights learnt on the validation
    part of ``chooser``; where that is another split, the members learn from its train part first. A model that is named
    twice is there with two seeds.
    """
    names = name.split("+")
    members = _members(names, dim, seed, options)
    for member in members:
        member.fit(chooser.train if len(members) > 1 else split.train, progress=_shown(f"{name}, seed {seed}"))
    if len(members) == 1:
        return members[0], ""
    combined = CombinedEncoder.of(members, chooser, dim=dim, progress=_shown(f"{name}, seed {seed}"))
    kept = [name for name, member in zip(names, members) if member in combined.members]
    if chooser is not split:
        members = _members(kept, dim, seed, options)
        combined = CombinedEncoder(members, dim=dim, weights=combined.weights).fit(split.train)
    settled = ", ".join(f"{name} {weight:.4g}" for name, weight in zip(kept, combined.weights))
    return combined, f"weights {settled}"


def _members(names: list[str], dim: int, seed: int, options: Mapping[str, Any]) -> list[Encoder]:
    return [
        MAKERS[each](dim, seed * names.count(each) + names[:place].count(each), dict(options.get(each, {})))
        for place, each in enumerate(names)
    ]


def _shown(label: str) -> Callable[[Step], None]:
    last = [0.0]

    def show(step: Step) -> None:
        if time.monotonic() - last[0] > 10:
            last[0] = time.monotonic()
            print(f"{label}: {step.stage} {step.done}/{step.total or '?'} {step.detail}", file=sys.stderr, flush=True)

    return show


# -- the protocols


def tasks(args: argparse.Namespace) -> Iterator[tuple[str, Split, Split, Task]]:
    """What is measured: a name, the split to learn from, the one to choose weights by, and the task."""
    data = _data(args)
    if args.protocol in ("P1", "P1t", "P5"):
        split = splits.leave_last_out(data)
        yield "", split, split, from_split(split, args.part)
        if args.protocol == "P1t":
            yield "told the time", split, split, from_split(split, args.part, timed=True)
    elif args.protocol == "P2":
        split, task = _ncf(data, Path(args.data), Path(args.ncf))
        yield "", split, splits.leave_last_out(split.train), task
    elif args.protocol == "P3":
        liked = data if data.ratings is None else data.select_events(data.ratings >= 3)
        inner, whole = splits.temporal(liked, 0.8, validation=0.1), splits.temporal(liked, 0.8)
        split = whole if args.part == "test" else inner
        yield "", split, inner, from_split(split, args.part)
    else:
        items, users = splits.cold_items(data, 0.1, seed=0), splits.cold_users(data, 0.1, seed=0)
        if args.part == "validation":  # others are held out of what is left, and nothing of the test is seen
            items, users = splits.cold_items(items.train, 0.1, seed=1), splits.cold_users(users.train, 0.1, seed=1)
        yield "new items", items, splits.leave_last_out(items.train), cold_items(items)
        inner = splits.leave_last_out(users.train)
        for first in (None, 20):
            what = "next" if first is None else "later ones"
            for n_events in (0, 1, 5, 20):
                yield f"{what} of new users after {n_events}", users, inner, cold_users(users, n_events, first=first)


def _data(args: argparse.Namespace) -> Dataset:
    if args.protocol == "P5":
        return load_sequences(args.data, attributes=args.attributes)
    return movielens.load(args.data)


def _ncf(data: Dataset, directory: Path, files: Path) -> tuple[Split, Task]:
    """Protocol P2 from the public files, whose ids are places: users in ascending order, items as they first appear."""
    lines = (directory / "ratings.dat").read_text("latin-1").splitlines()
    items: list[Id] = list(dict.fromkeys(int(line.split("::")[1]) for line in lines))
    users = sorted({int(line.split("::")[0]) for line in lines})
    rated = (line.split("\t") for line in (files / "ml-1m.test.rating").read_text().splitlines())
    target = {users[int(row[0])]: items[int(row[1])] for row in rated}
    given = (line.split("\t") for line in (files / "ml-1m.test.negative").read_text().splitlines())
    negatives: dict[Id, list[Id]] = {
        users[int(row[0].strip("()").split(",")[0])]: [items[int(place)] for place in row[1:] if place] for row in given
    }
    wanted = {(data.user_code(user), data.item_code(item)) for user, item in target.items()}
    test = np.array([pair in wanted for pair in zip(data.user_codes.tolist(), data.item_codes.tolist())])
    rest = data.select_events(~test)
    nothing = data.select_events(np.zeros(data.n_events, np.bool_))
    split = Split(rest, nothing, data.select_events(test), rest, "leave last out, as given")
    return split, sampled_negatives(split, negatives)


# -- measuring


def measure(name: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Train one model and measure it on each task."""
    found, encoder, learnt_from, settled, seconds, busy = [], None, None, "", 0.0, 0.0
    followers: Successors | None = None
    for label, split, chooser, task in tasks(args):
        if encoder is None or learnt_from is not split:
            start, busy = time.perf_counter(), time.process_time()
            encoder, settled = fitted(name, args.dim, seed, args.options, split=split, chooser=chooser)
            followers, said = _successors(encoder, split, args)
            settled += said
            seconds, busy, learnt_from = time.perf_counter() - start, time.process_time() - busy, split
            if args.keep is not None:
                encoder.save(args.keep / f"{args.protocol}-{name}-{seed}" / label.replace(" ", "-"))
        evaluation = evaluate(encoder, task, k=DEPTHS, baselines=(), name=name, successors=followers)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform != "darwin" else 1 << 30)
        found.append(
            {
                "task": label,
                "encoder": name,
                "seed": seed,
                "dim": encoder.dim,
                "settled": settled,
                "fingerprint": encoder.fingerprint,
                "train_seconds": round(seconds, 1),
                "train_cpu_seconds": round(busy, 1),
                "evaluate_seconds": round(evaluation.seconds, 1),
                "peak_gb": round(peak, 2),
                "data": _called(split.train),
                "protocol": evaluation.protocol,
                "counts": dict(evaluation.counts),
                "metrics": {key: round(value, 6) for key, value in evaluation.metrics.items()},
                "intervals": {key: evaluation.interval(key) for key in METRICS[args.protocol]},
                "members": _of_members(encoder, task),
            }
        )
    return found


def _successors(encoder: Encoder, split: Split, args: argparse.Namespace) -> tuple[Successors | None, str]:
    """What follows what in the train part, weighed on the validation part; and a line about it."""
    if not args.successors:
        return None, ""
    found = Successors.of(split.train).weighed(encoder, split.train, split.validation)
    return found, f"; successors {found.weight:.4g}, decay {found.decay:g}"


def _of_members(encoder: Encoder, task: Task) -> list[dict[str, Any]]:
    """The figures of each part of a combined encoder, and what it is called."""
    members = encoder.members if isinstance(encoder, CombinedEncoder) else ()
    found = [(_kind(member), evaluate(member, task, k=DEPTHS, baselines=())) for member in members]
    return [{"name": name} | {key: round(value, 6) for key, value in each.metrics.items()} for name, each in found]


def _kind(encoder: Encoder) -> str:
    """What the command line calls an encoder."""
    if isinstance(encoder, TwoTowerEncoder):
        return "recurrent" if encoder.settings.layers else "two-tower"
    return {"linear_sequence": "linear"}.get(encoder.name, encoder.name)


def _called(data: Dataset) -> str:
    """The data's name, and what is known about its files, without the directory that they are in."""
    _, _, known = data.source.partition(", ")
    return f"{data.name}, {known}" if known else data.name


def cells_of(found: list[dict[str, float]], metrics: tuple[str, ...]) -> list[str]:
    """The mean over the seeds, with its standard deviation, of each metric."""
    cells = []
    for metric in metrics:
        values = [each[metric] for each in found]
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        cells.append(f"{statistics.mean(values):.4f}{spread}")
    return cells


def row(name: str, runs: list[dict[str, Any]], metrics: tuple[str, ...]) -> list[str]:
    """A line of the table."""
    cells = cells_of([run["metrics"] for run in runs], metrics)
    seconds, busy = (statistics.mean(run[key] for run in runs) for key in ("train_seconds", "train_cpu_seconds"))
    memory = max(run["peak_gb"] for run in runs)
    return [name, *cells, f"{seconds:,.0f} s", f"{busy:,.0f} s", f"{memory:.2f} GB"]


def table(protocol: str, runs: list[dict[str, Any]]) -> list[list[str]]:
    """Our models, then the published ones."""
    metrics = METRICS[protocol]
    names = dict.fromkeys((run["encoder"], run["task"]) for run in runs)
    rows = []
    for name, task in names:
        mine = [run for run in runs if (run["encoder"], run["task"]) == (name, task)]
        rows.append(row(f"vecrec {name}" + (f", {task}" if task else ""), mine, metrics))
        parts = [part for run in mine for part in run["members"]]
        for kind in dict.fromkeys(part["name"] for part in parts):
            cells = cells_of([part for part in parts if part["name"] == kind], metrics)
            rows.append([f"  {kind} alone", *cells, "", "", ""])
    for name, values in PUBLISHED[protocol].items():
        rows.append([name, *("" if value is None else f"{value:.4f}" for value in values), "", "", ""])
    return rows


def keep(args: argparse.Namespace, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Write what was measured so far; gives the figures."""
    figures = {
        "benchmark": "quality",
        "protocol": args.protocol,
        "part": args.part,
        "dim": args.dim,
        "attributes": args.attributes,
        "successors": args.successors,
        "options": args.options,
        "jobs": args.jobs,
        "seeds": max(run["seed"] for run in runs) + 1,
        "standard_error_of_hit_rate": round(math.sqrt(0.3 * 0.7 / runs[0]["counts"]["users"]), 4),
        "runs": runs,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    suffix = "" if args.part == "test" else f"-{args.part}"
    suffix += "-attributes" if args.attributes else ""
    suffix += "-successors" if args.successors else ""
    file = args.out / f"quality-{args.protocol.lower()}{suffix}-{'-'.join(args.encoder)}-{args.dim}.json"
    file.write_text(json.dumps({**figures, "versions": versions()}, indent=1) + "\n")
    return figures


def main() -> None:
    """Measure what is asked for, write the results and print the table."""
    args = _arguments()
    runs: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    wanted = [(name, seed, args) for name in args.encoder for seed in range(args.seeds if name != "popularity" else 1)]
    for found in apart(measure, wanted, args.jobs):
        runs += found
        figures = keep(args, runs)  # an hour's work is not lost when the next one fails
    columns = ["model", *METRICS[args.protocol], "training", "CPU", "memory"]
    title = f"{args.protocol}, {runs[0]['protocol']}: {runs[0]['data']}, {figures['seeds']} seeds"
    report(title, columns, table(args.protocol, runs), figures)


def _name(text: str) -> str:
    unknown = set(text.split("+")) - set(MAKERS)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(sorted(unknown))}: choose from {', '.join(MAKERS)}")
    return text


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=METRICS, default="P1")
    parser.add_argument("--data", default="1m", help="1m, 100k, or a directory with MovieLens files or, for P5, a text")
    parser.add_argument("--attributes", action="store_true", help="read the items' attributes, in protocol P5")
    parser.add_argument("--successors", action="store_true", help="add what follows what, as a recommender does")
    parser.add_argument("--ncf", default="ncf", help="the directory with the files of protocol P2")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--encoder", action="append", type=_name, help=f"{', '.join(MAKERS)}, or several joined by +")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--part", choices=("test", "validation"), default="test")
    parser.add_argument(
        "--options", type=json.loads, default={}, help='settings by encoder: {"linear": {"ridge": 100}}'
    )
    parser.add_argument("--jobs", type=int, default=1, help="how many models to train at a time, which share the cores")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument(
        "--keep", type=Path, help="a directory for the trained encoders, which benchmarks.live can read"
    )
    args = parser.parse_args()
    args.encoder = args.encoder or ["popularity", "linear"]
    return args


if __name__ == "__main__":
    main()
