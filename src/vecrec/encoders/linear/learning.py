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

_MOST_USERS = 50_000
"""How many users are enough to learn from what profiles say."""


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
    closed, exact = _closed_form(data, codes, len(met), settings)
    form: ClosedForm | None = closed
    progress(Step("learn", 1, steps, "reducing to few dimensions"))
    some_tables, some_vectors = closed.approximate(dim, seed)
    if settings.rounds < 2:
        del closed
        form = None  # its matrix is what takes most memory
    tables = _spread(some_tables, exact, records, data.schema, settings)
    vectors = np.zeros((len(met), dim), np.float32)
    vectors[exact] = some_vectors
    positions = read_positions(tables, codes, data.user_offsets, settings.decays)
    for turn in range(settings.rounds):
        progress(Step("learn", 2 + turn, steps, "fitting items to users"))
        if turn and form is not None:
            tables = _spread(form.tables(_wanted(vectors, settings)[exact]), exact, records, data.schema, settings)
            positions = read_positions(tables, codes, data.user_offsets, settings.decays)
        vectors = fit_items(positions, settings.background, settings.shrinkage)
    progress(Step("learn", steps - 1, steps, "reading features"))
    scale = _balance(positions, vectors)
    vectors = (vectors / scale).astype(np.float32)
    items = _item_features(positions, vectors, records, data.schema, settings)
    tables = (tables[:, :-1] * scale).astype(np.float32)
    users = _user_features(tables, codes, data, settings)
    ids = [data.item_ids[code] for code in met.tolist()]
    progress(Step("learn", steps, steps))
    return Learnt(data.schema, ids, tables, vectors, items, users)


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
    users, items = (
        float(np.sqrt(np.einsum("nd,nd->", each, each) / max(len(each), 1))) for each in (positions.vectors, vectors)
    )
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


def _user_features(
    tables: NDArray[np.float32], codes: NDArray[np.int64], data: Dataset, settings: LinearSequenceSettings
) -> FeatureMap:
    """What profiles say about users, learnt from the mean vector that each user had before their events."""
    counts = np.diff(data.user_offsets)
    users = np.flatnonzero(counts > 1)
    users = users[np.unique(np.linspace(0, len(users) - 1, min(len(users), _MOST_USERS)).astype(int))]
    means = np.zeros((len(users), tables.shape[2]), np.float32)
    for row, user in enumerate(users.tolist()):
        mine = codes[data.user_offsets[user] : data.user_offsets[user + 1] - 1]
        left = np.arange(len(mine), 0, -1)  # how many positions an event is known at
        for table, decay in zip(tables, settings.decays):
            weights = ((1 - np.float64(decay) ** left) / (1 - decay) / len(mine)).astype(np.float32)
            means[row] += weights @ table[mine]
    records = [data.user_records[code] for code in users.tolist()]
    if not len(users):  # nobody has two events, so everybody is alike: see `read_positions`
        means, records = np.eye(1, tables.shape[2], dtype=np.float32), [None]
    return FeatureMap.learn("user", data.schema.users, records, means, settings.feature_ridge)
