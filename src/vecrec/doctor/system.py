"""Problems of a recommender at work: packages, stores and releases."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from vecrec._internal.dependencies import DISTRIBUTION, PACKAGES, installed_versions
from vecrec._internal.validation import flag, instance
from vecrec.doctor.findings import Finding
from vecrec.doctor.stores import disagreement, drift, risks, unreachable
from vecrec.errors import InvalidDataError, VecrecError
from vecrec.filters import Filter, field
from vecrec.recommender import Recommender, ReleaseChecks
from vecrec.recommender.catalogue import ITEM

__all__ = ["diagnose_system", "installed"]

_LITE_LIMIT = 20_000
_SAMPLED = 20_000
_SHARES = (0.1, 0.01)


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
    target = ReleaseChecks().index_recall
    for where in (None, *_filters(recommender)):
        found = recommender.measure_recall(where=where)
        if found.interval[1] < target:
            yield Finding(
                "warning", "vector store", f"{found}, less than {target}",
                "raise the index's search effort, or take an exact one (Flat)",
            )  # fmt: skip


def _filters(recommender: Recommender) -> Iterator[Filter]:
    """A filter that about a tenth of the items pass, and one that a hundredth do, where there are such values."""
    with recommender.live() as live:
        fields = live.filter_fields
    records = [record for _, record in islice(recommender.metadata_store.scan(ITEM), _SAMPLED)]
    counts: Counter[tuple[str, bool, Any]] = Counter()
    for record in records:
        for name in fields:
            value = record.get(name)
            values = value if isinstance(value, list) else [value]
            counts.update((name, values is value, each) for each in values if isinstance(each, (bool, int, str)))
    for share in _SHARES:
        near = min(counts, key=lambda each: abs(math.log(counts[each] / len(records) / share)), default=None)
        if near is not None and share / 3 < counts[near] / len(records) < share * 3:
            name, is_list, value = near
            yield field(name).contains(value) if is_list else field(name) == value


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
