"""Evaluation of a live recommender, and the step at which it loses a held-out item."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import batched
from vecrec._internal.exact import count_reaching
from vecrec.data import Dataset
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError
from vecrec.evaluation.protocols import only_targets
from vecrec.evaluation.ranking import Ranking
from vecrec.evaluation.results import Evaluation
from vecrec.evaluation.runner import accuracy, check_depths, notes_on_known, notes_on_seen
from vecrec.feedback import Taste
from vecrec.filters import Filter
from vecrec.ids import Id
from vecrec.recommendations import Recommendations
from vecrec.records import Record
from vecrec.types import User
from vecrec.vector_stores.base import Entry, VectorStore

__all__ = ["FATES", "LiveEvaluation", "LivePath", "evaluate_live"]

FATES = ("found", "missing", "seen", "filter", "popularity", "index", "reranker", "model")
"""What becomes of a held-out item: see `LiveEvaluation.fates`."""


@dataclass(frozen=True, repr=False)
class LiveEvaluation(Evaluation):
    """The metrics of what was served and of an exact search, and the fates of the held-out items."""

    fates: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    """For each fate and k the share of the held-out items that met it; those of one k add up to 1.

    - ``found``: among the first k recommendations.
    - ``missing``: the catalogue has no vector or no record of it.
    - ``seen``: the user has consumed it, so it was excluded; with ``exclude_seen=False`` only where they dislike it.
    - ``filter``: it does not pass the filter.
    - ``popularity``: popularity served, because the user is unknown or the vector store did not answer.
    - ``index``: an exact search would have had it among the first k, the index did not.
    - ``reranker``: the index had it among the first k, the second stage or a similarity to a dislike ranked it lower.
    - ``model``: the vectors rank it below k.
    """

    def __str__(self) -> str:
        depths = list(self.fates["found"])
        lines = [f"{'held-out items':<16}" + "".join(f"{f'@{k}':>9}" for k in depths)]
        lines += [f"{fate:<16}" + "".join(f"{shares[k]:>9.4f}" for k in depths) for fate, shares in self.fates.items()]
        return "\n".join([super().__str__(), "", lines[0], "-" * len(lines[0]), *lines[1:]])

    def to_json(self) -> Record:
        """The object of `Evaluation.to_json`, and the fates."""
        fates: Record = {fate: {str(k): share for k, share in shares.items()} for fate, shares in self.fates.items()}
        return super().to_json() | {"fates": fates}


@dataclass(frozen=True, slots=True)
class LivePath:
    """The parts of the live path that are measured."""

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
    """Recommends in the order of the vectors: without the second stage and the penalty for dislikes."""
    reranked: bool
    """Whether there is a second stage."""
    encoder: Encoder
    """What the release's vectors come from."""
    where: Filter | None = None
    """The filter under which items are served."""
    exclude_seen: bool = True
    """Whether the consumed items of `read_users` are excluded, by `serve` and `retrieve` too."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The held-out items and their users."""

    targets: list[Id]
    rows: NDArray[np.int64]
    """The place of each target's user among the users."""
    users: list[Taste]
    held: Mapping[Id, Entry]
    """The entries of the targets that the collection holds."""

    def seen_by(self, *, consumed: bool = True) -> list[frozenset[Id]]:
        """The items that each user dislikes and, unless ``consumed`` is false, has consumed."""
        return [(taste.consumed if consumed else frozenset()).union(taste.disliked) for taste in self.users]


