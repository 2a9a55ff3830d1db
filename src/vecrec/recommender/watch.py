"""Which release is live, followed while other processes switch it."""

from __future__ import annotations

import threading
import time

from vecrec.encoders.base import Encoder
from vecrec.errors import NotFittedError, ReleaseError
from vecrec.recommender.generation import Live, load_live
from vecrec.releases import Archive
from vecrec.vector_stores.base import VectorStore

__all__ = ["Watch"]


class Watch:
    """Gives the live release, looking at the pointer every ``refresh_seconds`` at most."""

    def __init__(
        self, archive: Archive, vectors: VectorStore, refresh_seconds: float, encoder_class: type[Encoder]
    ) -> None:
        self._archive, self._vectors = archive, vectors
        self._refresh_seconds, self._encoder_class = refresh_seconds, encoder_class
        self._live: Live | None = None
        self._pointer: tuple[int, int] | None = None
        self._next_look = 0.0
        self._lock = threading.Lock()

    def live(self) -> Live:
        """The live release. A caller keeps what it gets until its request ends.

        Raises:
            NotFittedError: when there is none.
            ReleaseError: when it is damaged or its collection is gone.
        """
        live = self.find()
        if live is None:
            raise NotFittedError(f"the recommender {self._archive.name!r} has no live release: call fit(data) first")
        return live

    def find(self) -> Live | None:
        """The live release, or ``None`` when there is none."""
        if time.monotonic() >= self._next_look:
            with self._lock:
                self._look()
        return self._live

    def adopt(self, live: Live) -> None:
        """Take a release that this process has just made live, without loading it again."""
        with self._lock:
            self._live, self._pointer = live, self._archive.pointer_version()

    def look_again(self) -> None:
        """Look at the pointer at the next call."""
        self._next_look = 0.0

    def _look(self) -> None:
        pointer = self._archive.pointer_version()
        if pointer != self._pointer:
            release_id = self._archive.live()[0]
            if release_id is not None and (self._live is None or self._live.release.id != release_id):
                self._live = self._load(release_id)
            self._pointer = pointer
        self._next_look = time.monotonic() + self._refresh_seconds

    def _load(self, release_id: str) -> Live:
        live = load_live(self._archive, release_id, self._encoder_class)
        if live.collection not in self._vectors.collections():
            raise ReleaseError(
                f"the vector store has no collection {live.collection!r} of the live release: "
                "open the store that it was published to, or publish again"
            )
        return live
