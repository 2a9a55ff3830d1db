"""The towers in plain NumPy: what serves, and what is saved. Nothing here imports PaddlePaddle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrec.data import Vocabulary
from vecrec.encoders.two_tower.settings import TwoTowerSettings
from vecrec.encoders.two_tower.time_gaps import START_TOKEN, STEPS, History, with_start_token
from vecrec.learning.algebra import normalised, sigmoid
from vecrec.learning.preprocessor import SparseRows

__all__ = ["LAYER", "Towers", "mean_fading"]

Array: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]

LAYER = ("inward", "inward_bias", "outward", "inner", "outer")
"""The parameters of a recurrent layer, whose names end in its number."""

TOGETHER = 16
"""Histories that are read side by side: more of them would leave the processor's cache."""

FAINT = 1e-8
"""The weight below which an event is not read."""


class Towers:
    """Both towers with trained weights. See `vecrec.encoders.two_tower.network.TwoTowers` for what they compute.

    Args:
        weights: By the names of the network's parameters; those without numbers may be missing.
        settings: Of the encoder.
        scale: What a cosine of 1 stands for in a model of ratings; ``None`` for the plain inner product.
        ordered: Whether histories are in the order in which their events happened; else they are sets.
        pauses: What stands for each step of a pause; see `vecrec.encoders.two_tower.time_gaps.steps_like`.
    """

    def __init__(
        self,
        weights: Mapping[str, Array],
        settings: TwoTowerSettings,
        scale: float | None = None,
        *,
        ordered: bool = True,
        pauses: Rows | None = None,
    ) -> None:
        self.weights = dict(weights)
        self.pauses = np.zeros(STEPS, np.int64) if pauses is None else pauses
        self.settings = settings
        self.scale = scale
        self.ordered = ordered
        self._constant = weights["user_constant"][0]
        self._positions = weights.get("positions", np.zeros((0, 0), np.float32))
        self._blocks = _blocks(weights, settings)
        self._gates, self._request_gates = (
            weights.get(name, np.ones((rows, len(self._blocks)), np.float32))
            for name, rows in (("gates", len(self._positions)), ("request_gates", STEPS))
        )
        self._layers = [[weights[f"{name}_{layer}"] for name in LAYER] for layer in range(settings.layers)]

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return int(self.weights["item_ids"].shape[1])

    @property
    def is_linear(self) -> bool:
        """Whether a user's vector is a sum, with nothing that depends on all of its terms."""
        return not self._layers and "hidden_in" not in self.weights and self.scale is None

    def items(self, ids: Rows, features: SparseRows) -> Array:
        """Vectors of items, shape (n, dim), from rows of the item table and n rows of features."""
        vectors: Array = self.weights["item_ids"][ids]
        if "item_features" in self.weights:
            vectors = vectors + features.times(self.weights["item_features"])
        return self._scaled(vectors)

    def users(self, ids: Rows, profiles: SparseRows, histories: Sequence[History]) -> Array:
        """Vectors of users, shape (n, dim), from rows of the user table, n rows of features and n histories."""
        vectors = np.ones((len(ids), self.dim), np.float32)
        sums = vectors[:, :-1]
        sums[:] = self._constant
        if "user_ids" in self.weights:
            sums += self.weights["user_ids"][ids]
        if "user_features" in self.weights:
            sums += profiles.times(self.weights["user_features"])
        trained = (ids != Vocabulary.UNKNOWN).tolist()
        read = [with_start_token(past, self.settings.history, known=known) for past, known in zip(histories, trained)]
        for vector, history in zip(sums, read):
            self._add_history(vector, history)
        if self._layers:
            self._read(sums, read)
        if "hidden_in" in self.weights:
            sums += _corrected(sums, self.weights["hidden_in"], self.weights["hidden_out"])
        return self._scaled(vectors)

    def parts(self, profile: SparseRows, history: History, *, known: int) -> tuple[Array, Array, Array, Array]:
        """The terms of one user's vector before the first event, without recurrent layers.

        The hidden layer is linear where it is not cut off, so each term has its share of what that layer adds.

        Args:
            profile: A row of features for each part of the profile, a first one for what it lacks.
            history: What the user did.
            known: The row of the user table.

        Returns:
            What every user has and the part of the id, shape (dim,) each; the parts of the profile, shape (n, dim), and
            those of the events of the history, shape (m, dim).
        """
        read = with_start_token(history, self.settings.history, known=known != Vocabulary.UNKNOWN)
        rows = np.zeros((2 + len(profile) + len(history.items), self.dim), np.float32)
        sums = rows[:, :-1]
        sums[0] = self._constant
        if "user_ids" in self.weights:
            sums[int(known != Vocabulary.UNKNOWN)] += self.weights["user_ids"][known]
        if "user_features" in self.weights:
            sums[2 : 2 + len(profile)] = profile.times(self.weights["user_features"])
        started = len(read.items) > 0 and read.items[0] == START_TOKEN
        places = np.arange(len(rows) - len(read.items), len(rows))
        if started:
            places[0] = 0
        self._add_terms(sums, places, read)
        if "hidden_in" in self.weights:
            scale = normalised(sums.sum(axis=0, keepdims=True))[0]
            inner = (sums * scale) @ self.weights["hidden_in"]
            sums += (inner * (inner.sum(axis=0) > 0)) @ self.weights["hidden_out"]
        rows[0, -1] = 1
        if self.scale is not None:
            rows *= np.float32(math.sqrt(self.scale) / max(float(np.linalg.norm(rows.sum(axis=0))), 1e-12))
        return rows[0], rows[1], rows[2 : 2 + len(profile)], rows[2 + len(profile) :]

    def _add_terms(self, sums: Array, places: Rows, history: History) -> None:
        """Add what each event adds to a user's vector, to the row of its place."""
        items, gates = history.items, self._open(sums[0], history)
        for block, (table, fading) in enumerate(self._blocks):
            events = items[-len(fading) :]
            if len(events):
                terms = fading[len(fading) - len(events) :, None] * table[events]
                np.add.at(sums, places[-len(events) :], terms * gates[block])

    def _open(self, vector: Array, history: History) -> Array:
        """Add what the number of events and the pause say; returns how much each sum counts, shape (blocks,)."""
        count, pause = len(history.items) - 1, self.pauses[history.pause]
        gates: Array = self._request_gates[pause]
        if "request_pauses" in self.weights:
            vector += self.weights["request_pauses"][pause]
        if 0 <= count < len(self._positions) and history.items[0] == START_TOKEN:
            vector += self._positions[count]
            gates = gates * self._gates[count]
        return gates

    def _add_history(self, vector: Array, history: History) -> None:
        items, gates = history.items, self._open(vector, history)
        alike = None if self.ordered else mean_fading(self.settings.decays, np.array(len(items)))
        for block, (table, fading) in enumerate(self._blocks):
            events = items if alike is not None else items[-len(fading) :]
            if len(events):
                if alike is None:
                    past = fading[len(fading) - len(events) :] @ table[events]
                else:
                    past = alike[block] * table[events].sum(axis=0)
                vector += past * gates[block]

    def _read(self, vectors: Array, histories: Sequence[History]) -> None:
        """Add what the recurrent layers make of the histories."""
        lengths = np.array([len(history.items) for history in histories])
        order = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
        for start in range(0, len(order), TOGETHER):
            some = order[start : start + TOGETHER]
            longest = int(lengths[some[-1]])
            items, time_gaps = np.zeros((longest, len(some)), np.int64), np.zeros((longest, len(some)), np.int64)
            for column, row in enumerate(some.tolist()):
                items[longest - lengths[row] :, column] = histories[row].items
                time_gaps[longest - lengths[row] :, column] = histories[row].time_gaps
            events = self.weights["events"][items] + self.weights["pauses"][time_gaps]
            for layer in self._layers:
                events = _next_events(events, items == 0, layer, only_last=layer is self._layers[-1])
            vectors[some] += normalised(events[-1])[1] @ self.weights["readout"]

    def _scaled(self, vectors: Array) -> Array:
        if self.scale is None:
            return vectors
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
        scaled: Array = vectors * (np.float32(math.sqrt(self.scale)) / lengths)
        return scaled


