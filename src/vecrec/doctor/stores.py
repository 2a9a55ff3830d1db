"""Problems of the two stores: whether they answer, what endangers their data, whether they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from vecrec.doctor.findings import Finding
from vecrec.errors import StoreError
from vecrec.metadata_stores.base import ReportsRisks
from vecrec.recommender.catalogue import ITEM, PENDING, USER
from vecrec.recommender.recall import effort_noted
from vecrec.records import Record
from vecrec.releases import SeenValues

if TYPE_CHECKING:
    from vecrec.recommender import Recommender

__all__ = ["disagreement", "drift", "risks", "unreachable"]

_DRIFT = 0.1
_WHYS = {"unknown": "not among those that the release has seen", "range": "lower or higher than the release has seen"}
_SAMPLED = 20_000


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


def drift(recommender: Recommender) -> Iterator[Finding]:
    """What has changed since the live release was made: items that it does not know, and figures unlike before it."""
    with recommender.live() as live:
        made, encoder, seen = live.release, live.encoder, live.seen
    if widened := effort_noted(recommender.metadata_store, made.id):
        yield Finding("warning", "vector store", widened, "give the index more effort or edges, or take an exact one")
    records = dict(islice(recommender.metadata_store.scan(ITEM), _SAMPLED))
    yield from _drifted("items", records.values(), seen)
    profiles = (profile for _, profile in islice(recommender.metadata_store.scan(USER), _SAMPLED))
    yield from _drifted("users", profiles, seen)
    unknown = sum(not encoder.knows(key) for key in records) / max(len(records), 1)
    then = made.checks.get("unknown_items")
    if then is not None and unknown > then + _DRIFT:
        yield Finding(
            "warning", "release",
            f"it has not learnt {unknown:.0%} of the items, and had not learnt {then:.0%} when it was made",
            "train again: vecrec train --from-stores",
        )  # fmt: skip
    earlier = recommender.releases()[1:]
    for name in ("coverage", "popularity_bias"):
        now, before = made.checks.get(name), earlier[0].checks.get(name) if earlier else None
        if now is not None and before is not None and abs(now - before) > _DRIFT:
            yield Finding(
                "hint", "release", f"its {name.replace('_', ' ')} is {now:.2f}, and was {before:.2f} in the one before",
                "compare what both recommend; vecrec rollback goes back",
            )  # fmt: skip


def _drifted(side: str, records: Iterable[Record], seen: SeenValues) -> Iterator[Finding]:
    """Features of which many values are unlike all that the release has seen."""
    values, new = Counter[str](), Counter[tuple[str, str]]()
    for record in records:
        for name, why in seen.compare(side, record):
            values[name] += 1
            new[name, why] += 1
    for (name, why), count in sorted(new.items()):
        if why and count > _DRIFT * values[name]:
            yield Finding(
                "warning", f"{side[:-1]} feature {name!r}",
                f"{count / values[name]:.0%} of its values are {_WHYS[why]}",
                "check where they come from; if they are right, train again: vecrec train --from-stores",
            )  # fmt: skip


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
