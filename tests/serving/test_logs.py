"""The log of the service: as text or JSON, each line with the id of the request that it is about."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from vecrec.config.settings import Settings
from vecrec.errors import InvalidDataError
from vecrec.serving.logs import JsonLines, TextLines


@pytest.fixture
def log() -> Iterator[Any]:
    """Give the function that attaches a format and returns what is written."""
    logger, access, added = logging.getLogger("vecrec.serving"), logging.getLogger("vecrec.serving.access"), []
    level, before = logger.level, access.level
    access.setLevel(logging.NOTSET)  # another test may have switched it off

    def attach(lines: logging.Formatter) -> io.StringIO:
        written = io.StringIO()
        handler = logging.StreamHandler(written)
        handler.setFormatter(lines)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        added.append(handler)
        return written

    yield attach
    logger.setLevel(level)
    access.setLevel(before)
    for each in added:
        logger.removeHandler(each)


def _wait(written: io.StringIO, text: str) -> None:
    # The line of a request is written when its answer is on its way already.
    deadline = time.monotonic() + 60
    while text not in written.getvalue():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_json_lines(client: httpx.Client, log: Any) -> None:
    """One object a line, whatever a message holds; the line of a request has its parts as fields."""
    written = log(JsonLines())
    client.get("/v1/popular", headers={"x-request-id": "order-66"})
    _wait(written, "/v1/popular")
    logging.getLogger("vecrec.serving").warning('two\nlines and "quotes"')
    try:
        raise ValueError("seen")
    except ValueError:
        logging.getLogger("vecrec.serving").exception("failed")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    access = next(each for each in lines if each["logger"] == "vecrec.serving.access")
    assert (access["request_id"], access["method"], access["path"], access["status"]) == (
        "order-66", "GET", "/v1/popular", 200,
    )  # fmt: skip
    assert access["ms"] > 0
    assert access["time"].endswith("+00:00")
    assert lines[-2]["message"] == 'two\nlines and "quotes"'
    assert "request_id" not in lines[-2]
    assert "ValueError: seen" in lines[-1]["exception"]


def test_text_lines(client: httpx.Client, log: Any) -> None:
    """The id is there once."""
    written = log(TextLines())
    client.get("/v1/popular", headers={"x-request-id": "order-67"})
    _wait(written, "/v1/popular")
    line = next(line for line in written.getvalue().splitlines() if "/v1/popular" in line)
    assert line.count("order-67") == 1
    assert "INFO vecrec.serving.access" in line


def test_the_format_is_a_setting() -> None:
    assert Settings().log_format == "text"
    with pytest.raises(InvalidDataError, match="log_format is 'xml': give text or json"):
        Settings(log_format="xml")
