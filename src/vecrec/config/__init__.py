"""Settings from the environment and files, and the recommender that they describe."""

from vecrec.config.settings import Settings

__all__ = ["Settings"]
