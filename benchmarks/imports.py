"""What ``import vecrec`` takes, beside NumPy alone, which is most of it. Bar: under 150 ms of waiting.

Run it as ``python -m benchmarks.imports``. Each import is a process of its own, the two in turn. The processor's time
is longer than the wait, since NumPy's matrix library starts its threads meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

from benchmarks._report import report

ROUNDS = 15
SCRIPT = """
import time
waited, worked = time.perf_counter(), time.process_time()
import {module}
print(time.perf_counter() - waited, time.process_time() - worked)
"""


def milliseconds(module: str) -> tuple[float, float]:
    """How long one import in a fresh process makes wait, and how long it works; with byte code, as users have it."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", SCRIPT.format(module=module)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    waited, worked = map(float, run.stdout.split())
    return 1000 * waited, 1000 * worked


def main() -> None:
    """Measure both in turn and print the table."""
    taken: dict[str, list[tuple[float, float]]] = {"numpy": [], "vecrec": []}
    for _ in range(ROUNDS):
        for module, times in taken.items():
            times.append(milliseconds(module))
    figures = {}
    for module, times in taken.items():
        waits, works = zip(*times)
        figures[module] = {"wait_min_ms": min(waits), "wait_p50_ms": median(waits), "processor_p50_ms": median(works)}
    heads = ("", "wait, best ms", "wait, p50 ms", "processor, p50 ms")
    rows = [(f"import {name}", *(f"{value:.0f}" for value in row.values())) for name, row in figures.items()]
    rounded = {name: {key: round(value, 1) for key, value in row.items()} for name, row in figures.items()}
    report("Import", heads, rows, {"benchmark": "imports", **rounded})


if __name__ == "__main__":
    main()
