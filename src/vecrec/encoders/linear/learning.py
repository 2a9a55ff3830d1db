"""From a data set to what the linear sequence encoder knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecrec.encoders.linear.closed_form import ClosedForm
from vecrec.encoders.linear.features import FeatureMap
from vecrec.encoders.linear.fitting import Positions, fit_items, read_positions
from vecrec.encoders.linear.settings import LinearSequenceSettings
from vecrec.errors import InvalidDataError
from vecrec.ids import Id
from vecrec.progress import Step
from vecrec.records import Record

if TYPE_CHECKING:
    from vecrec.data import Dataset, Schema
    from vecrec.progress import Progress

__all__ = ["Learnt", "learn"]


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

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Everything that is an array, by name."""
        return {
            "tables": self.tables,
            "vectors": self.vectors,
            "item_features": self.items.table,
            "user_features": self.users.table,
        }


def learn(data: Dataset, dim: int, seed: int, settings: LinearSequenceSettings, progress: Progress) -> Learnt:
    """Fit the encoder.

    Raises:
        InvalidDataError: for a ridge that is too small for the data.
    """
    steps = 3 + settings.rounds
    met = np.flatnonzero(data.popularity())
    codes = np.searchsorted(met, data.item_codes).astype(np.int64)
    records = [data.item_records[code] for code in met.tolist()]
    progress(Step("learn", 0, steps, "counting what follows what"))
    form, exact = _closed_form(data, codes, len(met), settings)
    progress(Step("learn", 1, steps, "reducing to few dimensions"))
    some_tables, some_vectors = form.approximate(dim, seed)
    tables = _spread(some_tables, exact, records, data.schema, settings)
    vectors = np.zeros((len(met), dim), np.float32)
    vectors[exact] = some_vectors
    positions = read_positions(tables, codes, data.user_offsets, settings.decays)
    for turn in range(settings.rounds):
        progress(Step("learn", 2 + turn, steps, "fitting items to users"))
        if turn:
            tables = _spread(form.tables(_wanted(vectors, settings)[exact]), exact, records, data.schema, settings)
            positions = read_positions(tables, codes, data.user_offsets, settings.decays)
        vectors = fit_items(positions, settings.background, settings.shrinkage)
    progress(Step("learn", steps - 1, steps, "reading features"))
    scale = _balance(positions, vectors)
    vectors = (vectors / scale).astype(np.float32)
    items = _item_features(positions, vectors, records, data.schema, settings)
    users = _profiles(positions, data, scale, settings)
    ids = [data.item_ids[code] for code in met.tolist()]
    progress(Step("learn", steps, steps))
    return Learnt(data.schema, ids, (tables[:, :-1] * scale).astype(np.float32), vectors, items, users)


def _closed_form(
    data: Dataset, codes: NDArray[np.int64], n_items: int, settings: LinearSequenceSettings
) -> tuple[ClosedForm, NDArray[np.int64]]:
    """The closed form of the most popular items, and which they are, ascending."""
    counts = np.bincount(codes, minlength=n_items)
    exact = np.sort(np.argsort(-counts, kind="stable")[: settings.exact_items])
    places = np.full(n_items, -1, np.int64)
    places[exact] = np.arange(len(exact))
    ages = np.arange(data.n_events) - data.user_offsets[data.user_codes]
    try:
        return ClosedForm(places[codes], ages, settings.decays, settings.window, settings.ridge), exact
    except np.linalg.LinAlgError as error:
        raise InvalidDataError(f"the ridge {settings.ridge!r} is too small for this data: raise it") from error


def _spread(
    tables: NDArray[np.float32],
    exact: NDArray[np.int64],
    records: list[Record | None],
    schema: Schema,
    settings: LinearSequenceSettings,
) -> NDArray[np.float32]:
    """The tables with a row for every item, those outside the closed form by their features, and one of zeros."""
    n_blocks, n_exact, dim = tables.shape
    whole = np.zeros((n_blocks, len(records) + 1, dim), np.float32)
    whole[:, exact] = tables
    others = np.setdiff1d(np.arange(len(records)), exact)
    if len(others):
        flat = tables.transpose(1, 0, 2).reshape(n_exact, n_blocks * dim)
        known = [records[place] for place in exact.tolist()]
        says = FeatureMap.learn("item", schema.items, known, flat, settings.feature_ridge)
        for place in others.tolist():
            whole[:, place] = says(records[place] or {}).reshape(n_blocks, dim)
    return whole


def _wanted(vectors: NDArray[np.float32], settings: LinearSequenceSettings) -> NDArray[np.float32]:
    """The user vector that would say best that an item comes next, for each item: the other half step.

    It minimises ``(1 - u v)^2 + background * sum over all items of (u w)^2`` with a little ridge.
    """
    dim = vectors.shape[1]
    everything = settings.background * (vectors.T @ vectors).astype(np.float64)
    everything[np.diag_indices(dim)] += 1e-3 * np.trace(everything) / dim + 1e-12
    solved = np.linalg.solve(everything, vectors.T.astype(np.float64)).T
    wanted: NDArray[np.float32] = (solved / (1 + (solved * vectors).sum(axis=1))[:, None]).astype(np.float32)
    return wanted


def _balance(positions: Positions, vectors: NDArray[np.float32]) -> float:
    """What to multiply the users' vectors by, and divide the items' by, to make both of one length on average."""
    users = float(np.sqrt((positions.vectors**2).sum(axis=1).mean())) if len(positions.vectors) else 0.0
    items = float(np.sqrt((vectors**2).sum(axis=1).mean()))
    return float(np.sqrt(items / users)) if users > 0 and items > 0 else 1.0


def _item_features(
    positions: Positions,
    vectors: NDArray[np.float32],
    records: list[Record | None],
    schema: Schema,
    settings: LinearSequenceSettings,
) -> FeatureMap:
    """What features say about items; those that came first and never next get their vectors from it."""
    fitted = np.diff(positions.starts) > 0
    known = [records[place] for place in np.flatnonzero(fitted).tolist()]
    says = FeatureMap.learn("item", schema.items, known, vectors[fitted], settings.feature_ridge)
    for place in np.flatnonzero(~fitted).tolist():
        vectors[place] = says(records[place] or {})
    return says


def _profiles(positions: Positions, data: Dataset, scale: float, settings: LinearSequenceSettings) -> FeatureMap:
    """What profiles say about users, learnt from the mean vector of each user."""
    counts = np.bincount(positions.users, minlength=data.n_users)
    sums = np.zeros((data.n_users, positions.vectors.shape[1]), np.float32)
    order = np.argsort(positions.users, kind="stable")
    known = np.flatnonzero(counts)
    if len(known):
        starts = (np.cumsum(counts) - counts)[known]
        sums[known] = np.add.reduceat(positions.vectors[order], starts, axis=0)
    means = (sums[known] / counts[known][:, None] * scale).astype(np.float32)
    records = [data.user_records[code] for code in known.tolist()]
    return FeatureMap.learn("user", data.schema.users, records, means, settings.feature_ridge)
