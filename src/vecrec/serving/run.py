"""Running the service until it is told to stop."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import uvicorn

from vecrec.config.compose import compose
from vecrec.config.settings import Settings
from vecrec.errors import VecrecError
from vecrec.recommender import Recommender
from vecrec.serving.app import create_app

__all__ = ["serve"]

_log = logging.getLogger("vecrec.serving")


def serve(settings: Settings, *, access_log: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; requests that are under way end first.

    Args:
        settings: Where the parts are and how to behave.
        access_log: Whether to log every request.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("vecrec.serving.access").setLevel(logging.INFO if access_log else logging.WARNING)
    # Arrow's own allocator takes huge pages, 30 MB and more that nobody fills. Read when Arrow is first imported.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with _ending_by_sigterm(), compose(settings) as recommender:
        _warm_up(recommender)
        app = create_app(recommender, settings=settings)
        # What is here now stays to the end; looking through it again and again would hold requests up.
        gc.collect()
        gc.freeze()
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=max(1, round(settings.shutdown_seconds)),
        )
        uvicorn.Server(config).run()


def _warm_up(recommender: Recommender) -> None:
    """Load the live release before the first request; without one the service starts, and says so to whoever asks."""
    try:
        with recommender.live() as live:
            _log.info("release %s of %s serves", live.release.id, live.release.name)
    except VecrecError as error:
        _log.warning("not ready: %s", error)


@contextlib.contextmanager
def _ending_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that the stores are closed; the server passes it on when it has stopped."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
