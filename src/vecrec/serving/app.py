"""The application: routes, middlewares and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from vecrec import __version__
from vecrec.config.settings import Settings, scope_of_key
from vecrec.recommender import Recommender
from vecrec.serving import page
from vecrec.serving.errors import MEDIA_TYPE, install
from vecrec.serving.idempotency import PARAMETER, REPLAYED, takes_key
from vecrec.serving.metrics import Metrics
from vecrec.serving.middleware import GUARDED, Gate
from vecrec.serving.models import ProblemOut
from vecrec.serving.params import known_query
from vecrec.serving.routes import admin, health, items, recommendations, stages, users
from vecrec.serving.service import Service

__all__ = ["create_app"]

_DESCRIPTION = """
Recommendations from vectors. Ids are integers or texts; in a path, what looks like an integer is one, unless
`id_type=string` says otherwise. Errors are problem documents (RFC 9457). Every answer carries `X-Request-ID`, which a
request may choose.
"""

_PROBLEMS = {
    400: "The body is not JSON, the path is not text, or the host is not allowed.",
    401: "A key is needed.",
    403: "The key does not allow this.",
    404: "It is not there.",
    408: "The body is too slow.",
    409: "A request with the same `Idempotency-Key` is being answered.",
    413: "The body is too large.",
    415: "The body is not sent as JSON.",
    422: "A value cannot be used.",
    429: "Too many requests or wrong keys: wait as long as `Retry-After` says.",
    503: "A store does not answer, or nothing is published yet.",
}

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def create_app(recommender: Recommender, *, settings: Settings | None = None) -> FastAPI:
    """An application that serves a recommender, to be run by any ASGI server or mounted in another application.

    Args:
        recommender: What answers; the caller closes it. Until it has a release, the endpoints answer 503.
        settings: Limits, keys and the like; by default those of `Settings`, without reading the environment.

    Raises:
        InvalidDataError: for settings that cannot be used.
    """
    chosen = settings or Settings(name=recommender.name)
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}}
        for status, text in _PROBLEMS.items()
    }
    # The usual documentation pages would load scripts from another host.
    app = FastAPI(
        title=f"vecrec: {recommender.name}",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses=responses,
        generate_unique_id_function=lambda route: route.name,
        root_path=chosen.root_path,
        # A redirect would follow the Host of the request.
        redirect_slashes=False,
    )
    service = Service(recommender, chosen, Metrics())
    app.state.vecrec = service
    for each in (users.router, items.router, recommendations.router, stages.router, health.router):
        app.include_router(each, dependencies=[Depends(known_query)])
    runs = any(scope_of_key(key)[0] == "admin" for key in chosen.api_keys)  # switching releases needs a key
    if runs:
        app.include_router(admin.router, dependencies=[Depends(known_query)])
    if chosen.page:
        page.install(app, pictures=bool(chosen.image_field), admin=runs)
    install(app)
    # Each of these goes around the ones before it.
    app.add_middleware(GZipMiddleware)
    if chosen.allowed_hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(chosen.allowed_hosts), www_redirect=False)
    app.add_middleware(Gate, settings=chosen, metrics=service.metrics)
    if chosen.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(chosen.cors_origins), allow_methods=["*"], allow_headers=["*"],
            expose_headers=["X-Request-ID", "Retry-After", REPLAYED],
        )  # fmt: skip
    app.openapi = _openapi(app, chosen)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI, settings: Settings) -> Callable[[], dict[str, Any]]:
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            schema["components"]["schemas"]["ProblemOut"] = ProblemOut.model_json_schema()
            _restore_integers(schema)
            for path, methods in schema["paths"].items():
                for method, operation in methods.items():
                    _complete(path, method, operation, settings)
            if settings.api_keys:
                schema["components"]["securitySchemes"] = _SECURITY
        return app.openapi_schema or {}

    return described


def _complete(path: str, method: str, operation: dict[str, Any], settings: Settings) -> None:
    """Leave in an operation's description only the refusals that can occur, and say which keys it takes."""
    guarded, has_body = path.startswith(GUARDED), "requestBody" in operation
    names_something = "{" in path or path in ("/v1/retrieval", "/v1/explanations")
    occurs = {
        400: has_body or "{" in path or bool(settings.allowed_hosts),
        401: guarded and bool(settings.api_keys),
        403: guarded and bool(settings.api_keys),
        404: names_something,
        408: has_body,
        409: takes_key(method, path),
        413: has_body,
        415: has_body,
        429: guarded and bool(settings.api_keys or settings.rate_per_minute),
        503: path != "/health/live",
    }
    for status, can in occurs.items():
        if not can:
            operation["responses"].pop(str(status), None)
    if occurs[409]:
        operation.setdefault("parameters", []).append(PARAMETER)
    if occurs[401]:
        operation["security"] = [{name: []} for name in _SECURITY]


def _restore_integers(value: Any) -> None:
    """Give the limits of integers their type again, which FastAPI's model of OpenAPI turns into floats."""
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _restore_integers(each)
    if isinstance(value, dict) and value.get("type") == "integer":
        for name in ("minimum", "maximum"):
            if isinstance(value.get(name), float):
                value[name] = min(int(value[name]), 2**63 - 1)  # the float beside it is one more
