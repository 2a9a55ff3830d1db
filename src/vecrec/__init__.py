"""Recommendations from vectors: a two-tower model, a vector store and a metadata store behind one `Recommender`."""

from vecrec.errors import VecrecError
from vecrec.feedback import FeedbackPolicy
from vecrec.filters import Filter, field
from vecrec.recommendations import Recommendation, Recommendations
from vecrec.recommender import AsyncRecommender, Recommender, ReleaseChecks
from vecrec.releases import Release
from vecrec.types import Event, Hit, Item, User

__version__ = "0.1.0"

__all__ = [
    "AsyncRecommender",
    "Event",
    "FeedbackPolicy",
    "Filter",
    "Hit",
    "Item",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "Release",
    "ReleaseChecks",
    "User",
    "VecrecError",
    "__version__",
    "field",
]
