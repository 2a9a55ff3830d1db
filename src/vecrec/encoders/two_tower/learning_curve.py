"""How training went, epoch by epoch, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vecrec._internal.dependencies import requires

__all__ = ["Epoch", "plot"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What was measured after one epoch."""

    number: int
    """From 1."""
    loss: float
    """The mean of the steps' losses."""
    recall: float | None
    """Recall@10 on the validation part; ``None`` where there is none."""
    reciprocal_rank: float | None
    """Mean reciprocal rank on the validation part."""
    rmse: float | None
    """Root mean squared error on the validation part's ratings, of a model of ratings."""
    seconds: float
    """How long it took, validation included."""

    def to_json(self) -> dict[str, Any]:
        """The epoch as a JSON object, which `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Epoch:
        """The epoch that `to_json` has written."""
        return cls(**value)

    def __str__(self) -> str:
        metric = f"recall@10 {self.recall:.4f}" if self.recall is not None else "no validation"
        return f"loss {self.loss:.3f}, " + (f"rmse {self.rmse:.3f}" if self.rmse is not None else metric)


def plot(curve: Sequence[Epoch], path: str | Path) -> None:
    """Draw loss and validation metric over the epochs into a picture file, whose name's ending says its format.

    Raises:
        MissingDependencyError: without matplotlib.
    """
    with requires("matplotlib", extra="plot", purpose="a picture of the learning curve"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    numbers = [epoch.number for epoch in curve]
    # Not pyplot, which would keep the figure and choose a backend for the whole process.
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot(xlabel="epoch", ylabel="training loss")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.plot(numbers, [epoch.loss for epoch in curve], "o-", color="tab:blue", label="training loss")
    label, values = _metric(curve)
    if values:
        right = left.twinx()
        right.set_ylabel(label)
        right.plot(numbers, values, "s-", color="tab:orange", label=label)
    figure.legend(loc="outside upper center", ncols=2)
    figure.savefig(Path(path))


def _metric(curve: Sequence[Epoch]) -> tuple[str, list[float]]:
    errors = [epoch.rmse for epoch in curve if epoch.rmse is not None]
    recalls = [epoch.recall for epoch in curve if epoch.recall is not None]
    return ("validation RMSE", errors) if errors else ("validation Recall@10", recalls)
