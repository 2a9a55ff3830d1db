"""Measures of OpenTelemetry: how long calls to engines and requests take, and what ranked the lists.

As `vecrec._internal.tracing`, this imports nothing of OpenTelemetry, and the callers look into `sys.modules` first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

__all__ = ["MODULE", "count_lists", "instruments", "timed"]

MODULE = "opentelemetry.metrics"
"""Where this is not among the loaded modules, nothing is measured."""

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
"""The buckets that the conventions for database clients name."""


class Instruments:
    """The instruments of one meter."""

    __slots__ = ("durations", "lists")

    def __init__(self, meter: Any) -> None:
        def seconds(name: str, what: str) -> Any:
            return meter.create_histogram(name, "s", what, explicit_bucket_boundaries_advisory=_SECONDS)

        self.durations = {
            "engine": seconds("db.client.operation.duration", "Duration of database client operations."),
            "request": seconds("vecrec.request.duration", "Duration of requests to the recommender."),
        }
        self.lists = meter.create_counter("vecrec.lists", "{list}", "Lists by what ranked them.")


class _State:
    __slots__ = ("held", "next_look")

    def __init__(self) -> None:
        self.held: Instruments | None = None
        self.next_look = 0.0


_state = _State()


def instruments() -> Instruments | None:
    """Those of the provider that is set; ``None`` where there is none, which is looked up once a second."""
    state = _state
    if state.held is None and time.monotonic() >= state.next_look:
        state.next_look = time.monotonic() + 1
        metrics: Any = sys.modules.get(MODULE)
        # Until an application sets a provider, the API gives one of its own, which leads nowhere.
        if metrics is not None and not type(provider := metrics.get_meter_provider()).__module__.startswith(MODULE):
            state.held = Instruments(provider.get_meter("vecrec"))
    return state.held


def timed(
    what: Literal["engine", "request"], attributes: Mapping[str, Any], inner: AbstractContextManager[Any] | None
) -> AbstractContextManager[Any] | None:
    """A context whose duration is recorded, with another one inside; that one alone without a provider."""
    held = instruments()
    return inner if held is None else _timed(held.durations[what], attributes, inner or nullcontext())


def count_lists(served: Iterable[str], *, degraded: bool) -> None:
    """Count lists by what ranked them, and by whether the vector store was away."""
    held = instruments()
    if held is not None:
        for served_by in served:
            held.lists.add(1, {"vecrec.served_by": served_by, "vecrec.degraded": degraded})


@contextmanager
def _timed(histogram: Any, attributes: Mapping[str, Any], inner: AbstractContextManager[Any]) -> Iterator[Any]:
    began, failed = time.perf_counter(), {}
    try:
        with inner as made:
            yield made
    except BaseException as error:
        failed = {"error.type": type(error).__name__}
        raise
    finally:
        histogram.record(time.perf_counter() - began, {**attributes, **failed})
