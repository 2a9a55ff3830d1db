"""Times are made from what is certain, alike for one event and for a column; the rest is refused with its cure."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrec._internal.times import check_not_future, seconds
from vecrec.errors import InvalidDataError
from vecrec.types import Event

NEW_YEAR = 1_704_067_200.0
MOMENTS: list[Any] = [
    1_704_067_200, 1_704_067_200_000, 1_704_067_200_000_000, 1_704_067_200_000_000_000, np.int64(1_704_067_200_000),
    20_240_101_000_000, "20240101", "20240101000000", "2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01T02:00+02:00",
    " 2024-01-01 00:00:00 ", "1704067200", date(2024, 1, 1), np.datetime64("2024-01-01"),
    datetime.fromisoformat("2024-01-01"),
    datetime(2024, 1, 1, 3, tzinfo=timezone(timedelta(hours=3))), np.datetime64("2024-01-01T00", "h"),
]  # fmt: skip


@pytest.mark.parametrize("value", MOMENTS, ids=lambda value: f"{value!r:.40}")
def test_a_moment_is_the_same_however_it_is_written(value: Any) -> None:
    assert seconds(value) == Event(1, 1, value).time == NEW_YEAR
    assert seconds([value]).tolist() == [NEW_YEAR]


@pytest.mark.parametrize(
    "value",
    [
        20240101, np.int32(20240101), 5e13, -1e12, 1e30, "5", "yesterday", "01/02/2024", "", b"2024", True, None,
        np.datetime64("NaT"), {"time": 1}, 1j, 10**400,
    ],
    ids=lambda value: f"{value!r:.40}",
)  # fmt: skip
def test_what_is_not_certain_is_refused(value: Any) -> None:
    with pytest.raises(InvalidDataError, match="when") as caught:
        seconds(value, "when")
    assert caught.value.cure


@pytest.mark.parametrize("value", [[1.0], np.array([1.0]), (1.0,)])
def test_an_event_has_one_time(value: Any) -> None:
    with pytest.raises(InvalidDataError, match="an event's time"):
        Event(1, 1, value)


@given(st.floats(-1e11, 1e11, exclude_min=True, exclude_max=True))
def test_seconds_stay_what_they_are(value: float) -> None:
    assert seconds(value) == value
    assert Event(1, 1, value).time == value


# From 1976-09 on: the milliseconds before that may have the digits of a date.
@given(st.integers(211_000_000, 4_000_000_000), st.sampled_from([1, 10**3, 10**6]))
def test_every_unit_gives_the_moment(exact: int, unit: int) -> None:
    assert seconds(exact * unit) == exact
    assert seconds(np.array([exact * unit, exact * unit])).tolist() == [exact, exact]


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ([20240101, 20240131], True),
        ([20240101, 20240132], False),  # not all are dates, so all are seconds
        ([20240101.5, 20240101.0], False),
        ([19000101, 21001231], True),
    ],
)
def test_a_column_is_of_dates_only_if_every_value_is_one(values: list[float], right: bool) -> None:
    assert (seconds(values).tolist() != values) == right


def test_the_future_is_no_time_of_a_live_event() -> None:
    assert check_not_future(1e9 + 80_000, "time", now=1e9) == 1e9 + 80_000
    for late in (1e9 + 90_000, 4e9, 9e10):
        with pytest.raises(InvalidDataError, match="lies in the future"):
            check_not_future(late, "time", now=1e9)
    with pytest.raises(InvalidDataError, match="lies in the future"):
        check_not_future(9e10, "time")
