"""Functions that open recommenders in other processes, some of which come to harm there."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from typing import Any

from vecrec import Recommender
from vecrec.config import Settings
from vecrec.config.compose import compose
from vecrec.errors import NotFittedError

_held: list[Any] = []


def killed_once(settings: Settings, mark: Path, user: int) -> Recommender:
    """Where this user is asked for, the process ends by SIGKILL; the mark says that it has happened."""
    return _at(settings, user, lambda: _once(mark, os.getpid()))


def kills_its_parent(settings: Settings, lock: Path, user: int) -> Recommender:
    """Where this user is asked for, the process kills its parent, and holds a lock as long as it lives itself."""

    def kill() -> None:
        file = lock.open("w")
        _held.append(file)
        fcntl.flock(file, fcntl.LOCK_EX)
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()

    return _at(settings, user, kill)


def refuses(settings: Settings, pid: int) -> Recommender:
    """In another process than this one, it is not fitted."""
    if os.getpid() != pid:
        raise NotFittedError("nothing is here", "train first")
    return compose(settings)


def _once(mark: Path, pid: int) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(pid, signal.SIGKILL)


def _at(settings: Settings, user: int, harm: Any) -> Recommender:
    recommender = compose(settings)
    ask = recommender.recommend_many

    def recommend_many(ids: Any, k: int = 10, **options: Any) -> Any:
        if user in ids:
            harm()
        return ask(ids, k, **options)

    recommender.recommend_many = recommend_many  # type: ignore[assignment,method-assign]
    return recommender
