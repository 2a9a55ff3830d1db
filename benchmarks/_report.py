"""How a benchmark ends: a table for people, then one line of JSON with its figures and the versions that it ran on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console
from rich.table import Table

import vecrec

_PACKAGES = (
    "numpy", "pyarrow", "pymilvus", "milvus-lite", "redis", "SQLAlchemy", "PyMySQL", "paddlepaddle",
)  # fmt: skip


def report(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], figures: Mapping[str, Any]) -> None:
    """Print the table, and as the last line of stdout the figures and versions."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    # Into a file or a pipe, a table of eighty columns would cut every name.
    console = Console()
    Console(width=None if console.is_terminal else max(console.width, 140)).print(table)
    print(json.dumps({**figures, "versions": versions()}))


def versions() -> dict[str, Any]:
    """What the figures depend on: the machine, Python and the packages that are installed."""
    found = {name: _version(name) for name in _PACKAGES}
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "vecrec": vecrec.__version__,
        **{name: number for name, number in found.items() if number},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
