"""Average precision, whose mean over the users is MAP."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecrec.evaluation.metrics.base import cut

__all__ = ["average_precision"]


def average_precision(relevant: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The mean of the precisions at the ranks of the hits: ``sum of P@r over the hits r <= k, / n_relevant``.

    The measure ``map_cut_k`` of trec_eval, which divides by all that is relevant; others divide by
    ``min(k, n_relevant)``. Its mean over the users is MAP (Buckley and Voorhees, *Evaluating evaluation measure
    stability*, SIGIR 2000).

    Args:
        relevant: Whether the item at each rank is relevant, shape (n, depth).
        n_relevant: How many items are relevant to each user, found or not, shape (n,).
        k: How deep to look.

    Returns:
        A value in [0, 1] for each user, shape (n,); 0 for one with nothing relevant.
    """
    found = cut(relevant, k)
    precisions = np.cumsum(found, axis=1) / np.arange(1, k + 1)
    return np.asarray((precisions * found).sum(axis=1) / np.maximum(n_relevant, 1))
