"""Public data sets, read or fetched: ``movielens.load("1m")``."""

from vecrec.datasets import movielens

__all__ = ["movielens"]
