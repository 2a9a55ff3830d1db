"""PaddlePaddle on the CPU: what training asks of the machine, and operators written by hand. Only training imports it.

PaddlePaddle's own operators spend much of their time on a CPU in page faults, broadcast gradients and matrix products,
which take one of MKL's slower paths on AMD processors (a third of the speed of NumPy's). The operators here compute on
the tensors' own memory through NumPy, without a copy, and PaddlePaddle differentiates through them as through any
other operator.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle.autograd import PyLayer
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from vecrec.learning.algebra import normalised

__all__ = [
    "Correction",
    "DecayedSums",
    "Repeated",
    "SampledSoftmax",
    "SparseProduct",
    "array_of",
    "prepared",
    "tensor_of",
]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt."""

GLIBC_MOST = 32 << 20
"""The highest threshold that glibc sets by itself."""


@contextmanager
def prepared(threads: int | None) -> Iterator[None]:
    """Train on the CPU, with so many threads for matrix products, and keep memory between steps.

    Large arrays come from mmap by default, and each of their pages faults at each step, which takes as long as the
    arithmetic. Afterwards the memory goes back to the system.
    """
    device = paddle.get_device()
    with ExitStack() as stack:
        stack.callback(paddle.set_device, device)
        stack.enter_context(_kept_memory())
        if threads is not None:
            stack.enter_context(threadpool_limits(threads, user_api="blas"))
        paddle.set_device("cpu")
        yield


@contextmanager
def _kept_memory() -> Iterator[None]:
    library: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(M_MMAP_THRESHOLD, 1 << 30)
    library.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        library.mallopt(M_MMAP_THRESHOLD, GLIBC_MOST)
        library.mallopt(M_TRIM_THRESHOLD, 2 * GLIBC_MOST)
        library.malloc_trim(0)


Array = NDArray[np.float32]


class Repeated(PyLayer):  # type: ignore[misc]
    """The same rows again and again."""

    @staticmethod
    def forward(ctx: Any, rows: paddle.Tensor, times: int) -> paddle.Tensor:
        """(times * n, d), from (n, d)."""
        ctx.shape = (times, *rows.shape)
        return tensor_of(np.tile(array_of(rows), (times, 1)))

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        """Of the rows."""
        return tensor_of(array_of(gradient).reshape(ctx.shape).sum(axis=0))


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
    """Sums over the past at several rates of decay, added up.

    At every place, the sum over the blocks b and the ages a of ``decays[b] ** a`` times block b of what was read a + 1
    places before, and times the block's gate where there is one for the place. It is computed as a recurrence, so its
    cost does not depend on how far the decays reach.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - PyLayer hands everything on by position
        ctx: Any,
        read: paddle.Tensor,
        gates: paddle.Tensor | None,
        gaps: NDArray[np.bool_],
        decays: Array,
        counts: NDArray[np.int64],
        scales: Array | None = None,
    ) -> paddle.Tensor:
        """(places, n, d): the sums before each of the last places.

        Place ``p`` has seen what was read at ``length - places + p - 1`` and before.

        Args:
            ctx: Of the operator.
            read: (length, n, blocks, d), zero in the gaps; length >= places.
            gates: (k, blocks), what each block counts; ``None`` where k is 0.
            gaps: (length, n), where nothing was read: no gradient goes there.
            decays: (blocks,).
            counts: (places, n), the row of the gates; k where each block counts 1.
            scales: (places, n, blocks), what each block's sum is multiplied by; ``None`` for 1.
        """
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


class Correction(PyLayer):  # type: ignore[misc]
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
    def forward(  # noqa: PLR0917 - PyLayer hands everything on by position
        ctx: Any,
        users: paddle.Tensor,
        targets: paddle.Tensor,
        negatives: paddle.Tensor,
        correction: Array,
        hits: tuple[NDArray[np.int64], NDArray[np.int64]],
        weights: Array,
    ) -> paddle.Tensor:
        """A scalar.

        Args:
            ctx: Of the operator.
            users: (n, d).
            targets: (n, d), the right item of each row.
            negatives: (m, d).
            correction: (m,), what is taken off a negative's score: logQ, the logarithm of its chance to be drawn.
            hits: Rows and negatives where the negative is the right item, which are left out.
            weights: (n,), by which the cross-entropies are added up.
        """
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


def array_of(tensor: paddle.Tensor) -> Array:
    """The tensor's own memory."""
    array: Any = np.from_dlpack(tensor.detach())
    return cast("Array", array)


def tensor_of(array: Array) -> paddle.Tensor:
    """The array's own memory, where it is contiguous."""
    return paddle.utils.dlpack.from_dlpack(np.ascontiguousarray(array))
