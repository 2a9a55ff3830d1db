"""One generation at work: an encoder with the collection that its vectors fill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vecrec._internal.files import read_json, write_json
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError, ReleaseError
from vecrec.feedback import FeedbackPolicy
from vecrec.filters import FieldType
from vecrec.ids import Id, decode_id, encode_id
from vecrec.records import JSON, Record, record_digest
from vecrec.registry import find_part
from vecrec.releases import Archive, Release
from vecrec.rerankers.base import Reranker
from vecrec.types import Item, User
from vecrec.vector_stores.base import VectorStore

if TYPE_CHECKING:
    from vecrec.data import Feature, Schema

__all__ = ["DIGEST", "Classes", "Generation", "Golden", "Live", "Popularity", "Rows", "fitting", "load_live"]

DIGEST = "_digest"
"""The attribute beside each vector that says which state of the record it was made from."""

_GOLDEN_TOLERANCE = 1e-4
_Owner = TypeVar("_Owner", Item, User)


@dataclass(frozen=True, slots=True)
class Rows:
    """Items as a collection takes them."""

    ids: list[Id]
    vectors: NDArray[np.float32]
    """Shape (n, dim)."""
    attributes: list[Record]


@dataclass(frozen=True, slots=True)
class Generation:
    """An encoder and the collection that holds its item vectors."""

    collection: str
    encoder: Encoder

    @property
    def schema(self) -> Schema:
        """The features that the encoder reads."""
        return self.encoder.schema

    def fields(self) -> dict[str, FieldType]:
        """The collection's attributes: what may be filtered, and the digest."""
        return {**self.schema.filter_fields(), DIGEST: "string"}

    def encode(self, records: Mapping[Id, Record]) -> Rows:
        """Make the rows of items.

        The catalogue outlives the schemas, so a feature that this one does not allow counts as missing.
        """
        schema = self.schema
        items = [fitting(Item(key, record), schema.items, schema.check_item) for key, record in records.items()]
        attributes = [
            {**schema.attributes(item), DIGEST: record_digest(record)} for item, record in zip(items, records.values())
        ]
        return Rows(list(records), self.encoder.encode_items(items), attributes)

    def encode_users(self, users: Sequence[User], policy: FeedbackPolicy) -> NDArray[np.float32]:
        """The vectors that users are searched with, shape (n, dim): of the features that fit, and of what they like."""
        schema = self.schema
        tastes = [policy.taste(user).user for user in users]
        return self.encoder.encode_users([fitting(user, schema.users, schema.check_user) for user in tastes])

    def write(self, store: VectorStore, rows: Rows) -> None:
        """Put rows into the collection."""
        store.upsert(self.collection, rows.ids, rows.vectors, rows.attributes)


def fitting(owner: _Owner, features: Iterable[Feature], check: Callable[[_Owner], None]) -> _Owner:
    """An item or a user without the features that a schema does not allow; itself where all are allowed."""
    try:
        check(owner)
    except InvalidDataError:
        bad = {feature.name for feature in features if not _allows(feature, owner.features)}
        return replace(owner, features={name: value for name, value in owner.features.items() if name not in bad})
    return owner


def _allows(feature: Feature, record: Mapping[str, JSON]) -> bool:
    value = record.get(feature.name)
    try:
        if value is not None:
            feature.check(value, "")
    except InvalidDataError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Popularity:
    """Items by how many events they have, most first, with their count as a share of the first one's."""

    ids: tuple[Id, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, counts: Mapping[Id, int], most: int = 10_000) -> Popularity:
        """The ``most`` popular items; equal counts keep the mapping's order."""
        ranked = sorted((key for key in counts if counts[key] > 0), key=lambda key: -counts[key])[:most]
        top = counts[ranked[0]] if ranked else 1
        return cls(tuple(ranked), tuple(counts[key] / top for key in ranked))

    def save(self, path: Path) -> None:
        """Write it as a JSON file."""
        write_json(path, [[encode_id(key), share] for key, share in zip(self.ids, self.shares)])

    @classmethod
    def load(cls, path: Path) -> Popularity:
        """Read what `save` wrote."""
        rows = read_json(path)
        return cls(tuple(decode_id(row[0]) for row in rows), tuple(row[1] for row in rows))