def _corrected(vectors: Array, inner: Array, outer: Array) -> Array:
    """What a hidden layer adds to vectors."""
    hidden: Array = normalised(vectors)[1] @ inner
    np.maximum(hidden, 0, out=hidden)
    corrected: Array = hidden @ outer
    return corrected


def _next_events(events: Array, padding: NDArray[np.bool_], layer: Sequence[Array], *, only_last: bool) -> Array:
    """What a recurrent layer makes of events, shape (length, n, width), or (1, n, width) where the last is enough.

    See `vecrec.learning.operators.gated_recurrence`. All moments are computed side by side, each from the one
    a step before it, then two, then four steps (Hillis and Steele, *Data parallel algorithms*, 1986).
    """
    inward, bias, outward, inner, outer = layer
    width = events.shape[-1]
    scaled = normalised(events)[1]
    mixed = scaled @ inward[:, : 2 * width]
    keep = sigmoid(mixed[..., :width] + bias)
    keep[padding] = 1
    states = (1 - keep) * mixed[..., width:]
    step = 1
    while step < len(states):
        states[step:] += keep[step:] * states[:-step]
        keep[step:] *= keep[:-step].copy()
        step *= 2
    if only_last:
        events, scaled, states = events[-1:], scaled[-1:], states[-1:]
    gate = scaled @ inward[:, 2 * width :]
    found: Array = events + (states * gate * sigmoid(gate)) @ outward
    return found + _corrected(found, inner, outer)


def _blocks(weights: Mapping[str, Array], settings: TwoTowerSettings) -> list[tuple[Array, Array]]:
    """The table of each rate of decay, and how much counts of each event, oldest first."""
    if "history" not in weights or not settings.history:
        return []
    tables = weights["history"].reshape(len(weights["history"]), len(settings.decays), -1)
    return [(tables[:, block], _fading(decay, settings.history + 1)) for block, decay in enumerate(settings.decays)]


def mean_fading(decays: Sequence[float], counts: Rows) -> Array:
    """How much each event of a set counts in each block: as it does on average over all orders of the set.

    Args:
        decays: The decay of each block.
        counts: How many events there are, shape (...).

    Returns:
        ``(1 - d ** n) / (n (1 - d))`` for the decay d and the number n, shape (..., blocks); 1 for no event.
    """
    rates, numbers = np.array(decays, np.float64), np.maximum(counts, 1)[..., None]
    fading: Array = ((1 - rates**numbers) / (numbers * (1 - rates))).astype(np.float32)
    return fading


def _fading(decay: float, longest: int) -> Array:
    reach = 1 if decay == 0 else min(longest, math.ceil(math.log(FAINT) / math.log(decay)))
    return (decay ** np.arange(reach - 1, -1, -1)).astype(np.float32)
