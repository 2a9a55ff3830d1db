"""The `Recommender` over encoder, vector store and metadata store, and what it is made of.

``recommender`` is the facade. ``request`` checks what is asked, ``pipeline`` answers it by the ``steps``, with
``users``, ``words`` and ``dislikes``, by the release that ``live`` follows, and ``explain`` says why. ``publish`` makes
releases and checks them with ``release_checks``, ``catalogue`` changes the items in both stores, and ``ownership`` says
whose these are. ``loading`` brings in a data set, less what ``edits`` knows to be newer. ``batch`` and ``migrate`` work
on the whole of it; ``batch_job`` is what each process of a batch does, and ``batch_engines`` starts these. ``ingest``
records the events of a stream.
"""

from vecrec.recommender.asynchronous import AsyncRecommender
from vecrec.recommender.candidate import Candidate
from vecrec.recommender.explain import Change, Explanation, ScorePart
from vecrec.recommender.live import LoadedRelease
from vecrec.recommender.recall import Recall
from vecrec.recommender.recommender import Recommender
from vecrec.recommender.release_checks import ReleaseChecks
from vecrec.recommender.report import Receipt, Report
from vecrec.recommender.request import RankOptions, RecommendOptions

__all__ = [
    "AsyncRecommender", "Candidate", "Change", "Explanation", "LoadedRelease", "RankOptions", "Recall", "Receipt",
    "RecommendOptions", "Recommender", "ReleaseChecks", "Report", "ScorePart",
]  # fmt: skip
