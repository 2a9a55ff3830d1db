"""Problems of a recommender at work: packages, stores and releases."""

from __future__ import annotations

from collections.abc import Iterator

from vecrec._internal.dependencies import DISTRIBUTION, PACKAGES, installed_versions
from vecrec._internal.validation import flag, instance
from vecrec.doctor.findings import Finding
from vecrec.doctor.stores import disagreement, drift, risks, unreachable
from vecrec.errors import InvalidDataError, VecrecError
from vecrec.recommender import Recommender, ReleaseChecks

__all__ = ["diagnose_system", "installed"]

_LITE_LIMIT = 20_000


def installed() -> dict[str, str]:
    """The version of Python and of each package that vecrec can use, and how to install those that are missing."""
    held = installed_versions()
    cures = {package: f"missing: pip install '{DISTRIBUTION}[{extra}]'" for package, extra in PACKAGES.items()}
    return {"python": held["python"], **cures, **held}


def diagnose_system(recommender: Recommender, *, full: bool = False) -> list[Finding]:
    """The problems of a recommender and its stores.

    Args:
        recommender: Open on its stores; it need not have a release.
        full: Compare the whole catalogue of both stores, instead of their counts.
    """
    instance(recommender, "recommender", Recommender)
    flag(full, "full")
    down = [*unreachable(recommender)]
    if down:
        return down
    found = [*risks(recommender)]
    try:
        found += [*_release(recommender), *drift(recommender), *disagreement(recommender, full=full)]
        found += [*_recall(recommender)] if full else []
    except VecrecError as error:
        found.append(_unpublished(error, recommender.name))
    return found


def _recall(recommender: Recommender) -> Iterator[Finding]:
    found = recommender.measure_recall()
    target = ReleaseChecks().index_recall
    if found.interval[1] < target:
        yield Finding(
            "warning", "vector store", f"{found}, less than {target}",
            "raise the index's search effort, or take an exact one (Flat)",
        )  # fmt: skip


def _release(recommender: Recommender) -> Iterator[Finding]:
    for release_id in recommender.unfinished_builds():
        yield Finding(
            "warning", "release", f"{release_id} was left by a build that did not end", "vecrec publish removes it"
        )
    with recommender.live() as live:
        release = live.release
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


def _unpublished(error: VecrecError, name: str) -> Finding:
    if isinstance(error, InvalidDataError):
        return Finding("error", "stores", error.problem, "correct --name, or give the store that belongs to it")
    return Finding("error", "release", error.problem, f"vecrec train --name {name}, or vecrec rollback")
