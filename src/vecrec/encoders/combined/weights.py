"""What the scores of several encoders should count in their sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.sampling import evenly_spaced
from vecrec.data import Dataset, Split
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.progress import Progress, Step

__all__ = ["learn_weights"]

_STRIDES = (1.0, 0.5, 0.25, 0.125)
"""How far apart the weights that are tried are, by their logarithms, one pass after the other."""

_PASSES = 2
"""How often, at most, all weights are tried with one stride."""

_DEPTH = 10
_MOST_USERS = 10_000

_CANDIDATES = 300
"""Items, at most, that each encoder brings into the lists that are compared: its best. One that is below in all of them
hardly comes among the first ten of a sum."""

_SCORES_AT_A_TIME = 1 << 24
"""How many scores are made at once, at most: 64 MB."""

Codes = NDArray[np.int64]
Floats = NDArray[np.float32]
Weights = NDArray[np.float64]


def learn_weights(
    side_by_side: Encoder, dims: Sequence[int], split: Split, part: str, progress: Progress, *, least: int
) -> tuple[float, ...]:
    """The weights with which the sum of several scores finds the held-out events most often among the first ten.

    At first all scores have one spread. Then each encoder's weight moves to the best of five whose logarithms are a
    stride apart, one encoder after the other, until none moves, and the stride becomes smaller. Of weights with equal
    Recall@10 those with the larger NDCG@10 are better. At last an encoder is left out whose
    gain is not above its standard error over the users.

    Args:
        side_by_side: Fitted; gives the vectors of several encoders side by side, unweighted.
        dims: How long each one's part is.
        split: With something held out.
        part: ``"validation"`` or ``"test"``, where no test is reported on it.
        progress: Receives each step.
        least: How many dimensions the encoders that are not left out must have together.

    Returns:
        A weight for each encoder; 0 for one that is left out, and above 0 for two of them at least.

    Raises:
        InvalidDataError: for a split that holds items or users out.
    """
    search = _Search(side_by_side, dims, split, part)
    weights = 1 / search.spreads()
    for done, stride in enumerate(_STRIDES):
        progress(Step("weights", done, len(_STRIDES)))
        weights = _climbed(search, weights, stride, _PASSES)
    weights = _without_idle(search, weights, np.array(dims), least)
    progress(Step("weights", len(_STRIDES), len(_STRIDES)))
    return tuple(weights.tolist())


def _climbed(search: _Search, weights: Weights, stride: float, passes: int) -> Weights:
    """Better weights, a stride away in their logarithms, or two; those of 0 stay."""
    for _ in range(passes):
        before = weights
        for place in np.flatnonzero(weights):
            tried = np.tile(weights, (5, 1))
            tried[:, place] *= np.exp(stride * np.array([0, -1, 1, -2, 2]))  # what stands first wins a tie
            weights = tried[int(np.argmax(search.goodness(tried).mean(axis=1)))]
        if (weights == before).all():
            break
    return weights


def _without_idle(search: _Search, weights: Weights, dims: Codes, least: int) -> Weights:
    """The weights, 0 for encoders without which the lists are as good, the least useful one first."""
    (best,) = search.goodness(weights[None])
    while np.count_nonzero(weights) > 2:
        places = np.flatnonzero((weights > 0) & (dims[weights > 0].sum() - dims >= least))
        if not len(places):
            break
        tried = np.tile(weights, (len(places), 1))
        tried[np.arange(len(places)), places] = 0.0
        tried = np.array([_climbed(search, _climbed(search, each, 0.5, 1), 0.25, 1) for each in tried])
        found = search.goodness(tried)
        place = int(np.argmax(found.mean(axis=1)))
        gain = best - found[place]
        if gain.mean() > gain.std() / np.sqrt(len(gain)):
            break
        weights = tried[place]
    return weights


class _Search:
    """Sums of scores of the same users and items, again and again with other weights."""

    def __init__(self, side_by_side: Encoder, dims: Sequence[int], split: Split, part: str) -> None:
        if split.held_out is not None:
            raise InvalidDataError(f"this split ({split.rule}) holds items or users out", "use leave_last_out")
        held_out, history = (split.test, split.before_test) if part == "test" else (split.validation, split.train)
        users = np.flatnonzero(np.diff(held_out.user_offsets))
        if not len(users):
            raise InvalidDataError(f"the {part} part of the split has no events", "give the weights")
        codes = users[evenly_spaced(len(users), _MOST_USERS)].tolist()
        met = np.flatnonzero(split.before_test.popularity() + split.test.popularity())
        columns = np.full(split.train.n_items, -1)
        columns[met] = np.arange(len(met))
        findable = np.where(split.train.popularity() > 0, columns, -1)
        cuts = np.cumsum(dims)[:-1]
        items = np.split(side_by_side.encode_items([*map(split.train.item, met.tolist())]), cuts, axis=1)
        visitors = [history.user(code, history=True) for code in codes]
        vectors = np.split(side_by_side.encode_users(visitors), cuts, axis=1)
        self._n_users = len(codes)
        self._spreads: list[NDArray[np.float64]] = []
        self._lists: list[_Lists] = []
        at_a_time = max(1, min(1024, _SCORES_AT_A_TIME // len(met)))
        for start in range(0, len(codes), at_a_time):
            some = codes[start : start + at_a_time]
            scores = np.stack([users[start : start + at_a_time] @ each.T for users, each in zip(vectors, items)])
            self._spreads.append(scores.std(axis=2).sum(axis=1))
            seen = [columns[_items_of(history, code)] for code in some]
            self._lists.append(_Lists.of(scores, seen, [findable[_items_of(held_out, code)] for code in some]))

    def spreads(self) -> NDArray[np.float64]:
        """The standard deviation of each encoder's scores over the items, the mean over the users."""
        means = np.sum(self._spreads, axis=0) / self._n_users
        return np.where(means > 0, means, 1.0)

    def goodness(self, tried: NDArray[np.float64]) -> NDArray[np.float64]:
        """Recall@10 and a little of NDCG@10 of each user, for several lists of weights, shape (len(tried), users)."""
        return np.array([np.concatenate([each.goodness(weights) for each in self._lists]) for weights in tried])


