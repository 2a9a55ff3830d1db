"""The result of an evaluation, with display, comparison, export and plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.dependencies import requires
from vecrec._internal.tables import html_table, text_table
from vecrec.errors import InvalidDataError
from vecrec.evaluation.statistics import Comparison, bootstrap_interval, compare_paired
from vecrec.ids import Id
from vecrec.records import Record

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.figure import Figure

__all__ = ["Evaluation"]

_PANELS = (("recall", "Recall@k"), ("ndcg", "NDCG@k"))


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The metrics of one model on one task, and those of the baselines beside it.

    ``evaluation["ndcg@10"]`` is a metric; ``print(evaluation)`` shows all of them, with the baselines.
    """

    model: str
    """The name of the model."""
    protocol: str
    """The task, in one line."""
    metrics: Mapping[str, float]
    """The mean of each metric over the users, by names such as ``"ndcg@10"``."""
    per_user: Mapping[str, NDArray[np.float64]] = field(repr=False)
    """The values of each metric that has one a user, shape (n_users,)."""
    user_ids: Sequence[Id] = field(repr=False)
    """The measured users, in the order of ``per_user``."""
    counts: Mapping[str, int]
    """The numbers of things measured.

    - ``users``, ``ranked_items`` and ``targets``;
    - ``targets_seen``: targets that their users had before; each is a miss unless ``exclude_seen=False``;
    - ``targets_stored``, of a live evaluation: targets that are stored events of their users already;
    - ``unknown_targets``: targets that no model can find, such as items that training does not know.
    """
    seconds: float = 0.0
    """The seconds of encoding and ranking."""
    baselines: tuple[Evaluation, ...] = field(default=(), repr=False)
    """The baselines on the same task."""
    notes: Sequence[str] = ()
    """Notes on the figures, such as targets that no model can find."""

    def __getitem__(self, name: str) -> float:
        return self.metrics[self._known(name, self.metrics)]

    def values(self, name: str) -> NDArray[np.float64]:
        """A metric for each user, shape (n_users,), in the order of ``user_ids``.

        Raises:
            InvalidDataError: for a metric of all lists together, or one that was not measured.
        """
        return self.per_user[self._known(name, self.per_user)]

    def interval(self, name: str, *, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
        """The bootstrap interval of a metric that has one value a user.

        Raises:
            InvalidDataError: for a metric of all lists together, or one that was not measured.
        """
        return bootstrap_interval(self.values(name), level=level, resamples=resamples, seed=seed)

    def compare(self, other: Evaluation, name: str = "ndcg@10", *, level: float = 0.95, seed: int = 0) -> Comparison:
        """This model against another one on the same users, pair by pair.

        Raises:
            InvalidDataError: when the other was measured on other users, or one of them without this metric.
        """
        if list(self.user_ids) != list(other.user_ids):
            raise InvalidDataError(f"{self.model} and {other.model} were measured on different users", "use one task")
        mine, theirs = (self.model, self.values(name)), (other.model, other.values(name))
        return compare_paired(name, mine, theirs, level=level, seed=seed)

    # -- display

    def __str__(self) -> str:
        heads, rows = self._cells()
        return "\n".join([self._title(), "", *text_table(rows, heads), *self.notes])

    def __repr__(self) -> str:
        told = [name for name in self.metrics if name.startswith(("ndcg@", "recall@"))] or list(self.metrics)
        shown = ", ".join(f"{name} {_shown(self.metrics[name])}" for name in told[:4])
        return f"<{type(self).__name__} of {self.model}: {shown}; {self.counts.get('users', 0):,} users>"

    def _repr_html_(self) -> str:
        heads, rows = self._cells()
        return html_table(rows, heads, (self._title(), *self.notes))

    def plot(self, path: str | Path | None = None) -> Figure:
        """Recall and NDCG over k, the model beside its baselines, with 95 % intervals.

        Args:
            path: Where to save the picture, if anywhere; the suffix chooses the format.

        Raises:
            MissingDependencyError: without matplotlib.
        """
        with requires("matplotlib", extra="plot", purpose="a picture of an evaluation"):
            from matplotlib.figure import Figure
        # Not through pyplot, which would keep every figure and need a screen.
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        for axes, (metric, label) in zip(figure.subplots(1, 2), _PANELS):
            for each in (self, *self.baselines):
                _draw(axes, each, metric)
            axes.set(xlabel="k", title=label, xscale="log")
            axes.set_ylim(bottom=0)
            axes.grid(visible=True, alpha=0.3)
        figure.axes[0].legend()
        figure.suptitle(self.protocol, fontsize=10)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure

    # -- export

    def to_json(self) -> Record:
        """The figures with their intervals, baselines included, as a JSON object; without single users' values."""
        return {
            "model": self.model,
            "protocol": self.protocol,
            "metrics": dict(self.metrics),
            "intervals": {name: list(self.interval(name)) for name in self.per_user},
            "counts": dict(self.counts),
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "baselines": [baseline.to_json() for baseline in self.baselines],
        }

    def save(self, path: str | Path) -> None:
        """Write `to_json` into a file."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1), "utf-8")

    def rows(self) -> list[dict[str, Any]]:
        """Each metric as a row of `to_arrow`, without those of the baselines."""
        nothing = (None, None)
        bounds = {name: self.interval(name) if name in self.per_user else nothing for name in self.metrics}
        return [
            {"model": self.model, "metric": name, "value": value, "low": bounds[name][0], "high": bounds[name][1]}
            for name, value in self.metrics.items()
        ]

    def to_arrow(self) -> pa.Table:
        """A table of ``model``, ``metric``, ``value``, ``low`` and ``high``, baselines included."""
        import pyarrow as pa

        rows = [row for each in (self, *self.baselines) for row in each.rows()]
        return pa.Table.from_pylist(
            rows,
            pa.schema(
                [
                    ("model", pa.string()),
                    ("metric", pa.string()),
                    ("value", pa.float64()),
                    ("low", pa.float64()),
                    ("high", pa.float64()),
                ]
            ),
        )

    def to_pandas(self) -> pd.DataFrame:
        """The table of `to_arrow` as a data frame."""
        return self.to_arrow().to_pandas()

    # -- helpers

    def _title(self) -> str:
        counted = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.counts.items())
        return f"{self.protocol} ({counted})"

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        heads = ["metric", self.model, "95 % interval", *(baseline.model for baseline in self.baselines)]
        rows = []
        for name, value in self.metrics.items():
            bounds = " to ".join(map(_shown, self.interval(name))) if name in self.per_user else ""
            others = [_shown(baseline.metrics[name]) if name in baseline.metrics else "" for baseline in self.baselines]
            rows.append([name, _shown(value), bounds, *others])
        return heads, rows

    def _known(self, name: str, names: Mapping[str, object]) -> str:
        if name not in names:
            raise InvalidDataError(f"{name!r} was not measured", f"use one of {', '.join(names)}")
        return name


def _shown(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _draw(axes: Any, evaluation: Evaluation, metric: str) -> None:
    names = [name for name in evaluation.per_user if name.startswith(f"{metric}@")]
    depths = [int(name.rpartition("@")[2]) for name in names]
    values = [evaluation[name] for name in names]
    bounds = [evaluation.interval(name) for name in names]
    errors = [
        [value - low for value, (low, _) in zip(values, bounds)],
        [high - value for value, (_, high) in zip(values, bounds)],
    ]
    axes.errorbar(depths, values, yerr=errors, marker="o", capsize=3, label=evaluation.model)
    axes.set_xticks(depths, [str(depth) for depth in depths], minor=False)
    axes.minorticks_off()
