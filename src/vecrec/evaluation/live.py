"""Measuring what a live recommender serves, and where on the way a held-out item is lost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from vecrec.data import Dataset
from vecrec.errors import InvalidDataError
from vecrec.evaluation.ranking import Ranking
from vecrec.evaluation.results import Evaluation
from vecrec.evaluation.runner import accuracy, check_depths
from vecrec.feedback import Taste
from vecrec.filters import Filter
from vecrec.ids import Id
from vecrec.recommendations import Recommendations
from vecrec.records import Record
from vecrec.types import User
from vecrec.vector_stores.base import Entry, VectorStore

__all__ = ["FATES", "LiveEvaluation", "LivePath", "evaluate_live"]

FATES = ("found", "missing", "seen", "filter", "popularity", "index", "reranker", "model")
"""What becomes of a held-out item, in the order in which it is asked: see `LiveEvaluation.fates`."""


@dataclass(frozen=True)
class LiveEvaluation(Evaluation):
    """The metrics of what was served, beside those of an exact search of the same vectors, and where the rest went."""

    fates: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    """For each fate and k the share of the held-out items that met it; those of one k add up to 1.

    - ``found``: among the first k that were served.
    - ``missing``: the catalogue has no vector or no record of it.
    - ``seen``: the user's stored events have it already, so it was left out.
    - ``filter``: it does not pass the filter.
    - ``popularity``: popularity served, because nothing is known of the user or the vector store did not answer.
    - ``index``: an exact search would have had it among the first k, the index did not.
    - ``reranker``: the index had it among the first k, the second stage or a likeness to a dislike put it behind.
    - ``model``: the vectors rank it below k.
    """

    def __str__(self) -> str:
        depths = list(self.fates["found"])
        lines = [f"{'held-out items':<16}" + "".join(f"{f'@{k}':>9}" for k in depths)]
        lines += [f"{fate:<16}" + "".join(f"{shares[k]:>9.4f}" for k in depths) for fate, shares in self.fates.items()]
        return "\n".join([super().__str__(), "", lines[0], "-" * len(lines[0]), *lines[1:]])

    def to_json(self) -> Record:
        """What `Evaluation.to_json` gives, and the fates."""
        fates: Record = {fate: {str(k): share for k, share in shares.items()} for fate, shares in self.fates.items()}
        return super().to_json() | {"fates": fates}


@dataclass(frozen=True, slots=True)
class LivePath:
    """What the live path is made of, as far as measuring it needs to know."""

    encode_users: Callable[[Sequence[User]], NDArray[np.float32]]
    """The vectors that users are searched with, shape (n, dim)."""
    dim: int
    """Their length."""
    collection: str
    """The collection with its item vectors."""
    vectors: VectorStore
    """Where that is."""
    serve: Callable[[Sequence[Id], int], list[Recommendations]]
    """Recommends k items to each user."""
    read_users: Callable[[Sequence[Id]], list[Taste]]
    """The users as the live path reads them, and what it leaves out for them."""
    with_record: Callable[[Sequence[Id]], Collection[Id]]
    """Those of some items that have a record."""
    retrieve: Callable[[Sequence[Id], int], list[Recommendations]]
    """Recommends without the second stage, and what is like a dislike in its place."""
    reranked: bool
    """Whether there is a second stage."""
    where: Filter | None = None
    """The filter under which everything is served."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The held-out items, and what is known about them and those who have them."""

    targets: list[Id]
    rows: NDArray[np.int64]
    """Whose each target is, as a place among the users."""
    users: list[Taste]
    held: Mapping[Id, Entry]
    """What the collection holds of the targets."""


def evaluate_live(path: LivePath, test: Dataset, k: int | Sequence[int]) -> LiveEvaluation:
    """Recommend to every user with an event in ``test``, and say what became of its items.

    Raises:
        InvalidDataError: for a k that is none, or a test without events.
    """
    depths = check_depths(k, "k")
    if test.n_events == 0:
        raise InvalidDataError("the test has no event", "give the events that are to be predicted")
    codes = np.flatnonzero(np.diff(test.user_offsets))
    ids = [test.user_ids[code] for code in codes.tolist()]
    targets = [test.item_ids[code] for code in test.item_codes.tolist()]
    rows = np.repeat(np.arange(len(ids)), np.diff(test.user_offsets)[codes])
    served = path.serve(ids, max(depths))
    asked = _Asked(targets, rows, path.read_users(ids), path.vectors.fetch(path.collection, targets))
    ranks = _places(served, rows, targets)
    moved = path.reranked or any("dislikes" in each.based_on for each in served)
    plain = _places(path.retrieve(ids, max(depths)), rows, targets) if moved else ranks
    reasons = _reasons(path, asked, served)
    left_out = np.array([reason in ("missing", "seen", "filter") for reason in reasons])
    exact = np.where(left_out, 0, _exact_ranks(path, asked))
    offsets = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(ids)))))
    counts = {"users": len(ids), "ranked_items": path.vectors.count(path.collection), "targets": len(targets)}
    in_search = _evaluation("exact search", ids, depths, Ranking(_apart(exact, rows), offsets, _NO_LISTS), counts)
    found = _evaluation("served", ids, depths, Ranking(ranks, offsets, _NO_LISTS), counts)
    return LiveEvaluation(
        **{name: getattr(found, name) for name in found.__dataclass_fields__ if name != "baselines"},
        baselines=(in_search,),
        fates=_fates((ranks, plain, exact), reasons, depths),
    )


