"""Linear algebra of encoders in NumPy alone: factors, leading vectors, balanced sides, scales."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPSILON", "Factor", "balanced", "leading_vectors", "moments", "normalised", "sigmoid"]

_BLOCK = 512

EPSILON = 1e-6
"""Keeps the scale of a vector of zeros finite."""


class Factor:
    """A symmetric positive definite matrix, factored, so that equations with it are solved by products."""

    def __init__(self, matrix: NDArray[np.float32]) -> None:
        """Factor ``matrix``, shape (n, n), by Cholesky's method, in its own memory: it is overwritten.

        In blocks, since `numpy.linalg.cholesky` works in double precision only, which costs twice the time and five
        times the memory. The blocks on the diagonal are inverted, so that triangular equations, which NumPy does not
        solve, become products too.

        Raises:
            numpy.linalg.LinAlgError: when it is not positive definite.
        """
        self._lower = matrix
        self._inverse: list[NDArray[np.float32]] = []
        for rows in self._blocks():
            left = matrix[rows, : rows.start]
            below = slice(rows.stop, len(matrix))
            corner = np.linalg.cholesky((matrix[rows, rows] - left @ left.T).astype(np.float64))
            inverse = np.linalg.inv(corner).astype(np.float32)
            matrix[rows, rows] = corner
            matrix[below, rows] -= matrix[below, : rows.start] @ left.T
            matrix[below, rows] = matrix[below, rows] @ inverse.T
            self._inverse.append(inverse)

    def __len__(self) -> int:
        return len(self._lower)

    def solve(self, right: NDArray[np.float32]) -> NDArray[np.float32]:
        """The solution x of ``matrix @ x = right``, shape (n, m)."""
        found: NDArray[np.float32] = np.array(right, np.float32)
        blocks = list(zip(self._blocks(), self._inverse))
        for rows, inverse in blocks:
            done = slice(0, rows.start)
            found[rows] = inverse @ (found[rows] - self._lower[rows, done] @ found[done])
        for rows, inverse in reversed(blocks):
            done = slice(rows.stop, len(found))
            found[rows] = inverse.T @ (found[rows] - self._lower[done, rows].T @ found[done])
        return found

    def _blocks(self) -> Iterator[slice]:
        size = len(self._lower)
        return (slice(start, min(start + _BLOCK, size)) for start in range(0, size, _BLOCK))


def leading_vectors(
    multiply: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    size: int,
    count: int,
    *,
    seed: int,
    rounds: int = 4,
) -> NDArray[np.float32]:
    """The eigenvectors of the largest eigenvalues of a symmetric matrix, by randomised subspace iteration.

    Halko, Martinsson and Tropp, *Finding structure with randomness*, SIAM Review 2011.

    Args:
        multiply: Returns the positive semidefinite matrix times an array of shape (size, m).
        size: Its number of rows.
        count: How many vectors, at most ``size``.
        seed: Where the iteration starts.
        rounds: How often to multiply before the vectors are taken.

    Returns:
        Shape (size, count), orthonormal columns, the largest eigenvalue first.
    """
    sketch = min(size, count + max(32, count // 4))
    if sketch == size:
        base = np.eye(size, dtype=np.float32)
    else:
        base = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, sketch), np.float32))[0]
        for _ in range(rounds):
            base = np.linalg.qr(multiply(base))[0]
    values, vectors = np.linalg.eigh((base.T @ multiply(base)).astype(np.float64))
    leading = vectors[:, np.argsort(-values, kind="stable")[:count]].astype(np.float32)
    return np.ascontiguousarray(base @ leading)


Array = NDArray[np.float32]

_RIDGE = 1e-6
"""What is added to second moments, against their mean: unused dimensions stay invertible."""


def balanced(users: Array, items: Array) -> tuple[Array, Array]:
    """Maps of both sides that leave every score what it is and give both the same diagonal second moments.

    Any invertible matrix on one side and its inverse on the other change no inner product. But an index that searches
    by a graph of neighbours depends on where items lie among themselves and beside users: where their lengths differ
    much from direction to direction, and otherwise than the users', its paths do not lead to what scores best.

    Args:
        users: Vectors of users, shape (n, d).
        items: Vectors of items, shape (m, d).

    Returns:
        Two matrices, shape (d, d) each, to multiply vectors of users and of items by from the right.
    """
    if not users.any() or not items.any():
        unchanged = np.eye(users.shape[1], dtype=np.float32)
        return unchanged, unchanged
    sizes, directions = np.linalg.eigh(moments(users))
    root = (directions * np.sqrt(sizes)) @ directions.T
    sizes, turned = np.linalg.eigh(root @ moments(items) @ root)
    quarter = sizes**0.25
    return (np.linalg.solve(root, turned) * quarter).astype(np.float32), (root @ turned / quarter).astype(np.float32)


def moments(vectors: Array) -> NDArray[np.float64]:
    """The mean of the outer products of vectors, shape (d, d), a little more on the diagonal so that it is positive."""
    width = vectors.shape[1]
    found: NDArray[np.float64] = vectors.T.astype(np.float64) @ vectors / len(vectors)
    found[np.diag_indices(width)] += _RIDGE * np.trace(found) / width + 1e-12
    return found


def normalised(vectors: Array) -> tuple[Array, Array]:
    """One over the root mean square of each vector, shape (..., 1), and the vectors times that (RMS norm)."""
    squares: Array = np.einsum("...d,...d->...", vectors, vectors)[..., None]
    scale: Array = (1 / np.sqrt(squares / vectors.shape[-1] + np.float32(EPSILON))).astype(np.float32)
    scaled: Array = vectors * scale
    return scale, scaled


def sigmoid(values: Array) -> Array:
    """``1 / (1 + exp(-x))``, by a function that never overflows."""
    found: Array = np.tanh(values * np.float32(0.5))
    found += 1
    found *= np.float32(0.5)
    return found
