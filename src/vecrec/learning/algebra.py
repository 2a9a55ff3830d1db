"""The linear algebra of the closed form, in NumPy alone, the same to the last bit in every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["Factor", "leading_vectors"]

_BLOCK = 512


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
        multiply: Gives the positive semidefinite matrix times an array of shape (size, m).
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
