"""Recommendations, and the liked items that explain them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray

from vecrec._internal.exact import unit
from vecrec.errors import StoreUnavailableError
from vecrec.filters import Filter
from vecrec.filters.json import compile_where
from vecrec.ids import Id
from vecrec.recommendations import Recommendations
from vecrec.recommender import Recommender
from vecrec.serving.errors import request_id
from vecrec.serving.models import Because, ListOut, RecommendIn
from vecrec.serving.params import (
    Conditions,
    HalfLife,
    IdType,
    K,
    Kinds,
    Ours,
    Segment,
    UserPath,
    json_object,
    path_id,
)
from vecrec.serving.service import Service
from vecrec.types import Item

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["recommendations"])

_LIKES = 50
"""How many liked items, the latest ones, an explanation chooses from."""


@router.get("/users/{user_id}/recommendations", summary="Recommend to a stored user")
def recommend_to_user(
    *,
    user_id: UserPath,
    request: Request,
    service: Ours,
    k: K = 10,
    where: Conditions = [],  # noqa: B006 - FastAPI copies it
    exclude_seen: bool = True,
    seen_kind: Kinds = [],  # noqa: B006 - FastAPI copies it
    explain: bool = False,
    rerank: bool = True,
    id_type: IdType = "auto",
) -> ListOut:
    """From their record and events; an unknown user gets popular items."""
    key = path_id(user_id, id_type, "users", service)
    seen: bool | list[str] = seen_kind if exclude_seen and seen_kind else exclude_seen
    who = RecommendIn(user_id=key, k=service.check_k(k), where=None, exclude_seen=seen, explain=explain, rerank=rerank)
    return _answer(service, who, service.conditions(where), request)


@router.get("/popular", summary="Popular items")
def popular(
    *,
    request: Request,
    service: Ours,
    k: K = 10,
    where: Conditions = [],  # noqa: B006 - FastAPI copies it
    half_life: HalfLife = None,
    segment: Segment = None,
) -> ListOut:
    """What most people chose: lately, with a half-life; or people of a segment, by their stored profiles."""
    found = service.recommender.popular(
        service.check_k(k),
        where=service.conditions(where),
        half_life=half_life,
        segment=None if segment is None else json_object(segment, "segment"),
    )
    service.metrics.served([found])
    return ListOut.of(found, request_id(request))


@router.post("/recommendations", summary="Recommend to any user")
def recommend(body: RecommendIn, request: Request, service: Ours) -> ListOut:
    """To a stored user, a posted profile, or a user known by what they liked and disliked."""
    service.check_k(body.k)
    service.check_batch(body.exclude, "exclude")
    return _answer(service, body, compile_where(body.where), request)


def _answer(service: Service, who: RecommendIn, where: Filter | None, request: Request) -> ListOut:
    options: dict[str, Any] = {
        "where": where,
        "exclude_seen": who.exclude_seen,
        "exclude": who.exclude,
        "rerank": None if who.rerank else False,
    }
    liked: Sequence[Id] = ()
    if who.user_id is not None and who.is_stored_only:
        found = service.recommender.recommend(who.user_id, who.k, **options)
        stored = service.stored(who.user_id) if who.explain else None
        liked = service.liked(stored) if stored else ()
    else:
        user = service.user(who)
        found = service.recommender.recommend_for(user, who.k, **options)
        liked = service.liked(user) if who.explain else ()
    service.metrics.served([found])
    because = _because(service, found, liked)
    return ListOut.of(found, request_id(request), because, service.unknown_features(who.features))


def _because(service: Service, found: Recommendations, liked: Sequence[Id]) -> Sequence[Because | None]:
    if not found or not liked or found.served_by != "vectors":
        return ()
    try:
        near = _nearest(service.recommender, [item.item_id for item in found], liked[-_LIKES:])
    except StoreUnavailableError:
        return ()  # the list is whole without its reasons
    titles = service.recommender.get_items(list({each[0]: None for each in near if each is not None}))
    return [None if each is None else _reason(service, each, titles.get(each[0])) for each in near]


def _reason(service: Service, near: tuple[Id, float], item: Item | None) -> Because:
    title = None if item is None else item.features.get(service.settings.title_field)
    return Because(item_id=near[0], title=None if title is None else str(title), similarity=near[1])


def _nearest(recommender: Recommender, ids: Sequence[Id], liked: Sequence[Id]) -> list[tuple[Id, float] | None]:
    """For each item the liked item that is nearest to it, by the cosine of their vectors."""
    keys = list(dict.fromkeys([*ids, *liked]))
    with recommender.live() as live:
        entries = recommender.vector_store.fetch(live.collection, keys)
    vectors = {key: unit(entry.vector) for key, entry in entries.items() if entry.vector is not None}
    return [_nearest_to(key, vectors, liked) for key in ids]


def _nearest_to(key: Id, vectors: dict[Id, NDArray[np.float32]], liked: Sequence[Id]) -> tuple[Id, float] | None:
    if key not in vectors:
        return None
    cosines = [(other, float(vectors[key] @ vectors[other])) for other in liked if other != key and other in vectors]
    return max(cosines, key=lambda pair: pair[1], default=None)
