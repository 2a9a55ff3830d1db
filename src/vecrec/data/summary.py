"""How a data set shows itself: its main figures, as text and as tables for a notebook."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.tables import html_facts, text_table
from vecrec.data.events import EventLog
from vecrec.data.notices import Notice, show_time
from vecrec.data.schema import Schema
from vecrec.records import JSON, Record

__all__ = ["event_figures", "html_summary", "text_summary"]


def event_figures(events: EventLog, n_items: int) -> Record:
    """Counts, density, spread, time span, kinds and ratings of a log."""
    n_events, n_users = len(events.user_codes), len(events.offsets) - 1
    figures: Record = {
        "events": n_events,
        "users": n_users,
        "items": n_items,
        "density": n_events / (n_users * n_items) if n_users and n_items else 0.0,
        "events per user": _spread(np.diff(events.offsets)),
        "events per item": _spread(np.bincount(events.item_codes, minlength=n_items)),
        "order": events.order,
    }
    if events.times is not None and n_events:
        figures["from"], figures["to"] = show_time(float(events.times.min())), show_time(float(events.times.max()))
    if events.kinds is not None:
        counts = np.bincount(events.kinds[0] + 1, minlength=len(events.kinds[1]) + 1).tolist()
        named = zip(("without a kind", *events.kinds[1]), counts)
        figures["kinds"] = ", ".join(f"{name} {count:,}" for name, count in named if count)
    if events.ratings is not None and not np.isnan(events.ratings).all():
        low, mean, high = (float(f(events.ratings)) for f in (np.nanmin, np.nanmean, np.nanmax))
        figures["ratings"] = f"{low:g} to {high:g}, mean {mean:.2f}"
    return figures


def text_summary(figures: Record, notices: Sequence[Notice], warnings: Sequence[Notice], schema: Schema) -> str:
    """The figures and the schema as text."""
    lines = text_table(_rows(figures))
    said = [f"notice: {each}" for each in notices] + [f"warning: {each}" for each in warnings]
    return "\n".join([*lines, *said, "", str(schema)])


def html_summary(figures: Record, notices: Sequence[Notice], warnings: Sequence[Notice], schema: Schema) -> str:
    """The figures and the schema as tables for a notebook."""
    return html_facts(dict(_rows(figures)), (*notices, *warnings)) + schema._repr_html_()


def _rows(figures: Record) -> list[tuple[str, str]]:
    shown = ((name, value) for name, value in figures.items() if name not in ("warnings", "notices"))
    return [(name, _cell(value)) for name, value in shown if value != ""]


def _spread(counts: NDArray[np.int64]) -> str:
    if not len(counts):
        return "none"
    return f"{counts.min():,} to {counts.max():,}, median {np.median(counts):,.0f}"


def _cell(value: JSON) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
