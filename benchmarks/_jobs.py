"""Work side by side: models in a process each, requests in a thread each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def apart(work: Callable[..., T], calls: Iterable[tuple[Any, ...]], jobs: int) -> Iterator[T]:
    """What ``work`` gives for each call, in order, as many at a time as there are jobs.

    A process each: its peak memory is then the model's, and nothing is warm from the one before.
    """
    if jobs > 1:  # they share the cores, and threads that wait for each other are slower than none
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // jobs)))

    def one(call: tuple[Any, ...]) -> T:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(work, *call).result()

    with ThreadPoolExecutor(jobs) as side_by_side:
        yield from side_by_side.map(one, calls)


def in_threads(work: Callable[[int], object], count: int) -> None:
    """Do the work in so many threads, each with its number; raise what one of them raises."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))
