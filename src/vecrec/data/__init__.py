"""Data sets of interactions, items and users, and their splits for training and evaluation."""

from vecrec.data import splits
from vecrec.data.dataset import Columns, Dataset
from vecrec.data.features import Categorical, Date, Embedding, Feature, MultiCategorical, Numeric, Text
from vecrec.data.notices import Notice
from vecrec.data.schema import Schema
from vecrec.data.splits import Split
from vecrec.data.vocabulary import Vocabulary

__all__ = [
    "Categorical",
    "Columns",
    "Dataset",
    "Date",
    "Embedding",
    "Feature",
    "MultiCategorical",
    "Notice",
    "Numeric",
    "Schema",
    "Split",
    "Text",
    "Vocabulary",
    "splits",
]
