"""The long soak: ``python -m tests.faults --minutes 10``, which ``tox run -e soak`` calls.

Each pair of engines is under load for its share of the time, with a fault every few seconds. The figures go to
``benchmarks/results/soak.json``; the status is 1 where something was lost or wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._report import versions
from tests.faults.soak import PAIRS, soak

_RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "soak.json"


def main() -> int:
    """Soak, print and write."""
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="in all (default: 30)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the faults; by default the time")
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--output", type=Path, default=_RESULT)
    options = parser.parse_args()
    found = []
    for name in options.pairs:
        with tempfile.TemporaryDirectory() as folder, soak(name, Path(folder), options.seed) as running:
            end = time.monotonic() + 60 * options.minutes / len(options.pairs)
            while time.monotonic() < end:
                running.load(20)
                running.any_fault()
            running.load(20)
            found.append(running.settle().to_json())
        print(json.dumps(found[-1]), flush=True)
    figures = {"seed": options.seed, "pairs": found, "versions": versions()}
    options.output.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    return int(any(each["lost"] or each["wrong"] for each in found))


if __name__ == "__main__":
    sys.exit(main())
