"""Users as sets of items, in any order, some users at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.sampling import evenly_spaced
from vecrec.learning.events import weighted_pairs

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["SomeSets", "UserSets"]

Array = NDArray[np.float32]
Codes = NDArray[np.int64]

_MOST_USERS = 50_000
"""Users, at most, whom the items that go together are learnt from."""

_USERS_AT_A_TIME = 2_000


class SomeSets(NamedTuple):
    """The sets of some users."""

    ones: Array
    """A one for each of the exact items that a user has, shape (n_users, n_exact)."""
    worth: Array
    """What these items weigh, in the same places: ``ones`` itself where every event counts 1."""
    sizes: Codes
    """How many items each user has, shape (n_users,)."""
    rows: Codes
    """The row of each user and item, those that are not exact included, shape (n_pairs,)."""
    items: Codes
    """The item of each, by its place among those with events, shape (n_pairs,)."""
    weights: Array
    """What it weighs, shape (n_pairs,)."""


class UserSets:
    """Who had which items: items with events are numbered without gaps.

    Args:
        data: The events to learn from.
        exact_items: How many items, the most popular ones, take part in a closed form.
    """

    def __init__(self, data: Dataset, exact_items: int) -> None:
        users, items, weights = weighted_pairs(data)
        self.met = np.unique(items)
        """The codes of the items with events, ascending."""
        self._items = np.searchsorted(self.met, items)
        _, self._offsets = np.unique(users, return_index=True)
        self._offsets = np.append(self._offsets, len(users))
        self._weights = None if weights is None else weights.astype(np.float32)
        self.counts = np.bincount(self._items)
        """How many users have each item."""
        self.worth = np.bincount(self._items, weights)
        """What the users of each item weigh together."""
        self.exact = np.sort(np.argsort(-self.counts, kind="stable")[:exact_items])
        """The items that take part in the closed form, ascending, by their places."""
        self._columns = np.full(len(self.met), -1)
        self._columns[self.exact] = np.arange(len(self.exact))
        self._chosen = evenly_spaced(len(self._offsets) - 1, _MOST_USERS)

    @property
    def weighted(self) -> bool:
        """Whether some events count more than others."""
        return self._weights is not None

    def __iter__(self) -> Iterator[SomeSets]:
        for start in range(0, len(self._chosen), _USERS_AT_A_TIME):
            users = self._chosen[start : start + _USERS_AT_A_TIME]
            sizes = self._offsets[users + 1] - self._offsets[users]
            rows = np.repeat(np.arange(len(users)), sizes)
            pairs = self._offsets[users][rows] + np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            items = self._items[pairs]
            weights = np.ones(len(pairs), np.float32) if self._weights is None else self._weights[pairs]
            columns = self._columns[items]
            exact = columns >= 0
            ones = np.zeros((len(users), len(self.exact)), np.float32)
            ones[rows[exact], columns[exact]] = 1
            worth = ones
            if self._weights is not None:
                worth = np.zeros_like(ones)
                worth[rows[exact], columns[exact]] = weights[exact]
            yield SomeSets(ones, worth, sizes, rows, items, weights)