@dataclass(frozen=True, slots=True)
class Golden:
    """Users and items with the vectors that the encoder gave them at its making: what any process must get again.

    The users carry no id and no times, so that nobody can be found in them.
    """

    users: list[User]
    items: list[Item]
    user_vectors: NDArray[np.float32]
    item_vectors: NDArray[np.float32]

    def save(self, directory: Path) -> None:
        """Write ``golden.json`` and ``golden.npz``."""
        users = [[dict(user.features), [encode_id(event.item_id) for event in user.history]] for user in self.users]
        items = [[encode_id(item.id), dict(item.features)] for item in self.items if item.id is not None]
        write_json(directory / "golden.json", {"users": users, "items": items})
        np.savez(directory / "golden.npz", users=self.user_vectors, items=self.item_vectors)

    @classmethod
    def load(cls, directory: Path) -> Golden:
        """Read what `save` wrote."""
        value = read_json(directory / "golden.json")
        users = [User(None, features, [decode_id(key) for key in history]) for features, history in value["users"]]
        items = [Item(decode_id(key), features) for key, features in value["items"]]
        with np.load(directory / "golden.npz", allow_pickle=False) as arrays:
            return cls(users, items, arrays["users"], arrays["items"])

    def check(self, encoder: Encoder) -> None:
        """Raise `ReleaseError` when the encoder gives other vectors now."""
        for what, held, now in (
            ("users", self.user_vectors, encoder.encode_users(self.users)),
            ("items", self.item_vectors, encoder.encode_items(self.items)),
        ):
            worst = float(np.abs(held - now).max(initial=0.0)) / max(float(np.abs(held).max(initial=0.0)), 1.0)
            if worst > _GOLDEN_TOLERANCE:
                raise ReleaseError(
                    f"the encoder gives the golden {what} other vectors than at its making (by {worst:.2g})",
                    "its files or its code have changed; roll back or fit again",
                )


@dataclass(frozen=True, slots=True)
class Live(Generation):
    """The generation that serves, with what it falls back on."""

    release: Release
    popularity: Popularity
    reranker: Reranker | None = None


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of parts that no installed package need register; ``None`` for a registered one."""

    encoder: type[Encoder] | None = None
    reranker: type[Reranker] | None = None


def load_live(archive: Archive, release_id: str, classes: Classes) -> Live:
    """A release at work, its files and golden vectors checked.

    Raises:
        ReleaseError: when it is not there, damaged, or gives other vectors than at its making.
        InvalidDataError: when its encoder or its reranker is registered by no installed package.
    """
    release = archive.read(release_id)
    directory = archive.directory(release_id)
    encoder_class = _class_of("vecrec.encoders", release.encoder, classes.encoder)
    reranker_class = _class_of("vecrec.rerankers", release.reranker, classes.reranker) if release.reranker else None
    try:
        encoder = encoder_class.load(directory / "encoder")
        Golden.load(directory).check(encoder)
        popularity = Popularity.load(directory / "popularity.json")
        reranker = None if reranker_class is None else reranker_class.load(directory / "reranker")
    except (OSError, ValueError, LookupError, TypeError, BadZipFile) as error:
        raise ReleaseError(f"the release {release_id!r} is damaged ({error})", "roll back or fit again") from error
    if reranker is not None and reranker.fingerprint != release.reranker_fingerprint:
        raise ReleaseError(
            f"the reranker of the release {release_id!r} has another fingerprint than at its making",
            "its files or its code have changed; roll back or fit again",
        )
    return Live(release.collection, encoder, release, popularity, reranker)


def _class_of(group: str, name: str, given: type | None) -> Any:
    return given if getattr(given, "name", None) == name else find_part(group, name)
