"""For each item a bounded list of the items that the same users choose, kept in the release and read from its files.

Vectors of an encoder say whom an item suits, which is not the same as what it is like: how well their angles agree with
what users choose together depends on the encoder and on its dimension. So similar items are found by counting. The
weight of a pair is ``c / (sqrt(n m) + 20) * (1 + f / 2)``: c users chose both items, n and m each of them, and f is the
cosine of their features. The 20 holds back pairs that a few users make, and the features order what is chosen alike.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec._internal.exact import unit
from vecrec._internal.sampling import evenly_spaced
from vecrec.encoders.item_lists import MOST, ItemLists
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id
from vecrec.learning.tokens import tokens
from vecrec.metadata_stores.base import MetadataStore
from vecrec.records import JSON
from vecrec.types import Item, User

if TYPE_CHECKING:
    from vecrec.data import Dataset, Schema
    from vecrec.data.room import Room

__all__ = ["Chosen", "Neighbours"]

_SHRINKAGE = 20
_FEATURES = 0.5
_POOL = 4 * MOST
"""How many companions of an item are compared by features."""
_LONGEST = 500
"""Items of one user that are counted; of a longer history a sample, evenly spaced."""
_PAIRS = 1_000_000
"""Pairs of items that are counted at a time."""


class Neighbours(ItemLists):
    """The neighbours of items, best first, with weights from 0 to 1.5."""

    @classmethod
    def of(
        cls,
        chosen: Chosen,
        records: Iterable[tuple[Id, Mapping[str, JSON]]],
        schema: Schema,
        room: Room | None = None,
    ) -> Self:
        """Count what users chose together.

        In memory are what they chose and the tokens as numbers, and a million pairs at a time.

        Args:
            chosen: What each user chose.
            records: The items of the catalogue, with their features.
            schema: Which features there are.
            room: Where the lists are kept; in memory by default.
        """
        features = _Features.of(chosen.codes, records, schema)
        found = cls.blank(list(chosen.codes), room)
        for item, others, counts in chosen.companions():
            near = counts / (np.sqrt(chosen.counts[item] * chosen.counts[others]) + _SHRINKAGE)
            kept = np.argsort(-near, kind="stable")[:_POOL]
            pool = others[kept]
            found.put(item, pool, near[kept] * (1 + _FEATURES * features.cosines(item, pool)))
        return found

    @classmethod
    def of_dataset(cls, data: Dataset) -> Self:
        """Count what the positive events of a data set say, with its items."""
        chosen, policy = Chosen(), data.feedback or FeedbackPolicy()
        for user in data.users(history=True):
            chosen.add(event.item_id for event in policy.taste(user).user.history)
        records = ((key, dict(data.item(code).features)) for code, key in enumerate(data.item_ids))
        return cls.of(chosen, records, data.schema)


class Chosen:
    """What each user chose, by numbers of items; the users of an item come by a sort of the same events."""

    def __init__(self) -> None:
        self.codes: dict[Id, int] = {}
        """The number of each item."""
        self._items, self._lengths = array("i"), array("i")

    @classmethod
    def of_store(cls, metadata: MetadataStore, policy: FeedbackPolicy) -> Self:
        """What the stored events say, as a feedback policy reads them."""
        chosen = cls()
        for _, events in metadata.scan_events():
            chosen.add(event.item_id for event in policy.taste(User.unchecked(None, {}, events)).user.history)
        return chosen

    def add(self, chosen: Iterable[Id]) -> None:
        """Take the items that one more user chose, each of which counts once."""
        items = list(dict.fromkeys(chosen))
        sample = [items[place] for place in evenly_spaced(len(items), _LONGEST)] if items else []
        self._items.extend(self.codes.setdefault(key, len(self.codes)) for key in sample)
        self._lengths.append(len(sample))

    @cached_property
    def items(self) -> NDArray[np.int32]:
        """The items of all users, one user after the other, shape (n_events,)."""
        return np.array(self._items, np.int32)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many users chose each item, shape (n_items,)."""
        return np.bincount(self.items, minlength=len(self.codes))

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each user begins, shape (n_users + 1,)."""
        return np.append(0, np.cumsum(np.array(self._lengths, np.int64)))

    def companions(self) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        """Each item with those that were chosen by the same users, and by how many; itself left out."""
        lengths = np.diff(self.offsets).astype(np.int32)
        order = np.argsort(self.items, kind="stable").astype(np.int32)
        users = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)[order]  # one item after the other
        ends = np.cumsum(self.counts)
        pairs = np.cumsum(lengths[users])[ends - 1] if len(ends) else ends  # up to the end of each item
        first, n_items = 0, len(self.codes)
        while first < n_items:
            done = pairs[first - 1] if first else 0
            last = max(int(np.searchsorted(pairs, done + _PAIRS, side="right")), first + 1)
            block = slice(ends[first] - self.counts[first], ends[last - 1])
            owners = np.repeat(self.items[order[block]] - first, lengths[users[block]])
            yield from self._rows(first, last, owners, self._of_users(users[block]))
            first = last

    def _rows(
        self, first: int, last: int, owners: NDArray[np.int32], others: NDArray[np.int32]
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        """The companions of the items from ``first`` to before ``last``, counted by a table or by a sort."""
        n_items = len(self.codes)
        pairs = owners.astype(np.int64) * n_items + others
        if (last - first) * n_items <= _PAIRS:
            table = np.bincount(pairs, minlength=(last - first) * n_items)
            cells = np.flatnonzero(table)
            counts = table[cells]
        else:
            cells, counts = np.unique(pairs, return_counts=True)
        ends = np.searchsorted(cells, np.arange(last - first + 1) * n_items)
        for number, (start, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist())):
            columns, found = cells[start:end] - number * n_items, counts[start:end]
            other = columns != first + number
            yield first + number, columns[other], found[other]

    def _of_users(self, users: NDArray[np.int32]) -> NDArray[np.int32]:
        """The items of some users, one user after the other."""
        lengths = self.offsets[users + 1] - self.offsets[users]
        starts = np.repeat(self.offsets[users] - np.cumsum(lengths) + lengths, lengths)
        return self.items[starts + np.arange(len(starts))]


@dataclass(frozen=True, slots=True)
class _Features:
    """The tokens of each item: the values of its categorical features and the words of its texts."""

    tokens: NDArray[np.int32]
    """The tokens of all items, one item after the other, shape (n_tokens,)."""
    weights: NDArray[np.float32]
    """Of each token; those of one item have a length of 1."""
    offsets: NDArray[np.int64]
    """Where each item begins, shape (n_items + 1,)."""
    query: NDArray[np.float32]
    """Zeros, one for each token that there is."""

    @classmethod
    def of(cls, codes: Mapping[Id, int], records: Iterable[tuple[Id, Mapping[str, JSON]]], schema: Schema) -> Self:
        read = [feature for feature in schema.items if feature.kind not in ("numeric", "date", "embedding")]
        known: dict[str, int] = {}
        owners, sizes, flat, weights = array("i"), array("i"), array("i"), array("f")
        for key, record in records if read else ():
            if key in codes:
                item = schema.drop_invalid_features(Item(key, record))
                found = list(tokens("item", read, item.features, {}))
                flat.extend(known.setdefault(token, len(known)) for token, _ in found)
                weights.extend(unit(np.array([weight for _, weight in found], np.float32)).tolist())
                owners.append(codes[key])
                sizes.append(len(found))
        lengths, counts = np.zeros(len(codes), np.int64), np.array(sizes, np.int64)
        lengths[np.array(owners, np.int64)] = counts
        offsets = np.append(0, np.cumsum(lengths))
        begins = np.repeat(offsets[np.array(owners, np.int64)] - np.cumsum(counts) + counts, counts)
        by_item = np.argsort(begins + np.arange(len(begins)))
        of_tokens, of_weights = np.array(flat, np.int32)[by_item], np.array(weights, np.float32)[by_item]
        return cls(of_tokens, of_weights, offsets, np.zeros(len(known), np.float32))

    def cosines(self, item: int, others: NDArray[np.int64]) -> NDArray[np.float32]:
        """The cosines of an item's features with those of others, shape (n,); 0 where one has none."""
        own = slice(self.offsets[item], self.offsets[item + 1])
        np.add.at(self.query, self.tokens[own], self.weights[own])
        lengths = self.offsets[others + 1] - self.offsets[others]
        starts = np.repeat(self.offsets[others] - np.cumsum(lengths) + lengths, lengths)
        at = starts + np.arange(len(starts))
        products = self.query[self.tokens[at]] * self.weights[at]
        self.query[self.tokens[own]] = 0
        owners = np.repeat(np.arange(len(others)), lengths)
        return np.bincount(owners, weights=products, minlength=len(others)).astype(np.float32)
