"""The metrics: pure functions of arrays.

Those of accuracy (`vecrec.evaluation.metrics.ranking`) take a table that says at which ranks the relevant items of a
user are, the number of relevant items, and k. Those of the lists (`vecrec.evaluation.metrics.lists`) take the codes of
the recommended items. All return one value a user, except `coverage` and `overlap`, which describe all lists together.
"""

from vecrec.evaluation.metrics.lists import coverage, intra_list_diversity, novelty, overlap, popularity_bias
from vecrec.evaluation.metrics.ranking import average_precision, hit_rate, mrr, ndcg, precision, recall

__all__ = [
    "average_precision",
    "coverage",
    "hit_rate",
    "intra_list_diversity",
    "mrr",
    "ndcg",
    "novelty",
    "overlap",
    "popularity_bias",
    "precision",
    "recall",
]
