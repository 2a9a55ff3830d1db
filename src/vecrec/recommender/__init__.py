"""The facade over the three interfaces, and what it is made of.

``facade`` is the `Recommender`, ``readers`` its half that only reads. ``lifecycle`` makes releases with ``loading`` and
``building``, ``watch`` follows the live one, ``serving`` answers each ``request`` by ``query``, ``dislikes``,
``reranking`` and ``answers``, ``catalogue`` changes the items in both stores.
"""

from vecrec.recommender.generation import Live
from vecrec.recommender.publish import ReleaseChecks
from vecrec.recommender.recommender import Recommender
from vecrec.recommender.report import Receipt, Report

__all__ = ["Live", "Receipt", "Recommender", "ReleaseChecks", "Report"]
