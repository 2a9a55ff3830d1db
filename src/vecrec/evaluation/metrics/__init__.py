"""The metrics: pure functions of arrays, one a file.

Those of accuracy take a table that says at which ranks a user's relevant items are, how many are relevant in all, and
k. Those of the lists take the codes of the recommended items. All give one value a user, but for `coverage` and
`overlap`, which are about all the lists together.
"""

from vecrec.evaluation.metrics.average_precision import average_precision
from vecrec.evaluation.metrics.coverage import coverage
from vecrec.evaluation.metrics.hit_rate import hit_rate
from vecrec.evaluation.metrics.intra_list_diversity import intra_list_diversity
from vecrec.evaluation.metrics.mrr import mrr
from vecrec.evaluation.metrics.ndcg import ndcg
from vecrec.evaluation.metrics.novelty import novelty
from vecrec.evaluation.metrics.overlap import overlap
from vecrec.evaluation.metrics.popularity_bias import popularity_bias
from vecrec.evaluation.metrics.precision import precision
from vecrec.evaluation.metrics.recall import recall

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
