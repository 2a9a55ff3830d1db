"""A second source of candidates beside vectors: for each item a bounded list of the items that follow it.

A vector of a few hundred numbers holds what many users do. What a few of them do, such as buying the refill of one
product, is lost in it, and where users have ten events that is most of what is known. So it is counted: an item that
comes ``l`` events after another one counts ``0.85 ** (l - 1)`` for the pair, and ``0.15`` times that in the other
direction, both divided by the root of the length of the history. A pair's weight is its count over ``sqrt(n + 10)``,
where n says how often the first item occurs. It is a Markov chain with skips, as the fossil model of He and McAuley has
it ("Fusing Similarity Models with Markov Chains for Sparse Sequential Recommendation", 2016), without factors, so that
nothing is lost to few dimensions. Where the order of events is unknown, all pairs count alike.

What the lists count beside the vectors is learnt on events that the encoder has not learnt from: see
`Successors.weighed`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from vecrec._internal.exact import ranks_of, unit
from vecrec._internal.files import read_json, write_json
from vecrec._internal.sampling import evenly_spaced
from vecrec.encoders.item_lists import ItemLists
from vecrec.errors import ReleaseError
from vecrec.ids import Id, id_order
from vecrec.types import Hit

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.encoders.base import Encoder

__all__ = ["WINDOW", "Successors", "hold_out"]

_SKIP, _BACK, _LENGTH, _SHRINKAGE = 0.85, 0.15, 0.5, 10
_REACH = 20
"""How many events apart a pair is counted."""
_PAIRS = 4_000_000
"""Pairs that are counted at a time."""
WINDOW = 50
"""How many of a user's latest events are read, at most."""
_FOLLOWERS = 200
"""Items at least that are read of all that follow those of a history."""
_FADED = 2e-3
"""What an event counts that is not read any more."""

