"""How reading, training, publishing and serving grow with the catalogue, beside implicit's ALS on the same pairs.

    python -m benchmarks.scale                                     # 10,000 and 100,000 items, tenfold events
    python -m benchmarks.scale --items 1000000                     # hours on two cores
    python -m benchmarks.scale --items 1000000 --events 100000000 --stages intake linear

The events follow Zipf's law (`benchmarks._zipf`). Each stage has a process of its own, but for reading and the linear
encoder, which share one, and computes with one thread. Its memory is the peak of all that is resident in the process,
its time that of the processor, which other work on the machine hardly changes. The towers prepare the whole log, and
train for one epoch of ``epoch_events``. Stores are a file of vectors and SQLite. ALS has as many factors and its usual
15 iterations, where ``implicit`` is installed. Sizes measured before stay in ``benchmarks/results/scale.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from benchmarks._jobs import apart
from benchmarks._report import report, versions
from benchmarks._zipf import write_log
from vecrec.config.compose import compose
from vecrec.config.settings import Settings
from vecrec.data import Dataset
from vecrec.encoders import LinearSequenceEncoder, TwoTowerEncoder
from vecrec.progress import Progress

RESULTS = Path(__file__).parent / "results"
STAGES = ("intake", "linear", "towers", "publish", "recommend", "als")
DIM, K = 64, 10
_TOWER_EVENTS = 100_000
_REQUESTS = 200
_ALS_ITERATIONS = 15

Figures = dict[str, float]


@contextmanager
def measured(into: Figures) -> Iterator[None]:
    """Seconds of waiting and of the processor, and gigabytes that are resident at most, with and without mapped files.

    What is mapped from a file can be dropped at any time, and is shared by processes. Private memory is looked at
    twenty times a second.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    private, done = [_resident_gb("RssAnon")], threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            private.append(max(private.pop(), _resident_gb("RssAnon")))

    watch = threading.Thread(target=look)
    watch.start()
    began, worked = time.perf_counter(), time.process_time()
    try:
        yield
        into |= {"seconds": time.perf_counter() - began, "processor": time.process_time() - worked}
    finally:
        done.set()
        watch.join()
    into |= {"gb": _resident_gb("VmHWM"), "private_gb": private[0]}


def _resident_gb(name: str) -> float:
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) / 2**20


def size_of(path: Path) -> float:
    """Gigabytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files) / 1e9


def learn(home: Path, stages: Sequence[str]) -> dict[str, Figures]:
    """Read the log, and fit the linear encoder."""
    found: dict[str, Figures] = {"intake": {}, "linear": {}}
    with measured(found["intake"]):
        data = Dataset(home / "log", folder=home)
    found["intake"]["disk_gb"] = size_of(home / "log")
    if "linear" in stages:
        encoder = LinearSequenceEncoder(dim=DIM)
        with measured(found["linear"]):
            encoder.fit(data)
        encoder.save(home / "linear")
        found["linear"]["disk_gb"] = size_of(home / "linear")
    return {name: found[name] for name in found if found[name]}


def towers(home: Path, stages: Sequence[str]) -> dict[str, Figures]:
    """The whole log, of which an epoch draws some events."""
    data, found = Dataset(home / "log", folder=home), Figures()
    encoder = TwoTowerEncoder(dim=DIM, settings={"epochs": 1, "min_steps": 1, "epoch_events": _TOWER_EVENTS})
    with measured(found):
        encoder.fit(data)
    encoder.save(home / "towers")
    return {"towers": {**found, "epoch_events": _TOWER_EVENTS, "disk_gb": size_of(home / "towers")}}


def settings_of(home: Path) -> Settings:
    """Stores that are files."""
    return Settings(
        name="scale",
        vector_store=str(home / "items.vec"),
        metadata_store=f"sqlite:///{home / 'metadata.db'}",
        artifacts=str(home / "releases"),
    )


class Trained(LinearSequenceEncoder):
    """An encoder that was trained before, so that `Recommender.fit` only stores, indexes, checks and publishes."""

    @override
    def _fit(self, data: Dataset, progress: Progress) -> None:
        pass


def publish(home: Path, stages: Sequence[str]) -> dict[str, Figures]:
    """Items, events and vectors into the stores."""
    data, found = Dataset(home / "log", folder=home), Figures()
    with compose(settings_of(home), Trained.load(home / "linear")) as recommender, measured(found):
        recommender.fit(data)
    places = {"vectors_gb": "items.vec", "metadata_gb": "metadata.db", "releases_gb": "releases"}
    sizes = {name: size_of(home / place) for name, place in places.items()}
    return {"publish": {**found, **sizes, "disk_gb": sum(sizes.values())}}


def recommend(home: Path, stages: Sequence[str]) -> dict[str, Figures]:
    """The first ten items of some users, one request after the other, by a process that only serves."""
    found = Figures()
    with compose(settings_of(home)) as recommender, measured(found):
        users = np.random.default_rng(7).integers(0, 1_000, _REQUESTS).tolist()
        found["p50_ms"] = median_ms(lambda user: recommender.recommend(user, K), users)
    return {"recommend": found}


def als(home: Path, stages: Sequence[str]) -> dict[str, Figures]:
    """Implicit's alternating least squares on the same pairs, and its lists of the same length."""
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    data, found = Dataset(home / "log", folder=home), Figures()
    ones = (np.ones(data.n_events, np.float32), (data.user_codes, data.item_codes))
    matrix = csr_matrix(ones, shape=(data.n_users, data.n_items))
    model = AlternatingLeastSquares(factors=DIM, iterations=_ALS_ITERATIONS, num_threads=1, random_state=7)
    with measured(found):
        model.fit(matrix, show_progress=False)
    model.save(home / "als.npz")
    users = np.random.default_rng(7).integers(0, 1_000, _REQUESTS).tolist()
    found["p50_ms"] = median_ms(lambda user: model.recommend(user, matrix[user], N=K), users)
    return {"als": {**found, "disk_gb": size_of(home / "als.npz")}}


