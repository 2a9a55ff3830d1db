"""Features become sparse rows, the same in every process, with a column for what is missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec.data import Categorical, Feature, MultiCategorical, Numeric, Text
from vecrec.errors import InvalidDataError
from vecrec.learning.preprocessor import FeatureSpace, SparseRows
from vecrec.records import Record

FEATURES: tuple[Feature, ...] = (Categorical("kind"), MultiCategorical("tags"), Numeric("year"), Text("title"))
RECORDS: list[Record] = [
    {"kind": "a", "tags": ["x", "y"], "year": 1990, "title": "The Good the Bad"},
    {"kind": "b", "tags": ["x"], "year": 2000, "title": "the Ugly"},
    {"kind": "b", "tags": [], "year": 2010},
]


def dense(rows: SparseRows, size: int) -> NDArray[np.float32]:
    """The rows as an ordinary matrix."""
    return rows.times(np.eye(size, dtype=np.float32))


def test_each_value_has_its_column_and_its_weight() -> None:
    """Categories and words are single columns whose squares add up to 1, numbers lie between two columns."""
    space = FeatureSpace.learn(FEATURES, RECORDS)
    # padding, unknown, a, b | padding, unknown, x, y | padding, unknown, 1990, 2000, 2010 | padding, unknown, the
    assert space.size == 4 + 4 + 5 + 3
    first = dense(space.rows([RECORDS[0]]), space.size)[0]
    half = 0.5**0.5
    third = 3**-0.5
    wanted = [0, 0, 1, 0, 0, 0, half, half, 0, 0, 1, 0, 0, 0, 2 * third, third]
    np.testing.assert_allclose(first, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("year", "wanted"),
    [
        (1995, [0, 0.5, 0.5, 0]), (1997.5, [0, 0.25, 0.75, 0]), (2010, [0, 0, 0, 1]), (1, [0, 1, 0, 0]),
        (10**400, [0, 0, 0, 1]), (None, [1, 0, 0, 0]),
    ],
)  # fmt: skip
def test_a_number_divides_its_weight_between_neighbours(year: float | None, wanted: list[float]) -> None:
    """Beyond the ends it counts as the end; without one it is unknown."""
    space = FeatureSpace.learn([Numeric("year")], RECORDS)
    np.testing.assert_allclose(dense(space.rows([{"year": year}]), space.size)[0][1:], wanted, rtol=1e-6)


def test_what_is_missing_or_new_has_a_column() -> None:
    """No record, an empty one, unseen values and empty lists are all the unknown column of each feature."""
    space = FeatureSpace.learn(FEATURES, RECORDS)
    unseen: Record = {"kind": "z", "tags": ["z"], "title": "zzz"}
    rows = dense(space.rows([None, {}, unseen, {"tags": [], "title": "..."}]), space.size)
    assert (rows == rows[0]).all()
    assert np.flatnonzero(rows[0]).tolist() == [1, 5, 9, 14]


def test_values_of_other_types_stay_apart() -> None:
    """``1``, ``"1"`` and ``True`` are three values."""
    space = FeatureSpace.learn([Categorical("a")], [{"a": 1}, {"a": "1"}, {"a": True}])
    assert len(np.unique(space.rows([{"a": 1}, {"a": "1"}, {"a": True}]).columns)) == 3


def test_the_order_of_the_records_does_not_matter() -> None:
    """A space is made of what there is, not of what came first."""
    assert FeatureSpace.learn(FEATURES, RECORDS).to_json() == FeatureSpace.learn(FEATURES, RECORDS[::-1]).to_json()


def test_a_space_survives_json() -> None:
    """It comes back with the same columns; one of other features is refused."""
    space = FeatureSpace.learn(FEATURES, RECORDS)
    again = FeatureSpace.from_json(json.loads(json.dumps(space.to_json())), FEATURES)
    np.testing.assert_array_equal(dense(again.rows(RECORDS), again.size), dense(space.rows(RECORDS), space.size))
    with pytest.raises(InvalidDataError, match="feature spaces"):
        FeatureSpace.from_json(space.to_json(), FEATURES[:2])


def test_no_features_are_no_columns() -> None:
    """Rows without entries are rows all the same."""
    space = FeatureSpace.learn([], RECORDS)
    assert space.size == 0
    assert space.rows(RECORDS).times(np.zeros((0, 3), np.float32)).shape == (3, 3)


def test_rows_can_be_picked() -> None:
    """In any order, repeated, none."""
    space = FeatureSpace.learn(FEATURES, RECORDS)
    rows = space.rows([*RECORDS, None])
    for chosen in ([2, 0, 2], [3], []):
        picked = dense(rows.rows(np.array(chosen, np.int64)), space.size)
        np.testing.assert_array_equal(picked, dense(rows, space.size)[chosen])


def test_a_sparse_product_is_the_dense_one() -> None:
    """Empty rows included."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 4, 50)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    rows = SparseRows(starts, rng.integers(0, 9, starts[-1]), rng.standard_normal(starts[-1]).astype(np.float32))
    table = rng.standard_normal((9, 5)).astype(np.float32)
    full = np.zeros((50, 9), np.float32)
    np.add.at(full, (np.repeat(np.arange(50), lengths), rows.columns), rows.weights)
    np.testing.assert_allclose(rows.times(table), full @ table, atol=1e-6)