def evaluate_live(path: LivePath, test: Dataset, k: int | Sequence[int]) -> LiveEvaluation:
    """Recommend to every user with an event in ``test``, and count the fates of the held-out items.

    Raises:
        InvalidDataError: for an invalid k, a test without events, or ids of another type than the stored ones.
    """
    depths = check_depths(k, "k")
    test = only_targets(test)
    if test.n_events == 0:
        raise InvalidDataError("the test has no event to predict", "give the events to predict")
    codes = np.flatnonzero(np.diff(test.user_offsets))
    ids = [test.user_ids[code] for code in codes.tolist()]
    targets = [test.item_ids[code] for code in test.item_codes.tolist()]
    rows = np.repeat(np.arange(len(ids)), np.diff(test.user_offsets)[codes])
    asked = _Asked(targets, rows, path.read_users(ids), path.vectors.fetch(path.collection, targets))
    _check_id_types(path, asked)
    served = path.serve(ids, max(depths))
    ranks = _places(served, rows, targets)
    moved = path.reranked or any("dislikes" in each.based_on for each in served)
    plain = _places(path.retrieve(ids, max(depths)), rows, targets) if moved else ranks
    reasons = _reasons(path, asked, served)
    left_out = np.array([reason in ("missing", "seen", "filter") for reason in reasons])
    exact = np.where(left_out, 0, _exact_ranks(path, asked))
    offsets = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(ids)))))
    counts = {
        "users": len(ids),
        "ranked_items": path.vectors.count(path.collection),
        "targets": len(targets),
        "targets_seen": _count_seen(asked),
        "targets_stored": _count_stored(asked, test),
        "unknown_targets": reasons.count("missing"),
    }
    in_search = _measured(_apart(exact, rows), offsets, depths)
    found = _measured(ranks, offsets, depths)
    protocol = "through the live path"
    return LiveEvaluation(
        "served",
        protocol,
        *found,
        user_ids=ids,
        counts=counts,
        baselines=(Evaluation("exact search", protocol, *in_search, user_ids=ids, counts=counts),),
        notes=[
            *_notes_on_stored(counts, timed=test.times is not None),
            *notes_on_seen(counts, excluded=path.exclude_seen),
            *_notes_on_known(path, asked),
        ],
        fates=_fates((ranks, plain, exact), reasons, depths),
    )


_NO_LISTS = np.zeros((0, 0), np.int32)
_IDS_COMPARED = 1000
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")


