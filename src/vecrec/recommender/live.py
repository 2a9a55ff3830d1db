"""Which release is live, followed while other processes switch it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from vecrec.errors import (
    CollectionNotFoundError,
    NotFittedError,
    ReleaseError,
    StoreError,
    StoreUnavailableError,
    VecrecError,
)
from vecrec.recommender.generation import Classes, Live, load_live
from vecrec.releases import Archive
from vecrec.vector_stores.base import VectorStore

__all__ = ["Watch"]

_log = logging.getLogger("vecrec")
_T = TypeVar("_T")


class Watch:
    """Knows the live release, and looks every ``refresh_seconds`` whether it still is."""

    def __init__(self, archive: Archive, vectors: VectorStore, refresh_seconds: float, classes: Classes) -> None:
        self._archive, self._vectors = archive, vectors
        self._refresh_seconds, self._classes = refresh_seconds, classes
        self._live: Live | None = None
        self._next_look = 0.0
        self._lock = threading.Lock()

    def ask(self, question: Callable[[Live], _T]) -> _T:
        """What a release answers, the same one from beginning to end.

        Where that one is dropped on the way, because others have gone live meanwhile, the live one answers anew.
        """
        live = self.live()
        while True:
            try:
                return question(live)
            except StoreUnavailableError:
                raise
            except StoreError as error:
                newer = self.current()
                if newer.release.id != live.release.id:
                    live = newer
                elif isinstance(error, CollectionNotFoundError):
                    raise self._gone(live.collection) from error
                else:
                    raise

    def tell(self, change: Callable[[Live], _T]) -> _T:
        """What a change of the release that is live at this moment gives; the caller keeps it live by the lock."""
        live = self.current()
        try:
            self._vectors.spec(live.collection)  # before the change begins, or else it would stop half-way
            return change(live)
        except CollectionNotFoundError as error:
            raise self._gone(live.collection) from error

    def live(self) -> Live:
        """The live release as far as this process knows; one that cannot be loaded does not replace one that can.

        Raises:
            NotFittedError: when there is none.
            ReleaseError: when it is damaged or its collection is gone.
        """
        # While one thread loads the next release, the others go on with the one that they have.
        if time.monotonic() >= self._next_look and self._lock.acquire(blocking=self._live is None):
            try:
                self._look()
            except (VecrecError, OSError) as error:
                if self._live is None:
                    raise
                _log.warning("release %s goes on serving: %s", self._live.release.id, error)
            finally:
                self._lock.release()
        return self._found()

    def current(self) -> Live:
        """The live release of this moment, for whoever writes to it.

        Raises:
            NotFittedError: when there is none.
            ReleaseError: when it is damaged or its collection is gone.
        """
        with self._lock:
            self._look()
        return self._found()

    def adopt(self, live: Live) -> None:
        """Take a release that is loaded already; whether it is still the live one shows at the next look."""
        with self._lock:
            self._live, self._next_look = live, 0.0

    def _found(self) -> Live:
        if self._live is None:
            raise NotFittedError(f"{self._archive.path} holds no live release", "call fit(data) or publish() first")
        return self._live

    def _look(self) -> None:
        self._next_look = time.monotonic() + self._refresh_seconds
        while True:
            release_id = self._archive.live()[0]
            if release_id is None or (self._live is not None and self._live.release.id == release_id):
                return
            try:
                self._live = self.load(release_id)
            except ReleaseError:
                # It may have had its day while it was being read.
                if self._archive.live()[0] == release_id:
                    raise

    def load(self, release_id: str) -> Live:
        """A release at work, live or not.

        Raises:
            ReleaseError: when it is damaged or its collection is gone.
        """
        live = load_live(self._archive, release_id, self._classes)
        try:
            held = self._vectors.collections()
        except StoreUnavailableError as error:
            _log.warning("release %s is live, but the vector store does not answer: %s", release_id, error)
            return live
        if live.collection not in held:
            raise self._gone(live.collection)
        return live

    def _gone(self, collection: str) -> ReleaseError:
        return ReleaseError(
            f"the vector store has no collection {collection!r} of the live release",
            "open the store that it was published to, or publish again",
        )
