"""`import vecrec` is cheap: it takes no time worth naming, and brings in no engine's client."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = {
    "faiss", "matplotlib", "milvus_lite", "paddle", "pandas", "polars", "psycopg", "pyarrow.dataset", "pymilvus",
    "pymysql", "redis", "sqlalchemy",
}  # fmt: skip

_LIMIT = 0.150
"""Seconds that the import may take, NumPy's included."""


def _python(script: str) -> str:
    # Users have byte code, so the import is measured with it, also where the environment says not to write any.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_brings_in_nothing_heavy() -> None:
    """No client, no framework and no data frame library is imported before it is used."""
    modules = set(_python("import sys, vecrec; print(*sys.modules, sep='\\n')").split())
    assert "vecrec.recommender" in modules
    assert not HEAVY & modules


@pytest.mark.serial
def test_is_quick() -> None:
    """The import takes under 150 ms of one processor: the best of several, since neighbours can only add."""
    script = "import time; began = time.process_time(); import vecrec; print(time.process_time() - began)"
    assert min(float(_python(script)) for _ in range(7)) < _LIMIT
