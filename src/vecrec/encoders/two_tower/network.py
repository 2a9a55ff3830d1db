"""The two towers as PaddlePaddle layers. Only training imports this module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn
from scipy.sparse import csr_matrix

from vecrec.data import Vocabulary
from vecrec.encoders.two_tower.inference import LAYER, mean_fading
from vecrec.encoders.two_tower.settings import ResolvedSettings
from vecrec.encoders.two_tower.time_gaps import START_TOKEN, STEPS
from vecrec.learning.operators import (
    decayed_sums,
    gated_recurrence,
    hidden_layer,
    readout,
    sparse_product,
)

__all__ = ["Sizes", "TwoTowers", "folded"]

Array = NDArray[np.float32]
Rows = NDArray[np.int64]

SPREAD = 0.02
"""Standard deviation of the first weights."""

WIDER = 2
"""How many times as wide as the recurrence the hidden layer after it is."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the tables are made for. Rows count padding and the unknown id."""

    dim: int
    """The length of a vector."""
    items: int
    """Rows of the item tables."""
    users: int
    """Rows of the user table."""
    item_features: int
    """Columns of the items' features."""
    user_features: int
    """Columns of the users' features."""


class TwoTowers(nn.Layer):  # type: ignore[misc]
    """Users and items into one space, whose inner product is the score.

    An item's vector is the sum of its id's and its features'; its last number is the item's bias. A user's vector is
    the sum of a constant, the id's, the profile's and, for each rate of decay, the decayed sum of the vectors which
    that rate's table has for the items read, and of what recurrent layers made of them; a hidden layer may correct it.
    A beginning is read before the first item, and the first items read after it are counted: each count has a vector
    of its own and a gate for each sum, so that what people begin with can be told from what they go on with. So has
    each length of the pause before the request: who goes on at once goes on with something else than who comes back.
    Its last number is 1, so the inner product contains the bias.

    Each rate's table is the items' own vectors taken through a matrix, since few events teach one table more than four;
    SASRec shares them too (Kang and McAuley, *Self-Attentive Sequential Recommendation*, 2018).

    Args:
        sizes: Of the tables.
        settings: Of the encoder.
        counts: How much the events of each row of the item table count; the first biases are their logarithms.
        rng: Where the first weights come from.
        ordered: Whether what is read is in order; else every event counts as it does on average over all orders.
    """

    def __init__(
        self,
        sizes: Sizes,
        settings: ResolvedSettings,
        counts: NDArray[np.float64],
        rng: np.random.Generator,
        *,
        ordered: bool = True,
    ) -> None:
        super().__init__()
        self._settings, self._ordered = settings, ordered
        self._decays = np.array(settings.decays, np.float32)
        self._sparse = max(sizes.items, sizes.users) > settings.sparse_above
        self.sparse = ("item_ids", "user_ids", "events") if self._sparse else ()
        """The tables whose gradients are of some rows."""
        for name, array in _first_weights(sizes, settings, counts, rng).items():
            zeros = nn.initializer.Constant(0.0)
            parameter = paddle.create_parameter(array.shape, "float32", default_initializer=zeros)
            # Not the initializer Assign, which makes a Python number of each element.
            parameter.set_value(array)
            self.add_parameter(name, parameter)

    def item_vectors(self, ids: Rows, features: csr_matrix) -> paddle.Tensor:
        """(n, dim), of rows of the item table and their features."""
        vectors = self._look_up(self.item_ids, ids)
        if features.shape[1]:
            vectors = vectors + sparse_product(self.item_features, features)
        return vectors

    def user_vectors(
        self,
        ids: Rows,
        profiles: csr_matrix,
        read: Rows,
        time_gaps: Rows,
        pauses: Rows,
        *,
        places: int,
        noise: np.random.Generator | None = None,
    ) -> paddle.Tensor:
        """(places * n, dim), place by place: the users before each of the last places.

        Args:
            ids: Rows of the user table, shape (n,).
            profiles: Their features, n rows.
            read: Rows of the item table, shape (length, n), 0 for none; length >= places.
            time_gaps: The steps of the time gaps before them, shape (length, n).
            pauses: The steps of the pauses before the requests, shape (places, n).
            places: How many; what stands at the last of them is not seen.
            noise: Where dropout comes from; ``None`` for none.
        """
        vectors = paddle.tile(self._base(ids, profiles), [places, 1])
        if len(self._decays) or self._settings.layers:
            vectors = vectors + self._past(read, pauses)
        if self._settings.layers:
            vectors = vectors + self._read(read, time_gaps, places, noise)
        if self._settings.hidden:
            mask = _mask((len(vectors), self._settings.hidden), self._settings.dropout, noise)
            vectors = vectors + hidden_layer(vectors, self.hidden_in, self.hidden_out, mask)
        elif (mask := _mask(tuple(vectors.shape), self._settings.dropout, noise)) is not None:
            vectors = vectors * paddle.to_tensor(mask)
        return paddle.concat([vectors, paddle.ones([len(vectors), 1])], axis=1)

    def weights(self) -> dict[str, Array]:
        """A copy of every parameter."""
        return {name: parameter.numpy() for name, parameter in self.named_parameters()}

    def set_weights(self, weights: Mapping[str, Array]) -> None:
        """Set every parameter."""
        for name, parameter in self.named_parameters():
            parameter.set_value(weights[name])

    def _base(self, ids: Rows, profiles: csr_matrix) -> paddle.Tensor:
        """What does not change with the place, shape (n, dim - 1)."""
        base = self.user_constant.expand([len(ids), -1])
        if self._settings.user_ids:
            base = base + self._look_up(self.user_ids, ids)
        if profiles.shape[1]:
            base = base + sparse_product(self.user_features, profiles)
        return base

    def _past(self, read: Rows, pauses: Rows) -> paddle.Tensor:
        """What the decaying sums of the history, the number of its events and the pause say, (places * n, dim - 1)."""
        (length, count), places = read.shape, len(pauses)
        positions, blocks = self._settings.positions, len(self._decays)
        counts = _counts(read, places, positions)
        past = paddle.zeros([places * count, self.user_constant.shape[1]])
        if positions:
            past = past + sparse_product(self.positions, _one_hot(counts.ravel(), positions))
        if self._settings.reads_pauses:
            past = past + paddle.index_select(self.request_pauses, paddle.to_tensor(pauses.ravel()))
        if blocks:
            events = self._history(read).reshape([length, count, blocks, -1])
            gates = self.gates if positions else None
            if self._settings.reads_pauses:
                alike = paddle.ones([1, blocks])
                counted = alike if gates is None else paddle.concat([gates, alike])
                gates = (counted.unsqueeze(1) * self.request_gates.unsqueeze(0)).reshape([-1, blocks])
                counts = counts * STEPS + pauses
            decays, scales = self._decays, None
            if not self._ordered:
                decays, scales = np.ones_like(decays), mean_fading(self._settings.decays, _numbers(read, places))
            sums = decayed_sums(events, gates, read == 0, decays, counts=counts, scales=scales)
            past = past + sums.reshape([places * count, -1])
        return past

    def _read(self, read: Rows, time_gaps: Rows, places: int, noise: np.random.Generator | None) -> paddle.Tensor:
        """What the recurrent layers make of the history, shape (places * n, dim - 1)."""
        shape, share = (*read.shape, self._settings.width), self._settings.dropout
        steps = paddle.index_select(self.pauses, paddle.to_tensor(time_gaps.ravel()))
        events = (self._look_up(self.events, read.ravel()) + steps).reshape(shape)
        if (mask := _mask(shape, share, noise)) is not None:
            events = events * paddle.to_tensor(mask)
        for layer in range(self._settings.layers):
            inward, bias, outward, inner, outer = (getattr(self, f"{name}_{layer}") for name in LAYER)
            mask = _mask(shape, share, noise)
            events = gated_recurrence(events, inward, bias, outward, padding=read == 0, mask=mask)
            rows = events.reshape([-1, shape[-1]])
            mask = _mask((len(rows), inner.shape[1]), share, noise)
            events = (rows + hidden_layer(rows, inner, outer, mask)).reshape(shape)
        seen = np.logical_or.accumulate(read > 0, axis=0)
        mask = _mask((places, *shape[1:]), share, noise)
        return readout(events, self.readout, seen, places=places, mask=mask)

    def _history(self, read: Rows) -> paddle.Tensor:
        """What the sums add of the items read, shape (length * n, blocks * (dim - 1))."""
        rows, places = np.unique(read, return_inverse=True)
        vectors = paddle.matmul(self._look_up(self.item_ids, rows)[:, :-1], self.history_map)
        kinds = rows[:, None] == np.array([Vocabulary.PADDING, START_TOKEN])
        known, started = paddle.to_tensor(_floats(~kinds.any(axis=1))), paddle.to_tensor(_floats(kinds[:, 1]))
        return paddle.index_select(vectors * known + started * self.history_start, paddle.to_tensor(places.ravel()))

    def _look_up(self, table: paddle.Tensor, rows: Rows) -> paddle.Tensor:
        index = paddle.to_tensor(rows)
        # The gradient of embedding can be sparse; that of index_select is several times quicker where it is not.
        return nn.functional.embedding(index, table, sparse=True) if self._sparse else paddle.index_select(table, index)


