"""The facade over the three interfaces, and what it is made of.

``facade`` is the `Recommender`; ``loading`` and ``building`` make releases, ``watch`` follows the live one, ``serving``
answers, ``catalogue`` changes the items in both stores.
"""

from vecrec.recommender.building import ReleaseChecks
from vecrec.recommender.catalogue import Report
from vecrec.recommender.facade import Recommender
from vecrec.recommender.serving import Reranker

__all__ = ["Recommender", "ReleaseChecks", "Report", "Reranker"]
