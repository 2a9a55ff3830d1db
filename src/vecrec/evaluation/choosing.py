"""Several encoders on one task: their metrics, whether the differences are more than chance, and what each costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vecrec._internal.tables import html_table, text_table
from vecrec._internal.validation import sequence_of
from vecrec.data import Dataset, Split, splits
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.evaluation.results import Evaluation
from vecrec.evaluation.runner import evaluate
from vecrec.progress import ProgressLike, Step, showing

if TYPE_CHECKING:
    from vecrec.evaluation.statistics import Comparison

__all__ = ["Cost", "EncoderComparison", "compare"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What an encoder costs."""

    fit_seconds: float
    """Seconds of training."""
    rank_seconds: float
    """Seconds of encoding all users and items and ranking exactly."""
    dim: int
    """The length of its vectors; an item takes four bytes for each place."""


@dataclass(frozen=True, slots=True)
class EncoderComparison:
    """Encoders on one task. ``print`` shows a table, the best one first."""

    metric: str
    """By which they are ordered and compared."""
    evaluations: Sequence[Evaluation]
    """The best one first."""
    costs: Sequence[Cost]
    """In the same order."""
    differences: Sequence[Comparison]
    """The best one less each other one, paired by user, in the order of the others."""

    def rows(self) -> list[dict[str, Any]]:
        """A row for each encoder, for a data frame or a file."""
        found: list[dict[str, Any]] = []
        for at, (each, cost) in enumerate(zip(self.evaluations, self.costs)):
            low, high = each.interval(self.metric)
            against = self.differences[at - 1] if at else None
            found.append(
                {
                    "model": each.model, self.metric: each[self.metric], "low": low, "high": high,
                    "behind_best": None if against is None else against.difference,
                    "behind_low": None if against is None else against.low,
                    "behind_high": None if against is None else against.high,
                    "p_value": None if against is None else against.p_value,
                    "fit_seconds": round(cost.fit_seconds, 2), "rank_seconds": round(cost.rank_seconds, 2),
                    "dim": cost.dim,
                }
            )  # fmt: skip
        return found

    def __str__(self) -> str:
        heads, cells = self._cells()
        return "\n".join([self.evaluations[0].protocol, "", *text_table(cells, heads)])

    def _repr_html_(self) -> str:
        heads, cells = self._cells()
        return html_table(cells, heads, [self.evaluations[0].protocol])

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        heads = ["model", self.metric, "95 % interval", "behind the best", "p", "fit s", "rank s", "dim"]
        cells = [
            [
                row["model"], f"{row[self.metric]:.4f}", f"{row['low']:.4f} to {row['high']:.4f}",
                ""
                if row["p_value"] is None
                else f"{row['behind_best']:.4f} ({row['behind_low']:+.4f} to {row['behind_high']:+.4f})",
                "" if row["p_value"] is None else f"{row['p_value']:.4f}",
                f"{row['fit_seconds']:.1f}", f"{row['rank_seconds']:.1f}", str(row["dim"]),
            ]
            for row in self.rows()
        ]  # fmt: skip
        return heads, cells

    def to_json(self) -> dict[str, Any]:
        """The table as a JSON object."""
        return {"metric": self.metric, "protocol": self.evaluations[0].protocol, "models": self.rows()}


def compare(
    encoders: Sequence[Encoder],
    data: Dataset | Split,
    k: int | Sequence[int] = (10, 50),
    *,
    metric: str = "ndcg@10",
    names: Sequence[str] | None = None,
    progress: ProgressLike = None,
) -> EncoderComparison:
    """Fit several encoders on what is known before the test, and measure them on the same users of the test.

    Args:
        encoders: At least two; each is fitted.
        data: Split by `vecrec.data.splits.leave_last_out`, unless it is a split already.
        k: The depths of the metrics.
        metric: One with a value for each user, by which they are ordered and compared.
        names: What the table calls them; by default the registered names of their classes, numbered where they repeat.
        progress: As for ``fit``.

    Raises:
        InvalidDataError: for fewer than two encoders, names that are not as many, or a metric that was not measured.
    """
    checked: list[Encoder] = sequence_of(encoders, Encoder)  # type: ignore[type-abstract]
    if len(checked) < 2:
        raise InvalidDataError(f"there are {len(checked)} encoders to compare", "give at least two")
    called = _names(checked) if names is None else list(names)
    if len(set(called)) != len(checked):
        raise InvalidDataError(f"names is {names!r}", f"give {len(checked)} different ones")
    split = data if isinstance(data, Split) else splits.leave_last_out(data)
    measured: list[tuple[Evaluation, Cost]] = []
    with showing(progress) as show:
        for place, (encoder, name) in enumerate(zip(checked, called)):
            show(Step("compare", place, len(checked), name))
            started = time.perf_counter()
            encoder.fit(split.before_test, progress=show)
            seconds = time.perf_counter() - started
            found = evaluate(encoder, split, k, baselines=(), name=name)
            found.values(metric)  # refused after the first encoder, not after the last one
            measured.append((found, Cost(seconds, found.seconds, encoder.dim)))
        show(Step("compare", len(checked), len(checked)))
    measured.sort(key=lambda each: -each[0][metric])
    best, others = measured[0][0], [each for each, _ in measured[1:]]
    differences = [best.compare(other, metric) for other in others]
    return EncoderComparison(metric, [each for each, _ in measured], [cost for _, cost in measured], differences)


def _names(encoders: Sequence[Encoder]) -> list[str]:
    plain = [encoder.name for encoder in encoders]
    return [
        name if plain.count(name) == 1 else f"{name} {plain[: at + 1].count(name)}" for at, name in enumerate(plain)
    ]
