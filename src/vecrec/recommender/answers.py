"""From what was found to what is given back."""

from __future__ import annotations

import os
from collections.abc import Mapping

from vecrec.ids import Id
from vecrec.recommender.generation import Live
from vecrec.recommender.query import Query
from vecrec.recommender.request import Request
from vecrec.recommender.reranking import Vectors, reranked
from vecrec.records import Record
from vecrec.rerankers.base import Candidates
from vecrec.types import Recommendation, Recommendations

__all__ = ["answer"]


def answer(
    live: Live, query: Query, request: Request, records: Mapping[Id, Record], vectors: Vectors
) -> Recommendations:
    """What a query has found, through the second stage if there is one, cut to k."""
    items = [Recommendation(rank, hit.id, hit.score, records[hit.id]) for rank, hit in enumerate(query.found, 1)]
    stage = request.stage(live)
    if stage is not None:
        candidates = Candidates(items, request.k, query.vector, lambda: vectors.of([hit.id for hit in query.found]))
        items, error = reranked(stage, query.user, candidates)
        query.notes += () if error is None else ("the vector store does not answer, nothing was reranked",)
    by_vector = query.vector is not None
    return Recommendations(
        items=tuple(items[: request.k]),
        user_id=query.user.id,
        release=live.release.id,
        served_by="vectors" if by_vector else "popularity",
        based_on=query.based_on if by_vector else tuple(base for base in query.based_on if base == "dislikes"),
        request_id=os.urandom(16).hex(),
        shortfall=_shortfall(len(items), query, request),
        missing=tuple(dict.fromkeys(query.missing)),
        notes=query.notes,
    )


def _shortfall(count: int, query: Query, request: Request) -> str | None:
    if count >= request.k:
        return None
    if count < len(query.found):
        return f"{count} of {request.k}: the reranker kept no more"
    source = "no more items were found" if query.vector is not None else "the list of popular items has no more"
    conditions = [
        *(["pass the filter"] if request.where is not None else []),
        *(["were neither seen nor excluded"] if query.excluded else []),
    ]
    return f"{count} of {request.k}: {source}" + (f" that {' and '.join(conditions)}" if conditions else "")
