"""What Prometheus may read of an application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from vecrec import __version__
from vecrec.recommendations import Recommendations
from vecrec.recommender import LoadedRelease, Recall
from vecrec.releases import SeenValues
from vecrec.serving.history import RequestHistory

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_RECALL = (
    ("recall", "", "Share of the exact best 10 that searches find, by the least share of items that pass the filter."),
    ("low", "_low", "Lower end of its interval of 95 %."),
    ("high", "_high", "Upper end of its interval of 95 %."),
)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts of one application, in a registry of its own, so that several may live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.labels: dict[str, str] = {}
        """Labels that every figure has in `text`, such as which of several processes it is of."""
        self.history = RequestHistory()
        """The requests of the last two hours."""
        ProcessCollector(registry=self._registry)
        Info("vecrec_build", "The library.", registry=self._registry).info({"version": __version__})
        self.requests = Counter(
            "vecrec_requests", "Requests by route and status.", ("method", "route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "vecrec_request_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self.in_flight = Gauge("vecrec_requests_in_flight", "Requests being answered.", registry=self._registry)
        self._lists = Counter("vecrec_lists", "Lists by what ranked them.", ("served_by",), registry=self._registry)
        self._short = Counter("vecrec_short_lists", "Lists of fewer items than asked for.", registry=self._registry)
        self._missing = Counter("vecrec_missing_records", "Items found without a record.", registry=self._registry)
        self._ready = Gauge(
            "vecrec_part_ready", "Whether a part answered when last asked.", ("part",), registry=self._registry
        )
        self._release = Gauge(
            "vecrec_live_release", "1 for the release that serves.", ("release",), registry=self._registry
        )

        self._recall = {
            name: Gauge(f"vecrec_recall{end}", what, ("selectivity",), registry=self._registry)
            for name, end, what in _RECALL
        }
        self.recalls: dict[float, Recall] = {}
        """How much of the exact result the searches find, by the least share of items that pass."""
        self._repeated = Gauge(
            "vecrec_recall_searches", "Searches that vecrec_recall is made of.", ("selectivity",),
            registry=self._registry,
        )  # fmt: skip
        self.effort = Gauge(
            "vecrec_search_effort",
            "How many times as much as its index is set to a search looks at, 0 for all vectors.",
            registry=self._registry,
        )
        self.effort.set(1)
        self._golden = Gauge(
            "vecrec_golden_deviation",
            "Largest difference of the golden vectors, made again in this process, as a share of the largest value.",
            registry=self._registry,
        )
        self._features = Counter(
            "vecrec_features", "Values of features that came in.", ("side", "feature"), registry=self._registry
        )
        self._drift = Counter(
            "vecrec_features_drifted", "Those unlike all that the release has seen: unknown, or out of its range.",
            ("side", "feature", "why"), registry=self._registry,
        )  # fmt: skip

    def lists(self) -> dict[str, int]:
        """How many lists there were, by what ranked them."""
        samples = [sample for family in self._lists.collect() for sample in family.samples]
        return {each.labels["served_by"]: int(each.value) for each in samples if each.name.endswith("_total")}

    def short_lists(self) -> int:
        """How many lists had fewer items than asked for."""
        return _total(self._short)

    def missing_records(self) -> int:
        """How many items were found without a record."""
        return _total(self._missing)

    def served(self, lists: Sequence[Recommendations]) -> None:
        """Count what was recommended."""
        for found in lists:
            self._lists.labels(found.served_by).inc()
            self._short.inc(found.shortfall is not None)
            self._missing.inc(len(found.missing))

    def part(self, name: str, ready: bool) -> None:
        """Note whether a part answers."""
        self._ready.labels(name).set(ready)

    def release(self, live: LoadedRelease) -> None:
        """Note which release serves, and how near its encoder comes to the vectors of when it was made."""
        self._release.clear()
        self._release.labels(live.release.id).set(1)
        self._golden.set(live.golden_deviation)

    def recall(self, found: Mapping[float, Recall]) -> None:
        """Note how much of the exact result the searches have found, by the least share of items that pass."""
        found = {low: each for low, each in found.items() if each.queries}
        self.recalls = dict(found)
        for gauge in (*self._recall.values(), self._repeated):
            gauge.clear()
        for low, each in found.items():
            for name, value in zip(self._recall, (each.recall, *each.interval)):
                self._recall[name].labels(f"{low:g}").set(value)
            self._repeated.labels(f"{low:g}").set(each.queries)

    def features(self, seen: SeenValues, side: Literal["items", "users"], records: Iterable[Mapping[str, Any]]) -> None:
        """Compare features that came in with those that the release has seen."""
        for record in records:
            for name, why in seen.compare(side, record):
                self._features.labels(side, name).inc()
                if why:
                    self._drift.labels(side, name, why).inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(_Labelled(self._registry, self.labels))


class _Labelled(Collector):
    """The figures of a registry with labels that it does not know."""

    def __init__(self, registry: Collector, labels: Mapping[str, str]) -> None:
        self._registry, self._labels = registry, labels

    @override
    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            family.samples = [each._replace(labels={**self._labels, **each.labels}) for each in family.samples]
            yield family


def _total(counter: Counter) -> int:
    return int(next(sample.value for family in counter.collect() for sample in family.samples))
