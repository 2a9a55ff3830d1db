"""The data set: its order, its codes, and what it says about itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecrec.data import Dataset, Schema, Text
from vecrec.errors import InvalidDataError
from vecrec.types import Event, Item, User

TABLE: dict[str, list[Any]] = {
    "user_id": ["b", "a", "b", "a", "b"],
    "item_id": [7, 5, 5, 7, 9],
    "time": [3, 1, 3, 1, 2],
    "rating": [1, 2, 3, 4, None],
}


@pytest.fixture
def data() -> Dataset:
    items = [Item(5, {"title": "five"}), Item(11, {"title": "eleven"})]
    return Dataset(TABLE, items, [User("c", {"age": 3})], order="rows", name="small", source="here")


def test_events_are_by_user_then_time_then_by_rows_where_declared(data: Dataset) -> None:
    assert data.user_ids == ["a", "b", "c"]
    assert data.item_ids == [5, 7, 9, 11]
    assert data.user_codes.tolist() == [0, 0, 1, 1, 1]
    assert data.item_codes.tolist() == [0, 1, 2, 1, 0]
    assert data.times is not None
    assert data.times.tolist() == [1, 1, 2, 3, 3]
    assert data.ratings is not None
    np.testing.assert_array_equal(data.ratings, np.array([2, 4, np.nan, 1, 3], np.float32))
    assert data.user_offsets.tolist() == [0, 2, 5, 5]
    types = [array.dtype for array in (data.user_codes, data.item_codes, data.times, data.ratings, data.user_offsets)]
    assert types == [np.int32, np.int32, np.float64, np.float32, np.int64]


def test_the_order_of_the_rows_counts_where_it_is_declared() -> None:
    data = Dataset({"user_id": [2, 1, 2], "item_id": ["z", "y", "a"]}, order="rows")
    assert (data.times, data.order) == (None, "rows")
    assert list(data.events()) == [Event(1, "y"), Event(2, "z"), Event(2, "a")]
    assert not any("order" in str(each) for each in data.warnings)


N = 200
UNKNOWN: dict[str, dict[str, Any]] = {
    "no times": {},
    "one time for all": {"time": [7] * N},
    "one date for all": {"time": ["2026-01-01"] * N},
    "ties": {"time": [at // 50 for at in range(N)]},
}


@pytest.mark.parametrize("times", UNKNOWN.values(), ids=UNKNOWN)
def test_nothing_can_be_learnt_from_rows_whose_order_is_unknown(times: dict[str, Any]) -> None:
    """A log sorted by item does not give the next item away, and shuffled rows make the same data set."""
    rows: dict[str, Any] = {"user_id": [1] * N, "item_id": list(range(N)), **times}
    data = Dataset(rows)
    followed = int((np.diff(data.item_codes) == 1).sum())
    assert followed < N / 10  # nearly all of them if the order of the rows counted
    order = np.random.default_rng(1).permutation(N)
    shuffled = Dataset({name: [values[at] for at in order] for name, values in rows.items()})
    assert shuffled.digest == data.digest
    expected = "time" if len({*times.get("time", [])}) > 1 else "unknown"
    assert data.order == shuffled.order == expected
    assert any("order of the events is unknown" in str(each) for each in data.warnings) == (expected == "unknown")


def test_only_rows_can_be_declared_as_the_order() -> None:
    with pytest.raises(InvalidDataError, match="order is 'time'"):
        Dataset(TABLE, order="time")  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), max_size=40))
def test_it_agrees_with_a_plain_sort(rows: list[tuple[int, int, int]]) -> None:
    users, items, times = ([row[at] for row in rows] for at in range(3))
    data = Dataset({"user_id": users, "item_id": items, "time": times}, order="rows")
    expected = sorted(rows, key=lambda row: (row[0], row[2]))
    assert [(event.user_id, event.item_id, event.time) for event in data.events()] == expected
    for code, user_id in enumerate(data.user_ids):
        history = data.user(code, history=True).history
        assert [(event.item_id, event.time) for event in history] == [row[1:] for row in expected if row[0] == user_id]
    people = [len({user for user, other, _ in rows if other == item}) for item in sorted(set(items))]
    assert data.popularity().tolist() == people


def test_single_items_and_users(data: Dataset) -> None:
    assert data.item(0) == Item(5, {"title": "five"})
    assert data.item(1) == Item(7)
    assert data.user(2) == User("c", {"age": 3})
    assert data.user(0, history=True) == User("a", {}, [Event("a", 5, 1, 2), Event("a", 7, 1, 4)])
    assert [user.history for user in data.users(history=True)][2] == ()
    assert (data.item_code(9), data.item_code("9"), data.user_code("b"), data.user_code("x")) == (2, None, 1, None)
    assert data.item_features("title") == ["five", None, None, "eleven"]
    assert data.user_features("age") == [None, None, 3]
    assert data.item_features("no such") == [None] * 4


def test_items_given_out_can_be_changed_without_harm(data: Dataset) -> None:
    dict(data.item(0).features)["title"] = "other"
    data.item(0).features["title"] = "other"  # type: ignore[index]
    assert data.item(0).features["title"] == "five"


def test_arrays_cannot_be_changed(data: Dataset) -> None:
    assert data.times is not None
    for array in (data.user_codes, data.item_codes, data.times, data.ratings, data.user_offsets):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_selected_events_keep_users_items_and_codes(data: Dataset) -> None:
    part = data.select_events(np.array([True, False, False, True, True]))
    assert (part.n_events, part.n_users, part.n_items) == (3, 3, 4)
    assert part.user_offsets.tolist() == [0, 1, 3, 3]
    assert list(part.events()) == [event for at, event in enumerate(data.events()) if at in (0, 3, 4)]
    assert part.digest != data.digest
    assert part.item(0) == data.item(0)
    assert data.select_events(np.ones(5, bool)).digest == data.digest
    assert data.select_events(np.zeros(5, bool)).n_events == 0


@pytest.mark.parametrize("mask", [[1, 0, 1, 0, 1], [True], np.ones((5, 1), bool), None])
def test_a_mask_that_is_none_is_refused(data: Dataset, mask: Any) -> None:
    with pytest.raises(InvalidDataError, match="mask"):
        data.select_events(mask)


def test_only_active_users_and_items_remain(data: Dataset) -> None:
    part = data.only_active()
    assert (part.user_ids, part.item_ids) == (["a", "b"], [5, 7, 9])
    assert list(part.events()) == list(data.events())
    assert part.item(0) == data.item(0)
    made = Dataset(TABLE, [Item(5, {"title": "five"})], [], schema=data.schema, order="rows")
    assert part.digest == made.digest
    assert data.select_events(data.user_codes == 0).only_active().item_ids == [5, 7]


def test_the_digest_changes_with_everything_but_the_name(data: Dataset) -> None:
    base = Dataset(TABLE, {"item_id": [5], "t": ["x"]}, schema=Schema((Text("t"),)))
    assert base.digest == Dataset(TABLE, [Item(5, {"t": "x"})], schema=Schema((Text("t"),)), name="other").digest
    others = [
        Dataset(TABLE, {"item_id": [5], "t": ["y"]}, schema=Schema((Text("t"),))),
        Dataset(TABLE, {"item_id": [5], "t": ["x"]}, schema=Schema()),
        Dataset(TABLE, {"item_id": [7], "t": ["x"]}, schema=Schema((Text("t"),))),
        Dataset(TABLE, {"item_id": [6], "t": ["x"]}, schema=Schema((Text("t"),))),
        *(
            Dataset(TABLE | changed, {"item_id": [5], "t": ["x"]}, schema=Schema((Text("t"),)))
            for changed in (
                {"rating": [1, 2, 3, 4, 5]},
                {"time": [3, 1, 3, 1, 2.5]},
                {"item_id": [7, 5, 5, 7, "9"]},
                {"item_id": [7, 5, 5, 7, 5]},
                {"user_id": ["b", "a", "b", "b", "b"]},
            )
        ),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == len(others) + 1


def test_rows_of_different_users_may_change_places() -> None:
    order = [1, 3, 0, 2, 4]
    moved = {name: [values[at] for at in order] for name, values in TABLE.items()}
    assert Dataset(moved).digest == Dataset(TABLE).digest


def test_it_describes_itself(data: Dataset) -> None:
    figures = data.describe()
    assert (figures["name"], figures["source"], figures["events"], figures["users"]) == ("small", "here", 5, 3)
    assert figures["density"] == pytest.approx(5 / 12)
    text = str(data)
    assert all(part in text for part in ("small", "here", "1970-01-01", "mean 2.50", "title", "0 to 3, median 2"))
    assert [each.problem for each in data.warnings] == [
        "2 of 4 items have no record", "1 of 4 items have no event", "2 of 3 users have no record",
    ]  # fmt: skip
    assert all(each.cure for each in data.warnings)
    assert repr(data) == "Dataset('small': 5 events, 3 users, 4 items)"


def test_the_notebook_view_escapes_what_it_shows() -> None:
    data = Dataset(TABLE | {"<script>": [1] * 5}, name="<script>")
    assert "<script>" not in data._repr_html_()


def test_what_looks_like_a_mistake_is_said() -> None:
    data = Dataset({"user_id": [1], "item_id": [1], "time": [4e9], "timestamp": [1]}, as_of="2026-01-01")
    assert "the last at 2096-10-02" in data.warnings[0].problem
    assert "'timestamp'" in data.warnings[1].problem


def test_no_events_are_no_error() -> None:
    kinds: list[Any] = [{"user_id": [], "item_id": []}, [], {"user_id": [], "item_id": [], "time": [], "rating": []}]
    for nothing in kinds:
        data = Dataset(nothing, [Item(1)])
        assert (data.n_events, data.n_users, data.item_ids, data.popularity().tolist()) == (0, 0, [1], [0])
        assert str(data)
        assert data.only_active().n_items == 0


def test_events_items_and_users_are_taken_as_such() -> None:
    events = [Event(1, "x", 5.0, 4.0), Event(1, "y", 4.0)]
    data = Dataset(events, [Item("x", {"a": 1}), Item("z", {"b": None})], [User(1, {"age": 3}, ["x"]), User(2)])
    assert list(data.events()) == [Event(1, "y", 4.0), Event(1, "x", 5.0, 4.0)]
    assert list(data.items()) == [Item("x", {"a": 1}), Item("y"), Item("z")]
    assert list(data.users()) == [User(1, {"age": 3}), User(2)]


def test_reading_plain_columns_imports_no_frame_library() -> None:
    script = (
        "import sys; from vecrec.data import Dataset; import vecrec.datasets; assert 'pyarrow' not in sys.modules;"
        "Dataset({'user_id': [1], 'item_id': [1]}); heavy = {'pandas', 'polars', 'duckdb'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