_NO_LISTS = np.zeros((0, 0), np.int32)


def _evaluation(
    model: str, ids: list[Id], depths: list[int], ranking: Ranking, counts: Mapping[str, int]
) -> Evaluation:
    per_user = accuracy(ranking, depths)
    means = {name: float(values.mean()) for name, values in per_user.items()}
    return Evaluation(model, "through the live path", means, per_user, ids, counts)


def _exact_ranks(path: LivePath, asked: _Asked) -> NDArray[np.int64]:
    """The rank of each target in an exact search under the filter, without what was seen; the items stream by."""
    targets, rows = asked.targets, asked.rows
    queries = path.encode_users([taste.user for taste in asked.users])
    none = np.zeros(path.dim, np.float32)
    own = np.einsum("nd,nd->n", queries[rows], np.array([_vector(asked.held.get(key), none) for key in targets]))
    seen: dict[Id, list[int]] = {}
    for row, taste in enumerate(asked.users):
        for item_id in taste.consumed.union(taste.disliked):
            seen.setdefault(item_id, []).append(row)
    places: dict[Id, list[int]] = {}
    for number, target in enumerate(targets):
        places.setdefault(target, []).append(number)
    ranks: NDArray[np.int64] = np.ones(len(targets), np.int64)
    for batch in _batches(path):
        scores = queries @ np.array([_vector(entry, none) for entry in batch]).T
        for column, entry in enumerate(batch):
            scores[seen.get(entry.id, []), column] = -np.inf
        better = scores[rows] >= own[:, None]
        for column, entry in enumerate(batch):
            better[places.get(entry.id, []), column] = False
        ranks += better.sum(axis=1)
    return ranks


def _batches(path: LivePath, size: int = 500) -> Iterator[list[Entry]]:
    """The entries that pass the filter, some at a time."""
    entries = (
        entry
        for entry in path.vectors.scan(path.collection, vectors=True, batch_size=size)
        if path.where is None or path.where.matches(entry.attributes)
    )
    while batch := list(islice(entries, size)):
        yield batch


def _reasons(path: LivePath, asked: _Asked, served: Sequence[Recommendations]) -> list[str | None]:
    """Why each target could not be found by its vector at all; ``None`` where it could."""
    recorded = path.with_record(asked.targets)
    seen = [taste.consumed.union(taste.disliked) for taste in asked.users]

    def reason(target: Id, row: int) -> str | None:
        if target not in asked.held or target not in recorded:
            return "missing"
        if target in seen[row]:
            return "seen"
        if path.where is not None and not path.where.matches(asked.held[target].attributes):
            return "filter"
        return None if served[row].served_by == "vectors" else "popularity"

    return [reason(target, row) for target, row in zip(asked.targets, asked.rows.tolist())]


def _fates(
    ranks: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], reasons: list[str | None], depths: list[int]
) -> dict[str, dict[int, float]]:
    """The shares of the fates, by the ranks of what was served, of what the index found, and of an exact search."""
    shares = {fate: dict.fromkeys(depths, 0.0) for fate in FATES}
    for served, found, exact, reason in zip(*(each.tolist() for each in ranks), reasons):
        for k in depths:
            lost = "reranker" if 1 <= found <= k else "index" if exact <= k else "model"
            shares["found" if 1 <= served <= k else reason or lost][k] += 1 / len(reasons)
    return shares


def _apart(ranks: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ranks with those of one user made different: a target does not push down another one of equal score."""
    different: NDArray[np.int64] = ranks.copy()
    taken: set[tuple[int, int]] = set()
    for number in np.lexsort((ranks, rows)).tolist():
        place = int(ranks[number])
        while place and (int(rows[number]), place) in taken:
            place += 1
        taken.add((int(rows[number]), place))
        different[number] = place
    return different


def _places(served: Sequence[Recommendations], rows: NDArray[np.int64], targets: Sequence[Id]) -> NDArray[np.int64]:
    return np.array([_place(served[row], target) for row, target in zip(rows.tolist(), targets)], np.int64)


def _place(served: Recommendations, target: Id) -> int:
    return next((one.rank for one in served if one.item_id == target), 0)


def _vector(entry: Entry | None, otherwise: NDArray[np.float32]) -> NDArray[np.float32]:
    return otherwise if entry is None or entry.vector is None else np.asarray(entry.vector, np.float32)
