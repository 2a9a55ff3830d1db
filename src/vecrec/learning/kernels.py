"""The operators of `vecrec.learning.operators` on a CPU: NumPy, forward and backward by hand. Only training imports it.

PaddlePaddle's own operators spend much of their time on a CPU in page faults, broadcast gradients and matrix products,
which take one of MKL's slower paths on AMD processors (a third of the speed of NumPy's). The kernels compute on
the tensors' own memory through NumPy, without a copy, and PaddlePaddle differentiates through them as through any
other operator. The arguments are those of the operators.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle.autograd import PyLayer
from scipy.sparse import csr_matrix

from vecrec.learning.algebra import normalised, sigmoid

__all__ = [
    "DecayedSums",
    "GatedRecurrence",
    "HiddenLayer",
    "Readout",
    "SampledSoftmax",
    "SparseProduct",
]

Array = NDArray[np.float32]


class SparseProduct(PyLayer):  # type: ignore[misc]
    """The product of a constant sparse matrix (n, k) and a table (k, m)."""

    @staticmethod
    def forward(ctx: Any, table: paddle.Tensor, rows: csr_matrix) -> paddle.Tensor:
        """(n, m)."""
        ctx.rows = rows
        return tensor_of(rows @ array_of(table))

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        """Of the table."""
        return tensor_of(ctx.rows.T.tocsr() @ array_of(gradient))


class DecayedSums(PyLayer):  # type: ignore[misc]
    """Sums over the past at several rates of decay, as a recurrence: it costs the same however far the decays reach."""

    @staticmethod
    def forward(
        ctx: Any,
        read: paddle.Tensor,
        gates: paddle.Tensor | None,
        gaps: NDArray[np.bool_],
        decays: Array,
        *,
        counts: NDArray[np.int64],
        scales: Array | None = None,
    ) -> paddle.Tensor:
        """(places, n, d): the sums before each of the last places."""
        events = array_of(read)
        length, count, blocks, dim = events.shape
        places = len(counts)
        ctx.rates = np.ascontiguousarray(decays, np.float32).reshape(1, blocks, 1)
        ctx.shape, ctx.gaps, ctx.counts = events.shape, gaps, counts
        ctx.rows = 0 if gates is None else len(array_of(gates))
        table = np.ones((ctx.rows + 1, blocks), np.float32)
        if gates is not None:
            table[:-1] = array_of(gates)
        ctx.scales = scales
        # The factors of the places that have any, and what they were applied to.
        ctx.gated = {
            place: (table[row] * (1 if scales is None else scales[place]), np.zeros((count, blocks, dim), np.float32))
            for place, row in enumerate(counts)
            if scales is not None or (row < ctx.rows).any()
        }
        state = np.zeros((count, blocks, dim), np.float32)
        sums = np.zeros((places, count, dim), np.float32)
        for moment in range(1, length):
            state *= ctx.rates
            state += events[moment - 1]
            place = moment - (length - places)
            if place in ctx.gated:
                gate, kept = ctx.gated[place]
                kept[:] = state
                np.einsum("nbd,nb->nd", state, gate, out=sums[place])
            elif place >= 0:
                np.add.reduce(state, axis=1, out=sums[place])
        return tensor_of(sums)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        """Of what was read and of the gates."""
        slope = array_of(gradient)
        length, count, blocks, dim = ctx.shape
        state = np.zeros((count, blocks, dim), np.float32)
        slopes = np.empty(ctx.shape, np.float32)
        slopes[-1] = 0
        of_gates = np.zeros((ctx.rows + 1, blocks), np.float32)
        for moment in range(length - 1, 0, -1):
            state *= ctx.rates
            place = moment - (length - len(slope))
            if place in ctx.gated:
                gate, kept = ctx.gated[place]
                state += slope[place][:, None, :] * gate[:, :, None]
                of_gate = np.einsum("nbd,nd->nb", kept, slope[place])
                np.add.at(of_gates, ctx.counts[place], of_gate if ctx.scales is None else of_gate * ctx.scales[place])
            elif place >= 0:
                state += slope[place][:, None, :]
            slopes[moment - 1] = state
        slopes[ctx.gaps] = 0
        gradients = (slopes, of_gates[:-1]) if ctx.rows else (slopes,)
        return tuple(map(tensor_of, gradients))


class HiddenLayer(PyLayer):  # type: ignore[misc]
    """A hidden layer of rectified units over vectors scaled to a mean square of 1 (RMS norm)."""

    @staticmethod
    def forward(
        ctx: Any, vectors: paddle.Tensor, inner: paddle.Tensor, outer: paddle.Tensor, mask: Array | None
    ) -> paddle.Tensor:
        """(n, d), from vectors (n, d), weights (d, hidden) and (hidden, d); the mask (n, hidden) is dropout's."""
        rows, first, second = array_of(vectors), array_of(inner), array_of(outer)
        scale, scaled = normalised(rows)
        hidden: Array = scaled @ first
        np.maximum(hidden, 0, out=hidden)
        if mask is not None:
            hidden *= mask
        ctx.held = (scale, scaled, hidden, first, second, mask)
        return tensor_of(hidden @ second)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        """Of the vectors and both weights."""
        scale, scaled, hidden, first, second, mask = ctx.held
        slope = array_of(gradient)
        inward = slope @ second.T
        inward *= hidden > 0
        if mask is not None:
            inward *= mask
        back = inward @ first.T
        back -= scaled * (np.einsum("nd,nd->n", back, scaled)[:, None] / scaled.shape[1])
        back *= scale
        return tensor_of(back), tensor_of(scaled.T @ inward), tensor_of(hidden.T @ slope)


