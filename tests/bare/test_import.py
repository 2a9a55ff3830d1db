"""`import vecrec` is cheap: it brings in no engine's client. `benchmarks/imports.py` says what it takes."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "faiss", "filelock", "matplotlib", "milvus_lite", "paddle", "pandas", "polars", "psycopg", "pyarrow.dataset",
    "pymilvus",
    "pymysql", "redis", "sqlalchemy",
}  # fmt: skip


def test_brings_in_nothing_heavy() -> None:
    """No client, no framework and no data frame library is imported before it is used."""
    command = [sys.executable, "-c", "import sys, vecrec; print(*sys.modules, sep='\\n')"]
    modules = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "vecrec.recommender" in modules
    assert not HEAVY & modules
