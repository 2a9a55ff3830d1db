"""Spans of OpenTelemetry around calls to engines and around requests, where the application has set a provider.

The durations of both are measured by `vecrec._internal.meters`, where it has set one for metrics.

Nothing here imports OpenTelemetry: an application that sets a provider has imported it. The callers look into
`sys.modules` first, so that without it not even a function of this module is called.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from vecrec._internal.meters import MODULE as METRICS
from vecrec._internal.meters import instruments, timed

__all__ = ["METRICS", "MODULE", "engine_span", "request_span", "serving_span", "trace_ids", "tracer"]

MODULE = "opentelemetry.trace"
"""Where this is not among the loaded modules, nothing is traced."""

_REQUEST_ID = "vecrec.request_id"
_EVENTS = "events"
"""The collection of calls that name none, which are about users' events."""


class _State:
    """The tracer, once there is one."""

    __slots__ = ("next_look", "tracer")

    def __init__(self) -> None:
        self.tracer: Any = None
        self.next_look = 0.0


_state = _State()


def tracer() -> Any:
    """The tracer of the provider that is set; ``None`` where there is none, which is looked up once a second."""
    state = _state
    if state.tracer is None and time.monotonic() >= state.next_look:
        state.next_look = time.monotonic() + 1
        trace: Any = sys.modules.get(MODULE)
        if trace is not None and not isinstance(provider := trace.get_tracer_provider(), trace.ProxyTracerProvider):
            state.tracer = provider.get_tracer("vecrec")
    return state.tracer


def engine_span(system: str, operation: str, arguments: tuple[Any, ...]) -> AbstractContextManager[Any] | None:
    """A span around one call to an engine, which is timed too, by the conventions for database clients.

    ``None`` without a provider.

    Args:
        system: The engine's name, such as ``"redis"``.
        operation: The method that asks, such as ``"_search"``.
        arguments: The method's own; the first one names the collection or the kind of records, if it is a text.
    """
    found = tracer()
    if found is None and instruments() is None:
        return None
    attributes = {"db.system.name": system, "db.operation.name": operation.lstrip("_")}
    if arguments:
        attributes["db.collection.name"] = arguments[0] if isinstance(arguments[0], str) else _EVENTS
    name = " ".join((attributes["db.operation.name"], attributes.get("db.collection.name", system)))
    return timed("engine", attributes, None if found is None else _span(found, name, "CLIENT", attributes))


def request_span(name: str, inner: AbstractContextManager[None]) -> AbstractContextManager[None]:
    """A span around one request to the recommender, which is timed too, with another context inside.

    That one alone without a provider.
    """
    found = tracer()
    if found is None and instruments() is None:
        return inner
    spanned = inner if found is None else _both(_span(found, f"vecrec.{name}", "INTERNAL", {}), inner)
    return timed("request", {"vecrec.operation": name}, spanned) or inner


def serving_span(method: str, headers: Mapping[str, str], request_id: str) -> AbstractContextManager[Any] | None:
    """A span around one HTTP request, a child of the one that its headers name.

    ``None`` without a provider, and where another one is open already, as by FastAPI's own tracing: that one gets the
    request's id.
    """
    found = tracer()
    if found is None:
        return None
    current = sys.modules[MODULE].get_current_span()
    if current.get_span_context().is_valid:
        current.set_attribute(_REQUEST_ID, request_id)
        return None
    from opentelemetry.propagate import extract  # of the same package, which is loaded

    attributes = {"http.request.method": method, _REQUEST_ID: request_id}
    return _span(found, method, "SERVER", attributes, extract(headers))


def trace_ids() -> dict[str, str]:
    """The ids of the current trace and span, for a log; empty without one."""
    trace: Any = sys.modules.get(MODULE)
    context = None if trace is None else trace.get_current_span().get_span_context()
    if context is None or not context.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}


@contextmanager
def _both(outer: AbstractContextManager[Any], inner: AbstractContextManager[None]) -> Iterator[None]:
    with outer, inner:
        yield


@contextmanager
def _span(found: Any, name: str, kind: str, attributes: Mapping[str, Any], parent: Any = None) -> Iterator[Any]:
    kinds = sys.modules[MODULE].SpanKind
    # An error is told by its type: its message may hold an address or an id.
    with found.start_as_current_span(
        name, parent, kind=kinds[kind], attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(sys.modules[MODULE].StatusCode.ERROR)
            raise
