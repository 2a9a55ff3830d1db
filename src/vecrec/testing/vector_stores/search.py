"""The promises about searching: scores, order and filters."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrec.filters import field
from vecrec.ids import Id, id_order
from vecrec.testing.base import expected, refused, same, same_ids
from vecrec.testing.data import DIM, HOSTILE_TEXTS, axis, random_filter, whole
from vecrec.testing.vector_stores.base import Library, VectorStoreKit
from vecrec.types import Hit
from vecrec.vector_stores.base import VectorStore

__all__ = ["SearchTests"]


class SearchTests(VectorStoreKit):
    """Tests of ``search``."""

    @pytest.mark.parametrize("k", [1, 7, 100])
    def test_search_gives_the_best_by_inner_product(self, store: VectorStore, library: Library, k: int) -> None:
        """The hits are those of a comparison with every entry, equal scores by id, the k-th place included."""
        queries = whole(np.random.default_rng(11), 5)
        for query, hits in zip(queries, store.search(library.name, queries, k)):
            assert same([hit.id for hit in hits], _best(library, query, k))

    @pytest.mark.parametrize("k", [1, 7, 100])
    def test_search_gives_the_best_by_angle(self, store: VectorStore, angles: Library, k: int) -> None:
        """With metric ``"cosine"`` the lengths of vectors and queries do not matter."""
        queries = np.random.default_rng(12).standard_normal((5, DIM)) * np.array([[1e-3], [1e-1], [1], [10], [1e3]])
        for query, hits in zip(queries.astype(np.float32), store.search(angles.name, queries, k)):
            scores = angles.scores(query)
            found = [scores[angles.ids.index(hit.id)] for hit in hits]
            np.testing.assert_allclose(found, np.sort(scores)[::-1][:k], rtol=1e-4, atol=1e-6)
            assert len({hit.id for hit in hits}) == k

    def test_the_score_is_the_inner_product(self, store: VectorStore, scratch: str) -> None:
        """Each score is the product of query and vector to four digits, for vectors large and small, as a ``float``."""
        rng = np.random.default_rng(13)
        vectors = (rng.standard_normal((50, DIM)) * 10.0 ** rng.uniform(-3, 3, (50, 1))).astype(np.float32)
        query = rng.standard_normal(DIM).astype(np.float32)
        store.upsert(scratch, range(50), vectors)

        hits = store.search(scratch, [query], 50)[0]
        products = vectors.astype(np.float64) @ query.astype(np.float64)
        sizes = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        assert same_ids((hit.id for hit in hits), range(50))
        for hit in hits:
            assert type(hit) is Hit
            assert type(hit.score) is float
            assert isinstance(hit.id, int)
            assert abs(hit.score - products[hit.id]) <= 1e-4 * abs(products[hit.id]) + 1e-6 * sizes[hit.id]

    def test_the_score_by_angle_is_the_cosine(self, store: VectorStore, angles: Library) -> None:
        """With metric ``"cosine"`` a score is the cosine, from -1 to 1."""
        query = angles.vectors[0]
        hits = store.search(angles.name, [query], len(angles.ids))[0]
        scores = angles.scores(query)
        assert same_ids((hit.id for hit in hits), expected(angles.ids))
        for hit in hits:
            assert hit.score == pytest.approx(scores[angles.ids.index(hit.id)], rel=1e-4, abs=1e-5)

    def test_a_higher_score_is_better(self, store: VectorStore, scratch: str) -> None:
        """Scores fall along the list: the longest vector in the query's direction is first, the opposite one last."""
        lengths = [1.0, -2.0, 4.0, 0.0, -0.5, 2.0]
        store.upsert(scratch, range(6), [axis(0, length) for length in lengths])

        hits = store.search(scratch, [axis(0)], 6)[0]
        assert [hit.id for hit in hits] == [2, 5, 0, 3, 4, 1]
        assert [hit.score for hit in hits] == [4, 2, 1, 0, -0.5, -2]

    def test_equal_scores_are_ordered_by_id(self, store: VectorStore, scratch: str) -> None:
        """Integers by value come first, then strings by code point; at the k-th place the first of them are taken."""
        ids: list[Id] = ["b", 10, "B", 2, "", "a", -1, "\U0001f3ac", "10", "\uffee", "2", 2**60, "aa", -(2**60)]
        ordered = sorted(ids, key=id_order)
        store.upsert(scratch, ids, [axis(0)] * len(ids))
        store.upsert(scratch, ["z best", 5], [axis(0, 2), axis(1)])

        whole_list = ["z best", *expected(ordered), 5]
        for k in (len(whole_list), 1, 2, 5, 9, len(ids)):
            assert same([hit.id for hit in store.search(scratch, [axis(0)], k)[0]], whole_list[:k])

    def test_many_equal_scores_are_cut_by_id(self, store: VectorStore, scratch: str) -> None:
        """Among more equal scores than any over-fetch of a few, the k first ids are found."""
        order = np.random.default_rng(14).permutation(500).tolist()
        store.upsert(scratch, order, [axis(0)] * 500)
        for k in (1, 10):
            assert [hit.id for hit in store.search(scratch, [axis(0)], k)[0]] == list(range(k))

    @pytest.mark.parametrize("extra", [0, 1, 100_000])
    def test_k_beyond_the_count_gives_all_there_is(self, store: VectorStore, library: Library, extra: int) -> None:
        """With fewer entries than ``k`` all of them come, once each, also for a ``k`` beyond the engine's own limit."""
        query = library.vectors[3]
        hits = store.search(library.name, [query], len(library.ids) + extra)[0]
        assert same([hit.id for hit in hits], _best(library, query, len(library.ids)))

    def test_each_query_has_its_own_list_in_order(self, store: VectorStore, scratch: str) -> None:
        """The lists come in the order of the queries, however many, and each is what its query alone would give."""
        store.upsert(scratch, range(DIM), [axis(position) for position in range(DIM)])
        count = 17_000  # more than an engine may take in one request
        queries = np.eye(DIM, dtype=np.float32)[np.arange(count) % DIM]
        hits = store.search(scratch, queries, 1)
        assert len(hits) == count
        assert [hit.id for row in hits for hit in row] == [number % DIM for number in range(count)]

        both = store.search(scratch, queries[1:3], 4)
        assert both == [store.search(scratch, queries[1:2], 4)[0], store.search(scratch, queries[2:3], 4)[0]]

    def test_bad_searches_are_refused(self, store: VectorStore, library: Library) -> None:
        """A ``k`` below 1 or no whole number, NaN and infinity, and a filter that does not fit the fields."""
        query = axis(0)
        ks: list[Any] = [0, -1, True, 1.0, "1", None, float("nan")]
        queries: dict[str, Any] = {
            "NaN": [query * np.nan],
            "infinity": [query + np.inf],
            "text": [["1"] * DIM],
            "None": None,
        }
        filters: dict[str, Any] = {
            "an unknown field": field("unknown") == 1,
            "an unknown field below": (field("year") == 1) | ~(field("unknown") == 1),
            "text for a number": field("year") == "1990",
            "a number for text": field("lang") == 1,
            "a bool for a number": field("year") == True,  # noqa: E712  # it builds a filter
            "one value of a list field": field("genres") == "Comedy",
            "a list of a single field": field("lang").contains("en"),
            "text for a list of numbers": field("codes").contains("1"),
            "one wrong value among others": field("year").is_in([1, "1"]),
            "a string": "year > 1990",
            "a mapping": {"year": 1990},
            "a field": field("year"),
        }
        refused(
            {f"k={k!r}": partial(store.search, library.name, [query], k) for k in ks}
            | {name: partial(store.search, library.name, bad, 1) for name, bad in queries.items()}
            | {name: partial(store.search, library.name, [query], 1, bad) for name, bad in filters.items()}
            | {"no query": lambda: store.search(library.name, [], 1, field("unknown") == 1)}
        )

    def test_a_filter_is_applied_before_the_best_are_taken(self, store: VectorStore, scratch: str) -> None:
        """However many better entries do not match, each query finds the k best of those that match."""
        count = 400
        store.upsert(
            scratch, range(count), [axis(0, 1.0 + n) for n in range(count)], [{"year": n} for n in range(count)]
        )

        rows = store.search(scratch, [axis(0), axis(0, -1.0), axis(0, 2.0)], 3, field("year") < 10)
        assert [[hit.id for hit in hits] for hits in rows] == [[9, 8, 7], [0, 1, 2], [9, 8, 7]]
        assert store.search(scratch, [axis(0)], 3, field("year") < -10) == [[]]

    def test_random_filters_find_what_the_evaluator_finds(self, store: VectorStore, library: Library) -> None:
        """Filters of any shape, on entries of any kind, find exactly what `Filter.matches`, best first."""
        rng = np.random.default_rng(15)
        partial = 0
        for _ in range(self.filter_examples):
            where = random_filter(rng)
            matching = library.matching(where)
            partial += 0 < len(matching) < len(library.ids)
            query = whole(rng, 1)[0]
            hits = store.search(library.name, [query], len(library.ids), where)[0]
            assert same([hit.id for hit in hits], _best(library, query, len(library.ids), set(matching))), where
        assert partial >= max(1, self.filter_examples // 3), "too few of the filters separate anything"

    def test_missing_attributes_meet_no_condition(self, store: VectorStore, scratch: str) -> None:
        """Where there is no value no comparison holds, ``!=`` and ``is_in`` included; ``~`` turns that round."""
        rows: list[dict[str, Any]] = [{"year": 1, "lang": "x"}, {"year": None}, {}, {"genres": []}, {"genres": ["a"]}]
        store.upsert(scratch, range(5), [axis(0)] * 5, rows)
        year, genres = field("year"), field("genres")
        found = {
            "==": _found(store, scratch, year == 1),
            "!=": _found(store, scratch, year != 2),
            "~ ==": _found(store, scratch, ~(year == 2)),
            "~ >=": _found(store, scratch, ~(year >= 1)),
            "~ !=": _found(store, scratch, ~(year != 2)),
            "is_in nothing": _found(store, scratch, year.is_in([])),
            "~ is_in nothing": _found(store, scratch, ~year.is_in([])),
            "~ contains": _found(store, scratch, ~genres.contains("a")),
            "~ (and)": _found(store, scratch, ~((year == 1) & (field("lang") == "x"))),
        }
        assert found == {
            "==": [0],
            "!=": [0],
            "~ ==": [0, 1, 2, 3, 4],
            "~ >=": [1, 2, 3, 4],
            "~ !=": [1, 2, 3, 4],
            "is_in nothing": [],
            "~ is_in nothing": [0, 1, 2, 3, 4],
            "~ contains": [0, 1, 2, 3],
            "~ (and)": [1, 2, 3, 4],
        }

    def test_a_bool_is_no_integer(self, store: VectorStore, scratch: str) -> None:
        """``True`` in a boolean field and ``1`` in an integer one stay apart, when read and when searched."""
        store.upsert(
            scratch, [1, 2, 3], [axis(0)] * 3, [{"flag": True, "year": 0}, {"flag": False, "year": 1}, {"year": 1}]
        )

        assert same(
            [entry.attributes.get("flag") for entry in store.fetch(scratch, [1, 2, 3]).values()], [True, False, None]
        )
        assert _found(store, scratch, field("flag") == True) == [1]  # noqa: E712  # it builds a filter
        assert _found(store, scratch, field("flag") != True) == [2]  # noqa: E712
        assert _found(store, scratch, field("flag").is_in([True, False])) == [1, 2]
        assert _found(store, scratch, field("year") == 1) == [2, 3]

    def test_large_integers_compare_exactly(self, store: VectorStore, scratch: str) -> None:
        """Integers beyond 2**53 are not rounded to floats on the way."""
        years = [2**53, 2**53 + 1, 2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1]
        store.upsert(scratch, range(6), [axis(0)] * 6, [{"year": year, "codes": [year]} for year in years])

        assert [_found(store, scratch, field("year") == year) for year in years] == [[n] for n in range(6)]
        assert _found(store, scratch, field("codes").contains(2**53 + 1)) == [1]
        assert _found(store, scratch, field("year") > 2**63 - 2) == [2]

    def test_every_string_is_a_value_to_compare_with(self, store: VectorStore, scratch: str) -> None:
        """Hostile text in a filter finds the entries that hold it and no others: it is never taken for syntax."""
        texts = expected(HOSTILE_TEXTS)
        rows = [{"lang": text, "genres": ["common", text]} for text in texts]
        store.upsert(scratch, range(len(texts)), [axis(0)] * len(texts), rows)

        assert _found(store, scratch, field("lang").is_in(texts)) == list(range(len(texts)))
        assert _found(store, scratch, field("genres").contains("common")) == list(range(len(texts)))
        for number in range(0, len(texts), 2):
            where = (field("lang") == texts[number]) & field("genres").contains(texts[number])
            assert _found(store, scratch, where) == [number], where
        lists = [list(texts[start::4]) for start in range(4)]
        assert [_found(store, scratch, ~field("lang").is_in(some)) for some in lists] == [
            [n for n in range(len(texts)) if n % 4 != start] for start in range(4)
        ]


def _best(library: Library, query: NDArray[np.float32], k: int, allowed: set[Id] | None = None) -> list[Id]:
    scores = dict(zip(library.ids, library.scores(query).tolist()))
    ids = [key for key in expected(library.ids) if allowed is None or key in allowed]
    return sorted(ids, key=lambda key: (-scores[key], id_order(key)))[:k]


def _found(store: VectorStore, collection: str, where: Any) -> list[Id]:
    return [hit.id for hit in store.search(collection, [axis(0)], 1000, where)[0]]
