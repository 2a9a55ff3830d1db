"""The recommender as a service: ``create_app(recommender)`` makes an application to run or to mount in another one."""

from vecrec.config.settings import Settings
from vecrec.errors import MissingDependencyError

try:
    import fastapi  # noqa: F401
    import prometheus_client  # noqa: F401
except ImportError as error:
    raise MissingDependencyError.of(error.name or "fastapi", "serve", "the service") from error

from vecrec.serving.app import create_app

__all__ = ["Settings", "create_app"]
