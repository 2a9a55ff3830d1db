"""Vectors of items that came after the training, from the users who chose them; "fold-in" in the literature.

An encoder makes such a vector from features alone. What events say is least squares over users' vectors: with ``m``,
the mean vector of those who chose the item, as they were before, and ``C``, the second moment of users' vectors, it is
``(C + 3 c I)^-1 m``, where ``c`` is the mean of C's diagonal. Its length is the root of the item's share of the events
since its first one, times one factor, by which the same formula fits the vectors of learnt items best. Both are joined
by evidence: of n events, what they say counts ``n / (n + 3)`` and the features the rest.

The 3 of the ridge was chosen on two slices of MovieLens 1M, with a tenth of the items hidden from the training. With
10, new items rank higher and learnt ones lower than before; with 1 or less, new items are hardly found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec._internal.files import read_json, write_json
from vecrec._internal.sampling import evenly_spaced
from vecrec.errors import ReleaseError
from vecrec.ids import Id, decode_id, encode_id

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.encoders.base import Encoder

__all__ = ["FoldedItems"]

_RIDGE, _PRIOR = 3.0, 3.0
_MOST_NEW, _MOST_EVENTS = 2_000, 20
"""New items, those with the most events, and events of each, at most."""
_LEARNT, _LEARNT_EVENTS = 300, 10
"""Learnt items that the factor is fitted to, and events of each, at most."""
_HISTORY = 100
"""Events of a user that are read, at most."""


@dataclass(frozen=True)
class FoldedItems:
    """What events say of items that an encoder has not learnt."""

    ids: Sequence[Id] = ()
    """The items."""
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """By events alone, shape (n, dim)."""
    evidence: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """What these count, from 0 to 1, beside the vectors by features; shape (n,)."""

    @classmethod
    def of(cls, encoder: Encoder, data: Dataset) -> Self:
        """Learn from the positive events of a data set; nothing where the encoder knows every item with a record.

        It encodes at most 103,000 users.

        Args:
            encoder: Fitted.
            data: All events, also those that it was fitted on.
        """
        data = data.positive()
        counts = np.bincount(data.item_codes, minlength=data.n_items)
        known = np.array([encoder.knows(key) for key in data.item_ids], np.bool_)
        served = np.array([record is not None for record in data.item_records], np.bool_)
        new = np.flatnonzero(~known & served & (counts > 0))
        new = new[np.argsort(-counts[new], kind="stable")][:_MOST_NEW]
        learnt = np.flatnonzero(known & (counts >= _LEARNT_EVENTS))
        if not len(new) or not len(learnt):
            return cls()
        some = learnt[evenly_spaced(len(learnt), _LEARNT)]
        of_some, moment = _choosers(encoder, data, some, _LEARNT_EVENTS)
        of_new, _ = _choosers(encoder, data, new, _MOST_EVENTS)
        solved = np.linalg.inv(moment + _RIDGE * np.trace(moment) / len(moment) * np.eye(len(moment)))
        fitted = np.sqrt(counts[some] / data.n_events)[:, None] * (of_some @ solved)
        targets = encoder.encode_items([data.item(code) for code in some.tolist()])
        factor = float((fitted * targets).sum() / max(float((fitted**2).sum()), 1e-12))
        # Of few events the share is drawn to that of an average item.
        shares = (counts[new] + _PRIOR) / (_events_since(data, new) + _PRIOR * len(learnt))
        vectors = factor * np.sqrt(shares)[:, None] * (of_new @ solved)
        evidence = counts[new] / (counts[new] + _PRIOR)
        return cls(
            [data.item_ids[code] for code in new.tolist()], vectors.astype(np.float32), evidence.astype(np.float32)
        )

    def join(self, ids: Sequence[Id], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vectors of items by their features, shape (n, dim), joined with what events say of them."""
        rows = [(row, self._rows[key]) for row, key in enumerate(ids) if key in self._rows]
        if not rows:
            return vectors
        at, own = np.array(rows).T
        share, joined = self.evidence[own][:, None], vectors.copy()
        joined[at] = (1 - share) * vectors[at] + share * self.vectors[own]
        return joined

    @cached_property
    def _rows(self) -> dict[Id, int]:
        return {key: row for row, key in enumerate(self.ids)}

    # -- kept in a release

    def save(self, directory: Path) -> None:
        """Write ``folded*`` files; none where there is nothing."""
        if self.ids:
            write_json(directory / "folded.json", [encode_id(key) for key in self.ids])
            np.save(directory / "folded.npy", np.column_stack([self.evidence, self.vectors]))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote; nothing where there are no files.

        Raises:
            ReleaseError: when the files do not belong together.
        """
        keys = read_json(directory / "folded.json")
        if keys is None:
            return cls()
        held = np.load(directory / "folded.npy", mmap_mode="r", allow_pickle=False)
        if held.ndim != 2 or len(held) != len(keys):
            raise ReleaseError(f"the folded items in {directory} do not belong together", "roll back or fit again")
        return cls([decode_id(key) for key in keys], held[:, 1:], held[:, 0])


def _choosers(
    encoder: Encoder, data: Dataset, items: NDArray[np.int64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The users who chose some items, as they were before.

    Returns:
        The mean vector of those of each item, shape (n, dim), and the second moment of all, shape (dim, dim).
    """
    by_item = np.argsort(data.item_codes, kind="stable")
    starts = np.searchsorted(data.item_codes[by_item], np.append(items[:, None], items[:, None] + 1, axis=1))
    means, moment, total = np.zeros((len(items), encoder.dim)), np.zeros((encoder.dim, encoder.dim)), 0
    for row, (start, end) in enumerate(starts.tolist()):
        events = by_item[start:end][evenly_spaced(end - start, most)].tolist()
        users = encoder.encode_users([data.user_before(event, _HISTORY) for event in events]).astype(np.float64)
        means[row], total = users.mean(axis=0), total + len(users)
        moment += users.T @ users
    return means, moment / total


def _events_since(data: Dataset, items: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many events there were since the first one of each item, shape (n,); all where times are unknown."""
    if data.times is None:
        return np.full(len(items), data.n_events)
    first = np.full(data.n_items, np.inf)
    np.minimum.at(first, data.item_codes, data.times)
    return data.n_events - np.searchsorted(np.sort(data.times), first[items])
