"""How far one request walks through the code: calls, files and moves between files of one `recommend`.

Run it as ``python -m benchmarks.walk [--rounds 2000]``. A small recommender on the stores in memory answers once under
`sys.setprofile`, and only functions in files of vecrec count. A move is a call into another file, or a return from
one. Then it prints the time of a call without the profiler. A short walk is a sign of code that can be read, and
nothing unrelated is put together for its sake.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import vecrec
from vecrec import Recommender
from vecrec.data import Dataset
from vecrec.encoders import EASEEncoder
from vecrec.metadata_stores import MemoryMetadataStore
from vecrec.vector_stores import MemoryVectorStore

ROOT = Path(vecrec.__file__).parent
BAR = {"files": 18, "moves": 80}


@dataclass(slots=True)
class Walk:
    """What was called, in the order of the calls."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    """File and function of each call."""
    moves: int = 0
    """Calls into another file, and returns from one."""

    @property
    def files(self) -> Counter[str]:
        """Calls by file."""
        return Counter(file for file, _ in self.calls)


def walk(question: Callable[[], object]) -> Walk:
    """The walk of one call."""
    found, stack, root = Walk(), [""], f"{ROOT}/"

    def follow(frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if not file.startswith(root) or event not in ("call", "return"):
            return
        if event == "call":
            found.moves += stack[-1] not in ("", file)
            stack.append(file)
            found.calls.append((file.removeprefix(root), frame.f_code.co_qualname))
        else:
            stack.pop()
            found.moves += stack[-1] not in ("", file)

    sys.setprofile(follow)
    try:
        question()
    finally:
        sys.setprofile(None)
    return found


@contextmanager
def recommender(n_users: int = 200, n_items: int = 400, per_user: int = 20) -> Iterator[Recommender]:
    """A recommender of a made log, on the stores in memory."""
    users = np.repeat(np.arange(n_users), per_user)
    items = users % 2 + 2 * ((users * 7 + np.arange(len(users))) % (n_items // 2))
    log = {"user_id": users, "item_id": items, "time": 1.7e9 + np.arange(len(users))}
    catalogue = {"item_id": np.arange(n_items), "year": 1980 + np.arange(n_items) % 40}
    with tempfile.TemporaryDirectory() as folder:
        parts = EASEEncoder(), MemoryVectorStore(), MemoryMetadataStore()
        with Recommender(*parts, name="walk", artifacts=folder, refresh_seconds=3600) as made:
            made.fit(Dataset(log, items=catalogue))
            made.recommend(0)
            yield made


def milliseconds(question: Callable[[], object], rounds: int) -> float:
    """The median time of a call."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        question()
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken)) * 1000


def main() -> None:
    """Print the walk and the time of a call; fail beyond the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000, help="calls for the time (%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="print each call")
    options = parser.parse_args()
    with recommender() as made:
        found = walk(lambda: made.recommend(1))
        p50 = milliseconds(lambda: made.recommend(1), options.rounds)
    if options.verbose:
        for file, name in found.calls:
            print(f"  {file:<45} {name}")
    for file, calls in found.files.most_common():
        print(f"{calls:>5}  {file}")
    figures = {"calls": len(found.calls), "files": len(found.files), "moves": found.moves, "p50_ms": round(p50, 3)}
    print(json.dumps(figures))
    print(f"bar: at most {BAR['files']} files and {BAR['moves']} moves")
    sys.exit(any(figures[name] > most for name, most in BAR.items()))


if __name__ == "__main__":
    main()
