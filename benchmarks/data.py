"""Time and memory of reading a log into a `Dataset`, beside Polars' and DuckDB's own scans of the same columns.

    python -m benchmarks.data                        # 3 million rows
    python -m benchmarks.data --rows 30000000        # 30 million, some minutes
    python -m benchmarks.data --form parquet         # one of the two forms
    python -m benchmarks.data --folder /data/tmp     # where the files go; 30 million rows take about 6 GB

The log has six columns, three of which are needed: users, items (text), times, a kind, and two of other text. It is
written once as Parquet and once as CSV. Each reading is a process of its own; its memory is the peak above what is
resident after the imports. A `Dataset` does more than a scan: it numbers users and items and sorts the events.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks._report import report, versions

BARS = {"gb_of_3m": 0.5}
RESULTS = Path(__file__).parent / "results"
NEEDED = ("user_id", "item_id", "time")
_PIECE = 500_000

_MEASURE = """
import json, sys, time
from pathlib import Path
path = sys.argv[1]
{imports}
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20
before, began, worked = peak(), time.perf_counter(), time.process_time()
{read}
taken = {{"seconds": time.perf_counter() - began, "processor": time.process_time() - worked, "gb": peak() - before}}
print(json.dumps(taken))
"""
READERS = {
    "vecrec": (
        "import numpy, pyarrow.dataset, pyarrow.csv\nfrom vecrec.data import Columns, Dataset",
        "data = Dataset(path)",
    ),
    "polars": (
        "import polars as pl",
        """
scan = pl.scan_parquet if path.endswith(".parquet") else pl.scan_csv
frame = scan(path).select("user_id", "item_id", "time").collect()
""",
    ),
    "duckdb": (
        "import duckdb, pyarrow",
        """
table = duckdb.sql(f"SELECT user_id, item_id, time FROM '{path}'").arrow()
table = table.read_all() if hasattr(table, "read_all") else table
""",
    ),
}


def piece(rng: np.random.Generator, start: int, count: int) -> pa.Table:
    """Some rows of the log, in the order of time."""
    items = np.char.add("item-", rng.zipf(1.3, count).clip(max=100_000).astype(str))
    words = rng.integers(0, 10**9, count).astype(str)
    return pa.table(
        {
            "user_id": rng.integers(0, 200_000, count),
            "item_id": items,
            "time": 1_600_000_000 + start + np.arange(count),
            "agent": np.char.add("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/", words),
            "address": np.char.add("https://shop.example/products/item?session=", words),
            "price": rng.random(count),
        }
    )


def write(folder: Path, rows: int, forms: Sequence[str]) -> dict[str, Path]:
    """The files, piece by piece."""
    rng, paths = np.random.default_rng(7), {form: folder / f"log.{form}" for form in forms}
    first = piece(rng, 0, 1).schema
    with ExitStack() as files:
        makers = {"parquet": pq.ParquetWriter, "csv": lambda path, schema: pa.csv.CSVWriter(str(path), schema)}
        writers = [files.enter_context(makers[form](path, first)) for form, path in paths.items()]
        for start in range(0, rows, _PIECE):
            table = piece(rng, start, min(_PIECE, rows - start))
            for writer in writers:
                writer.write_table(table)
    return paths


def measure(reader: str, path: Path) -> dict[str, float]:
    """Seconds of waiting, of the processor, and gigabytes of one reading in a fresh process."""
    imports, read = READERS[reader]
    script = _MEASURE.format(imports=imports, read=read)
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Write, read, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3_000_000, help="(%(default)s)")
    parser.add_argument("--form", action="append", choices=("parquet", "csv"), help="both by default")
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary directory by default")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {"benchmark": "data", "rows": options.rows, "bars": BARS}
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for form, path in write(Path(folder), options.rows, options.form or ("parquet", "csv")).items():
            found = {reader: measure(reader, path) for reader in READERS}
            figures[form] = {reader: {key: round(v, 3) for key, v in each.items()} for reader, each in found.items()}
            for reader, each in found.items():
                ratios = [f"{found['vecrec'][key] / each[key]:.1f}" for key in ("processor", "gb")]
                times = (f"{each['seconds']:.2f} s", f"{each['processor']:.2f} s")
                rows.append((f"{form}, {reader}", *times, f"{each['gb']:.2f} GB", *ratios))
    (RESULTS / f"data-{options.rows}.json").write_text(json.dumps({**figures, "versions": versions()}, indent=1) + "\n")
    title = f"Reading {options.rows:,} rows, three of six columns"
    report(
        title,
        ("", "time", "processor", "peak memory", "vecrec's processor by it", "vecrec's memory by it"),
        rows,
        figures,
    )


if __name__ == "__main__":
    main()
