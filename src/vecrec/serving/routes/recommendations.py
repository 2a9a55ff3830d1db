"""Recommendations and their explanations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from vecrec.errors import StoreUnavailableError
from vecrec.filters import Filter
from vecrec.filters.json import compile_where
from vecrec.ids import Id
from vecrec.recommendations import Recommendations
from vecrec.serving.bulkheads import Guarded
from vecrec.serving.errors import request_id
from vecrec.serving.models import (
    BatchIn,
    Because,
    ExplainIn,
    ExplanationOut,
    ListOut,
    ListsOut,
    RecommendIn,
    because_out,
    explanation_out,
)
from vecrec.serving.params import (
    At,
    Conditions,
    HalfLife,
    IdType,
    ItemPath,
    K,
    Kinds,
    Ours,
    Segment,
    UserPath,
    json_object,
    moment_of,
    path_id,
)
from vecrec.serving.service import Service
from vecrec.types import User

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=Guarded, tags=["recommendations"])

_DAY = 86_400


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
    at: At = "now",
    id_type: IdType = "auto",
) -> ListOut:
    """From their record and events; an unknown user gets popular items."""
    key = path_id(user_id, id_type, "users", service)
    seen: bool | list[str] = seen_kind if exclude_seen and seen_kind else exclude_seen
    options: dict[str, Any] = {"exclude_seen": seen, "explain": explain, "rerank": rerank, "at": moment_of(at)}
    who = RecommendIn(user_id=key, k=service.check_k(k), where=None, **options)
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


@router.get("/trending", summary="Trending items")
def trending(
    *,
    request: Request,
    service: Ours,
    k: K = 10,
    where: Conditions = [],  # noqa: B006 - FastAPI copies it
    days: Annotated[float, Query(gt=0, le=36_500, description="An event so many days older counts half.")] = 7.0,
) -> ListOut:
    """What most people chose lately, counted from the stored events."""
    found = service.recommender.popular(service.check_k(k), where=service.conditions(where), half_life=days * _DAY)
    service.metrics.served([found])
    return ListOut.of(found, request_id(request))


@router.post("/recommendations/batch", summary="Recommend to many stored users")
def recommend_batch(body: BatchIn, request: Request, service: Ours) -> ListsOut:
    """A list for each, in batched calls to the stores."""
    service.check_k(body.k)
    service.check_batch(body.user_ids, "user_ids")
    service.check_batch(body.exclude, "exclude")
    rerank, where = None if body.rerank else False, compile_where(body.where)
    options: dict[str, Any] = {"exclude_seen": body.exclude_seen, "rerank": rerank, "at": body.at}
    found = service.recommender.recommend_many(body.user_ids, body.k, where=where, exclude=body.exclude, **options)
    for each, key in zip(found, body.user_ids):
        service.served(each, key, where)
    return ListsOut(lists=[ListOut.of(each, request_id(request)) for each in found])


@router.post("/recommendations", summary="Recommend to any user")
def recommend(body: RecommendIn, request: Request, service: Ours) -> ListOut:
    """To a stored user, a posted profile, or a user known by what they liked and disliked."""
    service.check_k(body.k)
    service.check_batch(body.exclude, "exclude")
    return _answer(service, body, compile_where(body.where), request)


@router.get("/users/{user_id}/recommendations/{item_id}/explanation", summary="Explain an item to a stored user")
def explain_to_user(
    *,
    user_id: UserPath,
    item_id: ItemPath,
    request: Request,
    service: Ours,
    k: K = 10,
    where: Conditions = [],  # noqa: B006 - FastAPI copies it
    exclude_seen: bool = True,
    at: At = "now",
    id_type: IdType = "auto",
) -> ExplanationOut:
    """Parts by event, feature and encoder that add up to the score, rules that keep it out, what later steps did."""
    key, item = path_id(user_id, id_type, "users", service), path_id(item_id, id_type, "items", service)
    options: dict[str, Any] = {
        "where": service.conditions(where), "exclude_seen": exclude_seen, "at": moment_of(at)
    }  # fmt: skip
    found = service.recommender.explain(key, item, service.check_k(k), **options)
    return explanation_out(service.titled(found), request_id(request))


@router.post("/explanations", summary="Explain an item to any user")
def explain(body: ExplainIn, request: Request, service: Ours) -> ExplanationOut:
    """As above, to a stored user, a posted profile, or a user known by what they liked and disliked."""
    service.check_k(body.k)
    user = body.user_id if body.is_stored_only and body.user_id is not None else service.user(body)
    found = service.recommender.explain(user, body.item_id, body.k, **_options(body, compile_where(body.where)))
    return explanation_out(service.titled(found), request_id(request))


def _options(who: RecommendIn, where: Filter | None) -> dict[str, Any]:
    return {
        "where": where,
        "exclude_seen": who.exclude_seen,
        "exclude": who.exclude,
        "rerank": None if who.rerank else False,
        "at": who.at,
    }


def _answer(service: Service, who: RecommendIn, where: Filter | None, request: Request) -> ListOut:
    user: User | Id
    if who.user_id is not None and who.is_stored_only:
        user = who.user_id
        found = service.recommender.recommend(user, who.k, **_options(who, where))
    else:
        user = service.user(who)
        found = service.recommender.recommend_for(user, who.k, **_options(who, where))
    service.served(found, user, where)
    because = _because(service, found, user, who.at) if who.explain else ()
    return ListOut.of(found, request_id(request), because, service.unknown_features(who.features))


def _because(service: Service, found: Recommendations, user: User | Id, at: Any) -> Sequence[Because | None]:
    if not found or found.served_by != "vectors":
        return ()
    try:
        explained = service.recommender.explain_many(user, found.item_ids, at=at)
    except StoreUnavailableError:
        return ()  # the list is whole without its reasons
    return [None if each is None else because_out(service.titled(each)) for each in explained]
