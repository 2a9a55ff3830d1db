"""Settings from the environment and files, and the recommender that they describe."""
