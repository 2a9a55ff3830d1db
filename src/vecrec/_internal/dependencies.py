"""Optional packages: which there are, and what to do where one is not installed or does not load."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from vecrec.errors import MissingDependencyError

__all__ = ["DISTRIBUTION", "PACKAGES", "installed_versions", "missing", "require_training", "requires"]

DISTRIBUTION = "vecrec-recommender"
"""The name on the package index, where ``vecrec`` is another project."""

PACKAGES: Mapping[str, str] = {
    "numpy": "", "pyarrow": "", "pymilvus": "milvus", "milvus-lite": "milvus", "redis": "redis",
    "SQLAlchemy": "sql", "PyMySQL": "mysql", "psycopg": "postgres", "paddlepaddle": "paddle", "fastapi": "serve",
    "uvicorn": "serve", "matplotlib": "plot", "optuna": "tune", "shtab": "completion",
    "ray": "ray", "pyspark": "spark", "fsspec": "fsspec", "nats-py": "nats",
}  # fmt: skip
"""The packages that vecrec can use, each with the extra that brings it; empty for those that it always needs."""


def missing(error: BaseException, package: str, *, extra: str, purpose: str) -> MissingDependencyError:
    """The error that stands for a failed import: not installed, or installed and not loadable.

    Args:
        error: What the import raised.
        package: The distribution's name.
        extra: The extra of vecrec that brings it.
        purpose: What needs it.
    """
    install = f"pip install '{DISTRIBUTION}[{extra}]'"
    if isinstance(error, ModuleNotFoundError) and not _lacks_another(package, error.name or ""):
        return MissingDependencyError(f"{purpose} needs the package {package!r}, which is not installed", install)
    return MissingDependencyError(
        f"{purpose} needs the package {package!r}, which is installed but does not load ({error})",
        f"install the system library that it names (such as libgomp1 for paddlepaddle), or {install}",
    )


def _lacks_another(package: str, module: str) -> bool:
    """Whether a package is there, and a module was not found that belongs to another one."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    try:
        version(package)
    except PackageNotFoundError:
        return False
    return package not in packages_distributions().get(module.partition(".")[0], ())


@contextmanager
def requires(package: str, *, extra: str, purpose: str) -> Iterator[None]:
    """Around an import of an optional package; see `missing` for the arguments.

    Raises:
        MissingDependencyError: with the cure.
    """
    try:
        yield
    except (ImportError, OSError) as error:
        raise missing(error, package, extra=extra, purpose=purpose) from error


def require_training(purpose: str) -> None:
    """Import the packages of the extra ``paddle``, which only training needs.

    Raises:
        MissingDependencyError: for the first one that is not installed or does not load.
    """
    for module, package in (("paddle", "paddlepaddle"), ("scipy", "scipy"), ("threadpoolctl", "threadpoolctl")):
        with requires(package, extra="paddle", purpose=purpose), warnings.catch_warnings(), _root_logger_kept():
            # PaddlePaddle looks for a compiler's cache when it is imported, which training does not need.
            warnings.filterwarnings("ignore", message="No ccache found")
            __import__(module)


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Around the import of PaddlePaddle, which gives the root logger a handler: the application's own comes later."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def installed_versions() -> dict[str, str]:
    """The versions of Python, of vecrec and of each installed package that it can use."""
    import platform
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and seldom needed

    versions = {"python": platform.python_version()}
    for package in (DISTRIBUTION, *PACKAGES):
        try:
            versions["vecrec" if package == DISTRIBUTION else package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
