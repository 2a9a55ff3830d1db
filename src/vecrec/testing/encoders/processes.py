"""What the kit does in other processes: learn under another PYTHONHASHSEED, and load without the training framework."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecrec.encoders.base import Encoder
from vecrec.testing.encoders.tastes import items_to_ask, tastes, users_to_ask

__all__ = ["answers", "learn", "read_back"]


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
