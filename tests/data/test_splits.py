"""Splits: by hand, with ties, and on MovieLens 1M where it is at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecrec.data import Dataset, Split, splits
from vecrec.datasets import movielens
from vecrec.errors import InvalidDataError

Rows = list[tuple[Any, ...]]


def _data(rows: Rows) -> Dataset:
    table = {name: [row[at] for row in rows] for at, name in enumerate(("user_id", "item_id", "time"))}
    return Dataset(table, order="rows")


def _rows(data: Dataset) -> Rows:
    return [(event.user_id, event.item_id, event.time) for event in data.events()]


# User 1 has a tie at its end, which the order of the rows settles; 2 is out of order; 3 and 4 have few events.
TIES = _data(
    [
        (1, "a", 5),
        (2, "c", 9),
        (1, "b", 9),
        (1, "c", 9),
        (2, "a", 3),
        (2, "b", 6),
        (3, "a", 1),
        (4, "x", 2),
        (4, "b", 1),
    ]
)


def test_leave_last_out_with_ties_and_short_histories() -> None:
    split = splits.leave_last_out(TIES)
    assert _rows(split.train) == [(1, "a", 5), (2, "a", 3)]
    assert _rows(split.validation) == [(1, "b", 9), (2, "b", 6), (4, "b", 1)]
    assert _rows(split.test) == [(1, "c", 9), (2, "c", 9), (3, "a", 1), (4, "x", 2)]
    assert split.train.item_ids == split.test.item_ids == TIES.item_ids
    assert "9 " not in str(split)
    assert "leave last out" in str(split)


def test_leave_last_out_goes_by_rows_where_these_are_in_order() -> None:
    data = Dataset({"user_id": [1, 1, 1], "item_id": ["c", "a", "b"]}, order="rows")
    split = splits.leave_last_out(data)
    assert [event.item_id for part in (split.train, split.validation, split.test) for event in part.events()] == list(
        "cab"
    )


def test_temporal_keeps_one_time_together_and_drops_cold_ones() -> None:
    rows: Rows = [(1, "a", 1), (2, "a", 2), (1, "b", 3), (2, "b", 3), (3, "a", 3), (1, "c", 4), (2, "a", 4)]
    split = splits.temporal(_data(rows), 0.5)
    # Row int(7 * .5) is of time 3, so everything of time 3 is in the test; b, c and user 3 are cold.
    assert _rows(split.train) == [(1, "a", 1), (2, "a", 2)]
    assert _rows(split.test) == [(2, "a", 4)]
    whole = splits.temporal(_data(rows), 0.5, drop_cold=False)
    assert whole.test.n_events == 5
    assert whole.validation.n_events == 0


def test_temporal_validation_comes_just_before_the_test() -> None:
    data = _data([(at % 2, "ab"[at % 2], at) for at in range(10)])
    split = splits.temporal(data, 0.8, validation=0.2)
    assert [sorted(part.times.tolist()) for part in _parts(split) if part.times is not None] == [
        [0, 1, 2, 3, 4, 5], [6, 7], [8, 9],
    ]  # fmt: skip


DAYS = [f"2026-11-{day:02d}" for day in range(1, 11)]


def _daily() -> Dataset:
    times = [np.datetime64(day).astype("datetime64[s]").astype(float) for day in DAYS]
    return Dataset({"user_id": [1] * 10, "item_id": [0, 1] * 5, "time": times})


@pytest.mark.parametrize(
    "at",
    ["2026-11-08", "2026-11-08T00:00:00Z", date(2026, 11, 8), datetime(2026, 11, 8, tzinfo=timezone.utc),
     np.datetime64("2026-11-08"), 1794096000.0],
)  # fmt: skip
def test_temporal_by_date_tests_from_that_moment_on(at: splits.Moment) -> None:
    split = splits.temporal(_daily(), at=at)
    assert (split.train.n_events, split.validation.n_events, split.test.n_events) == (7, 0, 3)
    assert split.rule == "temporal, the test from 2026-11-08T00:00:00Z on, cold ones dropped"
    three = splits.temporal(_daily(), at=at, validation=0.2)
    assert (three.train.n_events, three.validation.n_events, three.test.n_events) == (5, 2, 3)


@pytest.mark.parametrize("at", ["2026-10-01", "2026-11-01", "2026-11-11"])
def test_temporal_by_date_needs_events_on_both_sides(at: str) -> None:
    with pytest.raises(InvalidDataError, match=f"at is {at}.*from 2026-11-01T.* to 2026-11-10T"):
        splits.temporal(_daily(), at=at)
    with pytest.raises(InvalidDataError, match="validation"):
        splits.temporal(_daily(), at="2026-11-02", validation=0.2)


def test_temporal_needs_times() -> None:
    with pytest.raises(InvalidDataError, match="leave_last_out"):
        splits.temporal(Dataset({"user_id": [1], "item_id": [1]}))


def _parts(split: Split) -> list[Dataset]:
    return [split.train, split.validation, split.test]


def _many(n: int = 200) -> Dataset:
    chance = np.random.default_rng(5)
    return _data([(int(u), f"i{i}", int(t)) for u, i, t in chance.integers(0, (20, 30, 50), (n, 3))])


def test_random_is_a_partition_of_the_asked_sizes() -> None:
    data = _many()
    split = splits.random(data, 0.8, validation=0.1, seed=3)
    assert [part.n_events for part in _parts(split)] == [140, 20, 40]
    assert sorted(row for part in _parts(split) for row in _rows(part)) == sorted(_rows(data))


def test_cold_items_are_never_trained_on_and_are_what_is_tested() -> None:
    data = _many()
    split = splits.cold_items(data, 0.2, seed=1)
    whole = splits.leave_last_out(data)
    assert split.held_out is not None
    assert len(split.held_out) == round(data.n_items * 0.2)
    assert not np.isin(split.train.item_codes, split.held_out).any()
    assert split.test.n_events > 0
    assert set(_rows(split.test)) == {row for row in _rows(whole.test) if data.item_code(row[1]) in split.held_out}
    assert set(_rows(split.validation)) == {
        row for row in _rows(whole.validation) if data.item_code(row[1]) in split.held_out
    }
    assert set(_rows(split.train)) <= set(_rows(whole.train))


def test_cold_users_are_all_test() -> None:
    data = _many()
    split = splits.cold_users(data, 0.25, seed=1)
    assert split.held_out is not None
    assert sorted(set(split.test.user_codes.tolist())) == split.held_out.tolist()
    assert split.train.n_events + split.test.n_events == data.n_events
    assert not np.isin(split.train.user_codes, split.held_out).any()
    assert "held out" in str(split)


@pytest.mark.parametrize("make", [splits.random, splits.cold_items, splits.cold_users])
def test_a_seed_decides(make: Callable[..., Split]) -> None:
    data = _many()
    assert make(data, 0.3, seed=1).test.digest == make(data, 0.3, seed=1).test.digest
    assert make(data, 0.3, seed=1).test.digest != make(data, 0.3, seed=2).test.digest


def test_draws_are_fixed_for_good() -> None:
    """A change here would change every published figure: the draws depend on ids and seed alone."""
    data = Dataset({"user_id": list(range(10)), "item_id": list("abcdefghij")})
    cold = splits.cold_items(data, 0.3, seed=7).held_out
    assert cold is not None
    assert [data.item_ids[code] for code in cold] == COLD
    assert splits.random(data, 0.6, seed=7).test.user_codes.tolist() == DRAWN


COLD = ["a", "d", "i"]
DRAWN = [1, 5, 7, 8]


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 2, float("nan"), "a", None])
@pytest.mark.parametrize("make", [splits.temporal, splits.random, splits.cold_items, splits.cold_users])
def test_fractions_out_of_range_are_refused(make: Callable[..., Split], fraction: Any) -> None:
    with pytest.raises(InvalidDataError, match="fraction"):
        make(TIES, fraction)


@pytest.mark.parametrize("validation", [-0.1, 0.8, float("nan"), "a"])
@pytest.mark.parametrize("make", [splits.temporal, splits.random])
def test_validation_out_of_range_is_refused(make: Callable[..., Split], validation: Any) -> None:
    with pytest.raises(InvalidDataError, match="validation"):
        make(TIES, 0.8, validation=validation)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, None, True, "1"])
@pytest.mark.parametrize("make", [splits.random, splits.cold_items, splits.cold_users])
def test_a_seed_that_is_none_is_refused(make: Callable[..., Split], seed: Any) -> None:
    with pytest.raises(InvalidDataError, match="seed"):
        make(TIES, 0.5, seed=seed)


def test_no_events_split_into_no_events() -> None:
    nothing = Dataset({"user_id": [], "item_id": [], "time": []})
    for make in (splits.leave_last_out, splits.temporal, splits.random, splits.cold_items, splits.cold_users):
        assert [part.n_events for part in _parts(make(nothing))] == [0, 0, 0]


_PLACE = Path(os.environ.get("VECREC_ML1M") or Path(__file__).parents[3] / "shared" / "data" / "ml-1m")


@pytest.fixture(scope="module")
def ml1m() -> Dataset:
    if not (_PLACE / "ratings.dat").exists():
        pytest.skip("MovieLens 1M is not at hand: name its directory in VECREC_ML1M")
    return movielens.load(_PLACE)


def test_p1_on_movielens(ml1m: Dataset) -> None:
    assert (ml1m.n_events, ml1m.n_users, ml1m.only_active().n_items) == (1_000_209, 6_040, 3_706)
    assert [part.n_events for part in _parts(splits.leave_last_out(ml1m))] == [988_129, 6_040, 6_040]


def test_p3_on_movielens(ml1m: Dataset) -> None:
    """The published counts hold for GroupLens's ratings.dat; a rebuilt one has other times around this moment."""
    assert ml1m.ratings is not None
    liked = ml1m.select_events(ml1m.ratings >= 3)
    assert liked.n_events == 836_478
    split = splits.temporal(liked)
    found = (
        split.train.n_events,
        len(np.unique(split.train.user_codes)),
        len(np.unique(split.train.item_codes)),
        split.test.n_events,
        len(np.unique(split.test.user_codes)),
    )
    published = (669_181, 5_397, 3_569, 86_542, 1_139)
    if "not as published" in ml1m.source:
        np.testing.assert_allclose(found, published, rtol=0.005)
    else:
        assert found == published
