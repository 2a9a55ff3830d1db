"""What the profile says about a user with few events, and how soon the history outweighs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.exact import ranks_of
from vecrec._internal.sampling import evenly_spaced
from vecrec.encoders.linear_sequence.closed_form import set_scale
from vecrec.encoders.linear_sequence.settings import LinearSequenceSettings
from vecrec.learning.events import horizon_offsets
from vecrec.learning.feature_map import FeatureMap

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["STOPS", "Events", "Towers", "fade_by_length", "learn_fades", "learn_profiles"]

STOPS = (1, 2, 4, 8, 16, 32, 64)
"""The lengths of histories for which the profile's weight is learnt; between them it is interpolated."""

_WEIGHTS = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_DEPTH = 10
_MOST_USERS = 50_000
_SAMPLED_USERS, _SCORES = 2_000, 1 << 23


@dataclass(frozen=True, slots=True)
class Events:
    """The events to learn from."""

    codes: NDArray[np.int32]
    """The item of each, by its place among those with events, shape (n_events,)."""
    weights: NDArray[np.float32] | None
    """How much each counts, shape (n_events,); ``None`` where each counts 1."""
    data: Dataset
    """Whose they are."""

    def worth(self, places: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """How much some of them count."""
        if self.weights is None:
            return np.ones(len(self.codes[places]), np.float32)
        return self.weights[places]


def learn_profiles(
    vectors: NDArray[np.float32], usual: NDArray[np.float32], events: Events, settings: LinearSequenceSettings
) -> FeatureMap:
    """The vector of a user without a history, from the profile.

    For a user with the items y it is to be ``(V'V)^-1 V'y / |y|``, whose scores come nearest to their share of each
    item; ridge regression says what each feature of a profile adds to that. Items count by the weights of their events.

    Args:
        vectors: The items' vectors V, shape (n_items, dim).
        usual: The mean vector of users with a history, shape (dim,), which sets the length.
        events: The events to learn from.
        settings: The encoder's.
    """
    data = events.data
    counted = np.diff(data.user_offsets)
    if events.weights is not None:
        counted = np.bincount(data.user_codes, events.weights, data.n_users)
    users = _some(np.flatnonzero(counted), _MOST_USERS)
    means = np.zeros((len(users), vectors.shape[1]))
    for row, user in enumerate(users.tolist()):
        theirs = slice(data.user_offsets[user], data.user_offsets[user + 1])
        means[row] = events.worth(theirs) @ vectors[events.codes[theirs]] / counted[user]
    square = vectors.T.astype(np.float64) @ vectors
    square[np.diag_indices(len(square))] += 1e-6 * np.trace(square) / len(square) + 1e-12
    wanted = np.linalg.solve(square, means.T).T
    middle = wanted.mean(axis=0)
    scale = max(float(usual @ middle) / max(float(middle @ middle), 1e-12), 0.0) or 1.0
    records = [data.user_records[code] for code in users.tolist()]
    vectors_of_users = (wanted * scale).astype(np.float32)
    return FeatureMap.learn("user", data.schema.users, records, vectors_of_users, settings.feature_ridge)


@dataclass(frozen=True, slots=True)
class Towers:
    """What makes the vectors of users and items with events."""

    tables: NDArray[np.float32]
    """What each item adds to a user's vector, shape (n_blocks, n_items, dim)."""
    decays: tuple[float, ...]
    """The decay of each block; none where histories are read as sets."""
    vectors: NDArray[np.float32]
    """The items' vectors, shape (n_items, dim)."""
    profiles: FeatureMap
    """The vectors of users without events."""


def learn_fades(towers: Towers, events: Events, settings: LinearSequenceSettings) -> NDArray[np.float32]:
    """What the profile counts beside histories of the lengths `STOPS`: what finds their next items best, by NDCG@10.

    In some data one event says what comes next, in others it takes ten, and a profile that is not there, in whose place
    the mean stands, says less than one that is. The next items count by the weights of their events.

    Returns:
        Without a profile and with one, shape (2, len(STOPS)); a length that does not occur counts as the one before.
    """
    data, codes = events.data, events.codes
    counts, vectors = np.diff(data.user_offsets), towers.vectors
    fades = np.ones((2, len(STOPS)), np.float32)
    most = min(_SAMPLED_USERS, max(1, _SCORES // len(vectors)))
    for place, length in enumerate(STOPS):
        users = _some(np.flatnonzero(counts > length), most)
        if not len(users):
            fades[:, place] = fades[:, max(place - 1, 0)]
        else:
            begin = data.user_offsets[users]
            # With a horizon what comes later counts too, or the last event where there are not so many.
            ahead = horizon_offsets(settings.horizon, len(users), np.random.default_rng(length))
            next_one = begin + np.minimum(length + ahead, counts[users] - 1)
            past, following = codes[begin[:, None] + np.arange(length)], codes[next_one]
            records = [data.user_records[code] or {} for code in users.tolist()]
            by_history = _vectors_of(past, towers, settings.window) @ vectors.T
            for row, known in enumerate((np.array([towers.profiles({})]), np.array([*map(towers.profiles, records)]))):
                scores = known @ vectors.T
                fades[row, place] = _best_weight(by_history, scores, past, following, events.worth(next_one))
    return fades


def fade_by_length(fades: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """What the profile counts beside a history of each length from 0, where it is all there is, to ``longest``.

    Returns:
        Without a profile and with one, shape (2, longest + 1).
    """
    lengths = np.arange(1, longest + 1)
    between = [np.interp(np.log(lengths), np.log(STOPS), row) for row in fades]
    return np.concatenate([np.ones((2, 1)), between], axis=1).astype(np.float32)


def _vectors_of(past: NDArray[np.int64], towers: Towers, window: int) -> NDArray[np.float32]:
    """The users' vectors from histories of one length, oldest first, shape (n, dim)."""
    ages = np.arange(past.shape[1])[::-1]
    total = np.zeros((len(past), towers.tables.shape[2]), np.float32)
    if not towers.decays:
        for column in range(past.shape[1]):
            total += towers.tables[0][past[:, column]]
        return total * set_scale(np.full(1, past.shape[1]))
    for table, decay in zip(towers.tables, towers.decays):
        for column, age in enumerate(ages.tolist()):
            if age < window and (weight := float(decay) ** age) > 0:
                total += np.float32(weight) * table[past[:, column]]
    return total


def _best_weight(
    by_history: NDArray[np.float32],
    by_profile: NDArray[np.float32],
    past: NDArray[np.int64],
    following: NDArray[np.int64],
    worth: NDArray[np.float32],
) -> float:
    """The best weight; where the profile outweighs the history, the largest within half a standard error of it.

    A short history says little about the next item, and nothing about the user's general taste.
    """
    rows, gains = np.arange(len(past)), np.zeros((len(_WEIGHTS), len(past)))
    for place, weight in enumerate(_WEIGHTS):
        scores = by_history + np.float32(weight) * by_profile
        scores[rows[:, None], past] = -np.inf
        ranks = ranks_of(scores, following)
        found = (ranks > 0) & (ranks <= _DEPTH)
        gains[place] = np.where(found, 1 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0) * worth
    best = int(np.argmax(gains.sum(axis=1)))
    if _WEIGHTS[best] < 1:
        return _WEIGHTS[best]
    losses = gains[best] - gains
    as_good = losses.mean(axis=1) <= losses.std(axis=1) / np.sqrt(len(past)) / 2
    return _WEIGHTS[int(np.flatnonzero(as_good)[-1])]


def _some(users: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of them."""
    return users[evenly_spaced(len(users), most)]
