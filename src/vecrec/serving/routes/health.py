"""Whether the service lives, whether it can serve, and what it counts."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter, Request, Response

from vecrec.errors import VecrecError
from vecrec.serving.errors import kind_of, problem, request_id
from vecrec.serving.metrics import CONTENT_TYPE_LATEST
from vecrec.serving.middleware import shows_admin_key
from vecrec.serving.models import HealthOut
from vecrec.serving.params import Ours

__all__ = ["router"]

router = APIRouter(tags=["operations"])


@router.get("/health/live", summary="Does the process answer?")
async def is_live() -> HealthOut:
    """Depends on no other part: a restart of this process does not help a store that is down."""
    return HealthOut(status="ok", parts={})


@router.get("/health/ready", summary="Can it serve?", response_model=HealthOut)
def is_ready(request: Request, service: Ours) -> HealthOut | Response:
    """Asks every part, at most once a second. Names those that do not answer, in full with an `admin` key.

    Without the vector store alone the status is `degraded`, since popular items are served; without another part 503.
    """
    errors = service.health.parts()
    detailed = shows_admin_key(request.scope)
    parts = {
        name: "ok" if error is None else str(error) if detailed else kind_of(error).title
        for name, error in errors.items()
    }
    if not any(error for name, error in errors.items() if name != "vector_store"):
        return HealthOut(status="degraded" if errors.get("vector_store") else "ok", parts=parts)
    detail = "; ".join(f"{name}: {answer}" for name, answer in parts.items() if answer != "ok")
    return problem(503, "Not ready", detail, kind="not-ready", request_id=request_id(request), parts=parts)


@router.get("/metrics", summary="Counts for Prometheus", response_class=Response)
def read_metrics(service: Ours) -> Response:
    """In Prometheus's text format."""
    with suppress(VecrecError), service.recommender.live() as live:  # a switch shows here before anything else asks
        service.metrics.release(live)
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
