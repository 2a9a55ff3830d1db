"""Predicted ratings as a second stage, trained by PaddlePaddle and run by NumPy.

``training_data`` draws folds of ratings and makes the users' vectors without each; ``network`` is the model in
PaddlePaddle, ``training`` the loop; ``inference`` turns histories into numbers and is the same model in NumPy;
``reranker`` puts them together.
"""

from vecrec.rerankers.rating.reranker import RatingReranker
from vecrec.rerankers.rating.settings import RatingSettings

__all__ = ["RatingReranker", "RatingSettings"]
