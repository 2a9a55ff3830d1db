"""A small index of the catalogue: its items in the order of a listing, and the values to filter by."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeAlias

from vecrec._internal.batching import batched
from vecrec.filters import Filter, FilterType, check_filter
from vecrec.ids import Id, id_order
from vecrec.recommender import LoadedRelease, Recommender
from vecrec.recommender.catalogue import ITEM, USER
from vecrec.records import Record
from vecrec.types import Item

__all__ = ["Directory", "Facet"]

_MOST = 50_000
_VALUES = 100
_USERS = 2_000
_TELLING = ("_group", "_name", "_label")
_SECONDS = 60.0
_Place: TypeAlias = tuple[int, tuple[bool, int, str], Id]


@dataclass(slots=True)
class Facet:
    """What the items have in a filterable field."""

    type: FilterType
    values: Counter[Any] = field(default_factory=Counter)
    """How many items have a value."""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class _Index:
    release: str
    made: float
    known: set[Id]
    """The items."""
    ranks: Mapping[Id, int]
    """The places of the popular items."""
    order: list[_Place]
    """The most popular items first, the others by id: an order that no write changes."""
    facets: dict[str, Facet]
    labels: dict[str, dict[str, str]]
    """What the values of users' features mean, where their records say so."""

    def rank(self, key: Id) -> int:
        """The place of an item among the popular ones; the number of those for any other."""
        return self.ranks.get(key, len(self.ranks))

    def place(self, key: Id) -> _Place:
        """Where an item is in the order."""
        return self.rank(key), id_order(key), key

    def following(self, places: list[_Place], after: Sequence[Any] | None) -> Iterator[Id]:
        """The items of some places in order, those after a place."""
        start = 0 if after is None else bisect_right(places, (after[0], id_order(after[1]), after[1]))
        return (places[at][2] for at in range(start, len(places)))


