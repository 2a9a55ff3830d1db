"""PaddlePaddle: the device that trains, and what training asks of the machine. Only training imports it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import paddle
from threadpoolctl import threadpool_limits

from vecrec.errors import InvalidDataError

__all__ = ["available_device", "gpu_count", "prepared"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt."""

GLIBC_MOST = 32 << 20
"""The highest threshold that glibc sets by itself."""


def gpu_count() -> int:
    """How many GPUs this PaddlePaddle can use; 0 for a build for CPUs."""
    return int(paddle.device.cuda.device_count())


def available_device(name: str) -> str:
    """PaddlePaddle's name of a device.

    Args:
        name: ``"auto"`` for a GPU where there is one, else the CPU; ``"cpu"``; ``"gpu"`` for the GPU of this process,
            the first one unless it is one of several processes; ``"gpu:1"`` for the second one.

    Raises:
        InvalidDataError: for a GPU that is not there.
    """
    count = gpu_count()
    if name == "auto":
        return "gpu" if count else "cpu"
    if name != "cpu" and int(name.partition(":")[2] or 0) >= count:
        build = "GPUs" if paddle.device.is_compiled_with_cuda() else "CPUs only"
        raise InvalidDataError(
            f"device is {name!r}, and PaddlePaddle, which is built for {build}, finds {count} GPUs here",
            'install paddlepaddle-gpu in place of paddlepaddle on a machine with a GPU, or use device="auto" or "cpu"',
        )
    return name


@contextmanager
def prepared(threads: int | None, device: str = "cpu") -> Iterator[None]:
    """Train on a device, with so many threads for matrix products on the CPU, and keep memory between steps.

    Large arrays come from mmap by default, and each of their pages faults at each step, which takes as long as the
    arithmetic. Afterwards the memory goes back to the system.
    """
    before = paddle.get_device()
    with ExitStack() as stack:
        stack.callback(paddle.set_device, before)
        stack.enter_context(_kept_memory())
        if threads is not None:
            stack.enter_context(threadpool_limits(threads, user_api="blas"))
        paddle.set_device(device)
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
