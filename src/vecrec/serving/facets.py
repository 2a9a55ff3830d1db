"""A small index of the catalogue: titles to search, and the values to filter by."""

from __future__ import annotations

import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from typing import Any

from vecrec.filters import Filter, FilterType, check_filter
from vecrec.ids import Id
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
_NEAR = 0.7
"""How much of two words must agree for one to be a mistyped form of the other."""


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
    titles: dict[Id, str]
    """Searchable titles, the most popular items first."""
    facets: dict[str, Facet]
    labels: dict[str, dict[str, str]]
    """What the values of users' features mean, where their records say so."""


class Directory:
    """An index that is made when it is first needed, and again for each release and every minute.

    What this service itself writes is in it at once. Of a larger catalogue it holds the first 50,000 items read.
    """

    def __init__(self, recommender: Recommender, title_field: str) -> None:
        self._recommender, self._title_field = recommender, title_field
        self._index: _Index | None = None
        self._making = threading.Lock()
        self._changing = threading.Lock()
        # What was written since the index at work began to read the catalogue.
        self._written: dict[Id, Record | Mapping[str, Any] | None] = {}

    def wrote(self, records: Mapping[Id, Record | Mapping[str, Any] | None]) -> None:
        """Take over what was written: records by id, ``None`` for items that were removed."""
        with self._changing:
            self._written.update(records)
            if self._index is not None:
                self._index = self._with(self._index, records)

    def facets(self) -> dict[str, Facet]:
        """The filterable fields with their values."""
        return self._fresh().facets

    def labels(self) -> dict[str, dict[str, str]]:
        """What the values of users' features mean: of ``age`` what ``age_group``, ``age_name`` or ``age_label`` say."""
        return self._fresh().labels

    def find(self, search: str, where: Filter | None, offset: int, limit: int) -> list[Item]:
        """Items whose title has all the words, the most popular first, and all items for no word."""
        index, words = self._fresh(), _plain(search).split()
        hits = _matching(index.titles, words)
        if words and next(hits, None) is None:  # nothing is written so: take the words nearest to those given
            hits = _matching(index.titles, [_nearest_word(word, index.titles.values()) for word in words])
        else:
            hits = _matching(index.titles, words)
        if where is None:
            return list(self._recommender.get_items(list(islice(hits, offset, offset + limit))).values())
        return self._filtered(list(hits), where, offset, limit)

    def _filtered(self, ids: list[Id], where: Filter, offset: int, limit: int) -> list[Item]:
        found: list[Item] = []
        with self._recommender.live() as live:
            condition = check_filter(where, live.filter_fields)
        for start in range(0, len(ids), 500):
            items = self._recommender.get_items(ids[start : start + 500]).values()
            found += [
                item for item in items if item.id is not None and live.matches(item.id, dict(item.features), condition)
            ]
            if len(found) >= offset + limit:
                break
        return found[offset : offset + limit]

    def _fresh(self) -> _Index:
        with self._recommender.live() as live:
            return self._of(live, self._index)

    def _of(self, live: LoadedRelease, held: _Index | None) -> _Index:
        if held is not None and held.release == live.release.id and time.monotonic() - held.made < _SECONDS:
            return held
        with self._making:
            current = self._index
            if current is None or current.release != live.release.id or current is held:
                with self._changing:
                    self._written = {}
                made = self._make(live)
                with self._changing:
                    # The scan may have passed by before these were written.
                    current = self._index = self._with(made, self._written)
            return current

    def _with(self, index: _Index, records: Mapping[Id, Record | Mapping[str, Any] | None]) -> _Index:
        titles = {key: title for key, title in index.titles.items() if records.get(key, ()) is not None}
        facets = {name: replace(facet, values=Counter(facet.values)) for name, facet in index.facets.items()}
        for key, record in records.items():
            if record is not None:
                titles[key] = self._searched(key, record)
                for name, facet in facets.items():
                    _count(facet, record, name)
        return replace(index, titles=titles, facets=facets)

    def _make(self, live: LoadedRelease) -> _Index:
        fields = live.schema.filter_fields()
        facets = {name: Facet(kind) for name, kind in fields.items()}
        titles: dict[Id, str] = {}
        for key, record in islice(self._recommender.metadata_store.scan(ITEM), _MOST):
            titles[key] = self._searched(key, record)
            for name in fields:
                _count(facets[name], record, name)
        for facet in facets.values():
            facet.values = Counter(dict(facet.values.most_common(_VALUES)))
        ranks = {key: rank for rank, key in enumerate(live.popularity.ids)}
        ordered = sorted(titles, key=lambda key: ranks.get(key, len(ranks)))
        sorted_titles = {key: titles[key] for key in ordered}
        return _Index(live.release.id, time.monotonic(), sorted_titles, facets, self._make_labels(live))

    def _searched(self, key: Id, record: Mapping[str, Any] | Record) -> str:
        """What a search looks into: the title, and the year between tabs, by which people tell equal titles apart."""
        year = record.get("year")
        title = " ".join(_plain(str(record.get(self._title_field, key))).split())
        return f"{title}\t{year}\t" if isinstance(year, int) else title

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


def _matching(titles: Mapping[Id, str], words: Sequence[str]) -> Iterator[Id]:
    return (key for key, title in titles.items() if all(_has(title, word) for word in words))


def _has(title: str, word: str) -> bool:
    return word in title.partition("\t")[0] or f"\t{word}\t" in title


def _nearest_word(word: str, titles: Iterable[str]) -> str:
    """The word of a title that is nearest to a mistyped one, or the word itself where none is near."""
    if any(_has(title, word) for title in titles):
        return word
    known = {each for title in titles for each in title.split() if abs(len(each) - len(word)) <= 2}
    return next(iter(get_close_matches(word, known, 1, _NEAR)), word)


def _plain(text: str) -> str:
    """A text without case and accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))
