"""The live release: loaded, checked, and followed while other processes switch it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from vecrec._internal.files import reading
from vecrec.encoders.base import Encoder
from vecrec.encoders.fold_in import FoldedItems
from vecrec.encoders.successors import Successors
from vecrec.errors import (
    CollectionNotFoundError,
    NotFittedError,
    ReleaseError,
    StoreError,
    StoreUnavailableError,
    VecrecError,
)
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id
from vecrec.recommender.catalogue import Generation
from vecrec.recommender.neighbours import Neighbours
from vecrec.registry import find_part
from vecrec.releases import Archive, Golden, Popularity, Release, SeenValues
from vecrec.rerankers.base import Reranker
from vecrec.vector_stores.base import VectorStore

__all__ = ["Given", "LiveRelease", "LoadedRelease", "class_of", "load_release"]

_log = logging.getLogger("vecrec")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller gave to load releases with; ``None`` for what the release itself says."""

    encoder: type[Encoder] | None = None
    """The class of an encoder that no installed package registers."""
    reranker: type[Reranker] | None = None
    """The class of a reranker that no installed package registers."""
    feedback: FeedbackPolicy | None = None
    """A policy that serves instead of the release's own."""


@dataclass(frozen=True, slots=True)
class LoadedRelease(Generation):
    """A release that is loaded and ready to serve."""

    release: Release
    """Its manifest."""
    popularity: Popularity
    """The popular items, for users about whom nothing is known and for outages."""
    reranker: Reranker | None = None
    """The second stage, if it has one."""
    feedback: FeedbackPolicy = field(default_factory=FeedbackPolicy)
    """What events mean: the release's own policy, unless the recommender was given another one."""
    neighbours: Neighbours = field(default_factory=Neighbours.none)
    """The items that the same users choose; without any in a release that has none."""
    successors: Successors = field(default_factory=Successors.none)
    """What follows each item, the second source of candidates; without any in a release that has none."""
    away: StoreUnavailableError | None = None
    """Why its vectors cannot be read, where the collection is gone; popularity serves then."""
    seen: SeenValues = field(default_factory=SeenValues)
    """What values the features had when it was made; nothing in a release that does not say so."""
    golden_deviation: float = 0.0
    """How far the golden vectors that this process has made differ from those of the release."""
    shares: Mapping[Id, float] = field(init=False)
    """The popularity of each of the popular items."""

    def __post_init__(self) -> None:
        Generation.__post_init__(self)
        object.__setattr__(self, "shares", dict(zip(self.popularity.ids, self.popularity.shares)))


