"""Evaluation of an encoder: exact ranking, metrics and baselines."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.validation import integer, listed
from vecrec.data import Categorical, Dataset, MultiCategorical, Split
from vecrec.errors import InvalidDataError, shown
from vecrec.evaluation import metrics
from vecrec.evaluation.protocols import Task, from_split, pairs_of
from vecrec.evaluation.ranking import Ranking, rank
from vecrec.evaluation.results import Evaluation
from vecrec.feedback import seen_kinds
from vecrec.ids import Id
from vecrec.progress import Progress, ProgressLike, showing
from vecrec.registry import find_part

if TYPE_CHECKING:
    from vecrec.encoders.base import Encoder
    from vecrec.encoders.successors import Successors

__all__ = ["accuracy", "check_depths", "evaluate"]

_ACCURACY = {
    "hit_rate": metrics.hit_rate,
    "recall": metrics.recall,
    "ndcg": metrics.ndcg,
    "mrr": metrics.mrr,
    "precision": metrics.precision,
    "map": metrics.average_precision,
}
_MOST_TOKENS = 512


def evaluate(
    encoder: Encoder,
    split: Split | Task,
    k: int | Sequence[int] = (10, 50, 200),
    *,
    part: str = "test",
    baselines: Iterable[Encoder | str] = ("popularity",),
    top: int = 20,
    exclude_seen: bool | Collection[str] = True,
    successors: Successors | None = None,
    name: str | None = None,
    progress: ProgressLike = None,
) -> Evaluation:
    """Rank all items for every user with held-out items, exactly, and measure the ranks of the held-out items.

    The encoder gets users as a recommender reads them: id, profile and history. Of equal scores the worst case counts.
    Memory does not grow with the number of users.

    Args:
        encoder: An encoder fitted on ``split.train`` only.
        split: What `vecrec.data.splits` gives, or a `Task` for another protocol.
        k: The depths of the metrics.
        part: ``"test"``, or ``"validation"``, by which settings are chosen.
        baselines: What to measure beside it: names of registered encoders, or encoders; those that are not fitted are
            fitted on ``split.train``.
        top: The length of the lists of which coverage, novelty, diversity, popularity bias and overlap are measured.
        exclude_seen: Whether items that a user has consumed are left out of the ranking, as the feedback policy says,
            or the kinds of events whose items are left out. A held-out item that the user had before is then a miss
            for every model; ``counts["targets_seen"]`` is their number. ``False`` suits data in which people come back
            to the same items, such as groceries and music.
        successors: What a recommender adds to the scores of the vectors; see `vecrec.encoders.Successors`.
        name: The name of the model; by default the registered name of its class.
        progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.

    Raises:
        InvalidDataError: for an invalid k or baseline, or when nothing is held out.
        NotFittedError: when the encoder is not fitted.
    """
    depths, (top,) = check_depths(k, "k"), check_depths(top, "top")
    task = split if isinstance(split, Task) else from_split(split, part)
    chosen = seen_kinds(exclude_seen)
    if chosen is not True:
        task = replace(task, exclude_seen=chosen)
    if task.targets.n_events == 0:
        raise InvalidDataError(f"nothing is held out in {task.name!r}", "split the data otherwise")
    with showing(progress) as show:
        others = tuple(
            _measure(_fitted(each, task.train), task, depths=depths, top=top, progress=show)
            for each in listed(baselines, "baselines")
        )
        own = _measure(encoder, task, depths=depths, top=top, progress=show, successors=successors)
        return replace(own, model=name or encoder.name, baselines=others)


def accuracy(ranking: Ranking, depths: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """The metrics of accuracy for each user of a ranking, by names such as ``"ndcg@10"``."""
    relevant, n_relevant = ranking.relevant(max(depths)), np.diff(ranking.offsets)
    return {f"{name}@{k}": metric(relevant, n_relevant, k) for name, metric in _ACCURACY.items() for k in depths}


def _measure(
    encoder: Encoder,
    task: Task,
    *,
    depths: Sequence[int],
    top: int,
    progress: Progress,
    successors: Successors | None = None,
) -> Evaluation:
    start = time.perf_counter()
    ranking = rank(encoder, task, top, progress, successors)
    seconds = time.perf_counter() - start
    per_user = accuracy(ranking, depths) | _of_lists(ranking.lists, task)
    counts = {
        "users": len(task.users),
        "ranked_items": int(task.candidates.sum()) if task.pools is None else task.pools.shape[1],
        "targets": task.targets.n_events,
        "targets_seen": task.n_targets_seen,
        "unknown_targets": int((~(task.findable & task.candidates))[task.targets.item_codes].sum()),
    }
    return Evaluation(
        model=encoder.name,
        protocol=task.name,
        metrics={key: float(values.mean()) for key, values in per_user.items()} | _of_all_lists(ranking.lists, task),
        per_user=per_user,
        user_ids=[task.targets.user_ids[code] for code in task.users.tolist()],
        counts=counts,
        seconds=seconds,
        notes=[
            *notes_on_seen(counts, excluded=task.exclude_seen is not False and task.pools is None),
            *notes_on_known(encoder, *_fresh(task)),
        ],
    )


def _fresh(task: Task) -> tuple[list[Id], list[Id]]:
    """The users and items of the targets whose items their users did not have before."""
    targets, fresh = task.targets, ~np.isin(pairs_of(task.targets), pairs_of(task.history))
    return (
        [targets.user_ids[code] for code in targets.user_codes[fresh].tolist()],
        [targets.item_ids[code] for code in targets.item_codes[fresh].tolist()],
    )


def notes_on_known(encoder: Encoder, user_ids: Sequence[Id], item_ids: Sequence[Id]) -> list[str]:
    """A note on targets that the encoder was fitted on; empty where it was fitted on none, or that is unknown.

    Args:
        encoder: Has a sketch of what it has learnt from.
        user_ids: The user of each target that is new to its user.
        item_ids: Its item.
    """
    sketch = getattr(encoder, "learnt_from", None)
    share = 0.0 if sketch is None else sketch.share_of(user_ids, item_ids)
    if not share:
        return []
    found = f"{encoder.name} was fitted on about {share:.0%} of the targets"
    return [f"{found}, so the figures are too high; fit it on the training part alone"]


def notes_on_seen(counts: Mapping[str, int], *, excluded: bool) -> list[str]:
    """A note on targets that are excluded because their users had them before; empty without such targets."""
    if not excluded or not counts["targets_seen"]:
        return []
    found = f"{counts['targets_seen']:,} of {counts['targets']:,} targets were seen before by their users"
    return [f"{found} and are excluded, so no model can hit them; exclude_seen=False ranks them"]


def _of_lists(lists: NDArray[np.int32], task: Task) -> dict[str, NDArray[np.float64]]:
    top, codes = lists.shape[1], lists.astype(np.int64)
    popularity = task.train.popularity()
    n_users = int((np.diff(task.train.user_offsets) > 0).sum())
    found = {
        f"novelty@{top}": metrics.novelty(codes, popularity, n_users),
        f"popularity_bias@{top}": metrics.popularity_bias(codes, popularity, n_users),
    }
    tokens = _tokens(task.train)
    if tokens.shape[1]:
        found[f"diversity@{top}"] = metrics.intra_list_diversity(codes, tokens)
    return found


def _of_all_lists(lists: NDArray[np.int32], task: Task) -> dict[str, float]:
    top, codes = lists.shape[1], lists.astype(np.int64)
    return {
        f"coverage@{top}": metrics.coverage(codes, int(task.candidates.sum())),
        f"overlap@{top}": metrics.overlap(codes),
    }


def _tokens(data: Dataset) -> NDArray[np.float32]:
    """The categories of each item, such as its genres, as zeros and ones, shape (n_items, n_categories)."""
    names = [each.name for each in data.schema.items if isinstance(each, (Categorical, MultiCategorical))]
    counts: dict[tuple[str, Any], list[int]] = {}
    for name in names:
        for code, value in enumerate(data.item_features(name)):
            for one in value if isinstance(value, list) else [] if value is None else [value]:
                counts.setdefault((name, one), []).append(code)
    # Diversity is about the categories that many items share; a list of thousands would only cost memory.
    kept = sorted(counts.values(), key=len, reverse=True)[:_MOST_TOKENS]
    tokens = np.zeros((data.n_items, len(kept)), np.float32)
    for column, codes in enumerate(kept):
        tokens[codes, column] = 1
    return tokens


def _fitted(baseline: Encoder | str, train: Dataset) -> Encoder:
    made = find_part("vecrec.encoders", baseline)() if isinstance(baseline, str) else baseline
    if not callable(getattr(made, "encode_users", None)):
        raise InvalidDataError(
            f"the baseline {shown(baseline)} is not an encoder", "give an Encoder, or a registered name"
        )
    encoder: Encoder = made
    return encoder if encoder.is_fitted else encoder.fit(train)


def check_depths(values: Any, what: str) -> list[int]:
    """One or several depths as a list.

    Raises:
        InvalidDataError: for no depths, or other values than integers of at least 1.
    """
    listed = list(values) if isinstance(values, (list, tuple, range)) else [values]
    if not listed:
        raise InvalidDataError(f"{what} is {values!r}", "give an integer of at least 1, or several, as (10, 50)")
    return [integer(value, what, low=1) for value in listed]
