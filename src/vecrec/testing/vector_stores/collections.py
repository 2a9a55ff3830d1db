"""The promises about collections."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from vecrec.errors import CollectionExistsError, CollectionNotFoundError
from vecrec.testing.base import expected, refused
from vecrec.testing.data import DIM, FIELDS, axis
from vecrec.testing.vector_stores.base import Library, VectorStoreKit, fresh_name
from vecrec.vector_stores.base import CollectionSpec, VectorStore

__all__ = ["CollectionTests"]


class CollectionTests(VectorStoreKit):
    """Tests of ``create``, ``drop``, ``collections`` and ``spec``."""

    def test_a_created_collection_is_empty(self, store: VectorStore, scratch: str) -> None:
        """An empty collection counts nothing, finds nothing, and none of that is an error."""
        store.upsert(scratch, [1], [axis(0)])
        store.delete(scratch, [1])

        assert store.count(scratch) == 0
        assert store.search(scratch, [axis(0), axis(1)], 5) == [[], []]
        assert store.fetch(scratch, [1, "1"]) == {}
        assert list(store.scan(scratch, vectors=True)) == []
        store.delete(scratch, [1])
        store.flush(scratch)

    def test_create_refuses_a_name_that_is_taken(self, store: VectorStore, library: Library) -> None:
        """Creating a collection again raises and leaves the first as it was, whatever spec is given."""
        for spec in (library.spec, CollectionSpec(3)):
            with pytest.raises(CollectionExistsError):
                store.create(library.name, spec)

        assert store.spec(library.name) == library.spec
        assert store.count(library.name) == len(expected(library.ids))

    def test_create_refuses_what_is_no_name(self, store: VectorStore) -> None:
        """A name is a letter or underscore followed by up to 199 letters, digits and underscores."""
        spec = CollectionSpec(DIM)
        names: list[Any] = ["", "1a", "a-b", "a b", "é", "a" * 201, "a\n", "a.b", "a; drop", "*", None, 3, b"a", ["a"]]
        before = set(store.collections())

        refused({repr(name): partial(store.create, name, spec) for name in names})

        assert not {name for name in names if isinstance(name, str)} & (set(store.collections()) - before)

    def test_create_refuses_what_is_no_spec(self, store: VectorStore) -> None:
        """A collection is made from a `CollectionSpec` and nothing like it."""
        name = fresh_name()
        others: list[Any] = [None, DIM, {"dim": DIM}, CollectionSpec]

        refused({repr(other): partial(store.create, name, other) for other in others})

        assert name not in store.collections()

    def test_names_of_any_length_and_case_are_distinct_and_listed_in_order(
        self, store: VectorStore, scratch: str, library: Library
    ) -> None:
        """The longest names work, names that differ in their case only are two, and the list of names is sorted."""
        longest = (f"_K{fresh_name()}" + "xY9_" * 50)[:200]
        names = [longest, longest.swapcase()]
        try:
            for position, name in enumerate(names):
                store.create(name, CollectionSpec(position + 1))
            listed = store.collections()
            assert {*names, scratch, library.name} <= set(listed)
            assert listed == sorted(set(listed))
            assert [store.spec(name).dim for name in names] == [1, 2]
        finally:
            for name in names:
                store.drop(name)
        assert not {*names} & {*store.collections()}

    def test_drop_removes_the_collection_and_all_it_holds(self, store: VectorStore) -> None:
        """After ``drop`` there is no such collection; made again it is empty. A second ``drop`` is not an error."""
        name = fresh_name()
        try:
            store.create(name, CollectionSpec(DIM, "ip", FIELDS))
            store.upsert(name, [1], [axis(0)], [{"year": 1}])
            store.drop(name)
            store.drop(name)
            assert name not in store.collections()
            refused({"count": lambda: store.count(name)}, CollectionNotFoundError)

            store.create(name, CollectionSpec(2, "cosine"))
            assert store.spec(name) == CollectionSpec(2, "cosine")
            assert store.count(name) == 0
            store.upsert(name, [2], [[3.0, 4.0]])
            assert [hit.id for hit in store.search(name, [[1.0, 1.0]], 5)[0]] == [2]
        finally:
            store.drop(name)

    def test_spec_is_what_the_collection_was_created_with(
        self, store: VectorStore, library: Library, angles: Library
    ) -> None:
        """``spec`` returns the dimension, the metric and the fields with their types."""
        assert store.spec(library.name) == library.spec
        assert store.spec(angles.name) == angles.spec

    def test_spec_is_known_to_every_connection(self, store: VectorStore, library: Library, angles: Library) -> None:
        """``spec`` answers alike in every process."""
        if not self.persistent:
            pytest.skip("this store lives in its process only")
        with self.reopen(store) as other:
            assert other.spec(library.name) == library.spec
            assert other.spec(angles.name) == angles.spec
            assert {library.name, angles.name} <= set(other.collections())

    def test_every_call_names_a_collection_that_is_missing(self, store: VectorStore) -> None:
        """Each call on a collection that is not there raises `CollectionNotFoundError`, ``scan`` at the call."""
        name = fresh_name()
        refused(
            {
                "spec": lambda: store.spec(name),
                "upsert": lambda: store.upsert(name, [1], [axis(0)]),
                "upsert of nothing": lambda: store.upsert(name, [], []),
                "delete": lambda: store.delete(name, [1]),
                "search": lambda: store.search(name, [axis(0)], 1),
                "fetch": lambda: store.fetch(name, [1]),
                "scan": lambda: store.scan(name),
                "count": lambda: store.count(name),
                "flush": lambda: store.flush(name),
            },
            CollectionNotFoundError,
        )
        assert name not in store.collections()
        store.drop(name)

    def test_collections_are_independent(self, store: VectorStore, scratch: str, library: Library) -> None:
        """What happens to an id in one collection leaves the same id in another alone."""
        key = library.ids[0]
        store.upsert(scratch, [key, "only here"], [axis(0), axis(1)])
        store.delete(scratch, [key])

        assert store.count(scratch) == 1
        assert store.count(library.name) == len(library.ids)
        assert list(store.fetch(library.name, [key, "only here"])) == [key]
