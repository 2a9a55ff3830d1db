"""From a data set to what the linear sequence encoder knows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.batching import counts_of
from vecrec._internal.sampling import evenly_spaced
from vecrec.encoders.linear_sequence.closed_form import ClosedForm
from vecrec.encoders.linear_sequence.least_squares import Positions, fit_items, read_positions, read_sets
from vecrec.encoders.linear_sequence.profiles import Events, Towers, learn_fades, learn_profiles
from vecrec.encoders.linear_sequence.settings import LinearSequenceSettings, Shape
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.learning.algebra import balanced
from vecrec.learning.events import event_weights, without_repeats
from vecrec.learning.feature_map import FeatureMap
from vecrec.learning.sets import UserSets
from vecrec.progress import Step

if TYPE_CHECKING:
    from vecrec.data import Dataset, Schema
    from vecrec.progress import Progress

__all__ = ["Learnt", "learn", "refit_items"]

_MOST_POSITIONS = 50_000
"""Vectors of users, at most, that the balance of both sides is found by."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the encoder knows once it is fitted."""

    schema: Schema
    """The features of the data set."""
    item_ids: list[Id]
    """The items with events, one a row."""
    tables: NDArray[np.float32]
    """What each item adds to the vector of a user who had it, shape (n_blocks, n_items, dim)."""
    vectors: NDArray[np.float32]
    """The items' vectors, shape (n_items, dim)."""
    items: FeatureMap
    """The vector of an item without events."""
    users: FeatureMap
    """The vector of a user without events."""
    decays: tuple[float, ...]
    """The decay of each block; none where histories are read as sets, in one block."""
    fades: NDArray[np.float32]
    """What that counts beside histories of some lengths, without a profile and with one, shape (2, len(STOPS))."""

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Everything that is an array, by name."""
        return {
            "tables": self.tables,
            "vectors": self.vectors,
            "item_features": self.items.table,
            "user_features": self.users.table,
            "fades": self.fades,
        }


def learn(data: Dataset, dim: int, seed: int, settings: LinearSequenceSettings, progress: Progress) -> Learnt:
    """Fit the encoder.

    Raises:
        InvalidDataError: for a ridge that is too small for the data.
    """
    learner = _Learner(data, settings)
    steps = 3 + settings.rounds
    progress(Step("learn", 0, steps, "counting what follows what"))
    form = learner.closed_form()
    progress(Step("learn", 1, steps, "reducing to few dimensions"))
    tables, vectors = learner.start(form, dim, seed)
    for turn in range(settings.rounds):
        progress(Step("learn", 2 + turn, steps, "fitting items to users, and users to items"))
        if turn:
            tables = learner.spread(form.tables(_wanted(vectors, settings.background)[learner.exact]))
        read = partial(learner.positions, tables) if turn == settings.rounds - 1 else None
        vectors = fit_items(learner.positions(tables), settings.background, settings.shrinkage, read)
    del form  # its matrix is what takes most memory
    progress(Step("learn", steps - 1, steps, "reading features"))
    learnt = learner.finish(tables, vectors)
    progress(Step("learn", steps, steps))
    return learnt


def refit_items(learnt: Learnt, data: Dataset, settings: LinearSequenceSettings) -> Learnt:
    """The same with the vectors of items fitted to the users of a data set; those without a later event stay.

    Args:
        learnt: What is known.
        data: The positive events, in order where there are decays; those with unknown items say nothing.
        settings: Those of the training.
    """
    places = {key: place for place, key in enumerate(learnt.item_ids)}
    known = np.array([places.get(key, -1) for key in data.item_ids], np.int64)
    data = data.select_events(known[data.item_codes] >= 0)
    if not data.n_events:
        return learnt
    learner = _Learner(data, settings, learnt.decays)
    met = known[learner.met]
    nothing = np.zeros_like(learnt.tables[:, :1])
    tables = np.concatenate([learnt.tables[:, met], nothing], axis=1)
    positions = learner.positions(tables)
    read = partial(learner.positions, tables)
    found = fit_items(positions, settings.background, settings.shrinkage, read)
    fitted, vectors = np.diff(positions.starts) > 0, learnt.vectors.copy()
    vectors[met[fitted]] = found[fitted]
    return replace(learnt, vectors=vectors)


class _Learner:
    """A data set as the learning sees it: items with events are numbered without gaps."""

    def __init__(
        self, data: Dataset, settings: LinearSequenceSettings, decays: tuple[float, ...] | None = None
    ) -> None:
        self._ordered = data.order != "unknown"
        data = data if self._ordered else without_repeats(data)
        self._data, self._settings, self._weights = data, settings, event_weights(data)
        self.met = np.flatnonzero(data.popularity())
        """The codes of the items with events."""
        places = np.full(data.n_items, -1, np.int32)
        places[self.met] = np.arange(len(self.met))
        self._codes = places[data.item_codes]
        self._records = [data.item_records[code] for code in self.met.tolist()]
        counts = counts_of(self._codes, len(self.met))
        shape = Shape.of(settings, counts, ordered=self._ordered)
        self._decays = shape.decays if decays is None else decays
        self.exact = np.sort(np.argsort(-counts, kind="stable")[: shape.exact_items])
        """The items that take part in the closed form, ascending."""

    def closed_form(self) -> ClosedForm:
        """The closed form of the most popular items."""
        ridge = self._settings.ridge
        try:
            if not self._ordered:
                sets = UserSets(self._data, len(self.exact))
                return ClosedForm.of_sets(sets, ridge, graded=self._settings.rounds == 0)
            return self._form_of_sequences(ridge)
        except np.linalg.LinAlgError as error:
            raise InvalidDataError(f"the ridge {ridge!r} is too small for this data", "raise it") from error

    def _form_of_sequences(self, ridge: float) -> ClosedForm:
        data, settings = self._data, self._settings
        places = np.full(len(self.met), -1, np.int32)
        places[self.exact] = np.arange(len(self.exact))
        offsets = data.user_offsets.astype(np.int32 if data.n_events < 1 << 31 else np.int64)
        ages = np.arange(data.n_events, dtype=offsets.dtype)
        ages -= np.repeat(offsets[:-1], np.diff(offsets))
        return ClosedForm.of_sequences(
            places[self._codes],
            ages,
            self._decays,
            settings.window,
            ridge,
            horizon=settings.horizon,
            weights=self._weights if settings.rounds == 0 else self._targets(),
        )

    def _targets(self) -> NDArray[np.float32] | None:
        """A one for each event that is to be predicted; ``None`` where all are.

        Graded weights count in the fit of the items' vectors alone. In both they would count twice, and a heavy item
        would take up the few dimensions.
        """
        if self._weights is None or self._weights.all():
            return None
        return np.sign(self._weights)

    def start(self, form: ClosedForm, dim: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The tables and the items' vectors of the plain closed form."""
        tables, some = form.approximate(dim, seed)
        vectors = np.zeros((len(self.met), dim), np.float32)
        vectors[self.exact] = some
        return self.spread(tables), vectors

    def spread(self, tables: NDArray[np.float32]) -> NDArray[np.float32]:
        """The tables with a row for every item, those outside the closed form by their features, and one of zeros."""
        n_blocks, n_exact, dim = tables.shape
        whole = np.zeros((n_blocks, len(self.met) + 1, dim), np.float32)
        whole[:, self.exact] = tables
        others = np.setdiff1d(np.arange(len(self.met)), self.exact)
        if len(others):
            flat = tables.transpose(1, 0, 2).reshape(n_exact, n_blocks * dim)
            says = self._feature_map(self.exact, flat)
            whole[:, others] = says({}).reshape(n_blocks, 1, dim)
            for place in others.tolist():
                if record := self._records[place]:
                    whole[:, place] = says(record).reshape(n_blocks, dim)
        return whole

    def positions(self, tables: NDArray[np.float32], items: slice | None = None) -> Positions:
        """The users' vectors before their events, or before those of some items."""
        offsets, weights = self._data.user_offsets, self._weights
        if not self._ordered:
            return read_sets(tables, self._codes, offsets, weights=weights, items=items)
        horizon = self._settings.horizon
        return read_positions(tables, self._codes, offsets, self._decays, horizon, weights=weights, items=items)

    def finish(self, tables: NDArray[np.float32], vectors: NDArray[np.float32]) -> Learnt:
        """What features and profiles say is learnt from what events say."""
        positions, data, settings = self.positions(tables), self._data, self._settings
        some = positions.vectors[evenly_spaced(len(positions.vectors), _MOST_POSITIONS)]
        of_users, of_items = balanced(some, vectors)
        tables, vectors = tables[:, :-1] @ of_users, vectors @ of_items
        fitted = np.diff(positions.starts) > 0
        items = self._feature_map(np.flatnonzero(fitted), vectors[fitted])
        for place in np.flatnonzero(~fitted).tolist():  # those that always came first and never next
            vectors[place] = items(self._records[place] or {})
        usual = positions.weights @ positions.vectors / positions.weights.sum() @ of_users
        events = Events(self._codes, self._weights, data)
        users = learn_profiles(vectors, usual, events, settings)
        fades = learn_fades(Towers(tables, self._decays, vectors, users), events, settings)
        ids = [data.item_ids[code] for code in self.met.tolist()]
        return Learnt(data.schema, ids, tables, vectors, items, users, self._decays, fades)

    def _feature_map(self, places: NDArray[np.int64], vectors: NDArray[np.float32]) -> FeatureMap:
        records = [self._records[place] for place in places.tolist()]
        return FeatureMap.learn("item", self._data.schema.items, records, vectors, self._settings.feature_ridge)


def _wanted(vectors: NDArray[np.float32], background: float) -> NDArray[np.float32]:
    """The user vector that would say best that an item comes next, for each item: the other half step.

    It minimises ``(1 - u v)^2 + background * sum over all items of (u w)^2`` with a little ridge.
    """
    dim = vectors.shape[1]
    everything = background * (vectors.T @ vectors).astype(np.float64)
    everything[np.diag_indices(dim)] += 1e-3 * np.trace(everything) / dim + 1e-12
    solved = np.linalg.solve(everything, vectors.T.astype(np.float64)).T
    wanted: NDArray[np.float32] = (solved / (1 + (solved * vectors).sum(axis=1))[:, None]).astype(np.float32)
    return wanted
