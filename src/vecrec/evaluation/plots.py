"""Pictures of evaluations, by matplotlib from the extra ``plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecrec._internal.dependencies import requires

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vecrec.evaluation.results import Evaluation

__all__ = ["plot_evaluation"]

_PANELS = (("recall", "Recall@k"), ("ndcg", "NDCG@k"))


def plot_evaluation(evaluation: Evaluation, path: str | Path | None = None) -> Figure:
    """Draw what `Evaluation.plot` promises.

    Raises:
        MissingDependencyError: without matplotlib.
    """
    with requires("matplotlib", extra="plot", purpose="a picture of an evaluation"):
        from matplotlib.figure import Figure
    # Not through pyplot, which would keep every figure and want a screen.
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (metric, label) in zip(figure.subplots(1, 2), _PANELS):
        for each in (evaluation, *evaluation.baselines):
            _draw(axes, each, metric)
        axes.set(xlabel="k", title=label, xscale="log")
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
    figure.axes[0].legend()
    figure.suptitle(evaluation.protocol, fontsize=10)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


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
