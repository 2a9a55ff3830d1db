"""Which recommender and which catalogue a metadata store belongs to: compared before anything is read or written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vecrec.errors import InvalidDataError, ReleaseError
from vecrec.metadata_stores.base import MetadataStore
from vecrec.releases import Archive, Identity

__all__ = ["Owner", "Ownership", "owner_of"]

_KIND, _KEY = "vecrec", "owner"


@dataclass(frozen=True, slots=True)
class Owner:
    """What a metadata store says about its recommender."""

    name: str
    """The recommender's name."""
    live: str | None
    """The release that is live on it."""
    catalogue: str | None
    """The catalogue's id; ``None`` where it was last published to by a version without such ids."""


def owner_of(metadata: MetadataStore) -> Owner | None:
    """The recommender whose metadata store this is; ``None`` for an unclaimed one."""
    record = metadata.get(_KIND, [_KEY]).get(_KEY, {})
    name = record.get("name")
    return None if name is None else Owner(str(name), _text(record.get("live")), _text(record.get("catalogue")))


class Ownership:
    """Keeps a recommender on its own metadata store."""

    def __init__(self, metadata: MetadataStore, archive: Archive) -> None:
        self._metadata, self._archive = metadata, archive
        self._checked = False

    def check(self) -> None:
        """Compare the store with the name and the artifacts. It is read until it was found to be the recommender's own.

        Raises:
            InvalidDataError: when it is that of another recommender or another catalogue.
            ReleaseError: when it holds nothing of a recommender that has a live release.
        """
        if not self._checked:
            self._checked = self.owner() is not None or self._is_new()

    def owner(self) -> Owner | None:
        """What the store says about its recommender; ``None`` for an unclaimed store.

        Raises:
            InvalidDataError: when it is that of another recommender or another catalogue: two in one store would mix up
                their items, users and events without a word.
        """
        owner = owner_of(self._metadata)
        if owner is None:
            return None
        if owner.name != self._archive.name:
            raise InvalidDataError(
                f"this metadata store holds the recommender {owner.name!r}, not {self._archive.name!r}",
                "give each one a store of its own, such as one with another prefix",
            )
        identity = self._archive.identity()
        if owner.catalogue and identity and owner.catalogue != identity.id and self._archive.live()[0] is not None:
            raise InvalidDataError(
                f"this metadata store holds another catalogue of the name {owner.name!r} than the artifacts in "
                f"{self._archive.path}",
                "open the store and the artifacts that belong together",
            )
        return owner

    def claim(self, live: str | None) -> None:
        """Make the store the recommender's own, and say which release is live on it. The caller holds a lock.

        Raises:
            InvalidDataError: as `owner`.
        """
        owner = self.owner()
        identity = self._archive.identify(None if owner is None else owner.catalogue)
        record = {"name": self._archive.name, "live": live, "catalogue": identity.id}
        self._metadata.put(_KIND, {_KEY: record})
        self._checked = True

    def identity(self) -> Identity:
        """The catalogue's id and key, made where the artifacts have none yet."""
        held = self._archive.identity()
        if held is not None:
            return held
        with self._archive.catalogue_lock():
            owner = self.owner()
            return self._archive.identify(None if owner is None else owner.catalogue)

    def _is_new(self) -> bool:
        live = self._archive.live()[0]
        if live is not None:
            raise ReleaseError(
                f"this metadata store holds nothing of the recommender {self._archive.name!r}, whose release {live!r} "
                "is live",
                "open the store that it was published with; where that is lost, fit fills an empty one",
            )
        return False


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
