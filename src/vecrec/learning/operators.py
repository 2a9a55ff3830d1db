"""The operators of the networks, in PaddlePaddle's own, which run on any device. Only training imports it.

What is constant comes as NumPy arrays, and goes to the device in use. On the CPU, operators that are quicker in NumPy
are computed by their kernel of `vecrec.learning.kernels`; `on_cpu` is the only place that chooses. Tests prove the two
equal, and ``python -m benchmarks.operators`` measures what each kernel is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle.nn import functional
from scipy.sparse import csr_matrix

from vecrec.learning import kernels
from vecrec.learning.algebra import EPSILON

__all__ = [
    "decayed_sums",
    "gated_recurrence",
    "hidden_layer",
    "readout",
    "sampled_softmax",
    "sparse_product",
    "without_kernels",
]

Array = NDArray[np.float32]
Rows = NDArray[np.int64]

_P = ParamSpec("_P")

_USED = ContextVar("kernels used on the CPU", default=True)


@contextmanager
def without_kernels() -> Iterator[None]:
    """Compute by PaddlePaddle's own operators on the CPU too, as on any other device."""
    before = _USED.set(False)
    try:
        yield
    finally:
        _USED.reset(before)


def on_cpu(kernel: Any) -> Callable[[Callable[_P, paddle.Tensor]], Callable[_P, paddle.Tensor]]:
    """Let a kernel compute an operator where the device in use is the CPU."""

    def decorate(operator: Callable[_P, paddle.Tensor]) -> Callable[_P, paddle.Tensor]:
        @wraps(operator)
        def chosen(*args: _P.args, **kwargs: _P.kwargs) -> paddle.Tensor:
            apply = kernel.apply if _USED.get() and paddle.get_device() == "cpu" else operator
            return apply(*args, **kwargs)

        return chosen

    return decorate


@on_cpu(kernels.SparseProduct)
def sparse_product(table: paddle.Tensor, rows: csr_matrix) -> paddle.Tensor:
    """The product of a constant sparse matrix (n, k) and a table (k, m), (n, m)."""
    # A zero comes first, so that there is something to add where the matrix has no entries.
    places = np.concatenate([[0], np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))])
    columns = np.concatenate([[0], rows.indices]).astype(np.int64)
    weights = np.concatenate([[0], rows.data]).astype(np.float32)[:, None]
    parts = paddle.index_select(table, paddle.to_tensor(columns)) * paddle.to_tensor(weights)
    return paddle.index_add(paddle.zeros([rows.shape[0], table.shape[1]]), paddle.to_tensor(places), 0, parts)


@on_cpu(kernels.DecayedSums)
def decayed_sums(
    read: paddle.Tensor,
    gates: paddle.Tensor | None,
    gaps: NDArray[np.bool_],
    decays: Array,
    *,
    counts: Rows,
    scales: Array | None = None,
) -> paddle.Tensor:
    """Sums over the past at several rates of decay, added up: (places, n, d), before each of the last places.

    At every place, the sum over the blocks b and the ages a of ``decays[b] ** a`` times block b of what was read a + 1
    places before, and times the block's gate where there is one for the place. Place ``p`` has seen what was read at
    ``length - places + p - 1`` and before.

    Args:
        read: (length, n, blocks, d), zero in the gaps; length >= places.
        gates: (k, blocks), what each block counts; ``None`` where k is 0.
        gaps: (length, n), where nothing was read: no gradient goes there.
        decays: (blocks,).
        counts: (places, n), the row of the gates; k where each block counts 1.
        scales: (places, n, blocks), what each block's sum is multiplied by; ``None`` for 1.
    """
    length, count, blocks, dim = read.shape
    places = len(counts)
    ages = np.arange(length - places, length)[:, None] - 1 - np.arange(length)
    powers = np.where(ages < 0, np.float32(0), (decays[:, None] ** np.arange(length, dtype=np.float32))[:, ages])
    # All places at once, by a product over the past: a loop over time would launch hundreds of small operators.
    known = read * paddle.to_tensor((~gaps)[:, :, None, None].astype(np.float32))
    by_block = known.transpose([2, 0, 1, 3]).reshape([blocks, length, count * dim])
    sums = paddle.to_tensor(powers.astype(np.float32)) @ by_block
    sums = sums.reshape([blocks, places, count, dim])
    if gates is not None:
        table = paddle.concat([gates, paddle.ones([1, blocks])])
        factors = paddle.index_select(table, paddle.to_tensor(counts.ravel())).reshape([places, count, blocks])
        sums = sums * factors.transpose([2, 0, 1]).unsqueeze(3)
    if scales is not None:
        sums = sums * paddle.to_tensor(np.ascontiguousarray(scales.transpose(2, 0, 1)[..., None], np.float32))
    return sums.sum(axis=0)


@on_cpu(kernels.HiddenLayer)
def hidden_layer(
    vectors: paddle.Tensor, inner: paddle.Tensor, outer: paddle.Tensor, mask: Array | None
) -> paddle.Tensor:
    """A hidden layer of rectified units over vectors scaled to a mean square of 1 (RMS norm).

    Returns:
        (n, d), from vectors (n, d), weights (d, hidden) and (hidden, d); the mask (n, hidden) is dropout's.
    """
    return _masked(functional.relu(_scaled(vectors) @ inner), mask) @ outer


