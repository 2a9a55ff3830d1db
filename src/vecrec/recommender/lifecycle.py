"""How releases come and go: trained, built, switched to, rolled back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError, ReleaseError, VecrecError
from vecrec.progress import Progress
from vecrec.recommender import release_sample as evidence
from vecrec.recommender.catalogue import PENDING, Catalogue
from vecrec.recommender.live import Watch
from vecrec.recommender.loading import load_dataset
from vecrec.recommender.publish import Builder, ReleaseChecks
from vecrec.releases import Archive, Release
from vecrec.rerankers.base import Reranker

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["Lifecycle"]

_OWNER_KIND, _OWNER_KEY = "vecrec", "owner"

_log = logging.getLogger("vecrec")


class Lifecycle:
    """Makes releases of one recommender, and goes back to them."""

    def __init__(self, archive: Archive, catalogue: Catalogue, watch: Watch, checks: ReleaseChecks) -> None:
        self._archive, self._catalogue, self._watch = archive, catalogue, watch
        self._metadata, self._builder = catalogue.metadata, Builder(archive, catalogue, checks)
        self._sample = checks.sampled_users

    def fit(self, encoder: Encoder, reranker: Reranker | None, data: Dataset, progress: Progress) -> Release:
        """Train, store the data, build a release and make it live."""
        # Held from the beginning, so that a second fit is refused before hours of training and not after them.
        with self._archive.build_lock():
            self.owner()
            encoder.fit(data, progress=progress)
            if reranker is not None:
                reranker.fit(data, encoder, progress=progress)
            self._claim()
            serving = self._archive.live()[0] is not None
            load_dataset(data, self._metadata, self._catalogue, self._archive, live=serving, progress=progress)
            return self._build(encoder, reranker, evidence.from_dataset(data, self._sample), progress)

    def publish(self, encoder: Encoder, reranker: Reranker | None, progress: Progress) -> Release:
        """Build a release from what the stores hold, and make it live."""
        with self._archive.build_lock():
            self._claim()
            return self._build(encoder, reranker, evidence.from_store(self._metadata, self._sample), progress)

    def rollback(self, release: str | None) -> Release:
        """Bring another release up to the catalogue of now, and make it live."""
        with self._archive.catalogue_lock():
            known = self._archive.live()
            if release is not None and release not in known:
                kept = [each for each in known if each]
                raise ReleaseError(f"there is no release {release!r} to go back to", f"there are {kept}")
            target = known[1] if release is None else release
            if target is None:
                raise ReleaseError(
                    f"{self._archive.name!r} has no earlier release to go back to", "fit or publish first"
                )
            live = self._watch.load(target)
            report = self._catalogue.inspect(live, self._catalogue.suspects(live))
            self._catalogue.mend(live, report.ids)
            self._archive.switch(target)
            # Not before: until the switch, these marks are what finds the other release's unfinished changes.
            self._catalogue.unmark(report.pending)
        self._watch.adopt(live)
        return live.release

    def owner(self) -> str | None:
        """The recommender whose metadata store this is; ``None`` for an empty one.

        Raises:
            InvalidDataError: when it is another one: two in one store would mix up their items, users and events
                without a word.
        """
        owner = self._metadata.get(_OWNER_KIND, [_OWNER_KEY]).get(_OWNER_KEY, {}).get("name")
        if owner not in (None, self._archive.name):
            raise InvalidDataError(
                f"this metadata store holds the recommender {owner!r}, not {self._archive.name!r}",
                "give each one a store of its own, such as one with another prefix",
            )
        return None if owner is None else str(owner)

    def _claim(self) -> None:
        if self.owner() is None:
            self._metadata.put(_OWNER_KIND, {_OWNER_KEY: {"name": self._archive.name}})

    def _build(
        self, encoder: Encoder, reranker: Reranker | None, found: evidence.Evidence, progress: Progress
    ) -> Release:
        try:
            live = self._builder.build(encoder, reranker, found, progress)
        except Exception:
            self._settle()
            raise
        self._watch.adopt(live)
        return live.release

    def _settle(self) -> None:
        """Let the vectors of the release that goes on serving follow the records that a failed fit has stored."""
        try:
            with self._archive.catalogue_lock():
                if self._archive.live()[0] is not None:
                    self._catalogue.repair(self._watch.current(), self._catalogue.marked(PENDING))
        except VecrecError as error:
            _log.warning("the live release does not follow the stored records yet, repair() mends it: %s", error)
