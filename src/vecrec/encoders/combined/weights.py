"""What the scores of several encoders should count in their sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.exact import ranks_of
from vecrec._internal.sampling import evenly
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

_SCORES_AT_A_TIME = 1 << 24
"""How many scores are compared at once, at most: 64 MB."""

Codes = NDArray[np.int64]


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
        part: ``"validation"`` or ``"test"``, where no test is reported on it.
        progress: Receives each step.

    Returns:
        A weight for each encoder, above 0.

    Raises:
        InvalidDataError: for a split that holds items or users out.
    """
    search = _Search(side_by_side, dims, split, part)
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

    def __init__(self, side_by_side: Encoder, dims: Sequence[int], split: Split, part: str) -> None:
        if split.held_out is not None:
            raise InvalidDataError(f"this split ({split.rule}) holds items or users out", "use leave_last_out")
        held_out, history = (split.test, split.before_test) if part == "test" else (split.validation, split.train)
        users = np.flatnonzero(np.diff(held_out.user_offsets))
        if not len(users):
            raise InvalidDataError(f"the {part} part of the split has no events", "give the weights")
        codes = users[evenly(len(users), _MOST_USERS)].tolist()
        met = np.flatnonzero(split.before_test.popularity() + split.test.popularity())
        columns = np.full(split.train.n_items, -1)
        columns[met] = np.arange(len(met))
        findable = np.where(split.train.popularity() > 0, columns, -1)
        self._targets = [findable[_items_of(held_out, code)] for code in codes]
        self._seen = [columns[_items_of(history, code)] for code in codes]
        cuts = np.cumsum(dims)[:-1]
        self._items = np.split(side_by_side.encode_items([*map(split.train.item, met.tolist())]), cuts, axis=1)
        visitors = [history.user(code, history=True) for code in codes]
        self._visitors = np.split(side_by_side.encode_users(visitors), cuts, axis=1)

    def spreads(self) -> NDArray[np.float64]:
        """The standard deviation of each encoder's scores, over the items of a user."""
        rows = slice(0, min(500, len(self._targets)))
        pairs = zip(self._visitors, self._items)
        return np.array([float((users[rows] @ items.T).std(axis=1).mean()) or 1.0 for users, items in pairs])

    def goodness(self, tried: NDArray[np.float64]) -> NDArray[np.float64]:
        """Recall@10 and a little of NDCG@10, for each of several lists of weights, shape (len(tried),)."""
        total = np.zeros(len(tried))
        for users in self._batches():
            counts = np.array([len(each) for each in self._targets[users]])
            targets, rows = np.concatenate(self._targets[users]), np.repeat(np.arange(len(counts)), counts)
            parts = [vectors[users] @ items.T for vectors, items in zip(self._visitors, self._items)]
            for place, weights in enumerate(tried):
                scores = np.asarray(sum(np.float32(weight) * part for weight, part in zip(weights, parts)))
                for row, seen in zip(scores, self._seen[users]):
                    row[seen] = -np.inf
                total[place] += _goodness(ranks_of(scores[rows], targets), rows, counts)
        return total / len(self._targets)

    def _batches(self) -> Iterator[slice]:
        """Users whose scores fit into memory together, once for each of their targets."""
        most = max(1, min(1024, _SCORES_AT_A_TIME // max(len(self._items[0]), 1)))
        start = size = 0
        for place, targets in enumerate(self._targets):
            if size + len(targets) > most and place > start:
                yield slice(start, place)
                start, size = place, 0
            size += len(targets)
        yield slice(start, len(self._targets))


def _goodness(ranks: Codes, rows: Codes, counts: Codes) -> float:
    """The sum over users of Recall@10 and a little of NDCG@10, from the rank of each target, 0 where it is not found.

    Args:
        ranks: Shape (t,).
        rows: The user of each target, shape (t,).
        counts: How many targets each user has, shape (n,).
    """
    found = (ranks > 0) & (ranks <= _DEPTH)
    discounts = np.cumsum(1 / np.log2(np.arange(2, _DEPTH + 2)))
    gains = np.where(found, 1 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0)
    recall = found / counts[rows]
    ndcg = gains / discounts[np.minimum(counts, _DEPTH) - 1][rows]
    return float(recall.sum() + 1e-4 * ndcg.sum())


def _items_of(data: Dataset, user: int) -> NDArray[np.int32]:
    """The codes of the items of a user's events."""
    return data.item_codes[data.user_offsets[user] : data.user_offsets[user + 1]]