class SampledSoftmax(PyLayer):  # type: ignore[misc]
    """The weighted mean cross-entropy of a softmax over the right item and negatives that all rows share."""

    @staticmethod
    def forward(
        ctx: Any,
        users: paddle.Tensor,
        targets: paddle.Tensor,
        negatives: paddle.Tensor,
        *,
        correction: Array,
        hits: tuple[NDArray[np.int64], NDArray[np.int64]],
        weights: Array,
    ) -> paddle.Tensor:
        """A scalar."""
        user, target, negative = array_of(users), array_of(targets), array_of(negatives)
        scores = user @ negative.T
        scores -= correction
        scores[hits] = -np.inf
        right = np.einsum("nd,nd->n", user, target)
        highest = np.maximum(scores.max(axis=1), right)
        scores -= highest[:, None]
        np.exp(scores, out=scores)
        chance = np.exp(right - highest)
        total = scores.sum(axis=1) + chance
        loss = float(((np.log(total) + highest - right) * weights).sum())
        scores *= (weights / total)[:, None]
        pull = ((chance / total - 1) * weights)[:, None]
        # The gradients are ready here: keeping the scores for later would hold the largest array twice.
        ctx.gradients = (scores @ negative + pull * target, pull * user, scores.T @ user)
        return paddle.to_tensor(loss, dtype="float32")

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        """Of users, targets and negatives."""
        factor = np.float32(float(gradient))
        return tuple(tensor_of(slope if factor == 1 else slope * factor) for slope in ctx.gradients)


