"""How a data set shows itself."""

from __future__ import annotations

import html
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecrec.records import JSON, Record

if TYPE_CHECKING:
    from vecrec.data.dataset import Dataset

__all__ = ["describe", "html_summary", "text_summary"]

# Seconds of the year 5138: beyond it, times are milliseconds or nanoseconds.
_FAR = 1e11


def describe(data: Dataset) -> Record:
    """The main figures of a data set."""
    figures: Record = {
        "name": data.name,
        "source": data.source,
        "events": data.n_events,
        "users": data.n_users,
        "items": data.n_items,
        "density": _density(data),
        "events per user": _spread(np.diff(data.user_offsets)),
        "events per item": _spread(data.popularity()),
    }
    if data.times is not None and data.n_events:
        figures["from"], figures["to"] = _date(float(data.times.min())), _date(float(data.times.max()))
    if data.ratings is not None and data.n_events:
        low, mean, high = (float(f(data.ratings)) for f in (np.nanmin, np.nanmean, np.nanmax))
        figures["ratings"] = f"{low:g} to {high:g}, mean {mean:.2f}"
    figures["digest"] = data.digest
    figures["warnings"] = list(data.warnings)
    return figures


def find_warnings(data: Dataset, unused: list[str]) -> list[str]:
    """What looks like a mistake in the data."""
    found = []
    if data.times is None:
        found.append("there are no times, so the order of the rows counts as the order of the events")
    elif data.n_events and float(data.times.max()) > _FAR:
        found.append(f"times reach {data.times.max():.4g}: they should be seconds, and look like milliseconds or less")
    if unused:
        found.append(f"columns of the interactions that are not used: {', '.join(map(repr, unused))}")
    for what, records, total in (
        ("items", data.item_records, data.n_items),
        ("users", data.user_records, data.n_users),
    ):
        without = sum(record is None for record in records)
        if without and without < total:
            found.append(f"{without:,} of {total:,} {what} have no record")
    cold = int((data.popularity() == 0).sum())
    if cold:
        found.append(f"{cold:,} of {data.n_items:,} items have no event")
    return found


def text_summary(data: Dataset) -> str:
    """The figures and the schema as text."""
    rows = [(name, _cell(value)) for name, value in describe(data).items() if value != "" and name != "warnings"]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name.ljust(width)}  {value}" for name, value in rows]
    return "\n".join([*lines, *(f"warning: {text}" for text in data.warnings), "", str(data.schema)])


def html_summary(data: Dataset) -> str:
    """The figures and the schema as tables for a notebook."""
    rows = [(name, _cell(value)) for name, value in describe(data).items() if value != "" and name != "warnings"]
    cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    warnings = "".join(f"<li>{html.escape(text)}</li>" for text in data.warnings)
    return f"<table>{cells}</table>{f'<ul>{warnings}</ul>' if warnings else ''}{data.schema._repr_html_()}"


def _density(data: Dataset) -> float:
    cells = data.n_users * data.n_items
    return data.n_events / cells if cells else 0.0


def _spread(counts: NDArray[np.int64]) -> str:
    if not len(counts):
        return "none"
    return f"{counts.min():,} to {counts.max():,}, median {np.median(counts):,.0f}"


def _date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g}"


def _cell(value: JSON) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