def _measured(
    ranks: NDArray[np.int64], offsets: NDArray[np.int64], depths: list[int]
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    """The metrics, and their values for each user."""
    per_user = accuracy(Ranking(ranks, offsets, _NO_LISTS), depths)
    return {name: float(values.mean()) for name, values in per_user.items()}, per_user


def _count_seen(asked: _Asked) -> int:
    seen = asked.seen_by()
    return sum(target in seen[row] for target, row in zip(asked.targets, asked.rows.tolist()))


def _count_stored(asked: _Asked, test: Dataset) -> int:
    """How many targets are among the stored events of their users: by item and time, without times by item."""
    times = [None] * test.n_events if test.times is None else test.times.tolist()
    held = [
        {(event.item_id, None if test.times is None else event.time) for event in taste.user.history}
        for taste in asked.users
    ]
    return sum((key, at) in held[row] for key, at, row in zip(asked.targets, times, asked.rows.tolist()))


def _notes_on_stored(counts: Mapping[str, int], *, timed: bool) -> list[str]:
    if not counts["targets_stored"]:
        return []
    found = f"{counts['targets_stored']:,} of {counts['targets']:,} targets are stored events already"
    if not timed:
        found += ", or repeat one, which only times tell"
    return [f"{found}: the users' vectors know them, and the live release may; fit and store the training part alone"]


def _notes_on_known(path: LivePath, asked: _Asked) -> list[str]:
    held = [{event.item_id for event in taste.user.history} for taste in asked.users]
    fresh = [(row, key) for row, key in zip(asked.rows.tolist(), asked.targets) if key not in held[row]]
    users = [asked.users[row].user.id for row, _ in fresh]
    return notes_on_known(path.encoder, [key for key in users if key is not None], [key for _, key in fresh])


def _check_id_types(path: LivePath, asked: _Asked) -> None:
    """Refuse a test of which no id is stored, where ids of the other type are.

    Raises:
        InvalidDataError: naming one of the ids.
    """
    if not asked.held:
        others = _as_other_types(asked.targets)
        _refuse_other_type("item", list(path.vectors.fetch(path.collection, others)))
    if not any(map(_is_known, asked.users)):
        others = _as_other_types(taste.user.id for taste in asked.users)
        known = [taste.user.id for taste in path.read_users(others) if _is_known(taste)]
        _refuse_other_type("user", [key for key in known if key is not None])


def _is_known(taste: Taste) -> bool:
    return bool(taste.user.history or taste.user.features or taste.disliked)


def _refuse_other_type(what: str, stored: list[Id]) -> None:
    if stored:
        given = _as_other_type(stored[0])
        raise InvalidDataError(
            f"no {what} id of the test, such as {given!r}, is stored, but {stored[0]!r} of type "
            f"{type(stored[0]).__name__} is",
            f"read the test's {what} ids as {type(stored[0]).__name__}",
        )


def _as_other_types(ids: Iterable[Id | None]) -> list[Id]:
    found = (_as_other_type(key) for key in islice(ids, _IDS_COMPARED))
    return [key for key in found if key is not None]


def _as_other_type(key: Id | None) -> Id | None:
    """The text of an integer, or the integer that a text is."""
    if isinstance(key, int):
        return str(key)
    return int(key) if key is not None and _INTEGER.fullmatch(key) else None


def _exact_ranks(path: LivePath, asked: _Asked) -> NDArray[np.int64]:
    """The rank of each target in an exact search under the filter; the items are read in batches."""
    targets, rows = asked.targets, asked.rows
    queries = path.encode_users([taste.user for taste in asked.users])
    none = np.zeros(path.dim, np.float32)
    own = np.einsum("nd,nd->n", queries[rows], np.array([_vector(asked.held.get(key), none) for key in targets]))
    seen: dict[Id, list[int]] = {}
    for row, items in enumerate(asked.seen_by(consumed=path.exclude_seen)):
        for item_id in items:
            seen.setdefault(item_id, []).append(row)
    places: dict[Id, list[int]] = {}
    for number, target in enumerate(targets):
        places.setdefault(target, []).append(number)
    ranks: NDArray[np.int64] = np.ones(len(targets), np.int64)
    for batch in _batches(path):
        scores = queries @ np.array([_vector(entry, none) for entry in batch]).T
        for column, entry in enumerate(batch):
            scores[seen.get(entry.id, []), column] = -np.inf
        others = scores[rows]
        for column, entry in enumerate(batch):
            others[places.get(entry.id, []), column] = -np.inf
        ranks += count_reaching(others, own)
    return ranks


def _batches(path: LivePath, size: int = 500) -> Iterator[list[Entry]]:
    """The entries that pass the filter, in batches."""
    entries = path.vectors.scan(path.collection, vectors=True, batch_size=size)
    passing = (entry for entry in entries if path.where is None or path.where.matches(entry.attributes))
    return batched(passing, size)


def _reasons(path: LivePath, asked: _Asked, served: Sequence[Recommendations]) -> list[str | None]:
    """Why a search of the vectors cannot find each target; ``None`` where it can."""
    recorded = path.with_record(asked.targets)
    seen = asked.seen_by(consumed=path.exclude_seen)

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
    """The shares of the fates, from the ranks in what was served, in what the index found, and in an exact search."""
    shares = {fate: dict.fromkeys(depths, 0.0) for fate in FATES}
    for served, found, exact, reason in zip(*(each.tolist() for each in ranks), reasons):
        for k in depths:
            lost = "reranker" if 1 <= found <= k else "index" if exact <= k else "model"
            shares["found" if 1 <= served <= k else reason or lost][k] += 1 / len(reasons)
    return shares


def _apart(ranks: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ranks with those of one user made different: targets of equal score take consecutive ranks."""
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
