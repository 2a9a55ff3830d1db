"""Two towers trained by PaddlePaddle and run by NumPy.

``preparation`` numbers ids and ``features``; ``sampling`` cuts histories, with their ``pauses``, into steps;
``network``, ``operators`` and ``recurrence`` are the towers in PaddlePaddle, ``objective`` and ``losses`` what they
learn, ``training`` the loop, with ``validation`` and ``checkpoint``; ``runtime`` is the same towers in NumPy;
``encoder`` is the whole.
"""

from vecrec.encoders.two_tower.encoder import TwoTowerEncoder
from vecrec.encoders.two_tower.settings import TwoTowerSettings

__all__ = ["TwoTowerEncoder", "TwoTowerSettings"]
