"""Each engine's package is imported by its own adapter alone, functions included; import-linter checks the layers."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import vecrec

ROOT = Path(vecrec.__file__).parent

# The package of each engine, and the rooms whose files may import it.
OWNERS = {
    "anyio": ("serving",),
    "fastapi": ("serving",),
    "fsspec": ("_internal/folders.py",),
    "grpc": ("vector_stores/milvus",),
    "matplotlib": ("evaluation/results.py", "evaluation/tune.py", "encoders/two_tower/learning_curve.py"),
    "milvus_lite": ("vector_stores/milvus",),
    "nats": ("recommender/ingest.py",),
    "opentelemetry": ("_internal/tracing.py",),
    "optuna": ("evaluation/tune.py",),
    "paddle": ("learning", "encoders/two_tower", "rerankers/rating"),
    "prometheus_client": ("serving",),
    "psycopg": ("metadata_stores/sql",),
    "pydantic": ("serving", "filters/json.py"),
    "pymilvus": ("vector_stores/milvus",),
    "pymysql": ("metadata_stores/sql",),
    "pyspark": ("recommender/batch_engines.py",),
    "ray": ("recommender/batch_engines.py",),
    "redis": ("metadata_stores/redis",),
    "scipy": ("learning", "encoders/two_tower", "rerankers/rating"),
    "shtab": ("cli/completion.py",),
    "sqlalchemy": ("metadata_stores/sql",),
    "starlette": ("serving",),
    "threadpoolctl": ("learning",),
    "uvicorn": ("serving",),
}


def importers(package: str) -> set[str]:
    """The files of vecrec with an import of the package anywhere in them."""
    return {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if package in _imported(path)}


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", OWNERS)
def test_only_its_own_adapter_imports_the_package_of_an_engine(package: str) -> None:
    found = importers(package)
    assert {file for file in found if not file.startswith(OWNERS[package])} == set()
    assert found, "the table names a package that nothing imports"


def test_every_optional_package_has_an_owner() -> None:
    base = {"filelock", "numpy", "pyarrow", "rich", "typing_extensions", "vecrec"}
    given = {"pandas", "polars", "duckdb"}  # only where the caller has a frame of theirs
    kit = {"pytest", "hypothesis"}
    imported = set().union(*(_imported(path) for path in ROOT.rglob("*.py")))
    assert imported - {*sys.stdlib_module_names} - base - given - kit <= OWNERS.keys()