class Directory:
    """An index that is made when it is first needed, and again for each release and every minute.

    What this service itself writes is in it at once. Of a larger catalogue it holds the first 50,000 items read.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._index: _Index | None = None
        self._making = threading.Lock()
        self._changing = threading.Lock()
        # What was written since a reading of the catalogue has begun; None while there is none.
        self._written: dict[Id, Record | Mapping[str, Any] | None] | None = None
        # What was written and is not in the index yet, which is copied by the next reader and not by every writer.
        self._late: dict[Id, Record | Mapping[str, Any] | None] = {}

    def wrote(self, records: Mapping[Id, Record | Mapping[str, Any] | None]) -> None:
        """Take over what was written: records by id, ``None`` for items that were removed."""
        with self._changing:
            if self._written is not None:
                self._written.update(records)
            if self._index is not None:
                self._late.update(records)
            if len(self._late) > _MOST:
                self._index, self._late = None, {}  # no request reads it: the next one makes it again

    def facets(self) -> dict[str, Facet]:
        """The filterable fields with their values."""
        return self._fresh().facets

    def labels(self) -> dict[str, dict[str, str]]:
        """What the values of users' features mean: of ``age`` what ``age_group``, ``age_name`` or ``age_label`` say."""
        return self._fresh().labels

    def find(
        self, search: str, where: Filter | None, after: Sequence[Any] | None, limit: int
    ) -> tuple[list[Item], tuple[int, Id] | None]:
        """Items whose records have all the words, the most popular first, and all items for no word.

        Args:
            search: The words.
            where: A condition on the items.
            after: The place of the item after which to begin; ``None`` for the beginning.
            limit: The most items.

        Returns:
            The items, and the place of the last one where more follow.
        """
        index = self._fresh()
        places = self._places(index, search) if search.strip() else index.order
        found: list[Item] = []
        for ids in batched(index.following(places, after), limit + 1 if where is None else 500):
            found += self._read(ids, where)
            if len(found) > limit:
                last = found[limit - 1].id
                return found[:limit], None if last is None else (index.rank(last), last)
        return found, None

    def _places(self, index: _Index, search: str) -> list[_Place]:
        if not any(map(str.isalnum, search)):  # what people type first may be a quotation mark
            return []
        return sorted(map(index.place, self._recommender.matching(search)))

    def _read(self, ids: list[Id], where: Filter | None) -> list[Item]:
        items = list(self._recommender.get_items(ids).values())
        if where is None:
            return items
        with self._recommender.live() as live:
            condition = check_filter(where, live.filter_fields)
            return [
                item for item in items if item.id is not None and live.matches(item.id, dict(item.features), condition)
            ]

    def _fresh(self) -> _Index:
        with self._recommender.live() as live:
            return self._of(live, self._settled())

    def _settled(self) -> _Index | None:
        """The index with all that was written."""
        with self._changing:
            if self._index is not None and self._late:
                self._index, self._late = self._with(self._index, self._late), {}
            return self._index

    def _of(self, live: LoadedRelease, held: _Index | None) -> _Index:
        if held is not None and held.release == live.release.id and time.monotonic() - held.made < _SECONDS:
            return held
        with self._making:
            current = self._settled()
            if current is None or current.release != live.release.id or current is held:
                with self._changing:
                    written = self._written = {}
                made = self._make(live)
                with self._changing:
                    # The scan may have passed by before these were written.
                    current, self._written = self._with(made, written), None
                    self._index, self._late = current, {}
            return current

    def _with(self, index: _Index, records: Mapping[Id, Record | Mapping[str, Any] | None]) -> _Index:
        gone = {key for key in index.known if records.get(key, ()) is None}
        order = [place for place in index.order if place[2] not in gone] if gone else index.order
        new = [key for key, record in records.items() if record is not None and key not in index.known]
        if new:
            order = sorted([*order, *map(index.place, new)])
        facets = {name: replace(facet, values=Counter(facet.values)) for name, facet in index.facets.items()}
        for record in records.values():
            if record is not None:
                for name, facet in facets.items():
                    _count(facet, record, name)
        return replace(index, known=(index.known - gone).union(new), order=order, facets=facets)

    def _make(self, live: LoadedRelease) -> _Index:
        fields = live.schema.filter_fields()
        facets = {name: Facet(kind) for name, kind in fields.items()}
        known: set[Id] = set()
        for key, record in islice(self._recommender.metadata_store.scan(ITEM), _MOST):
            known.add(key)
            for name in fields:
                _count(facets[name], record, name)
        for facet in facets.values():
            facet.values = Counter(dict(facet.values.most_common(_VALUES)))
        ranks = {key: rank for rank, key in enumerate(live.popularity.ids)}
        made = _Index(live.release.id, time.monotonic(), known, ranks, [], facets, self._make_labels(live))
        return replace(made, order=sorted(map(made.place, known)))

    def _make_labels(self, live: LoadedRelease) -> dict[str, dict[str, str]]:
        names = [feature.name for feature in live.schema.users]
        labels: dict[str, dict[str, str]] = {name: {} for name in names}
        for _, record in islice(self._recommender.metadata_store.scan(USER), _USERS):
            for name in names:
                told = next((record[f"{name}{end}"] for end in _TELLING if f"{name}{end}" in record), None)
                if isinstance(told, str) and record.get(name) is not None:
                    labels[name].setdefault(str(record[name]), told)
        return {name: found for name, found in labels.items() if found}


def _count(facet: Facet, record: Mapping[str, Any] | Record, name: str) -> None:
    value = record.get(name)
    if facet.type in ("integer", "number"):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            facet.low = value if facet.low is None else min(facet.low, value)
            facet.high = value if facet.high is None else max(facet.high, value)
    elif isinstance(value, list):
        facet.values.update(item for item in value if isinstance(item, (str, int)))
    elif facet.type != "time" and isinstance(value, (str, bool)) and len(facet.values) < 100 * _VALUES:
        facet.values[value] += 1
