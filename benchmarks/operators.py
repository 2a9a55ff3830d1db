"""The operators of the two towers on a CPU: NumPy's kernels beside PaddlePaddle's own, forward and backward.

Run it as ``python -m benchmarks.operators --data ml-1m/``. The operators get what a fit
of the towers with default settings gives them, in some of its steps; those of the recurrent layers what a fit with
`TwoTowerSettings.recurrent` gives them. Both ways take turns with one thread, and the time is the processor's. A ratio
above 1 says that the kernel is quicker; where it is not, the kernel should go.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks._report import report
from vecrec.data import Dataset
from vecrec.datasets import movielens
from vecrec.encoders import TwoTowerEncoder, TwoTowerSettings
from vecrec.progress import Step

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

FIRST, EVERY = 10, 7
"""Of the steps, those that are measured: an epoch has short and long histories in random order."""


class EnoughError(Exception):
    """Enough steps were seen."""


class Recorder:
    """Keeps what a fit gives to each operator in some of its steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done = 0
        self.calls: dict[str, list[Call]] = {}

    def of_fit(self, data: Dataset, encoder: TwoTowerEncoder) -> dict[str, list[Call]]:
        """The calls of each operator."""
        from vecrec.encoders.two_tower import network, objective
        from vecrec.learning import operators

        with ExitStack() as stack:
            for module in (network, objective):
                for name in {*operators.__all__} & {*vars(module)}:
                    recording = patch.object(module, name, self.recording(name, getattr(module, name)))
                    stack.enter_context(recording)
            try:
                encoder.fit(data, progress=self.follow)
            except EnoughError:
                return self.calls
        raise SystemExit("the data are too few for so many steps")

    def recording(self, name: str, operator: Callable[..., Any]) -> Callable[..., Any]:
        """The operator, its calls kept."""
        import paddle

        def record(*args: Any, **named: Any) -> Any:
            if self.done >= FIRST and not (self.done - FIRST) % EVERY:
                kept = tuple(each.detach().clone() if isinstance(each, paddle.Tensor) else each for each in args)
                self.calls.setdefault(name, []).append((operator, kept, named))
            return operator(*args, **named)

        return record

    def follow(self, step: Step) -> None:
        """Count the steps, and end the fit after the last one that is wanted."""
        self.done = step.done if step.stage == "train" else 0
        if self.done >= FIRST + EVERY * self.steps:
            raise EnoughError


def seconds(operator: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> float:
    """Of the processor, for one call forward and backward: what else the machine does is not counted."""
    import paddle

    inputs = [each.detach() if isinstance(each, paddle.Tensor) else each for each in args]
    for each in inputs:
        if isinstance(each, paddle.Tensor):
            each.stop_gradient = False
    started = time.process_time()
    out = operator(*inputs, **named)
    out.backward(paddle.ones_like(out))
    return time.process_time() - started


def measure(calls: list[Call], rounds: int) -> dict[str, Any]:
    """Milliseconds a call by the kernel and by PaddlePaddle's own, and their ratio in each round."""
    from vecrec.learning.operators import without_kernels

    times = np.zeros((rounds + 1, 2))
    for turn in range(rounds + 1):
        for call in calls:
            times[turn, 0] += seconds(*call)
            with without_kernels():
                times[turn, 1] += seconds(*call)
    kernel, own = times[1:].T * 1000 / len(calls)  # the first round warms up
    ratios = sorted((own / kernel).tolist())
    return {
        "calls": len(calls),
        "kernel_ms": round(median(kernel), 3),
        "own_ms": round(median(own), 3),
        "ratio": round(median(ratios), 2),
        "lowest": round(ratios[0], 2),
        "highest": round(ratios[-1], 2),
    }


def main() -> None:
    """Record, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="1m", help="1m, 100k, or a directory with MovieLens files")
    parser.add_argument("--steps", type=int, default=6, help="steps of training whose calls are measured")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    data = movielens.load(args.data)
    plain = TwoTowerEncoder(threads=1, device="cpu")
    recurrent = TwoTowerEncoder(threads=1, device="cpu", settings=TwoTowerSettings.recurrent())
    found = Recorder(args.steps).of_fit(data, recurrent)
    found |= Recorder(args.steps).of_fit(data, plain)  # what both have is measured with the default settings

    from vecrec.learning.paddle import prepared

    with prepared(threads=1):
        runs = {name: measure(calls, args.rounds) for name, calls in sorted(found.items())}
    rows = [
        [
            name,
            str(run["calls"]),
            f"{run['kernel_ms']:.2f}",
            f"{run['own_ms']:.2f}",
            f"{run['ratio']:.2f}",
            f"{run['lowest']:.2f} to {run['highest']:.2f}",
        ]
        for name, run in runs.items()
    ]
    columns = ["operator", "calls", "kernel, ms", "PaddlePaddle's own, ms", "ratio", "over the rounds"]
    report(
        "Operators of the towers on a CPU, forward and backward",
        columns,
        rows,
        {"benchmark": "operators", "runs": runs},
    )


if __name__ == "__main__":
    main()