class LiveRelease:
    """Follows the live release; looks every ``refresh_seconds`` whether another one has replaced it."""

    def __init__(self, archive: Archive, vectors: VectorStore, refresh_seconds: float, given: Given) -> None:
        self._archive, self._vectors = archive, vectors
        self._refresh_seconds, self._given = refresh_seconds, given
        self._live: LoadedRelease | None = None
        self._next_look = 0.0
        self._lock = threading.Lock()

    # -- reading with it

    def ask(self, question: Callable[[LoadedRelease], _T]) -> _T:
        """The answer of one release, the same one from beginning to end.

        Where that one is dropped on the way, because others have gone live meanwhile, the live one answers instead.
        Where the live one itself has lost its collection, it answers without vectors.
        """
        live = self.get()
        while True:
            try:
                return question(live)
            except StoreError as error:
                live = self._replacement(live, error)
                if live.away is not None:
                    _log.warning("%s", live.away)

    @contextmanager
    def reading(self) -> Iterator[LoadedRelease]:
        """One release for a block of code. See `Recommender.live`."""
        live = self.get()
        try:
            yield live
        except StoreError as error:
            if self._replacement(live, error).away is not None:
                raise self._gone(live.collection) from error
            raise

    def _replacement(self, live: LoadedRelease, error: StoreError) -> LoadedRelease:
        """The release that is live by now; where ``live`` still is, the same without its collection, if that is gone.

        Raises:
            StoreError: where the error has another reason.
        """
        if isinstance(error, StoreUnavailableError):
            raise error
        newer = self.current()
        if newer.release.id != live.release.id:
            return newer
        if not isinstance(error, CollectionNotFoundError):
            raise error
        gone = self._gone(live.collection)
        if live.away is not None:
            raise gone from error
        return replace(live, away=StoreUnavailableError(gone.problem, gone.cure))

    def get(self) -> LoadedRelease:
        """The live release as far as this process knows; one that cannot be loaded does not replace one that can.

        Raises:
            NotFittedError: when there is none.
            ReleaseError: when it is damaged.
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
        return self._live or self._found()

    # -- changing what it serves

    def tell(self, change: Callable[[LoadedRelease], _T]) -> _T:
        """The result of a change of the release that is live now; the caller keeps it live by holding the lock."""
        live = self.current()
        try:
            self._vectors.spec(live.collection)  # before the change begins, or else it would stop half-way
            return change(live)
        except CollectionNotFoundError as error:
            raise self._gone(live.collection) from error

    def current(self) -> LoadedRelease:
        """The release that is live at this moment, for writers.

        Raises:
            NotFittedError: when there is none.
            ReleaseError: when it is damaged.
        """
        with self._lock:
            self._look()
        return self._found()

    def adopt(self, live: LoadedRelease) -> None:
        """Take a release that is loaded already; the next look shows whether it is still the live one."""
        with self._lock:
            self._live, self._next_look = live, 0.0

    def _found(self) -> LoadedRelease:
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
                self._live = load_release(self._archive, release_id, self._given)
            except ReleaseError:
                # It may have been replaced while it was being read.
                if self._archive.live()[0] == release_id:
                    raise

    def load(self, release_id: str) -> LoadedRelease:
        """A release ready to serve, live or not.

        Raises:
            ReleaseError: when it is damaged or its collection is gone.
        """
        live = load_release(self._archive, release_id, self._given)
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


def load_release(archive: Archive, release_id: str, given: Given) -> LoadedRelease:
    """A release ready to serve, its files and golden vectors checked.

    Raises:
        ReleaseError: when it is missing, damaged, or gives other vectors than when it was made.
        InvalidDataError: when no installed package registers its encoder or its reranker.
    """
    release = archive.read(release_id)
    directory = archive.directory(release_id)
    encoder_class = class_of("vecrec.encoders", release.encoder, given.encoder)
    reranker_class = class_of("vecrec.rerankers", release.reranker, given.reranker) if release.reranker else None
    with reading(f"the release {release_id!r} is damaged", "roll back or fit again", ReleaseError):
        encoder = encoder_class.load(directory / "encoder")
        deviation = Golden.load(directory).check(encoder)
        seen = SeenValues.load(directory / "values.json")
        popularity = Popularity.load(directory / "popularity.json")
        neighbours = Neighbours.load(directory, "neighbour")
        successors, folded = Successors.load(directory), FoldedItems.load(directory)
        reranker = None if reranker_class is None else reranker_class.load(directory / "reranker")
        feedback = given.feedback or FeedbackPolicy.from_json(release.feedback)
    if reranker is not None and reranker.fingerprint != release.reranker_fingerprint:
        raise ReleaseError(
            f"the reranker of the release {release_id!r} has another fingerprint than when it was made",
            "its files or its code have changed; roll back or fit again",
        )
    return LoadedRelease(
        release.collection, encoder, release, popularity, reranker, feedback, neighbours, successors,
        folded=folded, seen=seen, golden_deviation=deviation,
    )  # fmt: skip


def class_of(group: str, name: str, given: type | None) -> Any:
    """The class of a part by its name; the caller's own where it has that name."""
    return given if getattr(given, "name", None) == name else find_part(group, name)
