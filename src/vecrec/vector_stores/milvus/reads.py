"""One collection as the engine has it: rows by condition, pages, counts and top lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vecrec.ids import Id, decode_id
from vecrec.vector_stores.base import Entry
from vecrec.vector_stores.milvus.filters import id_in, quote
from vecrec.vector_stores.milvus.layout import ID, VECTOR, ZERO

if TYPE_CHECKING:
    from vecrec.vector_stores.checks import Vectors
    from vecrec.vector_stores.milvus.client import Client
    from vecrec.vector_stores.milvus.layout import Layout

__all__ = ["WINDOW", "Table"]

WINDOW = 16_384
"""The most hits, rows or queries of one request to a server."""

_PAGE_BYTES = 16 * 2**20
_QUERY_BYTES = 16 * 2**20
_HITS = 100_000

# Milvus Lite compares all queries of a request with all vectors at once: a hundred million scores take half a gigabyte.
_LITE_QUERIES = 256


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

    def top(self, queries: Vectors, limit: int, condition: str) -> list[list[tuple[str, float]]]:
        """For each query the tagged ids and scores of at most ``limit`` entries, in the engine's order."""
        step = max(1, min(WINDOW, _QUERY_BYTES // (4 * self.layout.spec.dim), _HITS // limit))
        if self.client.address.lite:
            step = min(step, _LITE_QUERIES)
        found: list[list[tuple[str, float]]] = []
        for start in range(0, len(queries), step):
            found += self._top(queries[start : start + step], limit, condition)
        return found

    def _top(self, queries: Vectors, limit: int, condition: str) -> list[list[tuple[str, float]]]:
        lists = self.client.call(
            f"search in {self.name!r}",
            "search",
            self.name,
            data=list(queries),
            anns_field=VECTOR,
            filter=condition,
            limit=limit,
            output_fields=[ID],
            search_params={"metric_type": self.layout.metric, "params": self.layout.index.search(limit)},
            consistency_level=self.consistency,
        )
        return [[(hit[ID], float(hit["distance"])) for hit in hits] for hits in lists]

    def count(self, condition: str) -> int:
        """How many entries meet a condition."""
        rows = self._query(condition, ["count(*)"])
        return int(rows[0]["count(*)"])

    def zeros(self, condition: str) -> Iterator[list[Entry]]:
        """The entries with a zero vector, which a server leaves out of a search by angle. Ids only."""
        wanted = f"{ZERO} == true"
        for rows in self._pages(f"({condition}) and {wanted}" if condition else wanted, [ID], WINDOW):
            yield [Entry(decode_id(row[ID]), None, {}) for row in rows]

    def fetch(self, ids: list[Id]) -> Iterator[Entry]:
        """The entries of those ids that are there, in any order."""
        names = [ID, VECTOR, *self.layout.names()]
        step = self._step(1000, vectors=True)
        for start in range(0, len(ids), step):
            for row in self._query(id_in(ids[start : start + step]), names):
                yield self._entry(row)

    def pages(
        self, condition: str, size: int, *, vectors: bool = True, attributes: bool = True
    ) -> Iterator[list[Entry]]:
        """All entries that meet a condition, ``size`` at a time or fewer, by their tagged ids."""
        names = [ID, *([VECTOR] if vectors else []), *(self.layout.names() if attributes else [])]
        for rows in self._pages(condition, names, self._step(size, vectors=vectors)):
            yield [self._entry(row) for row in rows]

    def _pages(self, condition: str, names: list[str], size: int) -> Iterator[list[dict[str, Any]]]:
        # The engine's own iterator does not escape the id that it continues from.
        last = ""
        while True:
            beyond = f"{ID} > {quote(last)}"
            rows = self._query(
                f"({condition}) and {beyond}" if condition else beyond,
                names,
                limit=size,
                # These two make a page the next `size` ids in their order, and not any `size` rows.
                iterator="True",
                reduce_stop_for_best="True",
            )
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