def folded(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Weights as the towers read them, with a row of each item for each rate of decay."""
    found = dict(weights)
    if "history_map" in found:
        found["history"] = found["item_ids"][:, :-1] @ found.pop("history_map")
        found["history"][Vocabulary.PADDING], found["history"][START_TOKEN] = 0, found.pop("history_start")[0]
    return found


def _counts(read: Rows, places: int, most: int) -> Rows:
    """How many events were read before each of the last places, after a beginning, shape (places, n).

    At most ``most``, which also stands for those whose beginning was not read.
    """
    started = np.logical_or.accumulate(read == START_TOKEN, axis=0)
    counts = np.where(started, np.minimum(np.cumsum(read > START_TOKEN, axis=0), most), most)
    nothing = np.full((1, read.shape[1]), most)
    return np.concatenate([nothing, counts])[len(read) - places : len(read)]


def _numbers(read: Rows, places: int) -> Rows:
    """How many events were read before each of the last places, a beginning included, shape (places, n)."""
    counts = np.cumsum(read > 0, axis=0)
    return np.concatenate([np.zeros_like(counts[:1]), counts])[len(read) - places : len(read)]


def _floats(flags: NDArray[np.bool_]) -> Array:
    return flags.astype(np.float32)[:, None]


def _one_hot(rows: Rows, size: int) -> csr_matrix:
    """A one in each row, at the place that is given; none where that is ``size``."""
    there = rows < size
    starts = np.concatenate(([0], np.cumsum(there)))
    return csr_matrix((np.ones(starts[-1], np.float32), rows[there], starts), shape=(len(rows), size))


def _first_weights(
    sizes: Sizes, settings: ResolvedSettings, counts: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, Array]:
    """Small random numbers where symmetry must be broken; zeros elsewhere: what is never trained says nothing."""
    free, blocks = sizes.dim - 1, len(settings.decays)
    weights = {
        "item_ids": _normal(rng, (sizes.items, sizes.dim), SPREAD),
        "item_features": np.zeros((sizes.item_features, sizes.dim), np.float32),
        "user_constant": np.zeros((1, free), np.float32),
        "user_features": np.zeros((sizes.user_features, free), np.float32),
    }
    biases = np.log(counts + 1.0)
    weights["item_ids"][:, -1] = biases - biases.mean()
    if settings.user_ids:
        weights["user_ids"] = np.zeros((sizes.users, free), np.float32)
    if blocks:
        weights["history_map"] = np.tile(np.eye(free, dtype=np.float32), blocks)
        weights["history_start"] = np.zeros((1, blocks * free), np.float32)
    if blocks or settings.layers:
        weights["positions"] = np.zeros((settings.positions, free), np.float32)
        weights["gates"] = np.ones((settings.positions, blocks), np.float32)
        if settings.reads_pauses:
            weights["request_pauses"] = np.zeros((STEPS, free), np.float32)
            weights["request_gates"] = np.ones((STEPS, blocks), np.float32)
    if settings.layers:
        weights |= _first_layers(sizes, settings, rng)
    if settings.hidden:
        weights["hidden_in"] = _normal(rng, (free, settings.hidden), free**-0.5)
        weights["hidden_out"] = _normal(rng, (settings.hidden, free), 0.3 * settings.hidden**-0.5)
    return {name: array for name, array in weights.items() if array.size}


def _first_layers(sizes: Sizes, settings: ResolvedSettings, rng: np.random.Generator) -> dict[str, Array]:
    """The recurrent layers, which at first keep an event for one to some sixty others."""
    width, free = settings.width, sizes.dim - 1
    spread = width**-0.5
    weights = {"events": _normal(rng, (sizes.items, width), spread), "pauses": np.zeros((STEPS, width), np.float32)}
    weights["events"][Vocabulary.PADDING] = 0
    lasting = np.geomspace(1.5, 60.0, width)
    for layer in range(settings.layers):
        inward = _normal(rng, (width, 3 * width), spread)
        inward[:, :width] *= 0.3
        arrays = (
            inward,
            # The logit of exp(-1 / lasting).
            -np.log(np.expm1(1 / lasting)).astype(np.float32),
            _normal(rng, (width, width), 0.3 * spread),
            _normal(rng, (width, WIDER * width), spread),
            _normal(rng, (WIDER * width, width), 0.3 * (WIDER * width) ** -0.5),
        )
        weights |= {f"{name}_{layer}": array for name, array in zip(LAYER, arrays)}
    weights["readout"] = _normal(rng, (width, free), 0.1 * spread)
    return weights


def _normal(rng: np.random.Generator, shape: tuple[int, int], spread: float) -> Array:
    drawn: Array = rng.standard_normal(shape, np.float32) * np.float32(spread)
    return drawn


def _mask(shape: tuple[int, ...], share: float, noise: np.random.Generator | None) -> Array | None:
    """Factors that leave out a share and make up for it; ``None`` for nothing to leave out."""
    if noise is None or not share:
        return None
    # A byte of chance for each number is ten times as quick as a float, and a share to 1/256 is exact enough.
    least = round(256 * share)
    drawn = np.frombuffer(noise.bytes(math.prod(shape)), np.uint8).reshape(shape)
    kept: Array = (drawn >= least) * np.float32(256 / (256 - least))
    return kept