@on_cpu(kernels.SampledSoftmax)
def sampled_softmax(
    users: paddle.Tensor,
    targets: paddle.Tensor,
    negatives: paddle.Tensor,
    *,
    correction: Array,
    hits: tuple[Rows, Rows],
    weights: Array,
) -> paddle.Tensor:
    """The weighted mean cross-entropy of a softmax over the right item and negatives that all rows share, a scalar.

    Args:
        users: (n, d).
        targets: (n, d), the right item of each row.
        negatives: (m, d).
        correction: (m,), what is taken off a negative's score: logQ, the logarithm of its chance to be drawn.
        hits: Rows and negatives where the negative is the right item, which are left out.
        weights: (n,), by which the cross-entropies are added up.
    """
    scores = paddle.matmul(users, negatives, transpose_y=True) - paddle.to_tensor(correction)
    if len(hits[0]):
        scores = paddle.index_put(
            scores, tuple(map(paddle.to_tensor, hits)), paddle.to_tensor(-np.inf, dtype="float32")
        )
    right = (users * targets).sum(axis=1, keepdim=True)
    losses = paddle.logsumexp(paddle.concat([right, scores], axis=1), axis=1) - right[:, 0]
    return (losses * paddle.to_tensor(weights)).sum()


@on_cpu(kernels.GatedRecurrence)
def gated_recurrence(
    events: paddle.Tensor,
    inward: paddle.Tensor,
    bias: paddle.Tensor,
    outward: paddle.Tensor,
    *,
    padding: NDArray[np.bool_],
    mask: Array | None,
) -> paddle.Tensor:
    """``x + (state * silu(g)) W`` with ``state = k * state + (1 - k) * v`` and the gates k, values v, g from x.

    A gated linear recurrence, whose gates see the event and not the state (Martin and Cundy, *Parallelizing Linear
    Recurrent Neural Nets Over Sequence Length*, 2018; Feng et al., *Were RNNs All We Needed?*, 2024), with a gate on
    what is read from the state. So the past costs a few products per event, however far it reaches, and at serving time
    all events of a history are read side by side.

    Args:
        events: (length, n, d), oldest first.
        inward: (d, 3 d), to k, v and g, which see the events scaled to a mean square of 1 (RMS norm).
        bias: (d,), of k.
        outward: (d, d), W.
        padding: (length, n), where the state stays what it is.
        mask: (length, n, d), dropout's.
    """
    keep, value, gate = paddle.split(_scaled(events) @ inward, 3, axis=2)
    there = paddle.to_tensor((~padding)[:, :, None].astype(np.float32))
    let_in = functional.sigmoid(-keep - bias) * there
    states = _scanned(1 - let_in, let_in * value)
    return events + _masked(states * functional.silu(gate), mask) @ outward


@on_cpu(kernels.Readout)
def readout(
    read: paddle.Tensor, outward: paddle.Tensor, seen: NDArray[np.bool_], *, places: int, mask: Array | None
) -> paddle.Tensor:
    """What was read before each of the last places, scaled to a mean square of 1 and taken through a matrix.

    Args:
        read: (length, n, d), length >= places.
        outward: (d, m).
        seen: (length, n), whether there is an event at this moment or before it.
        places: How many of the last places are wanted; what stands at a place is not seen there.
        mask: (places, n, d), dropout's.

    Returns:
        (places * n, m), zero where nothing was read.
    """
    before = paddle.concat([paddle.zeros_like(read[:1]), read[:-1]])[len(seen) - places :]
    known = np.concatenate([np.zeros_like(seen[:1]), seen[:-1]])[len(seen) - places :]
    factor = known[:, :, None].astype(np.float32)
    vectors = _scaled(before) * paddle.to_tensor(factor if mask is None else factor * mask)
    return (vectors @ outward).reshape([-1, outward.shape[1]])


def _scaled(vectors: paddle.Tensor) -> paddle.Tensor:
    """The vectors scaled to a mean square of 1 (RMS norm)."""
    return vectors * paddle.rsqrt((vectors * vectors).mean(axis=-1, keepdim=True) + EPSILON)


def _masked(values: paddle.Tensor, mask: Array | None) -> paddle.Tensor:
    return values if mask is None else values * paddle.to_tensor(mask)


def _scanned(keep: paddle.Tensor, values: paddle.Tensor) -> paddle.Tensor:
    """``state[t] = keep[t] * state[t - 1] + values[t]``, from zero.

    In rounds that each double how far back a state has seen, so that a long past takes few operators (Blelloch, *Prefix
    sums and their applications*, 1990).
    """
    reach = 1
    while reach < len(values):
        nothing = paddle.zeros_like(values[:reach])
        values = values + keep * paddle.concat([nothing, values[:-reach]])
        keep = keep * paddle.concat([nothing, keep[:-reach]])
        reach *= 2
    return values
