"""The service's log: each line with the id of the request that it is about, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import datetime, timezone

from typing_extensions import override

from vecrec._internal.tracing import trace_ids

__all__ = ["JsonLines", "TextLines", "configure", "current_request"]

current_request: ContextVar[str] = ContextVar("vecrec_request", default="")
"""The id of the request that is being answered; worker threads have a copy of the context."""

_ACCESS = ("method", "path", "status", "ms")
"""What a line about a request has beside the others."""


class JsonLines(logging.Formatter):
    """A JSON object a line: time, level, logger, message; request, trace and span where there are some."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        value = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **({"request_id": request} if (request := current_request.get()) else {}),
            **{name: getattr(record, name) for name in _ACCESS if hasattr(record, name)},
            **trace_ids(),
        }
        if record.exc_info:
            value["exception"] = self.formatException(record.exc_info)
        return json.dumps(value, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Time, level, logger, the request's id where there is one, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        request = current_request.get()
        if request and request not in record.message:
            record.message = f"{request} {record.message}"
        return super().formatMessage(record)


def configure(style: str) -> None:
    """Write the logs to stderr, as ``"text"`` or ``"json"``, unless the root logger has a handler already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
