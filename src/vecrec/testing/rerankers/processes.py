"""What the kit does in other processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vecrec.rerankers.base import Reranker
from vecrec.testing.encoders.tastes import tastes
from vecrec.testing.rerankers.base import Order, finder, orders

__all__ = ["learn", "read_back"]


def learn(reranker: Reranker) -> tuple[str, list[Order]]:
    """What a reranker answers once it is fitted."""
    fitted = reranker.fit(tastes(), finder())
    return fitted.fingerprint, orders(fitted)


def read_back(
    kind: type[Reranker], directory: Path, unwanted: Sequence[str]
) -> tuple[tuple[str, list[Order]], list[str]]:
    """What a saved reranker answers, and which unwanted modules were imported for that."""
    loaded = kind.load(directory)
    found = loaded.fingerprint, orders(loaded)
    return found, [module for module in unwanted if module in sys.modules]
