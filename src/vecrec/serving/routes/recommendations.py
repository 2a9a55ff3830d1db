"""Recommendations (the original's application)."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request

from vecrec.errors import StoreUnavailableError
from vecrec.filters import Filter
from vecrec.filters.json import compile_where
from vecrec.ids import Id
from vecrec.recommendations import Recommendations
from vecrec.serving.errors import request_id
from vecrec.serving.ids import IdType, UserPath, path_id
from vecrec.serving.models import Because, ListOut, RecommendIn  # fmt: skip
from vecrec.serving.service import Conditions, K, Ours, Person, Service
from vecrec.serving.space import nearest

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["recommendations"])


@router.get("/users/{user_id}/recommendations", summary="Recommend to a stored user")
def for_user(
    *,
    user_id: UserPath,
    request: Request,
    service: Ours,
    k: K = 10,
    where: Conditions = [],  # noqa: B006 - FastAPI copies it
    exclude_seen: bool = True,
    explain: bool = False,
    rerank: bool = True,
    id_type: IdType = "auto",
) -> ListOut:
    """From their record and events; somebody of whom nothing is known gets popular items."""
    key = path_id(user_id, id_type, "user id")
    who = RecommendIn(
        user_id=key, k=service.check_k(k), where=None, exclude_seen=exclude_seen, explain=explain, rerank=rerank
    )
    return _answer(service, who, service.conditions(where), request)


@router.post("/recommendations", summary="Recommend to anybody")
def for_anybody(body: RecommendIn, request: Request, service: Ours) -> ListOut:
    """To a stored user, a posted profile, or somebody known by what they liked and disliked."""
    service.check_k(body.k)
    service.check_batch(body.exclude, "exclude")
    return _answer(service, body, compile_where(body.where), request)


def _answer(service: Service, who: RecommendIn, where: Filter | None, request: Request) -> ListOut:
    person = service.person(who)
    found = service.recommender.recommend_for(
        person.user,
        who.k,
        where=where,
        exclude_seen=who.exclude_seen,
        exclude=who.exclude,
        disliked=person.disliked,
        rerank=None if who.rerank else False,
    )
    service.metrics.served([found])
    return ListOut.of(found, request_id(request), _because(service, found, person) if who.explain else ())


def _because(service: Service, found: Recommendations, person: Person) -> Sequence[Because | None]:
    if not found or not person.liked or found.served_by != "vectors":
        return ()
    try:
        near = nearest(service.recommender, [item.item_id for item in found], person.liked)
    except StoreUnavailableError:
        return ()  # the list is whole without its reasons
    titles = service.recommender.get_items(list({each[0]: None for each in near if each is not None}))
    return [None if each is None else _reason(service, each, titles.get(each[0])) for each in near]


def _reason(service: Service, near: tuple[Id, float], item: object) -> Because:
    title = getattr(item, "features", {}).get(service.settings.title_field)
    return Because(item_id=near[0], title=None if title is None else str(title), similarity=near[1])
