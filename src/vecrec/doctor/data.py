"""Problems of a data set that do not stop a training but spoil what it learns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.validation import instance
from vecrec.data import Categorical, Dataset, Feature, MultiCategorical, Numeric
from vecrec.data.notices import id_notices, time_notices, unrated_notices
from vecrec.doctor.findings import Finding
from vecrec.feedback import FeedbackPolicy

__all__ = ["diagnose_data"]

_SPARSE = 0.5
_RARE = 3
_LEAKS = 0.8


def diagnose_data(data: Dataset) -> list[Finding]:
    """The problems of a data set, the most serious first."""
    checks: Iterable[Callable[[Dataset], Iterable[Finding]]] = (
        _assumptions, _duplicates, _leakage, _times, _sparse_features, _useless_features, _cold, _ratings,
    )  # fmt: skip
    instance(data, "data", Dataset)
    found = [finding for check in checks for finding in check(data)]
    order = {"error": 0, "warning": 1, "hint": 2}
    return sorted(found, key=lambda finding: order[finding.severity])


def _assumptions(data: Dataset) -> Iterator[Finding]:
    for notice in data.notices:
        yield Finding("hint", "columns", notice.problem, notice.cure)


def _duplicates(data: Dataset) -> Iterator[Finding]:
    pairs = data.user_codes.astype(np.int64) * max(data.n_items, 1) + data.item_codes
    if data.times is None:
        repeated = len(pairs) - len(np.unique(pairs))
    else:
        order = np.lexsort((data.times, pairs))
        same = (np.diff(pairs[order]) == 0) & (np.diff(data.times[order]) == 0)
        repeated = int(same.sum())
    if repeated:
        yield Finding(
            "warning",
            "interactions",
            f"{repeated:,} of {data.n_events:,} events are there twice (same user, item and time)",
            "remove them before training, such as by DISTINCT; they are stored once and count twice in training",
        )
    for what, ids in (("items", data.item_ids), ("users", data.user_ids)):
        for notice in id_notices(what[:-1], ids):
            yield Finding("error", what, notice.problem, notice.cure)
        names = Counter(str(key).strip().casefold() for key in ids)
        twins = [key for key in ids if names[str(key).strip().casefold()] > 1]
        if twins:
            yield Finding(
                "error",
                what,
                f"{len(twins):,} ids differ only in type, case or blanks, such as {', '.join(map(repr, twins[:4]))}",
                "merge them in the data; vecrec compares ids byte for byte",
            )
    titles = Counter(
        tuple(sorted((name, str(value)) for name, value in record.items())) for record in data.item_records if record
    )
    twice = sum(count for count in titles.values() if count > 1)
    if twice:
        yield Finding(
            "warning",
            "items",
            f"{twice:,} of {data.n_items:,} items have a record equal to another's",
            "check whether one item has several ids; merge them, or people see it twice in one list",
        )


def _leakage(data: Dataset) -> Iterator[Finding]:
    counts = np.bincount(data.item_codes, minlength=data.n_items)
    for feature in data.schema.items:
        if isinstance(feature, Numeric):
            values = np.array([np.nan if v is None else v for v in data.item_features(feature.name)], np.float64)
            strength = _rank_correlation(values, counts)
            if abs(strength) >= _LEAKS:
                yield Finding(
                    "error",
                    f"item feature {feature.name!r}",
                    f"it goes with the number of events (rank correlation {strength:.2f}), as a count of them would",
                    "leave it out of the schema, or take its value from before the events: it tells the answer",
                )


def _times(data: Dataset) -> Iterator[Finding]:
    for notice in time_notices(data.order, data.n_events, data.times, data.as_of):
        yield Finding("warning", "interactions", notice.problem, notice.cure)
    tied = _tied(data)
    if tied > 0.3 and data.order == "time":
        yield Finding(
            "warning", "interactions", f"{tied:.0%} of the events have the time of the event before them",
            "keep finer times where there are some; within a tie the order is drawn, and nothing is learnt from it",
        )  # fmt: skip


def _sparse_features(data: Dataset) -> Iterator[Finding]:
    sides = (("item", data.schema.items, data.item_features), ("user", data.schema.users, data.user_features))
    for side, features, read in sides:
        for feature in features:
            values = read(feature.name)
            missing = sum(value is None for value in values) / max(len(values), 1)
            if missing > _SPARSE:
                yield Finding(
                    "warning", f"{side} feature {feature.name!r}", f"{missing:.0%} of the {side}s do not have it",
                    "fill it in, or leave it out of the schema: it costs memory and adds little",
                )  # fmt: skip
            yield from _rare_values(side, feature, values)


def _rare_values(side: str, feature: Feature, values: Sequence[object]) -> Iterator[Finding]:
    if not isinstance(feature, (Categorical, MultiCategorical)):
        return
    counts: Counter[object] = Counter()
    for value in values:
        counts.update(value if isinstance(value, list) else [] if value is None else [value])
    rare = sum(count < _RARE for count in counts.values())
    if len(counts) > 20 and rare > _SPARSE * len(counts):
        yield Finding(
            "hint", f"{side} feature {feature.name!r}",
            f"{rare:,} of its {len(counts):,} values are on fewer than {_RARE} {side}s",
            "join rare values into a common one; nothing can be learnt from a value that is seen once or twice",
        )  # fmt: skip


def _useless_features(data: Dataset) -> Iterator[Finding]:
    for side, features, read in (
        ("item", data.schema.items, data.item_features),
        ("user", data.schema.users, data.user_features),
    ):
        for feature in features:
            values = {str(value) for value in read(feature.name) if value is not None}
            if len(values) == 1:
                yield Finding(
                    "hint", f"{side} feature {feature.name!r}", f"it is the same everywhere: {values.pop()[:40]}",
                    "leave it out of the schema",
                )  # fmt: skip


def _cold(data: Dataset) -> Iterator[Finding]:
    lengths, counts = np.diff(data.user_offsets), np.bincount(data.item_codes, minlength=data.n_items)
    short = int(((lengths > 0) & (lengths < 3)).sum())
    active = int((lengths > 0).sum())
    if active and short > _SPARSE * active:
        yield Finding(
            "warning", "users", f"{short:,} of {active:,} users have fewer than 3 events",
            "expect little from their histories; give profiles, or longer histories",
        )  # fmt: skip
    cold = int((counts == 0).sum())
    if cold > 0.2 * max(data.n_items, 1):
        yield Finding(
            "hint", "items", f"{cold:,} of {data.n_items:,} items have no event",
            "they are recommended by their features alone: make sure that these are complete",
        )  # fmt: skip
    for side, records in (("items", data.item_records), ("users", data.user_records)):
        without = sum(record is None for record in records)
        if without and without < len(records):
            yield Finding(
                "warning", side, f"{without:,} of {len(records):,} {side} are in the interactions and have no record",
                "add their rows: an item without a record is recommended without a title",
            )  # fmt: skip


def _ratings(data: Dataset) -> Iterator[Finding]:
    if data.ratings is None or not data.n_events:
        return
    low = FeedbackPolicy().negative_rating if data.feedback is None else None
    for notice in unrated_notices(data.ratings, low):
        yield Finding("warning", "ratings", notice.problem, notice.cure)
    missing = float(np.isnan(data.ratings).mean())
    if 0 < missing < 1 and missing > 0.05:
        yield Finding(
            "hint", "interactions", f"{missing:.0%} of the events have no rating",
            "nothing, if some kinds of events are never rated; otherwise find where the ratings are lost",
        )  # fmt: skip


def _tied(data: Dataset) -> float:
    if data.times is None:
        return 0.0
    same = (np.diff(data.times) == 0) & (np.diff(data.user_codes) == 0)
    return float(same.sum()) / data.n_events


def _rank_correlation(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    known = np.isfinite(values)
    if known.sum() < 20 or len(np.unique(values[known])) < 3 or len(np.unique(counts[known])) < 3:
        return 0.0
    return float(np.corrcoef(_ranks(values[known]), _ranks(counts[known].astype(np.float64)))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean rank of each value, equal ones alike."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], np.float64)
