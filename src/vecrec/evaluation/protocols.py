"""Evaluation tasks of published tables: the targets, the users and the candidate items."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.validation import boolean_mask, choice, flag, instance, integer, mapping
from vecrec.data import Dataset, Split
from vecrec.errors import InvalidDataError
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id
from vecrec.types import User

__all__ = ["Task", "cold_items", "cold_users", "from_split", "only_targets", "pairs_of", "sampled_negatives"]


@dataclass(frozen=True, slots=True)
class Task:
    """An evaluation task: histories, targets and candidate items."""

    name: str
    """The protocol in a few words."""
    train: Dataset
    """The training data."""
    history: Dataset
    """The earlier events of each user: the history that the encoder receives."""
    targets: Dataset
    """The target events: of those that are given, the ones that the feedback policy counts as targets, each item of a
    user once. Every user with a target is measured."""
    candidates: NDArray[np.bool_]
    """Which items are ranked, shape (n_items,)."""
    findable: NDArray[np.bool_]
    """Which items count when they are found, shape (n_items,); any other target is a miss."""
    seen: Dataset
    """Events whose items a user has seen: they are left out of the ranking, so that a target among them is a miss."""
    pools: NDArray[np.int32] | None = None
    """The codes of the items that are ranked for each measured user, target included, shape (n, p); ``None`` to rank
    all candidates."""
    exclude_seen: bool | Collection[str] = True
    """Whether seen items are left out of the ranking; ``False`` where people come back to the same item, or the kinds
    of events whose items are left out. Disliked items always are."""
    timed: bool = False
    """Whether users come at the time of their first target, which an encoder may read (``User.at``), as a service knows
    when it is asked. Figures of such a task are not to be mixed with those of one without."""

    def __post_init__(self) -> None:
        for name in ("history", "targets", "seen"):
            _check_same_ids(self.train, getattr(self, name), name)
        object.__setattr__(self, "targets", only_targets(self.targets))

    @property
    def n_targets_seen(self) -> int:
        """The number of targets whose users had the item before."""
        return int(np.isin(pairs_of(self.targets), pairs_of(self.left_out(everything=True))).sum())

    def left_out(self, *, everything: bool = False) -> Dataset:
        """The events whose items are left out of the ranking: of consumed and of disliked items.

        Args:
            everything: The events of all consumed items, whatever ``exclude_seen`` says.
        """
        seen, chosen = self.seen, self.exclude_seen
        disliked = (seen.signs != 0) & ~seen.is_positive
        if chosen is False and not everything:
            return seen.select_events(disliked)
        return seen.select_events(seen.is_consumed(None if isinstance(chosen, bool) else chosen) | disliked)

    @property
    def users(self) -> NDArray[np.int32]:
        """The codes of the measured users, ascending, shape (n,)."""
        return np.flatnonzero(np.diff(self.targets.user_offsets)).astype(np.int32)

    def visitors(self, codes: Sequence[int]) -> list[User]:
        """The users as a recommender reads them: id, profile and a history of positive events."""
        policy = self.history.feedback or FeedbackPolicy()
        users = [policy.taste(self.history.user(code, history=True)).user for code in codes]
        times = self.targets.times if self.timed else None
        if times is None:
            return users
        first = times[self.targets.user_offsets[list(codes)]].tolist()
        return [replace(user, at=at) for user, at in zip(users, first)]


def from_split(
    split: Split, part: str = "test", *, candidates: NDArray[np.bool_] | None = None, timed: bool = False
) -> Task:
    """The task of a split of events: protocol P1 for `vecrec.data.splits.leave_last_out`, P3 for ``temporal``.

    The history is everything before the part. What a user has seen is left out of the ranking. A target that training
    has never seen is a miss.

    Args:
        split: What `vecrec.data.splits` gives.
        part: ``"test"``, or ``"validation"``, by which settings are chosen.
        candidates: Which items to rank, shape (n_items,); all that have an event in any part where it is not given, as
            published tables do, so that items without any event do not make the ranking harder.
        timed: Whether users come at the time of their first target; see `Task`.

    Raises:
        InvalidDataError: for another part, or a split that holds items or users out, which `cold_items` and
            `cold_users` are for.
    """
    choice(part, "part", ("test", "validation"))
    if instance(split, "split", Split).held_out is not None:
        raise InvalidDataError(f"this split ({split.rule}) holds items or users out", "use cold_items or cold_users")
    test = part == "test"
    history = split.before_test if test else split.train
    return Task(
        name=split.rule if test else f"{split.rule}, validation",
        train=split.train,
        history=history,
        targets=split.test if test else split.validation,
        candidates=_met(split) if candidates is None else boolean_mask(candidates, "candidates", split.train.n_items),
        findable=split.train.popularity() > 0,
        seen=history,
        timed=flag(timed, "timed"),
    )


def cold_items(split: Split) -> Task:
    """Protocol P4 for new items: rank the held-out items, which are known by their features alone.

    Args:
        split: What `vecrec.data.splits.cold_items` gives.

    Raises:
        InvalidDataError: for a split that holds no items out.
    """
    test = instance(split, "split", Split).test
    mask = _held_out(split, test.n_items, test.item_codes, "items")
    return Task(f"new items: {split.rule}", split.train, split.before_test, split.test, mask, mask, split.before_test)


def cold_users(split: Split, n_events: int, *, first: int | None = None) -> Task:
    """Protocol P4 for new users: recommend to users without an event in training, after their first few events.

    The target is the next event, as in P1; another one for every ``n_events``, so hold it against popularity on the
    same task. With ``first`` the targets are all events after the ``first`` ones, which are left out of the ranking
    whatever ``n_events`` is, so that the figures for 0, 1, 5 and 20 events compare: what a user likes on the whole.

    Args:
        split: What `vecrec.data.splits.cold_users` gives.
        n_events: How many of the first events are known; 0 for the profile alone.
        first: After how many events the targets begin, at least ``n_events``; the next one only where it is ``None``.

    Raises:
        InvalidDataError: for a split that holds no users out, or more events than ``first``.
    """
    test = instance(split, "split", Split).test
    integer(n_events, "n_events", low=0, high=None if first is None else integer(first, "first", low=0))
    _held_out(split, test.n_users, test.user_codes, "users")
    places = np.arange(test.n_events) - test.user_offsets[test.user_codes]
    met = split.train.popularity() > 0
    which = "the next" if first is None else f"all after {first}"
    return Task(
        name=f"new users after {n_events} events, {which}: {split.rule}",
        train=split.train,
        history=test.select_events(places < n_events),
        targets=test.select_events(places == n_events if first is None else places >= first),
        candidates=met,
        findable=met,
        seen=test.select_events(places < (n_events if first is None else first)),
    )


def sampled_negatives(split: Split, negatives: Mapping[Id, Sequence[Id]]) -> Task:
    """Protocol P2: rank each user's target among given items that the user has no event with.

    For published tables only: the figures are far above those of a full ranking, and order models differently
    (Krichene and Rendle, *On sampled metrics for item recommendation*, KDD 2020).

    Args:
        split: With one target a user in its test part.
        negatives: The item ids to rank against, by user id, the same number for each.

    Raises:
        InvalidDataError: when a measured user has no negatives, or an id is unknown.
    """
    negatives = mapping(negatives, "negatives")
    task = from_split(split)
    targets = task.targets
    if np.diff(targets.user_offsets).max() > 1:
        raise InvalidDataError("a user has several targets", "split with leave_last_out")
    rows = []
    for user, target in zip(task.users.tolist(), targets.item_codes.tolist()):
        given = [targets.item_code(key) for key in negatives.get(targets.user_ids[user], ())]
        if not given or None in given:
            raise InvalidDataError(f"the negatives of user {targets.user_ids[user]!r} are missing or unknown items")
        rows.append([target, *given])
    if len({len(row) for row in rows}) > 1:
        raise InvalidDataError("the users have different numbers of negatives", "give each the same")
    pools = np.array(rows, np.int32)
    return replace(task, name=f"{split.rule}, among {pools.shape[1] - 1} negatives", pools=pools)


def _check_same_ids(train: Dataset, part: Dataset, name: str) -> None:
    for what, mine, theirs in (("user", train.user_ids, part.user_ids), ("item", train.item_ids, part.item_ids)):
        if mine is not theirs and mine != theirs:
            kinds = [", ".join(sorted({type(key).__name__ for key in ids})) or "none" for ids in (mine, theirs)]
            raise InvalidDataError(
                f"the {what} ids of the {name} ({kinds[1]}) are not those of the training data ({kinds[0]})",
                "split one data set, whose parts share their ids",
            )


def only_targets(targets: Dataset) -> Dataset:
    """The events of a test that the feedback policy counts as targets, of each user and item the first."""
    _, first = np.unique(pairs_of(targets)[targets.is_target], return_index=True)
    mask = np.zeros(targets.n_events, np.bool_)
    mask[np.flatnonzero(targets.is_target)[first]] = True
    return targets if mask.all() else targets.select_events(mask)


def pairs_of(data: Dataset) -> NDArray[np.int64]:
    """One number for each event's user and item, shape (n_events,), the same in all parts of one data set."""
    return np.asarray(data.user_codes.astype(np.int64) * max(data.n_items, 1) + data.item_codes)


def _met(split: Split) -> NDArray[np.bool_]:
    return np.asarray(split.before_test.popularity() + split.test.popularity() > 0)


def _held_out(split: Split, size: int, codes: NDArray[np.int32], what: str) -> NDArray[np.bool_]:
    mask = np.zeros(size, np.bool_)
    if split.held_out is not None:
        mask[split.held_out] = True
    if split.held_out is None or not mask[codes].all():
        raise InvalidDataError(f"this split ({split.rule}) holds no {what} out", f"split with cold_{what}")
    return mask
