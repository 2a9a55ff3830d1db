"""Predicted ratings as a second stage, trained by PaddlePaddle and run by NumPy.

``preparation`` draws folds of ratings and makes the users' vectors without each, ``language`` turns ids, features and
histories into numbers; ``network`` is the model in PaddlePaddle, ``training`` the loop; ``runtime`` is the same model
in NumPy; ``reranker`` is the whole.
"""

from vecrec.rerankers.rating.reranker import RatingReranker
from vecrec.rerankers.rating.settings import RatingSettings

__all__ = ["RatingReranker", "RatingSettings"]
