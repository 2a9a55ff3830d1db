"""What the scores of several encoders should count in their sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.exact import target_ranks
from vecrec._internal.sampling import evenly
from vecrec.data import Split
from vecrec.encoders.base import Encoder
from vecrec.evaluation.metrics import ndcg, recall
from vecrec.evaluation.protocols import Task, from_split
from vecrec.evaluation.ranking import Ranker, Ranking
from vecrec.progress import Progress, Step

__all__ = ["learn_weights"]

_STRIDES = (1.0, 0.5, 0.25, 0.125)
"""How far apart the weights that are tried are, by their logarithms, one pass after the other."""

_PASSES = 2
"""How often, at most, all weights are tried with one stride."""

_DEPTH = 10
_MOST_USERS = 10_000


def learn_weights(
    side_by_side: Encoder, dims: Sequence[int], split: Split, part: str, progress: Progress
) -> tuple[float, ...]:
    """The weights with which the sum of several scores finds the held-out events most often among the first ten.

    At first all scores have one spread. Then each encoder's weight moves to the best of five whose logarithms are a
    stride apart, one encoder after the other, until none moves, and the stride becomes smaller. Of weights with equal
    Recall@10 those with the larger NDCG@10 are better.

    Args:
        side_by_side: Fitted; gives the vectors of several encoders side by side, unweighted.
        dims: How long each one's part is.
        split: With something held out.
        part: ``"validation"`` or ``"test"``, where that is no test to report.
        progress: Receives each step.
    """
    search = _Search(side_by_side, dims, from_split(split, part))
    logarithms = -np.log(search.spreads())
    for done, stride in enumerate(_STRIDES):
        progress(Step("weights", done, len(_STRIDES)))
        for _ in range(_PASSES):
            before = logarithms.copy()
            for place in range(len(dims)):
                tried = np.tile(logarithms, (5, 1))
                tried[:, place] += stride * np.array([0, -1, 1, -2, 2])  # what stands first wins a tie
                logarithms = tried[int(np.argmax(search.goodness(np.exp(tried))))]
            if (logarithms == before).all():
                break
    progress(Step("weights", len(_STRIDES), len(_STRIDES)))
    return tuple(np.exp(logarithms).tolist())


class _Search:
    """Sums of scores of the same users, again and again with other weights."""

    def __init__(self, side_by_side: Encoder, dims: Sequence[int], task: Task) -> None:
        self._ranker = Ranker(task)
        self._users = task.users[evenly(len(task.users), _MOST_USERS)]
        cuts = np.cumsum(dims)[:-1]
        self._items = np.split(self._ranker.item_vectors(side_by_side), cuts, axis=1)
        visitors = [task.visitors([code])[0] for code in self._users.tolist()]
        self._visitors = np.split(side_by_side.encode_users(visitors), cuts, axis=1)

    def spreads(self) -> NDArray[np.float64]:
        """The standard deviation of each encoder's scores, over the items of a user."""
        rows = slice(0, min(500, len(self._users)))
        pairs = zip(self._visitors, self._items)
        return np.array([float((users[rows] @ items.T).std(axis=1).mean()) or 1.0 for users, items in pairs])

    def goodness(self, tried: NDArray[np.float64]) -> NDArray[np.float64]:
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


def _goodness(ranks: NDArray[np.int64], offsets: NDArray[np.int64]) -> float:
    ranking = Ranking(ranks, offsets, np.zeros((0, 0), np.int32))
    relevant, n_relevant = ranking.relevant(_DEPTH), np.diff(offsets)
    return float(recall(relevant, n_relevant, _DEPTH).mean() + 1e-4 * ndcg(relevant, n_relevant, _DEPTH).mean())
