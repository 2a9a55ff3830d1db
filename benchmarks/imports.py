"""What ``import vecrec`` takes, beside NumPy alone, which is most of it. Bar: under 150 ms.

Run it as ``python -m benchmarks.imports``. Each import is a process of its own, the two in turn; seconds of one
processor, so that neighbours count for little.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

from benchmarks._report import report

ROUNDS = 15


def seconds(module: str) -> float:
    """The processor time of one import in a fresh process, with byte code, as users have it."""
    script = f"import time; began = time.process_time(); import {module}; print(time.process_time() - began)"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return float(run.stdout)


def main() -> None:
    """Measure both in turn and print the table."""
    taken: dict[str, list[float]] = {"numpy": [], "vecrec": []}
    for _ in range(ROUNDS):
        for module, times in taken.items():
            times.append(1000 * seconds(module))
    figures = {
        name: {"min_ms": round(min(times), 1), "p50_ms": round(median(times), 1)} for name, times in taken.items()
    }
    rows = [(f"import {name}", f"{row['min_ms']:.1f}", f"{row['p50_ms']:.1f}") for name, row in figures.items()]
    report("Import", ("", "best, ms", "p50, ms"), rows, {"benchmark": "imports", **figures})


if __name__ == "__main__":
    main()
