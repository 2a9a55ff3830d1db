"""Evaluation of recommendations: metrics, published protocols, a runner and confidence intervals."""

from vecrec.evaluation import metrics
from vecrec.evaluation.choosing import EncoderComparison, compare
from vecrec.evaluation.live import LiveEvaluation
from vecrec.evaluation.protocols import Task, cold_items, cold_users, from_split, sampled_negatives
from vecrec.evaluation.results import Evaluation
from vecrec.evaluation.runner import evaluate
from vecrec.evaluation.statistics import Comparison
from vecrec.evaluation.tune import Tuning, tune

__all__ = [
    "Comparison",
    "EncoderComparison",
    "Evaluation",
    "LiveEvaluation",
    "Task",
    "Tuning",
    "cold_items",
    "cold_users",
    "compare",
    "evaluate",
    "from_split",
    "metrics",
    "sampled_negatives",
    "tune",
]
