"""The stages of a recommendation one by one: retrieval and ranking (the original's recall and rank)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import ArrayLike

from vecrec.errors import InvalidDataError, ItemNotFoundError
from vecrec.filters import check_filter
from vecrec.ids import Id
from vecrec.recommender import Live
from vecrec.serving.models import HitOut, RankingIn, RankingOut, RetrievalIn, RetrievalOut
from vecrec.serving.problems import request_id
from vecrec.serving.service import Ours, Service
from vecrec.serving.space import vectors_of
from vecrec.serving.where import compile_where
from vecrec.types import User

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["stages"])


@router.post("/retrieval", summary="Find the nearest items")
def retrieve(body: RetrievalIn, request: Request, service: Ours) -> RetrievalOut:
    """Ids and scores of the items nearest to a vector, an item or somebody; seen items are among them."""
    service.check_k(body.k)
    by_person = body.vector is None and body.item_id is None
    user = _known(service.person(body).user) if by_person else None
    release, hits = service.recommender.ask(lambda live: (live.release.id, _retrieve(service, live, body, user)))
    return RetrievalOut(request_id=request_id(request), release=release, hits=hits)


@router.post("/ranking", summary="Put given items in order")
def rank(body: RankingIn, request: Request, service: Ours) -> RankingOut:
    """The scores of given items for somebody: the inner products of their vectors."""
    service.check_batch(body.item_ids, "item_ids")
    user, ids = service.person(body).user, list(dict.fromkeys(body.item_ids))
    return service.recommender.ask(
        lambda live: RankingOut(
            request_id=request_id(request), release=live.release.id, **_ranked(service, live, user, ids)
        )
    )


def _retrieve(service: Service, live: Live, body: RetrievalIn, user: User | None) -> list[HitOut]:
    # Only what the schema names may be asked for: the collection has a field of its own beside it.
    where = check_filter(compile_where(body.where), live.schema.filter_fields())
    itself = body.item_id if body.vector is None else None
    query, store = _query(service, live, body, user), service.recommender.vector_store
    hits = store.search(live.collection, query, body.k + (itself is not None), where)[0]
    return [HitOut(item_id=hit.id, score=hit.score) for hit in hits if itself is None or hit.id != itself][: body.k]


def _query(service: Service, live: Live, body: RetrievalIn, user: User | None) -> ArrayLike:
    if body.vector is not None:
        return [[float(value) for value in body.vector]]
    if user is not None:
        return live.encoder.encode_users([user])
    found = vectors_of(service.recommender, [body.item_id] if body.item_id is not None else [])
    if body.item_id not in found:
        raise ItemNotFoundError(f"no item {body.item_id!r} in the catalogue: POST /v1/items adds one")
    return [found[body.item_id]]


def _known(user: User) -> User:
    if user.id is None and not user.features and not user.history:
        raise InvalidDataError("nobody and nothing was given: give a vector, an item_id, a user_id or a profile")
    return user


def _ranked(service: Service, live: Live, user: User, ids: Sequence[Id]) -> dict[str, Any]:
    found = vectors_of(service.recommender, ids)
    known, by_vector = [key for key in ids if key in found], bool(user.features or user.history)
    if by_vector and known:
        vector = live.encoder.encode_users([user])[0]
        scores = (np.stack([found[key] for key in known]) @ vector).tolist()
    else:
        shares = dict(zip(live.popularity.ids, live.popularity.shares))
        scores = [shares.get(key, 0.0) for key in known]
    ranked = sorted(zip(known, scores), key=lambda pair: -pair[1])
    return {
        "served_by": "vectors" if by_vector else "popularity",
        "items": [HitOut(item_id=key, score=score) for key, score in ranked],
        "unknown": [key for key in ids if key not in found],
    }
