"""Vocabularies: the same numbers for the same values, always."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrec.data import Vocabulary
from vecrec.errors import InvalidDataError

VALUES = st.one_of(st.integers(), st.text(), st.booleans())


def test_padding_and_unknown_come_first_then_values_in_order() -> None:
    vocabulary = Vocabulary(["b", 2, "a", True, 10, "1", 1, "b"])
    assert vocabulary.values == (True, 1, 2, 10, "1", "a", "b")
    assert [vocabulary.index(value) for value in (True, 1, "1", "b")] == [2, 3, 6, 8]
    assert (vocabulary.PADDING, vocabulary.UNKNOWN, vocabulary.size, len(vocabulary)) == (0, 1, 9, 9)
    assert [vocabulary.value(index) for index in (0, 1, 2, 8)] == [None, None, True, "b"]


@pytest.mark.parametrize("stranger", [None, 2, 1.0, float("nan"), "a ", b"a", [], {}, np.float64(1), False])
def test_whatever_is_not_in_it_is_unknown(stranger: Any) -> None:
    vocabulary = Vocabulary([1, "a"])
    assert vocabulary.index(stranger) == 1
    assert vocabulary.indexes([stranger, "a"]).tolist() == [1, 3]
    assert stranger not in vocabulary


@given(st.lists(VALUES, max_size=30), st.lists(VALUES, max_size=30), st.randoms())
def test_order_and_repetition_do_not_matter_and_many_agree_with_one(
    values: list[Any], other: list[Any], chance: Any
) -> None:
    vocabulary = Vocabulary(values)
    shuffled = [*values, *values]
    chance.shuffle(shuffled)
    assert Vocabulary(shuffled) == vocabulary
    assert vocabulary.indexes(values + other).tolist() == [vocabulary.index(value) for value in values + other]
    assert [vocabulary.index(value) for value in vocabulary.values] == list(range(2, vocabulary.size))
    back = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert back == vocabulary
    assert [type(value) for value in back] == [type(value) for value in vocabulary]


def test_numpy_values_are_their_python_values() -> None:
    vocabulary = Vocabulary(np.array([3, 1, 2]))
    assert vocabulary == Vocabulary([1, 2, 3])
    assert vocabulary.indexes(np.array([1, 3, 7], np.int16)).tolist() == [2, 4, 1]
    assert vocabulary.index(np.int8(3)) == 4
    assert Vocabulary(np.array(["a", True], object)).values == (True, "a")


def test_booleans_and_integers_stay_apart() -> None:
    assert Vocabulary([True, False]) != Vocabulary([1, 0])
    assert Vocabulary([True]).index(1) == 1
    assert Vocabulary([1]).index(True) == 1


@pytest.mark.parametrize("bad", [None, "abc", 5, [1.5], [None], [b"a"], [[1]]])
def test_other_values_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidDataError):
        Vocabulary(bad)


def test_files_keep_it(tmp_path: Path) -> None:
    vocabulary = Vocabulary([1, "1", "é", "\ud800", True])
    vocabulary.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json") == vocabulary


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format":1,"values":["b","a"]}', '{"format":1,"values":[1,1]}', '{"format":1,"values":[null]}'],
)
def test_damaged_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(InvalidDataError):
        Vocabulary.load(tmp_path / "v.json")


def test_a_missing_file_and_an_index_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match=r"v\.json"):
        Vocabulary.load(tmp_path / "v.json")
    with pytest.raises(InvalidDataError):
        Vocabulary([1]).value(3)


SCRIPT = """
from vecrec.data import Dataset, Schema, Vocabulary, splits
values = {"a", "b", "c", 1, 2, 3, "é"}
users = ["u", "v", "w", 1, 2] * 4
items = {"item_id": sorted(map(str, values)), "n": [1] * 7}
data = Dataset({"user_id": users, "item_id": list("abc") * 6 + [1, 2]}, items)
print(Vocabulary(values).values, data.digest, data.user_ids, data.item_ids, sorted(data.schema.to_json().items()))
print([splits.cold_items(data, 0.4, seed=s).held_out.tolist() for s in range(5)])
print([splits.random(data, 0.5, seed=s).test.item_codes.tolist() for s in range(3)])
"""


def test_hash_randomisation_changes_nothing() -> None:
    """Weakness 1 of the systems this replaces: features hashed with Python's own hash()."""
    answers = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(answers) == 1
    assert "é" in answers.pop()
