"""What the scores of several encoders should count in their sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec.data import Split
from vecrec.encoders.base import Encoder
from vecrec.evaluation.metrics import ndcg, recall
from vecrec.evaluation.protocols import Task, from_split
from vecrec.evaluation.ranking import Ranker, Ranking, target_ranks
from vecrec.spread import evenly

__all__ = ["learn_weights"]

_COARSE = np.arange(-3.0, 3.01, 0.5)
_FINE = np.arange(-0.375, 0.376, 0.125)
_DEPTH = 10
_MOST_USERS = 10_000


def learn_weights(
    side_by_side: Encoder, dims: Sequence[int], split: Split, part: str = "validation"
) -> tuple[float, ...]:
    """The weights with which the sum of several scores finds the held-out events most often among the first ten.

    The first encoder's weight is one over the spread of its scores. The others join one after the other, each with the
    best of a grid over the logarithm of the ratio of the spreads, first coarse, then fine. Of weights with equal
    Recall@10 those with the larger NDCG@10 are better.

    Args:
        side_by_side: Fitted; gives the vectors of several encoders side by side, unweighted.
        dims: How long each one's part is.
        split: With something held out.
        part: ``"validation"`` or ``"test"``, where that is no test to report.
    """
    search = _Search(side_by_side, dims, from_split(split, part))
    spreads = search.spreads()
    weights = [1.0 / spreads[0]]
    for place in range(1, len(dims)):
        spread = search.spread_of([*weights, *[0.0] * (len(dims) - len(weights))])
        centre = np.log(spread / spreads[place])
        for grid in (_COARSE, _FINE):
            tried = [[*weights, float(np.exp(centre + step))] for step in grid]
            centre = centre + grid[int(np.argmax(search.goodness(tried)))]
        weights.append(float(np.exp(centre)))
    return tuple(weights)


class _Search:
    """Sums of scores of the same users, again and again with other weights."""

    def __init__(self, side_by_side: Encoder, dims: Sequence[int], task: Task) -> None:
        self._ranker = Ranker(task)
        self._users = task.users[evenly(len(task.users), _MOST_USERS)]
        cuts = np.cumsum(dims)[:-1]
        self._items = np.split(self._ranker.item_vectors(side_by_side), cuts, axis=1)
        visitors = [task.visitors([code])[0] for code in self._users.tolist()]
        self._visitors = np.split(side_by_side.encode_users(visitors), cuts, axis=1)

    def spreads(self) -> list[float]:
        """The standard deviation of each encoder's scores, over the items of a user."""
        count = len(self._items)
        return [self.spread_of([float(place == one) for place in range(count)]) for one in range(count)]

    def spread_of(self, weights: Sequence[float]) -> float:
        """That of a weighted sum."""
        rows = slice(0, min(500, len(self._users)))
        return float(self._scores(rows, weights).std(axis=1).mean()) or 1.0

    def goodness(self, tried: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """Recall@10 and a little of NDCG@10, for each of several lists of weights; who has none is left out."""
        ranks: list[list[NDArray[np.int64]]] = [[] for _ in tried]
        counts = []
        for rows in self._ranker.batches(len(self._users)):
            codes = self._users[rows]
            targets, offsets = self._ranker.targets(codes)
            counts.append(np.diff(offsets))
            parts = [users[rows] @ items.T for users, items in zip(self._visitors, self._items)]
            for found, weights in zip(ranks, tried):
                scores = sum(np.float32(weight) * part for weight, part in zip(weights, parts))
                self._ranker.leave_out(np.asarray(scores), codes)
                found.append(target_ranks(np.asarray(scores), targets, offsets))
        offsets = np.concatenate(([0], np.cumsum(np.concatenate(counts))))
        return np.array([_goodness(np.concatenate(found), offsets) for found in ranks])

    def _scores(self, rows: slice, weights: Sequence[float]) -> NDArray[np.float32]:
        parts = zip(weights, self._visitors, self._items)
        return np.asarray(sum(np.float32(weight) * (users[rows] @ items.T) for weight, users, items in parts))


def _goodness(ranks: NDArray[np.int64], offsets: NDArray[np.int64]) -> float:
    ranking = Ranking(ranks, offsets, np.zeros((0, 0), np.int32))
    relevant, n_relevant = ranking.relevant(_DEPTH), np.diff(offsets)
    return float(recall(relevant, n_relevant, _DEPTH).mean() + 1e-4 * ndcg(relevant, n_relevant, _DEPTH).mean())
