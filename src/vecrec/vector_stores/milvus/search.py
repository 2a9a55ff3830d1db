"""The k best entries for each query, exactly in the order of the contract.

The engine gives a list one longer than k. Where equal scores at its end leave open who belongs to the k best, longer
ones are asked for. Where it gives fewer than there are, as the graph of an index does that holds many equal vectors,
and where it cannot do what is asked at all, the entries are read and compared here.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.ids import Id, decode_id, id_order
from vecrec.types import Hit
from vecrec.vector_stores.milvus.filters import NEVER, Inexpressible, compile_filter
from vecrec.vector_stores.milvus.reads import WINDOW

if TYPE_CHECKING:
    from vecrec.filters import Filter
    from vecrec.vector_stores.checks import Vectors
    from vecrec.vector_stores.milvus.reads import Table

__all__ = ["search"]

_PAGE = 2_000

_Ranked: TypeAlias = "list[tuple[float, Id]]"


def search(table: Table, queries: Vectors, k: int, where: Filter | None) -> list[list[Hit]]:
    """The k best entries for each query that meet the filter."""
    try:
        condition = compile_filter(where, table.layout)
    except Inexpressible:
        return _compare_all(table, queries, k, "", where)
    if condition == NEVER:
        return [[] for _ in queries]
    if k >= WINDOW:
        return _compare_all(table, queries, k, condition.text, None)
    return _Search(table, k, condition.text).run(queries)


class _Search:
    """One search by the engine, for any number of queries."""

    def __init__(self, table: Table, k: int, condition: str) -> None:
        self._table, self._k, self._condition = table, k, condition
        self._total: int | None = None
        self._zeros: list[Id] | None = None

    def run(self, queries: Vectors) -> list[list[Hit]]:
        found: list[list[Hit]] = [[] for _ in queries]
        waiting, limit = list(range(len(queries))), self._k + 1
        while waiting:
            given_up = self._round(queries, waiting, limit, found)
            if limit == WINDOW:
                given_up, waiting = [*given_up, *waiting], []
            if given_up:
                exact = _compare_all(self._table, queries[given_up], self._k, self._condition, None)
                for position, hits in zip(given_up, exact):
                    found[position] = hits
            limit = min(4 * limit + 64, WINDOW)
        return found

    def _round(self, queries: Vectors, waiting: list[int], limit: int, found: list[list[Hit]]) -> list[int]:
        """Ask the engine once. Leaves in ``waiting`` who needs longer lists, and gives those whom none would help."""
        # The usual case, all queries, needs no copy.
        asked = queries if len(waiting) == len(queries) else queries[waiting]
        lists = self._table.top(asked, limit, self._condition)
        positions, given_up = list(waiting), []
        waiting.clear()
        for position, pairs in zip(positions, lists):
            ranked = self._ranked(pairs, limit)
            if len(pairs) < limit and len(ranked) < min(limit, self._count()):
                given_up.append(position)
            elif len(pairs) == limit and self._is_open(ranked, pairs):
                waiting.append(position)
            else:
                found[position] = _hits(ranked, self._k)
        return given_up

    def _ranked(self, pairs: Sequence[tuple[str, float]], limit: int) -> _Ranked:
        ranked = [(score, decode_id(text)) for text, score in pairs]
        if self._table.layout.spec.metric == "cosine" and (len(pairs) < limit or pairs[-1][1] <= 0):
            known = {key for _, key in ranked}
            ranked += [(0.0, key) for key in self._zero_ids() if key not in known]
        ranked.sort(key=_place)
        return ranked

    def _is_open(self, ranked: _Ranked, pairs: Sequence[tuple[str, float]]) -> bool:
        """Whether an entry beyond the engine's list may belong to the k best, as far as its score tells."""
        return ranked[self._k - 1][0] <= pairs[-1][1]

    def _count(self) -> int:
        if self._total is None:
            self._total = self._table.count(self._condition)
        return self._total

    def _zero_ids(self) -> list[Id]:
        if self._zeros is None:
            self._zeros = [entry.id for page in self._table.zeros(self._condition) for entry in page]
        return self._zeros


def _compare_all(table: Table, queries: Vectors, k: int, condition: str, where: Filter | None) -> list[list[Hit]]:
    """The k best of all entries, read page by page: exact, slow, and small in memory."""
    cosine = table.layout.spec.metric == "cosine"
    vectors = _unit(queries) if cosine else queries
    best: list[_Ranked] = [[] for _ in queries]
    for page in table.pages(condition, _PAGE, attributes=where is not None):
        entries = [entry for entry in page if where is None or where.matches(entry.attributes)]
        ids = [entry.id for entry in entries]
        matrix = np.array([entry.vector for entry in entries], np.float32).reshape(len(ids), table.layout.spec.dim)
        matrix = _unit(matrix) if cosine else matrix
        for number, vector in enumerate(vectors):
            # Row by row, so that equal vectors get equal scores wherever they stand; a product of matrices rounds
            # by place.
            best[number] += zip((matrix * vector).sum(axis=1).tolist(), ids)
            if len(best[number]) > 2 * k + _PAGE:
                best[number] = heapq.nsmallest(k, best[number], key=_place)
    return [_hits(sorted(ranked, key=_place), k) for ranked in best]


def _place(pair: tuple[float, Id]) -> tuple[float, tuple[bool, int, str]]:
    return -pair[0], id_order(pair[1])


def _hits(ranked: _Ranked, k: int) -> list[Hit]:
    return [Hit(key, score) for score, key in ranked[:k]]


def _unit(matrix: Vectors) -> NDArray[np.float32]:
    # In double precision, since the squares of small numbers vanish in single.
    wide = matrix.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(lengths > 0, lengths, 1)).astype(np.float32)
