"""One collection as the engine has it: rows by condition, pages, counts, and searches in the order of the contract.

For a search the engine returns a list one longer than k. Where equal scores at its end leave open which entries are
among the k best, longer lists are asked for. Where it returns fewer than there are, as the graph of an index does that
holds many equal vectors, and where it cannot express the filter, the entries are read and compared here.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import gt
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vecrec._internal.exact import unit
from vecrec.errors import StoreError
from vecrec.ids import Id, decode_id, id_order
from vecrec.types import Hit
from vecrec.vector_stores.base import Entry
from vecrec.vector_stores.milvus.client import halved
from vecrec.vector_stores.milvus.errors import is_too_large
from vecrec.vector_stores.milvus.filters import NEVER, Inexpressible, compile_filter, id_in, quote
from vecrec.vector_stores.milvus.layout import ID, VECTOR, ZERO

if TYPE_CHECKING:
    from vecrec.filters import Filter
    from vecrec.vector_stores.base import Vectors
    from vecrec.vector_stores.milvus.client import Client
    from vecrec.vector_stores.milvus.layout import Layout

__all__ = ["WINDOW", "Table", "search"]

WINDOW = 16_384
"""The most hits, rows or queries of one request to a server."""

_PAGE_BYTES = 16 * 2**20
_QUERY_BYTES = 16 * 2**20
_HITS = 100_000

# Milvus Lite compares all queries of a request with all vectors at once: a hundred million scores take half a gigabyte.
_LITE_QUERIES = 256


_PAGE = 2_000

_SEARCHED: dict[str, Any] = {"fields": [{"name": VECTOR, "type": 101}]}
"""What pymilvus has to know of a collection to send bytes: its DataType.FLOAT_VECTOR."""

_Ranked: TypeAlias = "list[tuple[float, Id]]"

_Columns: TypeAlias = "tuple[Sequence[str], Sequence[float]]"


@dataclass(frozen=True, slots=True)
class Table:
    """A collection, its layout and the connection to it."""

    client: Client
    """The connection."""
    name: str
    """The collection."""
    layout: Layout
    """Its columns."""
    consistency: str
    """How recent a read has to be, in the engine's terms."""
    effort: int | None = 1
    """How many times as much as usual a search looks at; ``None`` for comparing with every entry."""

    def top(self, queries: Vectors, limit: int, condition: str) -> list[_Columns]:
        """For each query the tagged ids and the scores of at most ``limit`` entries, in the engine's order."""
        step = max(1, min(WINDOW, _QUERY_BYTES // (4 * self.layout.spec.dim), _HITS // limit))
        if self.client.address.lite:
            step = min(step, _LITE_QUERIES)
        found: list[_Columns] = []
        for start in range(0, len(queries), step):
            for lists in halved(queries[start : start + step], lambda part: self._top(part, limit, condition)):
                found += lists
        return found

    def _top(self, queries: Vectors, limit: int, condition: str) -> list[_Columns]:
        settings = self.layout.index.search(limit, self.effort or 1)
        lists = self.client.call(
            f"search in {self.name!r}",
            "search",
            self.name,
            # As bytes: of a matrix pymilvus would make an object for each number.
            data=[query.tobytes() for query in queries],
            schema=_SEARCHED,
            anns_field=VECTOR,
            filter=condition,
            limit=limit,
            # A server gives the ids anyway, and takes them for one column more; Lite would return all columns.
            output_fields=[ID] if self.client.address.lite else [],
            search_params={"metric_type": self.layout.metric, "params": settings},
            consistency_level=self.consistency,
        )
        return [(hits.ids, hits.distances) for hits in lists]

    def count(self, condition: str) -> int:
        """How many entries meet a condition."""
        rows = self._query(condition, ["count(*)"])
        return int(rows[0]["count(*)"])

    def zeros(self, condition: str) -> Iterator[list[Entry]]:
        """The entries with a zero vector, which a server leaves out of a search by angle. Ids only."""
        wanted = f"{ZERO} == true"
        for rows in self._pages(f"({condition}) and {wanted}" if condition else wanted, [ID], WINDOW):
            yield [Entry(decode_id(row[ID]), None, {}) for row in rows]

    def fetch(self, ids: list[Id], fields: Collection[str] | None = None) -> Iterator[Entry]:
        """The entries of those ids that are there, in any order, with some attributes or all; see `pages`."""
        names = [ID, VECTOR, *self.layout.names(fields)]
        step = self._step(1000, vectors=True)
        for start in range(0, len(ids), step):
            for rows in halved(ids[start : start + step], lambda part: self._query(id_in(part), names)):
                yield from map(self._entry, rows)

    def pages(
        self, condition: str, size: int, *, vectors: bool = True, fields: Collection[str] | None = None
    ) -> Iterator[list[Entry]]:
        """All entries that meet a condition, ``size`` at a time or fewer, by their tagged ids.

        Args:
            condition: In the engine's language; empty for all.
            size: How many at a time.
            vectors: Whether they come with their vectors.
            fields: The attributes that they come with; ``None`` for all. Each costs time.
        """
        names = [ID, *([VECTOR] if vectors else []), *self.layout.names(fields)]
        for rows in self._pages(condition, names, self._step(size, vectors=vectors)):
            yield [self._entry(row) for row in rows]

    def _pages(self, condition: str, names: list[str], size: int) -> Iterator[list[dict[str, Any]]]:
        # The engine's own iterator does not escape the id that it continues from.
        last = ""
        while True:
            beyond = f"{ID} > {quote(last)}"
            try:
                rows = self._query(
                    f"({condition}) and {beyond}" if condition else beyond,
                    names,
                    limit=size,
                    # These two make a page the next `size` ids in their order, and not any `size` rows.
                    iterator="True",
                    reduce_stop_for_best="True",
                )
            except StoreError as error:
                if size == 1 or not is_too_large(error.__cause__):
                    raise
                size //= 2
                continue
            # A short page is not the last one: a server ends a page where one of its segments has no more.
            if not rows:
                return
            yield rows
            last = max(row[ID] for row in rows)

    def _query(self, condition: str, names: list[str], **options: Any) -> list[dict[str, Any]]:
        rows = self.client.call(
            f"read of {self.name!r}",
            "query",
            self.name,
            filter=condition,
            output_fields=names,
            consistency_level=self.consistency,
            **options,
        )
        return list(rows)

    def _entry(self, row: dict[str, Any]) -> Entry:
        vector = np.array(row[VECTOR], np.float32) if VECTOR in row else None
        return Entry(decode_id(row[ID]), vector, self.layout.attributes(row))

    def _step(self, size: int, *, vectors: bool) -> int:
        width = 4 * self.layout.spec.dim if vectors else 0
        return max(1, min(size, WINDOW, _PAGE_BYTES // (width + 1024)))


def search(table: Table, queries: Vectors, k: int, where: Filter | None) -> list[list[Hit]]:
    """The k best entries for each query that meet the filter."""
    try:
        condition = compile_filter(where, table.layout)
    except Inexpressible:
        return _compare_all(table, queries, k, "", where)
    if condition == NEVER:
        return [[] for _ in queries]
    if k >= WINDOW or table.effort is None:
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
        """Ask the engine once; the queries to be compared here. ``waiting`` keeps those that need longer lists."""
        # The usual case, all queries, needs no copy.
        asked = queries if len(waiting) == len(queries) else queries[waiting]
        lists = self._table.top(asked, limit, self._condition)
        positions, given_up = list(waiting), []
        waiting.clear()
        for position, (texts, given) in zip(positions, lists):
            ids, scores = self._ranked(texts, given, limit)
            if len(texts) < limit and len(ids) < min(limit, self._count()):
                given_up.append(position)
            elif len(texts) == limit and scores[self._k - 1] <= given[-1]:
                waiting.append(position)  # an entry beyond the engine's list may belong to the k best
            else:
                found[position] = Hit.of(ids[: self._k], scores)
        return given_up

    def _ranked(self, texts: Sequence[str], given: Sequence[float], limit: int) -> tuple[list[Id], list[float]]:
        ids, scores = [*map(decode_id, texts)], [*given]
        if self._table.layout.spec.metric == "cosine" and (len(ids) < limit or scores[-1] <= 0):
            known = {*ids}
            ids += [key for key in self._zero_ids() if key not in known]
            scores += [0.0] * (len(ids) - len(scores))
        if all(map(gt, scores, islice(scores, 1, None))):
            return ids, scores
        ranked = sorted(zip(scores, ids), key=_place)
        return [key for _, key in ranked], [score for score, _ in ranked]

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
    vectors = unit(queries) if cosine else queries
    best: list[_Ranked] = [[] for _ in queries]
    fields = {leaf.name for leaf in where.leaves()} if where is not None else ()
    for page in table.pages(condition, _PAGE, fields=fields):
        entries = [entry for entry in page if where is None or where.matches(entry.attributes)]
        ids = [entry.id for entry in entries]
        matrix = np.array([entry.vector for entry in entries], np.float32).reshape(len(ids), table.layout.spec.dim)
        matrix = unit(matrix) if cosine else matrix
        for number, vector in enumerate(vectors):
            # Row by row, so that equal vectors get equal scores wherever they stand; a product of matrices rounds
            # by place.
            best[number] += zip((matrix * vector).sum(axis=1).tolist(), ids)
            if len(best[number]) > 2 * k + _PAGE:
                best[number] = heapq.nsmallest(k, best[number], key=_place)
    return [[Hit(key, score) for score, key in heapq.nsmallest(k, ranked, key=_place)] for ranked in best]


def _place(pair: tuple[float, Id]) -> tuple[float, tuple[bool, int, str]]:
    return -pair[0], id_order(pair[1])
