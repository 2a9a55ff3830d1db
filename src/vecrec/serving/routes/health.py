"""Whether the service lives, whether it can serve, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fastapi import APIRouter, Request, Response

from vecrec.errors import VecrecError
from vecrec.serving.errors import problem, request_id
from vecrec.serving.metrics import CONTENT_TYPE_LATEST
from vecrec.serving.models import HealthOut
from vecrec.serving.service import Ours, Service

__all__ = ["router"]

router = APIRouter(tags=["operations"])


@router.get("/health/live", summary="Does the process answer?")
async def live() -> HealthOut:
    """Asks nobody else: a store that is down is no reason to start this process anew."""
    return HealthOut(status="ok", parts={})


@router.get("/health/ready", summary="Can it serve?", response_model=HealthOut)
def ready(request: Request, service: Ours) -> HealthOut | Response:
    """Asks every part; 503 names those that do not answer."""
    parts = _ask_all(service)
    if all(answer == "ok" for answer in parts.values()):
        return HealthOut(status="ok", parts=parts)
    detail = "; ".join(f"{name}: {answer}" for name, answer in parts.items() if answer != "ok")
    return problem(503, "Not ready", detail, kind="not-ready", request_id=request_id(request), parts=parts)


@router.get("/metrics", summary="Counts for Prometheus", response_class=Response)
def metrics(service: Ours) -> Response:
    """In Prometheus's text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _ask_all(service: Service) -> dict[str, str]:
    recommender = service.recommender
    questions: dict[str, Callable[[], None]] = {
        "vector_store": recommender.vector_store.ping,
        "metadata_store": recommender.metadata_store.ping,
        "release": lambda: _release(service),
    }
    # Side by side, so that two stores that are down cost one timeout.
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = dict(zip(questions, pool.map(_ask, questions.values())))
    for name, answer in answers.items():
        service.metrics.part(name, answer == "ok")
    return answers


def _release(service: Service) -> None:
    with service.recommender.live() as live:
        service.metrics.release(live.release.id)


def _ask(question: Callable[[], None]) -> str:
    try:
        question()
    except VecrecError as error:
        return str(error)
    return "ok"