@dataclass(frozen=True)
class _Lists:
    """The best items of some users by each of the encoders, and where the held-out ones would stand among them."""

    scores: Floats
    """Shape (encoders, users, candidates)."""
    targets: Floats
    """The scores of the held-out items that a user can be given, shape (encoders, t)."""
    rows: Codes
    """The user of each, shape (t,)."""
    columns: Codes
    """Which item each is, shape (t,)."""
    candidates: Codes
    """Items, shape (users, candidates)."""
    counted: NDArray[np.bool_]
    """Where an item stands for the first time, and was not seen, shape (users, candidates)."""
    counts: Codes
    """How many held-out items each user has, shape (users,)."""

    @classmethod
    def of(cls, scores: Floats, seen: Sequence[Codes], targets: Sequence[Codes]) -> _Lists:
        """From all scores, shape (encoders, users, items); the columns of what each user has seen and has to get."""
        free = np.ones(scores.shape[1:], np.bool_)
        for row, columns in zip(free, seen):
            row[columns] = False
        most = min(_CANDIDATES, scores.shape[2])
        best = [np.argpartition(np.where(free, -each, np.inf), most - 1, axis=1)[:, :most] for each in scores]
        candidates = np.sort(np.concatenate(best, axis=1), axis=1)
        once = np.diff(candidates, axis=1, prepend=-1) > 0
        once &= np.take_along_axis(free, candidates, axis=1)
        counts = np.array([len(each) for each in targets])
        rows, columns = np.repeat(np.arange(len(counts)), counts), np.concatenate(targets).astype(np.int64)
        findable = (columns >= 0) & free[rows, columns]
        rows, columns = rows[findable], columns[findable]
        chosen = np.take_along_axis(scores, candidates[None], axis=2)
        return cls(chosen, scores[:, rows, columns], rows, columns, candidates, once, counts)

    def goodness(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """`_goodness` with these weights."""
        single = weights.astype(np.float32)
        sums, wanted = np.tensordot(single, self.scores, 1), single @ self.targets
        ranks = np.empty(len(wanted), np.int64)
        at_a_time = max(1, _SCORES_AT_A_TIME // sums.shape[1])
        for start in range(0, len(wanted), at_a_time):
            part = slice(start, start + at_a_time)
            rows = self.rows[part]
            above = self.counted[rows] & (sums[rows] >= wanted[part, None])
            above &= self.candidates[rows] != self.columns[part, None]
            ranks[part] = 1 + above.sum(axis=1)
        return _goodness(ranks, self.rows, self.counts)


def _goodness(ranks: Codes, rows: Codes, counts: Codes) -> NDArray[np.float64]:
    """Recall@10 and a little of NDCG@10 of each user, from the rank of each target that is found.

    Args:
        ranks: Shape (t,).
        rows: The user of each target, shape (t,).
        counts: How many targets each user has, shape (n,).
    """
    found = ranks <= _DEPTH
    discounts = np.cumsum(1 / np.log2(np.arange(2, _DEPTH + 2)))
    gains = np.where(found, 1 / np.log2(ranks + 1.0), 0.0)
    recall = found / counts[rows]
    ndcg = gains / discounts[np.minimum(counts, _DEPTH) - 1][rows]
    gained: NDArray[np.float64] = np.zeros(len(counts))
    np.add.at(gained, rows, recall + 1e-4 * ndcg)
    return gained


def _items_of(data: Dataset, user: int) -> NDArray[np.int32]:
    """The codes of the items of a user's events."""
    return data.item_codes[data.user_offsets[user] : data.user_offsets[user + 1]]
