"""The operator's view: releases, health, requests, and what may be switched or repaired. It needs an ``admin`` key."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StrictStr

from vecrec.errors import VecrecError
from vecrec.ids import Id
from vecrec.recommender import Report
from vecrec.serving.bulkheads import Guarded
from vecrec.serving.models import Number
from vecrec.serving.params import Ours
from vecrec.serving.service import Service

__all__ = ["router"]

router = APIRouter(prefix="/v1/admin", route_class=Guarded, tags=["admin"])

_POPULAR = 8
_WEEK = 604_800.0


class ReleaseOut(BaseModel):
    """A release that may serve."""

    id: str
    live: bool
    created_at: str
    encoder: str
    reranker: str
    dim: int
    counts: dict[str, int]
    checks: dict[str, float | int | None] = Field(description="What was measured before it went live.")


class MinuteOut(BaseModel):
    """The requests of one minute."""

    start: int = Field(description="Seconds since 1970.")
    requests: int
    errors: int = Field(description="Answers with a status of 500 and above.")
    p50_ms: float
    p95_ms: float


class NamedItem(BaseModel):
    """An item with its title and its share of the first one's users."""

    item_id: Id
    title: str
    share: float


class RecallOut(BaseModel):
    """How much of the exact result the searches of this process have found."""

    selectivity: float = Field(description="The least share of the items that pass the filter of these searches.")
    k: int
    recall: float = Field(description="The share of the exact best k that was found.")
    low: float = Field(description="The lower end of its 95 % interval.")
    high: float = Field(description="The upper end.")
    searches: int = Field(description="How many searches were repeated exactly.")


class OverviewOut(BaseModel):
    """What an operator looks at first."""

    name: str
    releases: list[ReleaseOut] = Field(description="The live one first.")
    parts: dict[str, str] = Field(description="`ok`, or what is wrong.")
    minutes: list[MinuteOut] = Field(
        description="The last two hours of this process, minutes without requests left out."
    )
    lists: dict[str, int] = Field(
        description="Lists by what ranked them: `vectors`, `popularity`, `catalogue`, `words`."
    )
    short_lists: int
    missing_records: int
    recall_seconds: float = Field(description="How often searches are repeated exactly; 0 for never.")
    recall: list[RecallOut] = Field(description="Those that all items pass first; empty until some were repeated.")
    popular: list[NamedItem]
    rising: list[NamedItem] = Field(description="Popular in the last weeks and not among the popular ones.")


class ReportOut(BaseModel):
    """What differs between the two stores."""

    agree: bool
    records: int
    vectors: int
    unsearchable: list[Id]
    orphaned: list[Id]
    stale: list[Id]
    pending: list[Id]
    warnings: list[str]


class SwitchIn(BaseModel):
    """Which release shall serve."""

    model_config = ConfigDict(extra="forbid", strict=True)

    release: StrictStr | None = Field(None, description="One of those that are listed; the previous one by default.")


class RefreshIn(BaseModel):
    """Which events may be new."""

    model_config = ConfigDict(extra="forbid", strict=True)

    since: Number | StrictStr | None = Field(
        None,
        description="Seconds since 1970, or a text such as `2026-11-29T12:00:00Z`; by default, when the live release "
        "has last learnt or counted events.",
    )


class Refreshed(BaseModel):
    """What serves after a refresh."""

    new: bool = Field(description="False where nothing was new, so that no release was made.")
    release: ReleaseOut = Field(description="The live one.")


class Repaired(BaseModel):
    """What was mended."""

    repaired: list[Id]


@router.get("", summary="What an operator looks at first")
def overview(service: Ours) -> OverviewOut:
    """Releases with their checks, health, requests and latencies, degradations, popular items."""
    metrics, (popular, rising) = service.metrics, _popular(service)
    errors = service.health.parts()
    return OverviewOut(
        name=service.recommender.name,
        releases=_releases(service),
        parts={name: "ok" if error is None else str(error) for name, error in errors.items()},
        minutes=[
            MinuteOut(
                start=each.start,
                requests=each.requests,
                errors=each.errors,
                p50_ms=each.percentile(50),
                p95_ms=each.percentile(95),
            )
            for each in metrics.history.minutes()
        ],
        lists=metrics.lists(),
        short_lists=metrics.short_lists(),
        missing_records=metrics.missing_records(),
        recall_seconds=service.settings.recall_seconds,
        recall=[
            RecallOut(
                selectivity=low,
                k=each.k,
                recall=each.recall,
                low=each.interval[0],
                high=each.interval[1],
                searches=each.queries,
            )
            for low, each in sorted(metrics.recalls.items(), reverse=True)
        ],
        popular=popular,
        rising=rising,
    )


@router.post("/release", summary="Switch to another release")
def switch(body: SwitchIn, service: Ours) -> ReleaseOut:
    """Brings its vectors up to the catalogue of now, then makes it live; the previous one by default."""
    service.recommender.rollback(body.release)
    return _releases(service)[0]


@router.post("/refresh", summary="Renew the live release without training")
def refresh(body: RefreshIn, service: Ours) -> Refreshed:
    """Counts what follows what and what is popular again, from all events; the answer comes when it is live."""
    before = {each.id for each in service.recommender.releases()}
    release = service.recommender.refresh(since=body.since)
    return Refreshed(new=release.id not in before, release=_releases(service)[0])


@router.post("/verify", summary="Compare the two stores")
def verify(service: Ours) -> ReportOut:
    """By ids and digests, streamed; it takes as long as reading the catalogue."""
    return _report(service.recommender.verify())


@router.post("/repair", summary="Mend what differs")
def repair(service: Ours, full: Annotated[bool, Query(description="Compare everything first.")] = False) -> Repaired:
    """The items that a crash or a missing record has marked, or all that a comparison finds."""
    return Repaired(repaired=service.recommender.repair(full=full))


def _releases(service: Service) -> list[ReleaseOut]:
    return [
        ReleaseOut(
            id=each.id,
            live=not place,
            created_at=each.created_at,
            encoder=each.encoder,
            reranker=each.reranker,
            dim=each.dim,
            counts=dict(each.counts),
            checks=dict(each.checks),
        )
        for place, each in enumerate(service.recommender.releases())
    ]


def _popular(service: Service) -> tuple[list[NamedItem], list[NamedItem]]:
    """Popular items, and those that are so lately; nothing where a store is away, since the rest must still show."""
    field, found = service.settings.title_field, []
    try:
        always = service.recommender.popular(50)
        lately = service.recommender.popular(_POPULAR, half_life=_WEEK, exclude=always.item_ids[:_POPULAR])
    except VecrecError:
        return [], []
    for items in (always[:_POPULAR], lately):
        named: list[Any] = [(item.item_id, str(item.get(field, item.item_id)), item.score) for item in items]
        found.append([NamedItem(item_id=key, title=title, share=share) for key, title, share in named])
    return found[0], found[1]


def _report(found: Report) -> ReportOut:
    names = ("unsearchable", "orphaned", "stale", "pending", "warnings")
    lists: dict[str, Any] = {name: list(getattr(found, name)) for name in names}
    return ReportOut(agree=bool(found), records=found.records, vectors=found.vectors, **lists)