class GatedRecurrence(PyLayer):  # type: ignore[misc]
    """Gated layers that read a history event by event."""

    @staticmethod
    def forward(
        ctx: Any,
        events: paddle.Tensor,
        inward: paddle.Tensor,
        bias: paddle.Tensor,
        outward: paddle.Tensor,
        *,
        padding: NDArray[np.bool_],
        mask: Array | None,
    ) -> paddle.Tensor:
        """(length, n, d), from as many."""
        rows, weights, last = array_of(events), array_of(inward), array_of(outward)
        dim = rows.shape[-1]
        scale, scaled = normalised(rows)
        mixed = scaled @ weights
        keep, value, gate = mixed[..., :dim], mixed[..., dim : 2 * dim], mixed[..., 2 * dim :]
        keep = sigmoid(keep + array_of(bias))
        keep[padding] = 1
        states = (1 - keep) * value
        for moment in range(1, len(rows)):
            states[moment] += keep[moment] * states[moment - 1]
        open_ = sigmoid(gate)
        read = states * gate
        read *= open_
        if mask is not None:
            read *= mask
        ctx.held = (scale, scaled, weights, last, keep, value, gate, states, open_, read, padding, mask)
        return tensor_of(rows + read @ last)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        """Of the events and the weights."""
        scale, scaled, weights, last, keep, value, gate, states, open_, read, padding, mask = ctx.held
        slope = array_of(gradient)
        dim = slope.shape[-1]
        of_read = slope @ last.T
        if mask is not None:
            of_read *= mask
        slopes = np.empty((*slope.shape[:2], 3 * dim), np.float32)
        of_keep, of_value = slopes[..., :dim], slopes[..., dim : 2 * dim]
        np.multiply(of_read * states, open_ * (1 + gate * (1 - open_)), out=slopes[..., 2 * dim :])
        of_states = of_read * gate
        of_states *= open_
        for moment in range(len(states) - 1, 0, -1):
            of_states[moment - 1] += keep[moment] * of_states[moment]
        np.multiply(of_states[1:], states[:-1] - value[1:], out=of_keep[1:])
        np.multiply(of_states[0], -value[0], out=of_keep[0])
        np.multiply(of_states, 1 - keep, out=of_value)
        of_keep *= keep * (1 - keep)
        of_keep[padding] = 0
        of_value[padding] = 0
        flat, flat_slopes = scaled.reshape(-1, dim), slopes.reshape(-1, 3 * dim)
        return (
            tensor_of(slope + _through_scale(slopes @ weights.T, scaled, scale)),
            tensor_of(flat.T @ flat_slopes),
            tensor_of(of_keep.sum(axis=(0, 1))),
            tensor_of(read.reshape(-1, dim).T @ slope.reshape(-1, dim)),
        )


class Readout(PyLayer):  # type: ignore[misc]
    """What was read before each of the last places, scaled to a mean square of 1 and taken through a matrix."""

    @staticmethod
    def forward(
        ctx: Any,
        read: paddle.Tensor,
        outward: paddle.Tensor,
        seen: NDArray[np.bool_],
        *,
        places: int,
        mask: Array | None,
    ) -> paddle.Tensor:
        """(places * n, m), zero where nothing was read."""
        rows, weights = array_of(read), array_of(outward)
        length, count, _ = rows.shape
        kept = min(places, length - 1)
        before = slice(length - 1 - kept, length - 1)
        scale, scaled = normalised(rows[before])
        factor = seen[before][..., None].astype(np.float32)
        if mask is not None:
            factor = factor * mask[places - kept :]
        ctx.held = (scale, scaled, factor, weights, rows.shape, before, places)
        out = np.zeros((places, count, weights.shape[1]), np.float32)
        np.matmul(scaled * factor, weights, out=out[places - kept :])
        return tensor_of(out.reshape(places * count, -1))

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        """Of what was read and of the matrix."""
        scale, scaled, factor, weights, shape, before, places = ctx.held
        slope = array_of(gradient).reshape(places, shape[1], -1)[places - len(scaled) :]
        back = np.zeros(shape, np.float32)
        back[before] = _through_scale((slope @ weights.T) * factor, scaled, scale)
        inner = (scaled * factor).reshape(-1, shape[2])
        return tensor_of(back), tensor_of(inner.T @ slope.reshape(len(inner), weights.shape[1]))


def _through_scale(slope: Array, scaled: Array, scale: Array) -> Array:
    """The gradient before the scaling to a mean square of 1, in the memory of the one after it."""
    slope -= scaled * (np.einsum("...d,...d->...", slope, scaled)[..., None] / scaled.shape[-1])
    slope *= scale
    return slope


def array_of(tensor: paddle.Tensor) -> Array:
    """The tensor's own memory."""
    array: Any = np.from_dlpack(tensor.detach())
    return cast("Array", array)


def tensor_of(array: Array) -> paddle.Tensor:
    """The array's own memory, where it is contiguous."""
    return paddle.utils.dlpack.from_dlpack(np.ascontiguousarray(array))