_DECAYS = (0.5, 0.7, 0.85, 0.95)
_RATIOS, _FINER = (1.0, 4.0, 16.0, 64.0, 256.0), (0.5, 0.7, 1.4, 2.0)
"""The weights that are tried, in standard deviations of the scores by vectors; then some near the best one."""
_DEPTH = 10
_MOST_USERS, _MOST_ITEMS = 4_000, 20_000
"""Users that the weight is learnt from, and items that are ranked for them, at most."""
_CERTAIN = 2
"""Standard errors that a gain must have."""
_FEWEST = 100
"""Users that a weight can be learnt from, at least."""
_SCORES = 1 << 22

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Successors:
    """What follows each item, and how much that counts beside the vectors of an encoder."""

    lists: ItemLists
    """For each item those that follow it."""
    decay: float = 0.7
    """What an event of the history counts against the one after it; 1 where the order of events is unknown."""
    weight: float = 0.0
    """What the score counts beside the inner product of the vectors; 0 where it adds nothing."""
    center: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """The mean vector of the items that were ranked to learn the weight, shape (dim,)."""

    # -- learning

    @classmethod
    def of(cls, data: Dataset) -> Self:
        """Count the positive events of a data set; the lists count nothing until they are `weighed`.

        The time it takes grows as the number of events, and its memory as that of events and items.
        """
        data = data.positive()
        lists = ItemLists.blank(data.item_ids)
        log, ordered = _Pairs(data), data.order != "unknown"
        for item, others, counts in log:
            lists.put(item, others, counts / math.sqrt(log.occurrences[item] + _SHRINKAGE))
        return cls(lists, 0.7 if ordered else 1.0)

    def weighed(self, encoder: Encoder, before: Dataset, held_out: Dataset) -> Self:
        """The same with the weight and the decay that serve best beside an encoder.

        They are those with the largest mean NDCG@10 of the held-out events. The weight stays 0 unless the gain is more
        than two of its standard errors, over the same users.

        Args:
            encoder: Fitted, on none of the events that are held out.
            before: What the users did before, with the same users and items.
            held_out: Events after it, one for each of some users.
        """
        some = np.zeros(held_out.n_events, np.bool_)
        some[evenly_spaced(held_out.n_events, _MOST_USERS)] = True
        trial = _Trial(self.lists, encoder, before.positive(), held_out.select_events(some))
        decays = _DECAYS if before.order != "unknown" else (1.0,)
        gains = trial.gains([(decay, ratio) for decay in decays for ratio in _RATIOS])
        decay, ratio = max(gains, key=lambda choice: float(gains[choice].mean()))
        gains |= trial.gains([(decay, ratio * factor) for factor in _FINER])
        nothing = self.decay, 0.0
        gains |= trial.gains([nothing])
        decay, ratio = best = max(gains, key=lambda choice: float(gains[choice].mean()))
        better = gains[best] - gains[nothing]
        if len(better) < 2 or better.mean() <= _CERTAIN * better.std(ddof=1) / math.sqrt(len(better)):
            return self
        return replace(self, decay=decay, weight=ratio * trial.spread, center=trial.center)

    # -- scores

    def scores(self, history: Sequence[Id], most: int | None = None) -> dict[Id, float]:
        """What the items that follow those of a history score, weight included.

        Args:
            history: The items of the user's positive events, oldest first.
            most: How many items, those with the highest scores; ``None`` for all.
        """
        if not self.weight:
            return {}
        rows, ages = self._read(history)
        if not len(rows):
            return {}
        found, sums = _sums(self.lists, rows, self.weight * self.decay**ages)
        if most is not None and len(found) > most:
            best = np.argpartition(-sums, most)[:most]
            found, sums = found[best], sums[best]
        return dict(zip([self.lists.ids[place] for place in found.tolist()], sums.tolist()))

    def parts(self, history: Sequence[Id], item_id: Id) -> dict[int, float]:
        """What each event of a history adds to the score of an item, by its place in the history.

        Args:
            history: As for `scores`.
            item_id: The item.
        """
        place = self.lists.rows.get(item_id)
        if not self.weight or place is None:
            return {}
        rows, ages = self._read(history)
        follows = self.lists.places[rows] == place
        values = self.weight * self.decay**ages * np.where(follows, self.lists.weights[rows], 0).sum(axis=1)
        return {len(history) - 1 - age: value for age, value in zip(ages.tolist(), values.tolist()) if value}

    def join(
        self, hits: Sequence[Hit], vector: NDArray[np.float32], history: Sequence[Id], *, more: bool
    ) -> tuple[list[Hit], Collection[Id]]:
        """The hits of a search with what follows a history: more of them, and more to their scores.

        An item that the search did not find is taken to have an inner product half-way between that of the last hit
        and the mean of all items. On Amazon Beauty lists of ten by this guess are as good as by the exact products,
        which would take another round trip to the store.

        Args:
            hits: What the search found, best first.
            vector: The user's, shape (dim,).
            history: As for `scores`.
            more: Whether the search has stopped before the last item that passes its filter.

        Returns:
            The hits, best first, and which of their items the search had not found.
        """
        scores = self.scores(history, max(_FOLLOWERS, len(hits)))
        brought = scores.keys() - {hit.id for hit in hits} if more and hits else set()
        joined = list(hits)
        if brought:
            guess = (hits[-1].score + float(vector @ self.center)) / 2
            joined += [Hit(key, guess) for key in brought]
        joined = [Hit(hit.id, hit.score + scores.get(hit.id, 0.0)) for hit in joined]
        return sorted(joined, key=lambda hit: (-hit.score, id_order(hit.id))), brought

    def add_to(self, scores: Scores, histories: Sequence[Sequence[Id]], columns: NDArray[np.int32]) -> None:
        """Add to the scores of some users what the lists say.

        Args:
            scores: Shape (n, m), changed in place.
            histories: The items of each user's positive events, oldest first.
            columns: The column of each item of the lists, -1 for one without, shape (n_items,).
        """
        if not self.weight:
            return
        for row, history in zip(scores, histories):
            rows, ages = self._read(history)
            if len(rows):
                found, sums = _sums(self.lists, rows, self.weight * self.decay**ages)
                places = columns[found]
                row[places[places >= 0]] += sums[places >= 0]

    def _read(self, history: Sequence[Id]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of the latest items that have a list, and how many events came after each."""
        latest, rows = history[-_reach(self.decay) :], self.lists.rows
        known = [(rows[key], age) for age, key in enumerate(reversed(latest)) if key in rows]
        pairs = np.array(known, np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    # -- kept in a release

    def save(self, directory: Path) -> None:
        """Write ``successor*`` files."""
        values = {"decay": self.decay, "weight": self.weight, "center": self.center.tolist()}
        write_json(directory / "successor.json", values)
        self.lists.save(directory, "successor")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Map what `save` wrote into memory; none where there are no files, as in older releases.

        Raises:
            ReleaseError: for damaged files.
        """
        values = read_json(directory / "successor.json")
        if values is None:
            return cls.none()
        try:
            center = np.array(values["center"], np.float32)
            return cls(ItemLists.load(directory, "successor"), float(values["decay"]), float(values["weight"]), center)
        except (KeyError, TypeError, ValueError) as error:
            raise ReleaseError(f"{directory}/successor.json is damaged", "roll back or fit again") from error

    @classmethod
    def none(cls) -> Self:
        """Nothing follows anything."""
        return cls(ItemLists.none())


def _sums(
    lists: ItemLists, rows: NDArray[np.integer[Any]], counts: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The items in the lists of some rows, and the sums of their weights times what each row counts."""
    places = lists.places[rows]
    there = places >= 0
    found, inverse = np.unique(places[there], return_inverse=True)
    weights = (lists.weights[rows] * counts[:, None])[there]
    return found, np.bincount(inverse, weights, len(found)).astype(np.float64)


def hold_out(data: Dataset) -> tuple[Dataset, Dataset] | None:
    """Split the last event of some users off, to learn the weight on what the encoder has not learnt from.

    They are at most a tenth of the users with three positive events or more, and at most 4,000.

    Returns:
        The data set without these events, and with these events only; ``None`` where they would be too few.
    """
    rows = np.flatnonzero(data.is_positive & data.is_target)
    users, last = np.unique(data.user_codes[rows][::-1], return_index=True)
    rows = rows[::-1][last][np.bincount(data.user_codes[rows], minlength=data.n_users)[users] >= 3]
    most = min(_MOST_USERS, len(rows) // 10)
    if most < _FEWEST:
        return None
    rows = rows[evenly_spaced(len(rows), most)]
    held_out = np.zeros(data.n_events, np.bool_)
    held_out[rows] = True
    return data.select_events(~held_out), data.select_events(held_out)


def _reach(decay: float) -> int:
    """How many of the latest events count more than next to nothing."""
    return WINDOW if decay == 1 else min(WINDOW, math.ceil(math.log(_FADED) / math.log(decay)))


class _Pairs:
    """Each item with those that come at most `_REACH` events after or before it, and what these pairs count."""

    def __init__(self, data: Dataset) -> None:
        self._codes, offsets = data.item_codes.astype(np.int64), data.user_offsets
        lengths = np.diff(offsets)[data.user_codes]
        self._ages = np.arange(data.n_events) - offsets[data.user_codes]
        self._left = lengths - 1 - self._ages
        self._worth = lengths.astype(np.float64) ** -_LENGTH
        self._weights = data.weights
        self._ordered = data.order != "unknown"
        self.occurrences = np.bincount(self._codes, minlength=data.n_items)

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
        by_item = np.argsort(self._codes, kind="stable")
        ends = np.cumsum(self.occurrences)
        first, n_items = 0, len(ends)
        while first < n_items:
            done = ends[first - 1] if first else 0
            last = max(int(np.searchsorted(ends, done + _PAIRS // (2 * _REACH), side="right")), first + 1)
            yield from self._block(first, last, by_item[done : ends[last - 1]])
            first = last

    def _block(
        self, first: int, last: int, events: NDArray[np.int64]
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
        """The companions of the items from ``first`` to before ``last``, whose events are given."""
        n_items, keys, counts = len(self.occurrences), [np.zeros(0, np.int64)], [np.zeros(0)]
        for lag in range(1, _REACH + 1):
            for step, there, share in (
                (lag, self._left[events] >= lag, 1.0),
                (-lag, self._ages[events] >= lag, _BACK if self._ordered else 1.0),
            ):
                here = events[there]
                keys.append((self._codes[here] - first) * n_items + self._codes[here + step])
                counts.append(self._counted(here + step, share * (_SKIP ** (lag - 1) if self._ordered else 1.0)))
        cells, sums = _summed(np.concatenate(keys), np.concatenate(counts), (last - first) * n_items)
        bounds = np.searchsorted(cells, np.arange(last - first + 1) * n_items)
        for number, (start, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist())):
            yield first + number, cells[start:end] - number * n_items, sums[start:end]

    def _counted(self, events: NDArray[np.int64], share: float) -> NDArray[np.float64]:
        worth = self._worth[events] * share
        return worth if self._weights is None else worth * self._weights[events]


def _summed(
    keys: NDArray[np.int64], counts: NDArray[np.float64], n_cells: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The keys that occur, ascending, and the sum of the counts of each: by a table, or by a sort where it is large."""
    if n_cells <= 2 * _PAIRS:
        table, times = np.bincount(keys, counts, n_cells), np.bincount(keys, minlength=n_cells)
        cells = np.flatnonzero(times).astype(np.int64)
        return cells, table[cells].astype(np.float64)
    cells, inverse = np.unique(keys, return_inverse=True)
    return cells, np.bincount(inverse, counts, len(cells)).astype(np.float64)


class _Trial:
    """The held-out events of some users, ranked with one decay and weight after another."""

    def __init__(self, lists: ItemLists, encoder: Encoder, before: Dataset, held_out: Dataset) -> None:
        users, targets = held_out.user_codes.tolist(), held_out.item_codes
        popularity = before.popularity()
        popular = np.argsort(-popularity, kind="stable")[:_MOST_ITEMS]
        items = np.union1d(popular[popularity[popular] > 0], targets)
        self._lists, self._columns = lists, np.full(before.n_items, -1, np.int32)
        self._columns[items] = np.arange(len(items))
        self._targets = np.where(popularity[targets] > 0, self._columns[targets], -1)
        offsets = before.user_offsets
        self._histories = [before.item_codes[offsets[user] : offsets[user + 1]] for user in users]
        self._items = encoder.encode_items([before.item(code) for code in items.tolist()])
        self._users = encoder.encode_users([before.user(code, history=True) for code in users])
        if encoder.metric == "cosine":
            self._items, self._users = unit(self._items), unit(self._users)

        self.center = self._items.mean(axis=0)
        self.spread = float((self._users[:500] @ self._items.T).std(axis=1).mean())
        """The standard deviation of a user's scores by vectors."""

    def gains(self, choices: Sequence[tuple[float, float]]) -> dict[tuple[float, float], NDArray[np.float64]]:
        """The NDCG@10 of each event, shape (n,), for some decays and weights, the latter in spreads."""
        size = max(1, _SCORES // len(self._items))
        found: dict[tuple[float, float], list[NDArray[np.float64]]] = {choice: [] for choice in choices}
        for start in range(0, len(self._users), size):
            rows = slice(start, start + size)
            plain = self._users[rows] @ self._items.T
            for scores, history in zip(plain, self._histories[rows]):
                scores[self._columns[history]] = -np.inf
            added = {decay: self._added(rows, decay) for decay in dict.fromkeys(decay for decay, _ in choices)}
            for decay, ratio in choices:
                scores = plain + np.float32(ratio * self.spread) * added[decay]
                found[decay, ratio].append(_ndcg(ranks_of(scores, self._targets[rows])))
        return {choice: np.concatenate(parts) for choice, parts in found.items()}

    def _added(self, rows: slice, decay: float) -> Scores:
        """What the lists say at the weight 1, shape (n, n_columns)."""
        added = np.zeros((len(self._users[rows]), len(self._items)), np.float32)
        for row, history in zip(added, self._histories[rows]):
            latest = history[-_reach(decay) :]
            found, sums = _sums(self._lists, latest, decay ** np.arange(len(latest) - 1, -1, -1.0))
            places = self._columns[found]
            row[places[places >= 0]] = sums[places >= 0]
        return added


def _ndcg(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """The NDCG@10 of one target each, from its rank; 0 for a rank of 0."""
    return np.where((ranks > 0) & (ranks <= _DEPTH), 1 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0)
