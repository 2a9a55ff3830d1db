"""The promises about writing and deleting entries."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from vecrec.errors import DimensionMismatchError
from vecrec.ids import Id
from vecrec.testing.base import expected, refused, same, same_ids
from vecrec.testing.data import BAD_IDS, DIM, FIELDS, HOSTILE_IDS, HOSTILE_TEXTS, axis, whole
from vecrec.testing.vector_stores.base import Library, VectorStoreKit
from vecrec.vector_stores.base import VectorStore

__all__ = ["WriteTests"]

_BAD_ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "flag": (1, 0, "true", 1.0, [True]),
    "year": (True, 1.0, "1990", 2**63, [1]),
    "price": (True, "1.5", float("nan"), float("inf"), [1.5]),
    "lang": (1, True, b"en", ["en"], "\ud800"),
    "genres": ("Comedy", [1], [None], [["Comedy"]], {"Comedy"}, {"Comedy": 1}),
    "codes": (1, ["1"], [True], [1.0], [None]),
}


class WriteTests(VectorStoreKit):
    """Tests of ``upsert`` and ``delete``."""

    def test_what_was_written_comes_back(self, store: VectorStore, library: Library) -> None:
        """``fetch`` returns each vector bit for bit, and each attribute that has a value with its type."""
        found = store.fetch(library.name, library.ids)

        assert list(found) == expected(library.ids)
        for position, (key, entry) in enumerate(found.items()):
            assert same(entry.id, key)
            assert entry.vector is not None
            assert entry.vector.dtype == np.float32
            np.testing.assert_array_equal(entry.vector, library.vectors[position])
            assert same(entry.attributes, library.attributes(position)), (
                entry.attributes,
                library.attributes(position),
            )

    def test_vectors_compared_by_angle_come_back_as_written(self, store: VectorStore, angles: Library) -> None:
        """A collection of metric ``"cosine"`` keeps the lengths of its vectors."""
        found = store.fetch(angles.name, angles.ids)

        vectors = [entry.vector for entry in found.values()]
        np.testing.assert_array_equal(np.array(vectors), expected(angles.vectors))

    def test_the_engine_holds_what_was_written(self, store: VectorStore, library: Library) -> None:
        """Behind the store there is each entry once with its vector: no reading undoes what writing has bent."""
        held = self.raw_vectors(store, library.name)

        assert same_ids(held, expected(library.ids))
        np.testing.assert_array_equal(np.array([held[key] for key in library.ids], np.float32), library.vectors)

    def test_upsert_replaces_the_whole_entry(self, store: VectorStore, scratch: str) -> None:
        """A second ``upsert`` takes the place of the first, attributes that it does not mention included."""
        store.upsert(scratch, ["a", "b"], [axis(0), axis(1)], [{"year": 1, "lang": "en"}, {"year": 2}])
        store.upsert(scratch, ["a"], [axis(2)], [{"price": 3.0}])

        found = store.fetch(scratch, ["a", "b"])
        assert same(found["a"].attributes, {"price": 3.0})
        np.testing.assert_array_equal(found["a"].vector, axis(2))
        assert same(found["b"].attributes, {"year": 2})
        assert [hit.id for hit in store.search(scratch, [axis(2)], 1)[0]] == ["a"]

    def test_upsert_is_idempotent(self, store: VectorStore, scratch: str) -> None:
        """Writing the same batch again changes nothing: neither the count, nor what a search finds."""
        vectors = whole(np.random.default_rng(1), 20)
        seen = []
        for _ in range(3):
            store.upsert(scratch, range(20), vectors)
            hits = store.search(scratch, vectors[:1], 50)[0]
            seen.append((store.count(scratch), [(hit.id, hit.score) for hit in hits]))
        assert len(seen[0][1]) == 20
        assert seen == [seen[0]] * 3

    def test_the_last_of_a_repeated_id_counts(self, store: VectorStore, scratch: str) -> None:
        """Of an id given several times in one call the last counts, and it is stored once."""
        years = [{"year": year} for year in (1, 2, 3, 4)]
        store.upsert(scratch, ["a", "b", "a", "a"], [axis(0), axis(1), axis(2), axis(3)], years)

        found = store.fetch(scratch, ["a", "b"])
        np.testing.assert_array_equal(found["a"].vector, axis(3))
        assert same(found["a"].attributes, {"year": 4})
        assert same(found["b"].attributes, {"year": 2})
        assert store.count(scratch) == 2

    def test_attributes_may_be_left_out(self, store: VectorStore, scratch: str) -> None:
        """Without attributes, with empty ones and with ``None`` in each field, an entry has none."""
        nothing = dict.fromkeys(FIELDS)
        store.upsert(scratch, [1], [axis(0)])
        store.upsert(scratch, [2, 3], [axis(0), axis(0)], [{}, nothing])

        found = store.fetch(scratch, [1, 2, 3])
        assert [entry.attributes for entry in found.values()] == [{}, {}, {}]

    def test_every_real_type_is_stored_as_float32(self, store: VectorStore, scratch: str) -> None:
        """Lists, integers, doubles, halves and read-only arrays become float32; NumPy scalars become plain values."""
        double = np.linspace(-1, 1, DIM) / 3
        frozen = np.asfortranarray([double, double])
        frozen.setflags(write=False)
        store.upsert(
            scratch, [1, 2], frozen, [{"year": np.int32(5), "price": 2}, {"genres": ("a",), "flag": np.bool_(True)}]
        )
        store.upsert(scratch, [3], [list(range(DIM))], [{"codes": np.array([1, 2])}])
        key: Any = np.int64(4)
        store.upsert(scratch, [key], np.ones((1, DIM), np.float16), [{"price": np.float32(0.5)}])

        found = store.fetch(scratch, [1, 2, 3, 4])
        for key, vector in {1: double, 2: double, 3: np.arange(DIM), 4: np.ones(DIM)}.items():
            np.testing.assert_array_equal(found[key].vector, vector.astype(np.float32))
        assert same(found[1].attributes, {"year": 5, "price": 2.0})
        assert same(found[2].attributes, {"genres": ["a"], "flag": True})
        assert same([found[3].attributes, found[4].attributes], [{"codes": [1, 2]}, {"price": 0.5}])

    def test_bad_vectors_are_refused_before_anything_is_written(self, store: VectorStore, scratch: str) -> None:
        """NaN, infinity, what float32 cannot hold, anything but a matrix: none of the batch is written."""
        good = axis(0).tolist()
        rows: dict[str, Any] = {
            "NaN": [good, [float("nan"), *good[1:]]],
            "infinity": [good, [float("inf"), *good[1:]]],
            "minus infinity": [[*good[1:], -np.inf], good],
            "beyond float32": np.array([good, [1e39, *good[1:]]]),
            "complex": np.ones((2, DIM), np.complex64),
            "text": [["1"] * DIM] * 2,
            "None": [good, [None, *good[1:]]],
            "objects": np.full((2, DIM), None),
            "bool": np.ones((2, DIM), bool),
            "ragged": [good, good[1:]],
            "one row as a vector": good,
            "three dimensions": np.ones((2, DIM, 1)),
            "one row for two ids": [good],
            "three rows for two ids": [good] * 3,
            "nothing": None,
        }
        refused({name: partial(store.upsert, scratch, [1, 2], bad) for name, bad in rows.items()})
        assert store.count(scratch) == 0

    def test_another_dimension_is_refused(self, store: VectorStore, scratch: str) -> None:
        """Vectors and queries of another length than the collection's are refused, and nothing is written."""
        wrong = [np.ones((1, size)) for size in (1, DIM - 1, DIM + 1, 2 * DIM)]
        refused(
            {f"upsert {bad.shape}": partial(store.upsert, scratch, [1], bad) for bad in wrong}
            | {f"search {bad.shape}": partial(store.search, scratch, bad, 1) for bad in wrong},
            DimensionMismatchError,
        )
        assert store.count(scratch) == 0

    def test_bad_attributes_are_refused_before_anything_is_written(self, store: VectorStore, scratch: str) -> None:
        """An unknown field or a value of another type than its field: none of the batch is written."""
        rows: list[Any] = [{name: value} for name, values in _BAD_ATTRIBUTES.items() for value in values]
        rows += [{"unknown": 1}, {"unknown": None}, {"Year": 1}, {1: 1}, None, "year", ["year"], 3]
        pair = [axis(0), axis(1)]
        cases: dict[str, Callable[[], object]] = {
            repr(row): partial(store.upsert, scratch, [1, 2], pair, [{"year": 1}, row]) for row in rows
        }
        cases["too few"] = partial(store.upsert, scratch, [1, 2], pair, [{"year": 1}])
        cases["too many"] = partial(store.upsert, scratch, [1, 2], pair, [{}, {}, {}])
        refused(cases)
        assert store.count(scratch) == 0

    def test_bad_ids_are_refused_before_anything_is_written(self, store: VectorStore, scratch: str) -> None:
        """An invalid id is refused by every call that takes ids, and the good ids beside it are left alone."""
        pair = [axis(0), axis(1)]
        store.upsert(scratch, ["kept"], [axis(2)])
        cases: dict[str, Any] = {}
        for bad in BAD_IDS:
            cases[f"upsert {bad!r:.40}"] = partial(store.upsert, scratch, ["new", bad], pair)
            cases[f"delete {bad!r:.40}"] = partial(store.delete, scratch, ["kept", bad])
            cases[f"fetch {bad!r:.40}"] = partial(store.fetch, scratch, ["kept", bad])
        cases["upsert of one string"] = partial(store.upsert, scratch, "ab", pair)
        cases["delete of one string"] = partial(store.delete, scratch, "kept")
        refused(cases)
        assert [entry.id for entry in store.scan(scratch)] == ["kept"]

    def test_the_callers_arrays_are_neither_kept_nor_changed(self, store: VectorStore, scratch: str) -> None:
        """What the caller does later to what it handed in does not reach the store, which changes none of it."""
        ids: list[Id] = ["b", "a", "b"]
        vectors = np.array([axis(0, 3), axis(1, 3), axis(2, 3)])
        rows: list[dict[str, Any]] = [{"year": None}, {"genres": ["x"]}, {"codes": [1]}]
        given = copy.deepcopy((ids, vectors.tolist(), rows))
        store.upsert(scratch, ids, vectors, rows)
        assert (ids, vectors.tolist(), rows) == given

        vectors[:] = 99
        ids.clear()
        rows[1]["genres"].append("y")
        rows[2]["codes"] = [2]
        found = store.fetch(scratch, ["a", "b"])
        assert np.array([found["a"].vector, found["b"].vector]).tolist() == [axis(1, 3).tolist(), axis(2, 3).tolist()]
        assert [found["a"].attributes, found["b"].attributes] == [{"genres": ["x"]}, {"codes": [1]}]

    def test_the_callers_queries_are_not_changed(self, store: VectorStore, library: Library, angles: Library) -> None:
        """A search leaves the queries as they were, whatever the metric does to them inside."""
        for held in (library, angles):
            queries = np.ascontiguousarray(held.vectors[:3] * 2)
            before = queries.copy()
            store.search(held.name, queries, 3)
            np.testing.assert_array_equal(queries, before)

    def test_what_was_read_belongs_to_the_caller(self, store: VectorStore, scratch: str) -> None:
        """Changing what ``fetch`` or ``scan`` gave does not reach the store."""
        store.upsert(scratch, ["a"], [axis(0)], [{"genres": ["x"]}])
        for entry in [*store.fetch(scratch, ["a"]).values(), *store.scan(scratch, vectors=True)]:
            assert entry.vector is not None
            if entry.vector.flags.writeable:
                entry.vector[:] = 99
            entry.attributes["year"] = 1
            entry.attributes["genres"].append("y")  # type: ignore[union-attr, arg-type]

        found = store.fetch(scratch, ["a"])["a"]
        np.testing.assert_array_equal(found.vector, axis(0))
        assert found.attributes == {"genres": ["x"]}

    def test_empty_batches_are_no_error(self, store: VectorStore, scratch: str) -> None:
        """No ids, no vectors and no queries do nothing and give nothing."""
        store.upsert(scratch, [], [])
        store.upsert(scratch, [], np.empty((0, DIM)), [])
        store.delete(scratch, [])
        assert store.fetch(scratch, []) == {}
        assert store.search(scratch, np.empty((0, DIM)), 3) == []
        assert store.search(scratch, [], 3) == []
        assert store.count(scratch) == 0

    def test_large_batches_are_whole(self, store: VectorStore, scratch: str) -> None:
        """One call writes, fetches, scans and deletes thousands of entries, whatever the engine's own limits are."""
        ids: list[Id] = [number if number % 2 else f"item {number}" for number in range(self.large_batch)]
        vectors = whole(np.random.default_rng(2), len(expected(ids)))
        store.upsert(scratch, ids, vectors, [{"year": number} for number in range(len(ids))])
        assert store.count(scratch) == len(ids)

        found = store.fetch(scratch, ids)
        assert list(found) == ids
        np.testing.assert_array_equal(np.array([entry.vector for entry in found.values()]), vectors)
        assert same_ids((entry.id for entry in store.scan(scratch)), ids)

        store.delete(scratch, ids[1:])
        assert [entry.id for entry in store.scan(scratch)] == ids[:1]

    def test_every_string_and_integer_is_an_id(self, store: VectorStore, scratch: str) -> None:
        """Quotes, control characters, injections, emoji, 512 bytes, the ends of 64 bits: each is its own id."""
        ids = expected(list(HOSTILE_IDS))
        vectors = whole(np.random.default_rng(3), len(ids))
        store.upsert(scratch, ids, vectors, [{"year": number} for number in range(len(ids))])

        assert store.count(scratch) == len(ids)
        assert same_ids((entry.id for entry in store.scan(scratch)), ids)
        assert same_ids((hit.id for hit in store.search(scratch, vectors[:1], len(ids))[0]), ids)
        found = store.fetch(scratch, ids)
        assert same(list(found), ids)
        assert [entry.attributes["year"] for entry in found.values()] == list(range(len(ids)))
        np.testing.assert_array_equal(np.array([entry.vector for entry in found.values()]), vectors)

    def test_a_hostile_id_deletes_only_itself(self, store: VectorStore, scratch: str) -> None:
        """Deleting any id, there or not, leaves all others: no id is read as a part of the engine's language."""
        kept, dropped = list(HOSTILE_IDS[::2]), list(HOSTILE_IDS[1::2])
        store.upsert(scratch, kept, whole(np.random.default_rng(4), len(kept)))
        store.delete(scratch, dropped)
        assert same_ids((entry.id for entry in store.scan(scratch)), expected(kept))

        store.upsert(scratch, dropped, whole(np.random.default_rng(5), len(dropped)))
        store.delete(scratch, kept)
        assert same_ids((entry.id for entry in store.scan(scratch)), expected(dropped))

    def test_an_integer_and_its_text_are_two_ids(self, store: VectorStore, scratch: str) -> None:
        """``1`` and ``"1"`` share a collection without touching each other, and come back as what they are."""
        store.upsert(scratch, [1, "1"], [axis(0), axis(1)])
        hits = store.search(scratch, [axis(0), axis(1)], 1)
        assert same([hit.id for row in hits for hit in row], [1, "1"])

        store.delete(scratch, [1])
        assert same(list(store.fetch(scratch, [1, "1"])), ["1"])

    @pytest.mark.parametrize("name", ["lang", "genres"])
    def test_every_string_is_an_attribute(self, store: VectorStore, scratch: str, name: str) -> None:
        """Hostile text comes back as an attribute, alone and within a list."""
        texts = [*expected(HOSTILE_TEXTS), "x" * 2000]
        rows: list[dict[str, Any]] = [{name: text if name == "lang" else [text, ""]} for text in texts]
        store.upsert(scratch, range(len(texts)), whole(np.random.default_rng(6), len(texts)), rows)

        assert same([entry.attributes for entry in store.fetch(scratch, range(len(texts))).values()], rows)

    def test_deleted_entries_are_gone(self, store: VectorStore, scratch: str) -> None:
        """A deleted entry is in no answer, those beside it stay, and its id may be written again."""
        store.upsert(scratch, ["a", "b", "c"], [axis(0), axis(1), axis(2)], [{"year": 1}] * 3)
        store.delete(scratch, ["a", "c", "a"])

        assert store.count(scratch) == 1
        assert [entry.id for entry in store.scan(scratch)] == ["b"]
        assert list(store.fetch(scratch, ["a", "b", "c"])) == ["b"]
        assert [hit.id for hit in store.search(scratch, [axis(0)], 9)[0]] == ["b"]
        store.upsert(scratch, ["a"], [axis(3)])
        assert store.fetch(scratch, ["a"])["a"].attributes == {}

    def test_deleting_what_is_missing_is_no_error(self, store: VectorStore, scratch: str) -> None:
        """Ids that are not there are passed over, and those beside them are deleted."""
        store.upsert(scratch, [1, 2], [axis(0), axis(1)])
        store.delete(scratch, [3, "1", "2"])
        assert store.count(scratch) == 2
        store.delete(scratch, [3, 2, "x"])
        assert [entry.id for entry in store.scan(scratch)] == [1]
