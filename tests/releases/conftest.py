"""The fixtures of the recommender's tests, which these need too."""

from tests.recommender.conftest import _no_waiting_for_the_disk, engine, rec, unfitted

__all__ = ["_no_waiting_for_the_disk", "engine", "rec", "unfitted"]
