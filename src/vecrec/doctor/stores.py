"""Problems of the two stores: whether they answer, what endangers their data, whether they agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vecrec.doctor.findings import Finding
from vecrec.errors import StoreError
from vecrec.metadata_stores.base import ReportsRisks
from vecrec.recommender.catalogue import ITEM, PENDING

if TYPE_CHECKING:
    from vecrec.recommender import Recommender

__all__ = ["disagreement", "risks", "unreachable"]


def unreachable(recommender: Recommender) -> Iterator[Finding]:
    """A finding for each store that does not answer."""
    for subject, store in (("vector store", recommender.vector_store), ("metadata store", recommender.metadata_store)):
        try:
            store.ping()
        except StoreError as error:
            yield Finding("error", subject, error.problem, error.cure or "start it, or correct its address")


def risks(recommender: Recommender) -> Iterator[Finding]:
    """A finding for each setting of an engine that may lose what was written."""
    for store in (recommender.vector_store, recommender.metadata_store):
        if isinstance(store, ReportsRisks):
            for risk in store.warnings():
                yield Finding("warning", type(store).__name__, risk.problem, risk.cure)


def disagreement(recommender: Recommender, *, full: bool) -> Iterator[Finding]:
    """What differs between the stores: by counts and marks, or with ``full`` item by item."""
    if full:
        report = recommender.verify()
        if not report:
            yield Finding("error", "catalogue", str(report).splitlines()[0], "vecrec repair --full")
        return
    with recommender.live() as live:
        collection = live.collection
    records = recommender.metadata_store.count(ITEM)
    vectors = recommender.vector_store.count(collection)
    if records != vectors:
        yield Finding("error", "catalogue", f"{records:,} records, {vectors:,} vectors", "vecrec repair --full")
    pending = recommender.metadata_store.count(PENDING)
    if pending:
        yield Finding("warning", "catalogue", f"{pending:,} items have a change that did not end", "vecrec repair")
