"""The sums over all positions that the closed form is made of.

At each position of a user's sequence the features are the items before it, in blocks: in the block of the decay d an
item that came ``l`` events before the next one counts ``d ** (l - 1)``. With x for the features, y for the next item
and ``t`` for the position, a block follows the recursion ``x_t+1 = d x_t + e(item t)``. So its products need no pass
over the pairs of features: with ``C_d`` for the sum of ``x y'`` in the block d and N for the diagonal of the items'
counts, summing both sides of the recursion's outer products gives

    sum of x_a x_b' = (a C_a + b C_b' + N) / (1 - a b)

where each sequence is taken to go on without events until its features have faded away.

Where y is not the next item but all later ones, an item k events further on counting ``g ** k``, a feature and an item
l events after it meet at l positions. They count ``sum of d ** m * g ** (l - 1 - m)`` over m from 0 to l - 1, which is
``(d ** l - g ** l) / (d - g)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["feature_products", "next_sums"]

_PAIRS_AT_A_TIME = 1 << 24
_FADED = 2e-3


def next_sums(
    codes: NDArray[np.int64],
    ages: NDArray[np.int64],
    n_items: int,
    decays: Sequence[float],
    window: int,
    *,
    ahead: float = 0.0,
) -> list[NDArray[np.float32]]:
    """``C_d`` for each decay: how often, and how long before it, each item came before each other one.

    Args:
        codes: The item of each event, one user after the other, -1 for one that takes no part, shape (n,).
        ages: How many events of the same user come before each one, shape (n,).
        n_items: How many items take part.
        decays: The decays of the blocks.
        window: How far apart two events may be.
        ahead: How much an item counts against the one an event before it, g above; 0 for the next item alone.

    Returns:
        Matrices of shape (n_items, n_items): rows came before, columns came next.
    """
    sums = [np.zeros(n_items * n_items, np.float32) for _ in decays]
    reach = [_reach(max(decay, ahead), window) for decay in decays]
    pending: list[tuple[int, NDArray[np.int64]]] = []
    for lag in range(1, max(reach) + 1):
        later = np.flatnonzero(ages >= lag)
        before, after = codes[later - lag], codes[later]
        both = (before >= 0) & (after >= 0)
        pending.append((lag, before[both] * n_items + after[both]))
        if lag == max(reach) or sum(len(pairs) for _, pairs in pending) >= _PAIRS_AT_A_TIME:
            for total, decay, far in zip(sums, decays, reach):
                _add(total, [(_weight(decay, ahead, lag), pairs) for lag, pairs in pending if lag <= far])
            pending = []
    return [total.reshape(n_items, n_items) for total in sums]


def feature_products(
    sums: Sequence[NDArray[np.float32]], counts: NDArray[np.int64], decays: Sequence[float]
) -> NDArray[np.float32]:
    """``X'X`` for all blocks, shape (len(decays) * n_items, the same).

    Args:
        sums: What `next_sums` gives.
        counts: How often each item came, shape (n_items,).
        decays: The decays of the blocks.
    """
    n = len(counts)
    whole = np.zeros((len(sums) * n, len(sums) * n), np.float32)
    diagonal = np.arange(n)
    for i, (a, of_a) in enumerate(zip(decays, sums)):
        for j, (b, of_b) in enumerate(zip(decays, sums)):
            block = whole[i * n : (i + 1) * n, j * n : (j + 1) * n]
            block += np.float32(a) * of_a
            block += np.float32(b) * of_b.T
            block[diagonal, diagonal] += counts
            block /= np.float32(1 - a * b)
    return whole


def _weight(decay: float, ahead: float, lag: int) -> float:
    """What a feature and an item so many events after it count together, in all positions between them."""
    if decay == ahead:
        return lag * decay ** (lag - 1)
    return (decay**lag - ahead**lag) / (decay - ahead)


def _reach(decay: float, window: int) -> int:
    """How many events before the next one still count."""
    return 1 if decay == 0 else min(window, int(np.log(_FADED) / np.log(decay)) + 1)


def _add(total: NDArray[np.float32], weighted: list[tuple[float, NDArray[np.int64]]]) -> None:
    if not weighted:
        return
    pairs = np.concatenate([each for _, each in weighted])
    weights = np.repeat([weight for weight, _ in weighted], [len(each) for _, each in weighted])
    if len(pairs) * 8 < len(total):  # few pairs: a table of all that there could be would cost more than it saves
        np.add.at(total, pairs, weights.astype(np.float32))
    else:
        total += np.bincount(pairs, weights, len(total)).astype(np.float32)
