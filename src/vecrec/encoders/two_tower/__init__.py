"""Two towers trained by PaddlePaddle and run by NumPy.

``training_data`` numbers ids and features; ``sampling`` cuts histories, with their ``time_gaps``, into steps;
``network`` and ``recurrence`` are the towers in PaddlePaddle, ``objective`` what they learn, ``training`` the loop with
its validation, ``checkpoint`` what an interrupted run resumes from; ``inference`` is the same towers in NumPy;
``encoder`` puts them together.
"""

from vecrec.encoders.two_tower.encoder import TwoTowerEncoder
from vecrec.encoders.two_tower.settings import TwoTowerSettings

__all__ = ["TwoTowerEncoder", "TwoTowerSettings"]
