"""The recommender as a service: ``create_app(recommender)`` makes an application to run or to mount in another one."""

from vecrec._internal.dependencies import requires
from vecrec.config.settings import Settings

with requires("fastapi", extra="serve", purpose="the service"):
    import fastapi  # noqa: F401
    import prometheus_client  # noqa: F401

from vecrec.serving.app import create_app

__all__ = ["Settings", "create_app"]
