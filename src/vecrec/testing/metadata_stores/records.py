"""The promises about records."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from vecrec.ids import Id
from vecrec.metadata_stores.base import MetadataStore
from vecrec.records import Record
from vecrec.testing.base import expected, refused, same, same_ids
from vecrec.testing.data import BAD_IDS, HOSTILE_IDS, HOSTILE_TEXTS
from vecrec.testing.metadata_stores.base import MetadataStoreKit

__all__ = ["RecordTests"]


def _nested(depth: int) -> Any:
    return [{"deeper": _nested(depth - 1)}] if depth else "the bottom"


_VALUES: Record = {
    "nothing": None,
    "booleans": [True, False],
    "like one": [1, 1.0, True, "1", "1.0", "true"],
    "like zero": [0, 0.0, -0.0, False, "", None, [], {}],
    "integers": [0, -1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)],
    "floats": [0.1, 1 / 3, 1e16, 1e22, 1e100, 1.7976931348623157e308, 5e-324, -2.5e-10, 123456789.123456789, 100.0],
    "text": [*HOSTILE_TEXTS],
    "long text": "\U0001f3ac" * 50_000,
    "nested": _nested(12),
    "lists of lists": [[], [[]], [[1], [2, [3]]]],
    "objects": {"a": {"": {"b": [{}]}}},
    "": "an empty key",
    **{f"key {text}": text for text in HOSTILE_TEXTS},
}


class RecordTests(MetadataStoreKit):
    """Tests of ``put``, ``get``, ``delete`` and ``count``."""

    def test_values_come_back_equal_with_their_types(self, store: MetadataStore, kind: str) -> None:
        """Every JSON value comes back as what it was, the least digit of a float, nested and empty ones included."""
        store.put(kind, {"a": _VALUES, "empty": {}})

        found = store.get(kind, ["a", "empty"])
        assert same(found["empty"], {})
        assert found["a"].keys() == expected(_VALUES).keys()
        for name, value in _VALUES.items():
            assert same(found["a"][name], value), name

    def test_the_engine_holds_what_was_put(self, store: MetadataStore, kind: str) -> None:
        """Behind the store there is the record as it was put: no reading undoes what writing has bent."""
        store.put(kind, {1: _VALUES, "1": {"other": True}})
        assert same(self.raw_record(store, kind, 1), expected(_VALUES))
        assert same(self.raw_record(store, kind, "1"), {"other": True})

        store.delete(kind, [1])
        assert self.raw_record(store, kind, 1) is None

    def test_python_values_become_json(self, store: MetadataStore, kind: str) -> None:
        """Tuples and arrays become lists, NumPy scalars Python values."""
        record = {"t": (1, (2.0,)), "a": np.array([1, 2]), "i": np.int8(3), "f": np.float64(0.1), "b": np.bool_(False)}
        key: Any = np.int64(5)
        store.put(kind, {key: record})
        assert same(store.get(kind, [5]), {5: {"t": [1, [2.0]], "a": [1, 2], "i": 3, "f": 0.1, "b": False}})

    def test_ids_are_distinct_byte_for_byte(self, store: MetadataStore, kind: str) -> None:
        """Ids that differ in case, trailing spaces or accents, or that look like syntax, have a record each."""
        ids = expected(list(HOSTILE_IDS))
        store.put(kind, {key: {"n": number} for number, key in enumerate(ids)})

        assert store.count(kind) == len(ids)
        found = store.get(kind, ids)
        assert same(list(found), ids)
        assert [record["n"] for record in found.values()] == list(range(len(ids)))
        assert same_ids((key for key, _ in store.scan(kind)), ids)

    def test_a_hostile_id_deletes_only_itself(self, store: MetadataStore, kind: str) -> None:
        """Deleting any id, there or not, leaves all others."""
        kept, dropped = HOSTILE_IDS[::2], HOSTILE_IDS[1::2]
        store.put(kind, {key: {} for key in kept})
        store.delete(kind, dropped)
        assert same_ids((key for key, _ in store.scan(kind)), expected(kept))

        store.put(kind, {key: {} for key in dropped})
        store.delete(kind, kept)
        assert same_ids((key for key, _ in store.scan(kind)), expected(dropped))

    def test_an_integer_and_its_text_are_two_ids(self, store: MetadataStore, kind: str) -> None:
        """``1`` and ``"1"`` have a record each, and come back as what they are."""
        store.put(kind, {1: {"is": "integer"}, "1": {"is": "text"}})
        assert same(store.get(kind, ["1", 1]), {"1": {"is": "text"}, 1: {"is": "integer"}})
        store.delete(kind, ["1"])
        assert same(store.get(kind, ["1", 1]), {1: {"is": "integer"}})

    @pytest.mark.parametrize("size", [0, 1, 2500])
    def test_batches_may_have_any_size(self, store: MetadataStore, kind: str, size: int) -> None:
        """One call puts, gets and deletes nothing, one record or thousands."""
        ids: list[Id] = [number if number % 2 else f"id {number}" for number in range(size)]
        records = {key: {"n": number, "title": "é" * 50} for number, key in enumerate(ids)}
        store.put(kind, {"other": {}})
        store.put(kind, records)
        assert store.count(kind) == size + 1
        assert same(store.get(kind, ids), records)
        store.delete(kind, ids)
        assert list(store.scan(kind)) == [("other", {})]

    def test_a_batch_costs_a_few_round_trips(self, store: MetadataStore, kind: str) -> None:
        """Putting, getting and deleting many records takes requests by the batch, not by the id."""
        before = self.round_trips(store)
        if before is None:
            pytest.skip("the round trips of this store cannot be told: override round_trips(store)")
        ids = range(500)
        store.put(kind, {key: {"n": key} for key in ids})
        assert len(store.get(kind, ids)) == 500
        store.delete(kind, ids)
        assert 3 <= (self.round_trips(store) or 0) - before <= 50

    def test_get_keeps_the_order_and_leaves_out_what_is_missing(self, store: MetadataStore, kind: str) -> None:
        """The records come in the order of the ids asked for, each once, without those that are not there."""
        store.put(kind, {key: {"id": key} for key in ("a", "b", 3, 4)})
        found = store.get(kind, [4, "missing", "b", 4, "a", "3", 3])
        assert same(list(found), [4, "b", "a", 3])
        assert [record["id"] for record in found.values()] == [4, "b", "a", 3]
        assert store.get(kind, ["missing", 99]) == {}

    def test_put_replaces_the_whole_record(self, store: MetadataStore, kind: str) -> None:
        """A second ``put`` takes the place of the first, fields that it does not mention included."""
        store.put(kind, {"a": {"x": 1, "y": {"z": 2}}, "b": {"x": 1}})
        store.put(kind, {"a": {"w": 3}})
        store.put(kind, {"b": {}})
        assert same(store.get(kind, ["a", "b"]), {"a": {"w": 3}, "b": {}})

    def test_repeating_a_put_changes_nothing(self, store: MetadataStore, kind: str) -> None:
        """The same batch put again leaves the same records, each once."""
        records: dict[Id, Record] = {"a": {"x": 1}, 2: {"y": [1.5]}}
        for _ in range(3):
            store.put(kind, records)
            assert store.count(kind) == 2
            assert same(dict(store.scan(kind)), records)

    def test_deleting_what_is_missing_is_no_error(self, store: MetadataStore, kind: str) -> None:
        """Ids that are not there are passed over, and those beside them are deleted."""
        store.delete(kind, ["nothing", 1])
        store.put(kind, {1: {}, 2: {}})
        store.delete(kind, [3, "1", "2"])
        assert store.count(kind) == 2
        store.delete(kind, [3, 2, 2, "x"])
        assert same(dict(store.scan(kind)), {1: {}})

    def test_kinds_are_independent(self, store: MetadataStore, kind: str) -> None:
        """What happens to an id of one kind leaves the same id of another alone, however alike their names are."""
        others: dict[str, Record] = {name: {"kind": name} for name in (kind, f"{kind}_", f"{kind}_s", f"{kind}1")}
        for name, record in others.items():
            # Ids that a store could mistake for the rest of the kind's name.
            store.put(name, {"1": record, "_1": record, ":1": record, 1: record, "s1": record})
        store.delete(kind, ["1", "_1", "s1"])
        store.put(f"{kind}_", {"new": {}})

        assert store.count(kind) == 2
        assert store.count(f"{kind}_") == 6
        assert same_ids((key for key, _ in store.scan(kind)), [":1", 1])
        for name, record in others.items():
            assert same(store.get(name, [1]), {1: record})
        assert store.count(f"{kind}_none") == 0
        assert list(store.scan(f"{kind}_none")) == []

    def test_the_longest_name_is_a_kind(self, store: MetadataStore, kind: str) -> None:
        """A kind is a lower-case letter, then up to 31 lower-case letters, digits, underscores; else it is refused."""
        longest = f"{kind}{'_9z' * 10}"[:32]
        store.put(longest, {"a": {"x": 1}})
        assert same(store.get(longest, ["a"]), {"a": {"x": 1}})
        store.delete(longest, ["a"])

        kinds: list[Any] = [
            "",
            "Item",
            "1a",
            "_a",
            "a-b",
            "a b",
            "é",
            longest + "a",
            "a\n",
            "a;",
            "a:b",
            None,
            1,
            b"item",
        ]
        cases: dict[str, Callable[[], object]] = {}
        for bad in kinds:
            cases[f"put {bad!r}"] = partial(store.put, bad, {"a": {}})
            cases[f"get {bad!r}"] = partial(store.get, bad, ["a"])
            cases[f"delete {bad!r}"] = partial(store.delete, bad, ["a"])
            cases[f"scan {bad!r}"] = partial(store.scan, bad)
            cases[f"count {bad!r}"] = partial(store.count, bad)
            cases[f"read_users {bad!r}"] = partial(store.read_users, bad, ["a"])
        refused(cases)

    def test_bad_records_are_refused_before_anything_is_written(self, store: MetadataStore, kind: str) -> None:
        """What JSON cannot carry, at any depth: none of the batch is written, and what was there stays."""
        bad: list[Any] = [float("nan"), float("inf"), b"x", {1, 2}, object(), 2**63, "\ud800", {1: 2}, {"\ud800": 1}]
        bad += [dt.date(2000, 1, 1), 1j, np.float32("nan"), _nested(40)]
        cases: dict[str, Callable[[], object]] = {}
        store.put(kind, {"there": {"x": 1}})
        for value in bad:
            for record in ({"x": value}, {"x": [{"y": [value]}]}):
                batch: dict[Id, Any] = {"there": {}, "new": {"x": 1}, "bad": record}
                cases[f"{record!r:.60}"] = partial(store.put, kind, batch)
        others: list[Any] = [None, "text", 1, ["x"], [("x", 1)]]
        cases |= {f"the record {other!r}": partial(store.put, kind, {"new": {}, "bad": other}) for other in others}
        cases |= {f"the batch {other!r}": partial(store.put, kind, other) for other in others}
        refused(cases)
        assert same(dict(store.scan(kind)), {"there": {"x": 1}})

    def test_bad_ids_are_refused_before_anything_is_written(self, store: MetadataStore, kind: str) -> None:
        """An invalid id is refused by every call that takes ids, and the valid ids beside it are left alone."""
        store.put(kind, {"kept": {"x": 1}})
        cases: dict[str, Callable[[], object]] = {}
        for bad in BAD_IDS:
            cases[f"put {bad!r:.40}"] = partial(store.put, kind, {"new": {}, bad: {}})
            cases[f"get {bad!r:.40}"] = partial(store.get, kind, ["kept", bad])
            cases[f"delete {bad!r:.40}"] = partial(store.delete, kind, ["kept", bad])
            cases[f"read_users {bad!r:.40}"] = partial(store.read_users, kind, ["kept", bad])
        one: Any = "kept"
        cases["get of one string"] = partial(store.get, kind, one)
        cases["delete of one string"] = partial(store.delete, kind, one)
        refused(cases)
        assert same(dict(store.scan(kind)), {"kept": {"x": 1}})

    def test_what_was_put_is_neither_kept_nor_changed(self, store: MetadataStore, kind: str) -> None:
        """What the caller does later to a record does not reach the store, and the store does not change the record."""
        records: dict[Id, Any] = {"a": {"list": [1, {"deep": (2,)}]}, "b": {}}
        given = copy.deepcopy(records)
        store.put(kind, records)
        assert records == given
        records["a"]["list"][1]["deep"] = 99
        records["a"]["list"].append(3)
        records["b"]["new"] = 1
        assert same(store.get(kind, ["a", "b"]), {"a": {"list": [1, {"deep": [2]}]}, "b": {}})

    def test_what_was_read_belongs_to_the_caller(self, store: MetadataStore, kind: str) -> None:
        """Changing what ``get``, ``scan`` or ``read_users`` gave does not reach the store."""
        store.put(kind, {"a": {"list": [1]}})
        read: list[Any] = [
            store.get(kind, ["a"])["a"],
            dict(store.scan(kind))["a"],
            store.read_users(kind, ["a"])[0]["a"],
        ]
        for record in read:
            record["list"].append(2)
            record["new"] = 1
        assert same(store.get(kind, ["a"]), {"a": {"list": [1]}})
