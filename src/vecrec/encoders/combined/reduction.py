"""Fewer dimensions for the same lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecrec.learning.algebra import balanced, moments
from vecrec.progress import Progress, Step

__all__ = ["Reduction", "reduce_scores"]

Array = NDArray[np.float32]
Codes = NDArray[np.int64]

_POPULARITY_POWER = 0.4
"""How much less a popular item's errors count at first, each: by its events to the power of minus this."""

_SHARPNESS = 4.0
"""The standard deviation of a user's scores before the softmax: the first hundred items or so are what counts."""

_STEPS = 500
_USERS_A_STEP = 256
_ITEMS_A_STEP = 4096
_RATE = 5e-4
"""The size of the first steps of Adam, in units of what is kept of the leading coordinates at first, which is 1."""

_FLOOR = 0.01
"""What is added to the root of a squared gradient, against all of them: unused weights stay unchanged."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """Linear maps of users and items into fewer dimensions."""

    users: Array
    """Shape (dim, fewer)."""
    items: Array
    """Shape (dim, fewer)."""


def reduce_scores(
    users: Array, items: Array, events: Codes, seen: Sequence[Codes], *, dim: int, progress: Progress
) -> Reduction:
    """The maps into ``dim`` dimensions after which users get lists as much like those of before as possible.

    First the squares of the differences of the scores are made small, all items counting, then what differs in the
    users' lists: with p for the softmax of the scores of the items that a user has not seen, and q for that of the
    scores after the maps, the divergence ``sum of p log (p / q)`` (Hinton, Vinyals and Dean, *Distilling the Knowledge
    in a Neural Network*, 2015, where both are linear). What was known of the users' next events is not needed. At last
    users and items are balanced (`vecrec.learning.algebra`).

    Args:
        users: Vectors of users, shape (n, d), n >= 1.
        items: Vectors of items, shape (m, d), m >= 1.
        events: How many events each item has, shape (m,), above 0.
        seen: The rows of the items that each user has seen already, n of them.
        dim: How many dimensions are wanted, from 1 to d.
        progress: Told how far it is.
    """
    start = _least_squares(users, items, events)
    learner = _Lists(users @ start.users, items @ start.items, users, items, seen)
    of_users, of_items = learner.maps(dim, progress)
    maps = Reduction(start.users @ of_users, start.items @ of_items)
    balance_users, balance_items = balanced(users @ maps.users, items @ maps.items)
    return Reduction(maps.users @ balance_users, maps.items @ balance_items)


def _least_squares(users: Array, items: Array, events: Codes) -> Reduction:
    """Maps into as many coordinates as before, of which the first few keep the scores best.

    Any number of the first coordinates minimises the sum over users u and items v of ``w_v (u v - u' v')^2``, where
    ``w_v`` falls with the item's events: a singular value decomposition of the weighted scores (Eckart and Young,
    1936), taken from the second moments of both sides, so that the scores themselves are never written down.
    """
    root = np.linalg.cholesky(moments(users))
    weighted = items * events.astype(np.float64)[:, None] ** -_POPULARITY_POWER
    leading = np.linalg.eigh(root.T @ (weighted.T @ weighted) @ root)[1][:, ::-1]
    to_users, to_items = np.linalg.solve(root.T, leading), root @ leading
    return Reduction(to_users.astype(np.float32), to_items.astype(np.float32))


class _Lists:
    """The lists of users, before and after linear maps of the coordinates ``x`` of users and ``y`` of items."""

    def __init__(self, x: Array, y: Array, users: Array, items: Array, seen: Sequence[Codes]) -> None:
        self._x, self._y, self._users, self._items, self._seen = x, y, users, items, seen
        self._rng = np.random.default_rng(0)
        spread = float((users[:_USERS_A_STEP] @ items[:_ITEMS_A_STEP].T).std(axis=1).mean())
        self._sharpness = np.float32(_SHARPNESS / spread if spread > 0 else 1.0)

    def maps(self, dim: int, progress: Progress) -> tuple[Array, Array]:
        """The maps of both sides, shape (d, dim) each: the first coordinates, or what has made the lists more alike."""
        maps = [np.eye(self._x.shape[1], dim, dtype=np.float32) for _ in range(2)]
        kept, sample = [each.copy() for each in maps], self._draw()
        before = self._compare(sample, *kept)[0]
        steps = [_Adam(each) for each in maps]
        for number in range(_STEPS):
            rate = _RATE * (1 + np.cos(np.pi * number / _STEPS)) / 2
            for step, gradient in zip(steps, self._compare(self._draw(), *maps)[1:]):
                step.take(gradient, rate)
            progress(Step("fewer dimensions", number + 1, _STEPS))
        after = self._compare(sample, *maps)[0]
        of_users, of_items = maps if after < before else kept
        return of_users, of_items

    def _draw(self) -> tuple[Codes, Codes]:
        """Some users, and some items or all of them."""
        users = self._rng.choice(len(self._x), min(len(self._x), _USERS_A_STEP), replace=False)
        if len(self._y) <= _ITEMS_A_STEP:
            return users, np.arange(len(self._y))
        return users, np.sort(self._rng.choice(len(self._y), _ITEMS_A_STEP, replace=False))

    def _compare(self, drawn: tuple[Codes, Codes], of_users: Array, of_items: Array) -> tuple[float, Array, Array]:
        """The mean divergence of the lists, and its gradients with regard to both maps."""
        users, rows = drawn
        hidden = self._hidden(users, rows)
        x, y = self._x[users], self._y[rows]
        x_after, y_after = x @ of_users, y @ of_items
        wanted = _log_softmax(self._users[users] @ self._items[rows].T * self._sharpness, hidden)
        found = _log_softmax(x_after @ y_after.T * self._sharpness, hidden)
        p = np.exp(wanted)
        divergence = float(np.where(p > 0, p * (wanted - found), 0).sum()) / len(users)
        slope = (np.exp(found) - p) * (self._sharpness / np.float32(len(users)))
        return divergence, x.T @ (slope @ y_after), y.T @ (slope.T @ x_after)

    def _hidden(self, users: Codes, rows: Codes) -> NDArray[np.bool_]:
        hidden = np.zeros((len(users), len(self._y)), bool)
        for row, user in enumerate(users.tolist()):
            hidden[row, self._seen[user]] = True
        hidden = hidden[:, rows]
        hidden[hidden.all(axis=1)] = False  # who has seen everything is compared by everything
        return hidden


class _Adam:
    """Steps of one array, in place (Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2015)."""

    def __init__(self, array: Array) -> None:
        self._array, self._mean, self._square, self._taken = array, np.zeros_like(array), np.zeros_like(array), 0

    def take(self, gradient: Array, rate: float) -> None:
        self._taken += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.02 * (gradient * gradient - self._square)
        size = np.sqrt(self._square / (1 - 0.98**self._taken))
        size += _FLOOR * np.sqrt((size * size).mean()) + np.float32(1e-30)
        self._array -= np.float32(rate / (1 - 0.9**self._taken)) * self._mean / size


def _log_softmax(scores: Array, hidden: NDArray[np.bool_]) -> Array:
    """The logarithm of the softmax along each row without what is hidden, which gets a very small one."""
    scores[hidden] = np.float32(-1e30)
    scores -= scores.max(axis=1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return scores
