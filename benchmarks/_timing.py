"""Timing of alternatives, interleaved, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median

__all__ = ["interleaved"]


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 20) -> dict[str, float]:
    """The median time of each call in microseconds, one after the other in every round."""
    times: dict[str, list[int]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        for turn in range(warmup + rounds):
            for name, call in calls.items():
                started = time.perf_counter_ns()
                call()
                if turn >= warmup:
                    times[name].append(time.perf_counter_ns() - started)
    finally:
        gc.enable()
    return {name: median(taken) / 1000 for name, taken in times.items()}
