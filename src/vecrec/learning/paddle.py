"""What training asks of the machine, for as long as it lasts."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import paddle
from threadpoolctl import threadpool_limits

__all__ = ["prepared"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt."""

GLIBC_MOST = 32 << 20
"""The highest threshold that glibc sets by itself."""


@contextmanager
def prepared(threads: int | None) -> Iterator[None]:
    """Train on the CPU, with so many threads for matrix products, and keep memory between steps.

    Large arrays come from mmap by default, and each of their pages faults at each step, which takes as long as the
    arithmetic. Afterwards the memory goes back to the system.
    """
    device = paddle.get_device()
    with ExitStack() as stack:
        stack.callback(paddle.set_device, device)
        stack.enter_context(_kept_memory())
        if threads is not None:
            stack.enter_context(threadpool_limits(threads, user_api="blas"))
        paddle.set_device("cpu")
        yield


@contextmanager
def _kept_memory() -> Iterator[None]:
    library: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(M_MMAP_THRESHOLD, 1 << 30)
    library.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        library.mallopt(M_MMAP_THRESHOLD, GLIBC_MOST)
        library.mallopt(M_TRIM_THRESHOLD, 2 * GLIBC_MOST)
        library.malloc_trim(0)