def median_ms(call: Callable[[int], object], users: Sequence[int]) -> float:
    """The median of the calls in milliseconds of the processor; the first tenth of them is not counted."""
    taken = []
    for user in users:
        began = time.process_time()
        call(user)
        taken.append(1000 * (time.process_time() - began))
    return float(np.median(taken[len(users) // 10 :]))


WORK = {
    learn: ("intake", "linear"),
    towers: ("towers",),
    publish: ("publish",),
    recommend: ("recommend",),
    als: ("als",),
}
"""What each process does, in this order."""


def run(n_items: int, n_events: int, stages: Sequence[str], folder: Path | None) -> dict[str, Any]:
    """All stages of one size."""
    figures: dict[str, Figures] = {}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # threads that wait for each other would count as work
    with tempfile.TemporaryDirectory(dir=folder) as home:
        write_log(Path(home, "log"), n_events, n_items)
        for work, names in WORK.items():
            if {*names} & {*stages} and (work is not als or find_spec("implicit")):
                for found in apart(work, [(Path(home), stages)], 1):
                    figures |= {name: rounded(each) for name, each in found.items()}
    return {"items": n_items, "events": n_events, "dim": DIM, "stages": figures, "versions": versions()}


def rounded(figures: Figures) -> Figures:
    """The figures with four digits."""
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def growth(runs: Sequence[dict[str, Any]], stage: str, key: str) -> float | None:
    """The exponent x of ``figure ~ items ** x`` between the two largest sizes with tenfold events; ``None`` for one."""
    points = [
        (each["items"], each["stages"][stage][key])
        for each in runs
        if each["events"] == 10 * each["items"] and each["stages"].get(stage, {}).get(key)
    ]
    if len(points) < 2:
        return None
    (few, less), (many, more) = points[-2:]
    return math.log(more / less) / math.log(many / few)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each size, keep the figures, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000], help="(%(default)s)")
    parser.add_argument("--events", type=int, help="ten times the items by default")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="all by default")
    parser.add_argument("--folder", type=Path, help="where everything is written; a temporary directory by default")
    options = parser.parse_args(arguments)
    path = RESULTS / "scale.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    for n_items in options.items:
        made = run(n_items, options.events or 10 * n_items, options.stages, options.folder)
        same = [each for each in runs if (each["items"], each["events"]) == (made["items"], made["events"])]
        made["stages"] = {**(same[0]["stages"] if same else {}), **made["stages"]}
        others = [each for each in runs if each not in same]
        runs = sorted([*others, made], key=lambda each: (each["events"], each["items"]))
        path.write_text(json.dumps({"benchmark": "scale", "runs": runs}, indent=1) + "\n")
    rows = []
    for each in runs:
        for stage, found in each["stages"].items():
            shown = [f"{found[key]:,.3g}" if key in found else "" for key in ("processor", "gb", "disk_gb", "p50_ms")]
            grown = [growth(runs, stage, key) for key in ("processor", "gb")]
            rows.append(
                (f"{each['items']:,} items, {each['events']:,} events: {stage}", *shown,
                 *("" if exponent is None else f"{exponent:.2f}" for exponent in grown))
            )  # fmt: skip
    columns = ("", "processor s", "peak GB", "disk GB", "p50 ms", "time ~ n^", "memory ~ n^")
    report("Growth with the catalogue", columns, rows, {"benchmark": "scale", "runs": runs})


if __name__ == "__main__":
    main()
