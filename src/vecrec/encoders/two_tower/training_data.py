"""From a data set to what training works on: numbered ids, sparse features, ordered histories, a validation part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import counts_of, user_batches
from vecrec.data import Dataset, Vocabulary
from vecrec.encoders.two_tower.sampling import Histories
from vecrec.encoders.two_tower.settings import ResolvedSettings
from vecrec.encoders.two_tower.time_gaps import UNKNOWN, History, history_of, set_of, steps_like, time_gap_steps
from vecrec.errors import InvalidDataError
from vecrec.learning.events import event_weights, horizon_offsets, without_repeats
from vecrec.learning.preprocessor import FeatureSpace, Preprocessor, SparseRows

__all__ = ["TrainingData", "Validation", "prepare"]

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Validation:
    """The last events of some users, which training does not see."""

    users: Rows
    """Rows of the user table, shape (n,)."""
    profiles: SparseRows
    """Their features, n rows."""
    histories: list[History]
    """What they did before."""
    targets: Rows
    """The row of the item that came next, shape (n,); 1 for an item that training does not know."""
    ratings: NDArray[np.float32]
    """How it was rated, shape (n,), NaN where there is no rating."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What training works on."""

    preprocessor: Preprocessor
    histories: Histories
    """By user of the data set."""
    users: Rows
    """The row in the user table of each user of the data set."""
    profiles: SparseRows
    """The features of each user of the data set, and a last row for nothing known."""
    item_features: SparseRows
    """The features of each row of the item table; those of padding and unknown are nothing known."""
    counts: Rows
    """How many events each row of the item table has."""
    worth: NDArray[np.float64]
    """How much the events of each row of the item table count as ones to predict."""
    pauses: Rows
    """What stands for each step of a pause before a request; see `vecrec.encoders.two_tower.time_gaps.steps_like`."""
    top_rating: float | None
    """The largest rating by its size, which a cosine of 1 stands for; ``None`` where the loss needs none."""
    validation: Validation | None
    """``None`` where too little is there, or none is wanted."""


def prepare(data: Dataset, settings: ResolvedSettings, seed: int) -> TrainingData:
    """Number everything and put the validation part aside.

    Raises:
        InvalidDataError: when the loss needs ratings that are not there.
    """
    ordered = data.order != "unknown"
    data = data if ordered else without_repeats(data)
    # The rating loss fits every rating, whatever the policy says of it.
    weights = None if settings.loss == "rating" else event_weights(data)
    held_out = _held_out(data, weights, settings.validation_users, seed)
    kept = np.ones(data.n_events, np.bool_)
    kept[held_out] = False
    train, weights = data.select_events(kept), None if weights is None else weights[kept]
    preprocessor, items = _number(train, settings)
    rows = preprocessor.items.indexes(data.item_ids)
    of_events = rows[train.item_codes]
    user_rows = preprocessor.users.indexes(data.user_ids).astype(np.int64)
    profiles = preprocessor.user_space.rows([*(data.user_records[code] for code in range(data.n_users)), None])
    time_gaps = _time_gaps(train)
    left_out = horizon_offsets(settings.horizon if ordered else 1, len(held_out), np.random.default_rng((seed, 3)))
    return TrainingData(
        preprocessor,
        Histories(
            of_events,
            train.ratings,
            time_gaps,
            train.user_offsets,
            weights,
            ordered,
        ),
        user_rows,
        profiles,
        preprocessor.item_space.rows([None, None, *(data.item_records[code] for code in items)]),
        counts_of(of_events, preprocessor.items.size),
        counts_of(of_events, preprocessor.items.size, weights).astype(np.float64),
        steps_like(time_gaps),
        _top_rating(train.ratings) if settings.loss == "rating" else None,
        _validation(data, held_out, rows, user_rows, profiles, left_out=left_out) if len(held_out) else None,
    )


def _number(train: Dataset, settings: ResolvedSettings) -> tuple[Preprocessor, Rows]:
    """The preprocessor of the events to learn from, and the codes of the items in the order of its rows."""
    items, users = (
        np.flatnonzero(counts_of(train.item_codes, train.n_items)),
        np.flatnonzero(np.diff(train.user_offsets)),
    )
    preprocessor = Preprocessor(
        schema=train.schema,
        items=Vocabulary(train.item_ids[code] for code in items),
        users=Vocabulary(train.user_ids[code] for code in users) if settings.user_ids else Vocabulary(()),
        item_space=FeatureSpace.learn(train.schema.items, [train.item_records[code] for code in items]),
        user_space=FeatureSpace.learn(train.schema.users, [train.user_records[code] for code in users]),
    )
    rows = preprocessor.items.indexes(train.item_ids[code] for code in items)
    return preprocessor, items[np.argsort(rows)].astype(np.int64)


def _time_gaps(data: Dataset) -> NDArray[np.int8]:
    found = np.full(data.n_events, UNKNOWN, np.int8)
    if data.times is None or data.order == "unknown":
        return found
    for users in user_batches(data.user_offsets):
        events = slice(data.user_offsets[users.start], data.user_offsets[users.stop])
        found[events] = time_gap_steps(data.times[events])
    found[data.user_offsets[:-1][np.diff(data.user_offsets) > 0]] = UNKNOWN
    return found


def _top_rating(ratings: NDArray[np.float32] | None) -> float:
    top = 0.0 if ratings is None else float(np.abs(np.nan_to_num(ratings)).max(initial=0.0))
    if not top:
        raise InvalidDataError(
            "the rating loss needs events with ratings other than 0, and none has one", "use loss='softmax'"
        )
    return top


def _held_out(data: Dataset, weights: NDArray[np.float32] | None, most: int, seed: int) -> Rows:
    """The events for validation, ascending: the last one to predict of the users who have two or more before it.

    Where those are too many, some of them: at least two thirds of all events to predict stay for training.
    """
    last, n_wanted = data.user_offsets[1:] - 1, data.n_events
    if weights is not None:
        wanted = np.flatnonzero(weights)
        last, n_wanted = np.full(data.n_users, -1), len(wanted)
        last[data.user_codes[wanted]] = wanted  # of several events of a user the last value stays
    enough = last[last - data.user_offsets[:-1] >= 2]
    most = min(most, n_wanted // 3)
    if len(enough) <= most:
        return enough
    return np.sort(np.random.default_rng((seed, 1)).choice(enough, most, replace=False))


def _history(data: Dataset, rows: NDArray[np.int32], events: slice) -> History:
    items = rows[data.item_codes[events]].astype(np.int64)
    if data.order == "unknown":
        return set_of(items)
    return history_of(items, None if data.times is None else data.times[events])


def _validation(
    data: Dataset, last: Rows, rows: NDArray[np.int32], user_rows: Rows, profiles: SparseRows, *, left_out: Rows
) -> Validation:
    """The last events to predict; so many of those right before are not known yet, but one event always is."""
    users = data.user_codes[last].astype(np.int64)
    ratings = np.full(len(last), np.nan, np.float32) if data.ratings is None else data.ratings[last]
    first = data.user_offsets[users]
    befores = [slice(start, end) for start, end in zip(first, np.maximum(last - left_out, first + 1))]
    return Validation(
        user_rows[users],
        profiles.rows(users.astype(np.int64)),
        [_history(data, rows, before) for before in befores],
        rows[data.item_codes[last]].astype(np.int64),
        ratings,
    )
