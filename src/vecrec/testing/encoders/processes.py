"""What the kit does in other processes: learn under another PYTHONHASHSEED, and load without the training framework."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vecrec.encoders.base import Encoder
from vecrec.testing.encoders.tastes import items_to_ask, tastes, users_to_ask

__all__ = ["answers", "elsewhere", "learn", "read_back"]

_T = TypeVar("_T")


def answers(encoder: Encoder) -> tuple[str, NDArray[np.float32]]:
    """The fingerprint, and the vectors of everything that the kit asks for."""
    return encoder.fingerprint, np.concatenate(
        [encoder.encode_items(items_to_ask()), encoder.encode_users(users_to_ask())]
    )


def learn(encoder: Encoder) -> tuple[str, NDArray[np.float32]]:
    """What an encoder answers once it is fitted."""
    return answers(encoder.fit(tastes()))


def read_back(
    kind: type[Encoder], directory: Path, unwanted: Sequence[str]
) -> tuple[tuple[str, NDArray[np.float32]], list[str]]:
    """What a saved encoder answers, and which unwanted modules were imported for that."""
    found = answers(kind.load(directory))
    return found, [module for module in unwanted if module in sys.modules]


def elsewhere(hash_seed: int, work: Callable[..., _T], *values: object) -> _T:
    """The result of a function of this module in a fresh process with a given PYTHONHASHSEED."""
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = str(hash_seed)
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(work, *values).result(timeout=240)
    finally:
        if before is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = before
