"""From vectors to the ranks of the targets and the items on top, a batch of users at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.exact import target_ranks, top_columns
from vecrec.data import Dataset
from vecrec.evaluation.protocols import Task
from vecrec.progress import Progress, Step

if TYPE_CHECKING:
    from vecrec.encoders.base import Encoder
    from vecrec.encoders.successors import Successors

__all__ = ["Ranker", "Ranking", "rank"]

_SCORES_AT_A_TIME = 1 << 24
"""How many scores are held at once: 64 MB."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Where the targets of each measured user are, and what is on top."""

    ranks: NDArray[np.int64]
    """The rank of each target, from 1, in the order of the task's targets; 0 for a target that cannot be ranked."""
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
        self._task, self._left_out = task, task.left_out()
        self.columns = np.flatnonzero(task.candidates)
        """The codes of the candidates: what the columns of scores are."""
        self._places = np.full(task.train.n_items, -1, np.int32)
        self._places[self.columns] = np.arange(len(self.columns))

    def item_vectors(self, encoder: Encoder) -> NDArray[np.float32]:
        """The candidates' vectors, shape (n_columns, dim)."""
        return encoder.encode_items([self._task.train.item(code) for code in self.columns.tolist()])

    def columns_of(self, successors: Successors) -> NDArray[np.int32]:
        """The column of each item that the lists know, -1 for one that is not a candidate."""
        codes = [self._task.train.item_code(key) for key in successors.lists.ids]
        return np.array([-1 if code is None else self._places[code] for code in codes], np.int32)

    def batches(self, n_users: int) -> Iterator[slice]:
        """Slices of the users whose scores fit into memory together."""
        size = max(1, min(1024, _SCORES_AT_A_TIME // max(len(self.columns), 1)))
        return (slice(start, min(start + size, n_users)) for start in range(0, n_users, size))

    def targets(self, users: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The columns of some users' targets, -1 for one that cannot be ranked, and where those of each user begin."""
        codes, offsets = _events_of(self._task.targets, users)
        return np.where(self._task.findable[codes], self._places[codes], -1).astype(np.int32), offsets

    def leave_out(self, scores: NDArray[np.float32], users: NDArray[np.int32]) -> None:
        """Set the scores of the items that each user must not get, one user a row, to minus infinity."""
        if self._task.pools is not None:
            rows = np.searchsorted(self._task.users, users)
            kept = np.zeros(scores.shape, np.bool_)
            kept[np.arange(len(users))[:, None], self._places[self._task.pools[rows]]] = True
            scores[~kept] = -np.inf
            return
        seen, offsets = _events_of(self._left_out, users)
        rows, columns = np.repeat(np.arange(len(users)), np.diff(offsets)), self._places[seen]
        scores[rows[columns >= 0], columns[columns >= 0]] = -np.inf


def rank(encoder: Encoder, task: Task, top: int, progress: Progress, successors: Successors | None = None) -> Ranking:
    """Rank the candidates of a task for each of its users, exactly.

    The rank of a target is one, plus the other items that score higher, plus the non-targets that score equal: of
    of equal scores the worst case counts. Memory does not grow with the number of users. The scores are the inner
    products of the vectors and, where they are given, what the successors of the items of the histories add.
    """
    ranker, users = Ranker(task), task.users
    items = ranker.item_vectors(encoder)
    places = None if successors is None else ranker.columns_of(successors)
    ranks, lists = [np.zeros(0, np.int64)], [np.zeros((0, top), np.int32)]
    for batch in ranker.batches(len(users)):
        codes = users[batch]
        visitors = task.visitors(codes.tolist())
        scores = encoder.encode_users(visitors) @ items.T
        if successors is not None and places is not None:
            histories = [[event.item_id for event in visitor.history] for visitor in visitors]
            successors.add_to(scores, histories, places)
        ranker.leave_out(scores, codes)
        ranks.append(target_ranks(scores, *ranker.targets(codes)))
        lists.append(_named(top_columns(scores, top), ranker.columns))
        progress(Step("evaluate", batch.stop, len(users)))
    offsets = np.concatenate(([0], np.cumsum(np.diff(task.targets.user_offsets)[users])))
    return Ranking(np.concatenate(ranks), offsets, np.concatenate(lists))


def _events_of(data: Dataset, users: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The items of the events of each user in turn, and the offsets where those of each user begin."""
    starts, ends = data.user_offsets[users], data.user_offsets[users + 1]
    items = [data.item_codes[start:end] for start, end in zip(starts.tolist(), ends.tolist())]
    return np.concatenate([np.zeros(0, np.int32), *items]), np.concatenate(([0], np.cumsum(ends - starts)))


def _named(found: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.where(found >= 0, columns[found], -1).astype(np.int32)
