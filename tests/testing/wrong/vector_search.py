"""Vector stores that are wrong about searching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from typing_extensions import override

from tests.testing.references import SharedVectorStore
from tests.testing.wrong import caught_by
from vecrec.errors import StoreError
from vecrec.filters import And, Comparison, Contains, ContainsAny, Filter, IsIn, Not, Or
from vecrec.ids import Id
from vecrec.types import Hit
from vecrec.vector_stores import CollectionSpec, Entry
from vecrec.vector_stores.base import Vectors, check_vectors


class _Search(SharedVectorStore):
    """Bends the list of all matching hits before it is cut to k."""

    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        return hits[:k]

    def question(self, collection: str, where: Filter | None) -> Filter | None:
        return where

    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        rows = super()._search(collection, spec, queries, 10**9, self.question(collection, where))
        return [self.bend(collection, query, hits, k) for query, hits in zip(queries, rows)]

    def entry(self, collection: str, key: Id) -> Entry:
        return self._data[collection].entries[key]


class _Custom(Filter):
    """A filter that asks a function, to be wrong in a chosen way."""

    __slots__ = ("ask",)

    def __init__(self, ask: Any) -> None:
        self.ask = ask

    @override
    def matches(self, record: Mapping[str, Any]) -> bool:
        return bool(self.ask(record))


@caught_by("test_search_gives_the_best_by_inner_product")
class OrdersByDistance(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        def distance(hit: Hit) -> float:
            vector = self.entry(collection, hit.id).vector
            return 0.0 if vector is None else float(((vector - query) ** 2).sum())

        return sorted(hits, key=distance)[:k]


@caught_by("test_search_gives_the_best_by_inner_product")
class OffByOne(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        return hits[: max(1, k - 1)]


@caught_by("test_search_gives_the_best_by_inner_product")
class GivesOneMore(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        return hits[: k + 1]


@caught_by("test_search_gives_the_best_by_inner_product")
class SkipsTheBest(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        return hits[1 : k + 1]


@caught_by("test_search_gives_the_best_by_angle")
class NeverScales(SharedVectorStore):
    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        return super()._search(collection, CollectionSpec(spec.dim, "ip", spec.fields), queries, k, where)


@caught_by("test_the_score_is_the_inner_product")
class ScoresRounded(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        return [Hit(hit.id, float(np.float16(np.clip(hit.score, -6e4, 6e4)))) for hit in hits[:k]]


@caught_by("test_the_score_is_the_inner_product")
class ScoresOfNumPy(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        return [Hit(hit.id, np.float64(hit.score)) for hit in hits[:k]]


@caught_by("test_the_score_by_angle_is_the_cosine")
class ScoresFromZeroToOne(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        return [Hit(hit.id, (1 + hit.score) / 2) for hit in hits[:k]]


@caught_by("test_a_higher_score_is_better")
class LowerIsBetter(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        return [Hit(hit.id, -hit.score) for hit in hits[:k]]


@caught_by("test_equal_scores_are_ordered_by_id")
class TiesByInsertion(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        places = {key: place for place, key in enumerate(self._data[collection].entries)}
        return sorted(hits, key=lambda hit: (-hit.score, places[hit.id]))[:k]


@caught_by("test_equal_scores_are_ordered_by_id")
class TiesByText(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        return sorted(hits, key=lambda hit: (-hit.score, str(hit.id)))[:k]


@caught_by("test_equal_scores_are_ordered_by_id")
class TiesByUtf16(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        def order(hit: Hit) -> tuple[float, bool, int, bytes]:
            text = isinstance(hit.id, str)
            return -hit.score, text, 0 if text else int(hit.id), str(hit.id).encode("utf-16-be")

        return sorted(hits, key=order)[:k]


@caught_by("test_many_equal_scores_are_cut_by_id")
class TiesOfAFewOnly(_Search):
    """Takes a few more than k in its own order, and sorts those."""

    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        places = {key: place for place, key in enumerate(self._data[collection].entries)}
        some = sorted(hits, key=lambda hit: (-hit.score, places[hit.id]))[: 2 * k + 16]
        return [hit for hit in hits if hit in some][:k]


@caught_by("test_k_beyond_the_count_gives_all_there_is")
class RefusesALargeK(_Search):
    @override
    def bend(self, collection: str, query: Vectors, hits: list[Hit], k: int) -> list[Hit]:
        if k > 16_384:
            raise StoreError("k is beyond 16384")
        return hits[:k]


@caught_by("test_each_query_has_its_own_list_in_order")
class AnswersTheFirstQueries(SharedVectorStore):
    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        return super()._search(collection, spec, queries[:16_384], k, where)


@caught_by("test_bad_searches_are_refused")
class FiltersUnchecked(SharedVectorStore):
    @override
    def search(self, collection: str, queries: Any, k: int, where: Filter | None = None) -> list[list[Hit]]:
        if where is None:
            return super().search(collection, queries, k)
        spec = self.spec(collection)
        return self._search(collection, spec, check_vectors(queries, spec.dim, "queries"), k, where)


@caught_by("test_a_filter_is_applied_before_the_best_are_taken")
class FiltersAfterwards(SharedVectorStore):
    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        rows = super()._search(collection, spec, queries, 10 * k, None)
        entries = self._data[collection].entries
        return [[h for h in row if where is None or where.matches(entries[h.id].attributes)][:k] for row in rows]


@caught_by("test_a_filter_is_applied_before_the_best_are_taken")
class FiltersTheFirstQueryOnly(SharedVectorStore):
    @override
    def _search(
        self, collection: str, spec: CollectionSpec, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        first = super()._search(collection, spec, queries[:1], k, where)
        return first + super()._search(collection, spec, queries[1:], k, None)


@caught_by("test_random_filters_find_what_the_evaluator_finds")
class IgnoresFilters(_Search):
    @override
    def question(self, collection: str, where: Filter | None) -> Filter | None:
        return None


@caught_by("test_random_filters_find_what_the_evaluator_finds")
class FiltersInLowerCase(_Search):
    @override
    def question(self, collection: str, where: Filter | None) -> Filter | None:
        def lower(row: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value.lower() if isinstance(value, str) else value for name, value in row.items()}

        return None if where is None else _Custom(lambda row: where.matches(lower(row)))


def _three_valued(where: Filter, row: Mapping[str, Any]) -> bool | None:
    if isinstance(where, Not):
        inner = _three_valued(where.operand, row)
        return None if inner is None else not inner
    if isinstance(where, (And, Or)):
        sides = [_three_valued(where.left, row), _three_valued(where.right, row)]
        decided = isinstance(where, Or)
        return decided if decided in sides else None if None in sides else not decided
    assert isinstance(where, (Comparison, IsIn, Contains, ContainsAny))
    return None if row.get(where.name) is None else where.matches(row)


@caught_by("test_missing_attributes_meet_no_condition")
class ThreeValuedLogic(_Search):
    """As in SQL: the negation of a condition on a missing value holds no more than the condition."""

    @override
    def question(self, collection: str, where: Filter | None) -> Filter | None:
        return None if where is None else _Custom(lambda row: _three_valued(where, row))


@caught_by("test_a_bool_is_no_integer")
class BoolsAreIntegers(SharedVectorStore):
    @override
    def _fetch(self, collection: str, spec: CollectionSpec, ids: list[Id]) -> dict[Id, Entry]:
        found = super()._fetch(collection, spec, ids)
        return {
            key: Entry(key, e.vector, {n: int(v) if isinstance(v, bool) else v for n, v in e.attributes.items()})
            for key, e in found.items()
        }


@caught_by("test_large_integers_compare_exactly")
class ComparesFloats(_Search):
    @override
    def question(self, collection: str, where: Filter | None) -> Filter | None:
        def floats(where: Filter) -> Filter:
            if isinstance(where, Comparison) and type(where.value) is int:
                return Comparison(where.name, where.op, float(where.value))
            return where

        def row_of_floats(row: Mapping[str, Any]) -> dict[str, Any]:
            return {name: float(value) if type(value) is int else value for name, value in row.items()}

        return None if where is None else _Custom(lambda row: floats(where).matches(row_of_floats(row)))


@caught_by("test_every_string_is_a_value_to_compare_with")
class InjectedFilter(_Search):
    @override
    def question(self, collection: str, where: Filter | None) -> Filter | None:
        return _Custom(lambda row: True) if '" or id !=' in repr(where) else where
