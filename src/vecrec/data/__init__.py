"""Data sets: who did what with which item, what is known about both, and how to split it for training and measuring."""

from vecrec.data.dataset import Columns, Dataset
from vecrec.data.features import Categorical, Feature, MultiCategorical, Numeric, Text
from vecrec.data.schema import Schema
from vecrec.data.vocabulary import Vocabulary

__all__ = [
    "Categorical",
    "Columns",
    "Dataset",
    "Feature",
    "MultiCategorical",
    "Numeric",
    "Schema",
    "Text",
    "Vocabulary",
]
