"""From vectors to the ranks of the targets and the items on top, a batch of users at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrec.data import Dataset
from vecrec.encoders.base import Encoder
from vecrec.evaluation.protocols import Task
from vecrec.progress import Progress, Step

__all__ = ["Ranker", "Ranking", "rank", "target_ranks", "top_items"]

_SCORES_AT_A_TIME = 1 << 24
"""How many scores are held at once: 64 MB."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Where the targets of each measured user are, and what is on top."""

    ranks: NDArray[np.int64]
    """The rank of each target, from 1, in the order of the task's targets; 0 for one that cannot come."""
    offsets: NDArray[np.int64]
    """Shape (n + 1,): the targets of the n-th measured user are ``offsets[n]:offsets[n + 1]``."""
    lists: NDArray[np.int32]
    """The codes of the best items of each measured user, shape (n, top); -1 where there are fewer."""

    def relevant(self, depth: int) -> NDArray[np.bool_]:
        """Whether the item at each rank is a target, shape (n, depth)."""
        table = np.zeros((len(self.offsets) - 1, depth), np.bool_)
        rows = np.repeat(np.arange(len(table)), np.diff(self.offsets))
        found = (self.ranks > 0) & (self.ranks <= depth)
        table[rows[found], self.ranks[found] - 1] = True
        return table


class Ranker:
    """The parts of a task that do not depend on the encoder, prepared for ranking users in batches."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.columns = np.flatnonzero(task.candidates)
        """The codes of the candidates: what the columns of scores are."""
        self._places = np.full(task.train.n_items, -1, np.int32)
        self._places[self.columns] = np.arange(len(self.columns))

    def item_vectors(self, encoder: Encoder) -> NDArray[np.float32]:
        """The candidates' vectors, shape (n_columns, dim)."""
        return encoder.encode_items([self._task.train.item(code) for code in self.columns.tolist()])

    def batches(self, n_users: int) -> Iterator[slice]:
        """Places of users whose scores fit into memory together."""
        size = max(1, min(1024, _SCORES_AT_A_TIME // max(len(self.columns), 1)))
        return (slice(start, min(start + size, n_users)) for start in range(0, n_users, size))

    def targets(self, users: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The columns of some users' targets, -1 for one that cannot come, and where each user's begin."""
        codes, offsets = _events_of(self._task.targets, users)
        return np.where(self._task.findable[codes], self._places[codes], -1).astype(np.int32), offsets

    def leave_out(self, scores: NDArray[np.float32], users: NDArray[np.int32]) -> None:
        """Give the score minus infinity to what is not to come for each user, one a row."""
        if self._task.pools is not None:
            rows = np.searchsorted(self._task.users, users)
            kept = np.zeros(scores.shape, np.bool_)
            kept[np.arange(len(users))[:, None], self._places[self._task.pools[rows]]] = True
            scores[~kept] = -np.inf
            return
        seen, offsets = _events_of(self._task.seen, users)
        rows, columns = np.repeat(np.arange(len(users)), np.diff(offsets)), self._places[seen]
        scores[rows[columns >= 0], columns[columns >= 0]] = -np.inf


def rank(encoder: Encoder, task: Task, top: int, progress: Progress) -> Ranking:
    """Rank the candidates of a task for each of its users, exactly.

    The rank of a target is one, plus the other items that score higher, plus those that score equal and are no
    targets: of equal scores the worst case counts. Memory does not grow with the number of users.
    """
    ranker, users = Ranker(task), task.users
    items = ranker.item_vectors(encoder)
    ranks, lists = [np.zeros(0, np.int64)], [np.zeros((0, top), np.int32)]
    for batch in ranker.batches(len(users)):
        codes = users[batch]
        scores = encoder.encode_users(task.visitors(codes.tolist())) @ items.T
        ranker.leave_out(scores, codes)
        ranks.append(target_ranks(scores, *ranker.targets(codes)))
        lists.append(_named(top_items(scores, top), ranker.columns))
        progress(Step("evaluate", batch.stop, len(users)))
    offsets = np.concatenate(([0], np.cumsum(np.diff(task.targets.user_offsets)[users])))
    return Ranking(np.concatenate(ranks), offsets, np.concatenate(lists))


def target_ranks(
    scores: NDArray[np.float32], targets: NDArray[np.int32], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The rank of each target in its user's row of scores, of equal scores the worst case.

    Args:
        scores: Shape (n, m); ``-inf`` for items that are left out.
        targets: Columns of the targets, -1 for one that cannot come, shape (t,).
        offsets: The targets of row ``n`` are ``offsets[n]:offsets[n + 1]``, shape (n + 1,).

    Returns:
        Ranks from 1, 0 for a target that cannot come, shape (t,).
    """
    rows = np.repeat(np.arange(len(scores)), np.diff(offsets))
    own = np.where(targets < 0, np.float32(-np.inf), scores[rows, targets])
    if len(targets) == len(scores) and (np.diff(offsets) == 1).all():
        ranks = (scores >= own[:, None]).sum(axis=1)
    else:
        ranks = _ranks_of_many(scores, targets, own, offsets)
    return np.where(np.isneginf(own), 0, ranks).astype(np.int64)


def top_items(scores: NDArray[np.float32], top: int) -> NDArray[np.int64]:
    """The columns of the best scores of each row, best first, equal ones by column; -1 where a row has fewer.

    Args:
        scores: Shape (n, m); ``-inf`` for items that are left out.
        top: How many.

    Returns:
        Shape (n, top).
    """
    kept = min(top, scores.shape[1])
    found = np.full((len(scores), top), -1, np.int64)
    if kept == 0:
        return found
    best = np.sort(np.argpartition(-scores, kept - 1, axis=1)[:, :kept], axis=1)
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    found[:, :kept] = np.where(
        np.isneginf(np.take_along_axis(values, order, axis=1)), -1, np.take_along_axis(best, order, axis=1)
    )
    return found


def _ranks_of_many(
    scores: NDArray[np.float32], targets: NDArray[np.int32], own: NDArray[np.float32], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    ranks = np.zeros(len(targets), np.int64)
    for row in range(len(scores)):
        part = slice(offsets[row], offsets[row + 1])
        mine = own[part]
        others = scores[row].copy()
        others[targets[part][targets[part] >= 0]] = -np.inf
        others.sort()
        # Among each other the targets stand in the order of their scores, whichever comes first of two equal ones.
        among = np.empty(len(mine), np.int64)
        among[np.argsort(-mine, kind="stable")] = np.arange(1, len(mine) + 1)
        ranks[part] = among + len(others) - np.searchsorted(others, mine, side="left")
    return ranks


def _events_of(data: Dataset, users: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The items of the users' events, one user after the other, and where each one's begin."""
    starts, ends = data.user_offsets[users], data.user_offsets[users + 1]
    items = [data.item_codes[start:end] for start, end in zip(starts.tolist(), ends.tolist())]
    return np.concatenate([np.zeros(0, np.int32), *items]), np.concatenate(([0], np.cumsum(ends - starts)))


def _named(found: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.where(found >= 0, columns[found], -1).astype(np.int32)
