"""The stages of a recommendation one by one: retrieval and ranking."""

from __future__ import annotations

from fastapi import APIRouter, Request
from numpy.typing import ArrayLike

from vecrec.errors import InvalidDataError
from vecrec.filters import check_filter
from vecrec.filters.json import compile_where
from vecrec.recommender import LoadedRelease
from vecrec.recommender.users import user_vectors
from vecrec.serving.bulkheads import Guarded
from vecrec.serving.errors import request_id
from vecrec.serving.models import HitOut, RankingIn, RankingOut, RetrievalIn, RetrievalOut
from vecrec.serving.params import Ours
from vecrec.serving.service import Service
from vecrec.types import User

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=Guarded, tags=["stages"])


@router.post("/retrieval", summary="Find the nearest items")
def retrieve(body: RetrievalIn, request: Request, service: Ours) -> RetrievalOut:
    """Ids and scores of the items nearest to a vector, an item or a user, seen items included."""
    service.check_k(body.k)
    if body.vector is None and body.item_id is not None:
        # Items are near each other by angle, as the library has it.
        found = service.recommender.similar_items(body.item_id, body.k, where=compile_where(body.where))
        hits = [HitOut(item_id=item.item_id, score=item.score) for item in found]
        return RetrievalOut(request_id=request_id(request), release=found.release, hits=hits)
    user = None if body.vector is not None else _known(service, service.user(body))
    with service.recommender.live() as live:
        hits = _retrieve(service, live, body, user)
        return RetrievalOut(request_id=request_id(request), release=live.release.id, hits=hits)


@router.post("/ranking", summary="Put given items in order")
def rank(body: RankingIn, request: Request, service: Ours) -> RankingOut:
    """The second stage, where the release has one, or else the inner products of the vectors, for given items."""
    service.check_batch(body.item_ids, "item_ids")
    ids = list(dict.fromkeys(body.item_ids))
    user = body.user_id if body.is_stored_only and body.user_id is not None else service.user(body)
    found = service.recommender.rank(user, ids, rerank=None if body.rerank else False)
    known = {item.item_id for item in found}
    return RankingOut(
        request_id=request_id(request),
        release=found.release,
        served_by=found.served_by,
        items=[HitOut(item_id=item.item_id, score=item.score) for item in found],
        unknown=[key for key in ids if key not in known],
    )


def _retrieve(service: Service, live: LoadedRelease, body: RetrievalIn, user: User | None) -> list[HitOut]:
    # Only what the schema names may be asked for: the collection has a field of its own beside it.
    where = check_filter(compile_where(body.where), live.schema.filter_fields())
    query: ArrayLike = [[float(value) for value in body.vector or ()]]
    if user is not None:
        query = user_vectors(live, [user])
    hits = service.recommender.vector_store.search(live.collection, query, body.k, where)[0]
    return [HitOut(item_id=hit.id, score=hit.score) for hit in hits]


def _known(service: Service, user: User) -> User:
    if user.id is None and not user.features and not service.policy.taste(user).user.history:
        raise InvalidDataError("nothing to search by was given", "give a vector, an item_id, a user_id or a profile")
    return user
