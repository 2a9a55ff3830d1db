"""The gated recurrent layers that read a history event by event, forward and backward by hand.

A layer is a gated linear recurrence, whose gates see the event and not the state (Martin and Cundy, *Parallelizing
Linear Recurrent Neural Nets Over Sequence Length*, 2018; Feng et al., *Were RNNs All We Needed?*, 2024), with a gate on
what is read from the state. So the past costs a few products per event, however far it reaches, and at serving time all
events of a history are read side by side. See `vecrec.learning.paddle` for why this is not left to
PaddlePaddle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle.autograd import PyLayer

from vecrec.learning.algebra import normalised, sigmoid
from vecrec.learning.paddle import array_of, tensor_of

__all__ = ["GatedRecurrence", "Readout"]

Array = NDArray[np.float32]


class GatedRecurrence(PyLayer):  # type: ignore[misc]
    """``x + (state * silu(g)) W`` with ``state = k * state + (1 - k) * v`` and the gates k, values v, g from x."""

    @staticmethod
    def forward(  # noqa: PLR0917 - PyLayer hands everything on by position
        ctx: Any,
        events: paddle.Tensor,
        inward: paddle.Tensor,
        bias: paddle.Tensor,
        outward: paddle.Tensor,
        padding: NDArray[np.bool_],
        mask: Array | None,
    ) -> paddle.Tensor:
        """(length, n, d), from as many.

        Args:
            ctx: Of the operator.
            events: (length, n, d), oldest first.
            inward: (d, 3 d), to k, v and g, which see the events scaled to a mean square of 1 (RMS norm).
            bias: (d,), of k.
            outward: (d, d), W.
            padding: (length, n), where the state stays what it is.
            mask: (length, n, d), dropout's.
        """
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
    def forward(  # noqa: PLR0917 - PyLayer hands everything on by position
        ctx: Any, read: paddle.Tensor, outward: paddle.Tensor, seen: NDArray[np.bool_], places: int, mask: Array | None
    ) -> paddle.Tensor:
        """(places * n, m), zero where nothing was read.

        Args:
            ctx: Of the operator.
            read: (length, n, d), length >= places.
            outward: (d, m).
            seen: (length, n), whether there is an event at this moment or before it.
            places: How many of the last places are wanted; what stands at a place is not seen there.
            mask: (places, n, d), dropout's.
        """
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
