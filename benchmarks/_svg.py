"""Pictures for the documentation: equal figures give equal files."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rcParams
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

__all__ = ["blank", "save"]


def blank(width: float, height: float) -> Figure:
    """An empty figure of a size in inches."""
    rcParams["svg.hashsalt"] = "vecrec"
    rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write it, without the time."""
    figure.savefig(path, metadata={"Date": None})
