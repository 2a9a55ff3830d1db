"""Problems of a recommender at work: packages, engines, releases, the two stores' agreement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vecrec._internal.dependencies import DISTRIBUTION, PACKAGES, installed_versions
from vecrec.doctor.findings import Finding
from vecrec.errors import InvalidDataError, StoreError, VecrecError
from vecrec.metadata_stores.base import ReportsRisks
from vecrec.recommender.catalogue import ITEM

if TYPE_CHECKING:
    from vecrec.recommender import Recommender

__all__ = ["diagnose_system", "installed"]

_LITE_LIMIT = 20_000


def installed() -> dict[str, str]:
    """The version of Python and of each package that vecrec can use; how to get those that are missing."""
    held = installed_versions()
    cures = {package: f"missing: pip install '{DISTRIBUTION}[{extra}]'" for package, extra in PACKAGES.items()}
    return {"python": held["python"], **cures, **held}


def diagnose_system(recommender: Recommender, *, full: bool = False) -> list[Finding]:
    """What is wrong with a recommender and its stores.

    Args:
        recommender: Open on its stores; it need not have a release.
        full: Compare the whole catalogue of both stores, instead of their counts.
    """
    down = [finding for store in ("vector_store", "metadata_store") for finding in _answers(recommender, store)]
    if down:
        return down
    found = [*_risks(recommender)]
    try:
        found += [*_release(recommender), *_agreement(recommender, full)]
    except VecrecError as error:
        found.append(_unpublished(error, recommender.name))
    return found


def _answers(recommender: Recommender, name: str) -> Iterator[Finding]:
    try:
        getattr(recommender, name).ping()
    except StoreError as error:
        yield Finding("error", name.replace("_", " "), str(error), "start it, or correct its address")


def _risks(recommender: Recommender) -> Iterator[Finding]:
    for store in (recommender.vector_store, recommender.metadata_store):
        if isinstance(store, ReportsRisks):
            for risk in store.warnings():
                yield Finding("warning", type(store).__name__, risk.problem, risk.cure)


def _release(recommender: Recommender) -> Iterator[Finding]:
    release = recommender.ask(lambda live: live.release)
    now = installed()
    for package, then in release.versions.items():
        have = now.get(package, "")
        if package in ("numpy", "vecrec") and have.split(".")[0] != then.split(".")[0]:
            yield Finding(
                "warning", "release", f"{release.id} was made with {package} {then}, and {have} is installed",
                "publish again with what is installed",
            )  # fmt: skip
    count = recommender.vector_store.count(release.collection)
    if count > _LITE_LIMIT and ".db" in repr(recommender.vector_store):
        yield Finding(
            "hint", "vector store", f"{count:,} items in Milvus Lite, whose time to search grows with them",
            "move to a Milvus server: vecrec migrate --to-vector-store http://...",
        )  # fmt: skip


def _agreement(recommender: Recommender, full: bool) -> Iterator[Finding]:
    if full:
        report = recommender.verify()
        if not report:
            yield Finding("error", "catalogue", str(report).splitlines()[0], "vecrec repair --full")
        return
    collection = recommender.ask(lambda live: live.collection)
    records = recommender.metadata_store.count(ITEM)
    vectors = recommender.vector_store.count(collection)
    if records != vectors:
        yield Finding("error", "catalogue", f"{records:,} records, {vectors:,} vectors", "vecrec repair --full")
    pending = recommender.metadata_store.count("pending")
    if pending:
        yield Finding("warning", "catalogue", f"{pending:,} items have a change that did not end", "vecrec repair")


def _unpublished(error: VecrecError, name: str) -> Finding:
    if isinstance(error, InvalidDataError):
        return Finding("error", "stores", str(error), "correct --name, or give the store that belongs to it")
    return Finding("error", "release", str(error), f"vecrec train --name {name}, or vecrec rollback")
