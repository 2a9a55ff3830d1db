"""The facade that applications import: four parts behind one class."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import Self

from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError, ItemNotFoundError, NotFittedError, ReleaseError
from vecrec.filters import Filter, check_filter
from vecrec.ids import Id, check_id, check_ids
from vecrec.metadata_stores.base import MetadataStore
from vecrec.progress import ProgressLike, showing
from vecrec.recommender import evidence
from vecrec.recommender.building import Builder, ReleaseChecks
from vecrec.recommender.catalogue import ITEM, PENDING, USER, Catalogue, Report, batches
from vecrec.recommender.generation import DIGEST, Live, load_live
from vecrec.recommender.loading import load_dataset
from vecrec.recommender.serving import Query, Reranker, Server
from vecrec.recommender.watch import Watch
from vecrec.releases import Archive, Release
from vecrec.types import Event, Item, Recommendations, User
from vecrec.vector_stores.base import VectorStore
from vecrec.vector_stores.checks import check_count

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["Recommender"]

_OWNER_KIND, _OWNER_KEY = "vecrec", "owner"
_USERS_AT_A_TIME = 256
_ITEMS_AT_A_TIME = 500
_T = TypeVar("_T", Item, User, Event)


class Recommender:
    """An encoder, a vector store and a metadata store that together recommend.

    It owns the order of all writes to both stores, and closes them when it is closed. Calls may come from several
    threads, and several processes may share the stores and the artifacts. Each call is answered by one release from
    beginning to end. Every method raises `InvalidDataError` for bad arguments before anything is written, and
    `StoreUnavailableError` when a store that it cannot do without does not answer.
    """

    def __init__(
        self,
        encoder: Encoder,
        vector_store: VectorStore,
        metadata_store: MetadataStore,
        *,
        name: str = "vecrec",
        artifacts: str | Path = "artifacts",
        checks: ReleaseChecks | None = None,
        max_history: int = 10_000,
        refresh_seconds: float = 1.0,
    ) -> None:
        """Compose the parts; nothing is read or written yet.

        Args:
            encoder: What `fit` trains. What serves is the live release's own copy.
            vector_store: Where the item vectors live.
            metadata_store: Where records and events live; all of it belongs to this recommender.
            name: Lower-case letters, digits and single underscores; begins the names of its collections.
            artifacts: The directory for the releases, shared by all processes of this recommender.
            checks: What a release must show before it goes live.
            max_history: The most events read for one user, to encode and to leave out what they have seen.
            refresh_seconds: How often to look for a release that another process has made live.

        Raises:
            InvalidDataError: for a part that is none, or a name that is none.
        """
        _check_part(encoder, Encoder)
        _check_part(vector_store, VectorStore)
        _check_part(metadata_store, MetadataStore)
        self.encoder, self.vector_store, self.metadata_store = encoder, vector_store, metadata_store
        self.name = name
        self._max_history = check_count(max_history, "max_history")
        self._checks = checks or ReleaseChecks()
        self._archive = Archive(artifacts, name)
        self._catalogue = Catalogue(vector_store, metadata_store, self._archive)
        self._builder = Builder(vector_store, metadata_store, self._archive, self._catalogue, self._checks)
        self._server = Server(vector_store, metadata_store, self._catalogue)
        self._watch = Watch(self._archive, vector_store, refresh_seconds, type(encoder))

    @classmethod
    def open(
        cls,
        name: str,
        vector_store: VectorStore,
        metadata_store: MetadataStore,
        artifacts: str | Path = "artifacts",
        *,
        encoder: type[Encoder] | None = None,
        max_history: int = 10_000,
        refresh_seconds: float = 1.0,
    ) -> Self:
        """A recommender on the live release, for a process that serves; the training framework is not needed.

        Args:
            name: The recommender's name.
            vector_store: The store that the release was published to.
            metadata_store: The store with the records.
            artifacts: The directory with the releases.
            encoder: The encoder's class, where no installed package registers it.
            max_history: As for `Recommender`.
            refresh_seconds: As for `Recommender`.

        Raises:
            NotFittedError: when there is no live release.
            ReleaseError: when the live release is damaged or its collection is gone.
        """
        archive = Archive(artifacts, name)
        release_id = archive.live()[0]
        if release_id is None:
            raise NotFittedError(f"{archive.path} holds no live release: call fit(data) first")
        live = load_live(archive, release_id, encoder)
        opened = cls(
            live.encoder,
            vector_store,
            metadata_store,
            name=name,
            artifacts=artifacts,
            max_history=max_history,
            refresh_seconds=refresh_seconds,
        )
        opened._check_owner()
        opened._watch.live()
        return opened

    # -- releases

    def fit(self, data: Dataset, *, progress: ProgressLike = None) -> Release:
        """Train the encoder, store the data's items, users and events, and make a release of it that goes live.

        The catalogue is what the metadata store holds afterwards: items that are not in ``data`` stay, and get vectors
        from their features. Fitting the same data again changes no record and adds no event.

        Args:
            data: Interactions, items and users.
            progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.

        Raises:
            ReleaseError: when the new release does not pass its checks, or somebody else is building; the live release
                goes on serving.
        """
        self._claim()
        with showing(progress) as show:
            self.encoder.fit(data, progress=show)
            has_live = self._watch.find() is not None
            load_dataset(data, self.metadata_store, self._catalogue, self._archive, live=has_live, progress=show)
            found = evidence.from_dataset(data, self._checks.sampled_users)
            live = self._builder.build(self.encoder, found, show)
        self._watch.adopt(live)
        return live.release

    def publish(self, *, progress: ProgressLike = None) -> Release:
        """Make a release of the encoder as it is and of the catalogue and events in the metadata store.

        For an encoder that was trained elsewhere, or after the stores were filled by other means.

        Raises:
            NotFittedError: when the encoder has learnt nothing.
            ReleaseError: as for `fit`.
        """
        if not self.encoder.is_fitted:
            raise NotFittedError("the encoder has learnt nothing yet: call fit(data), or load an encoder")
        self._claim()
        with showing(progress) as show:
            found = evidence.from_store(self.metadata_store, self._checks.sampled_users)
            live = self._builder.build(self.encoder, found, show)
        self._watch.adopt(live)
        return live.release

    def releases(self) -> list[Release]:
        """The live release first, then the one that `rollback` goes back to, if any."""
        found = {release.id: release for release in self._archive.releases()}
        return [found[key] for key in self._archive.live() if key in found]

    def rollback(self, release: str | None = None) -> Release:
        """Make the previous release the live one again, its vectors first brought up to the catalogue of now.

        Args:
            release: The id of another release than the previous one.

        Raises:
            ReleaseError: when there is no such release, or it is damaged.
        """
        with self._archive.build_lock(), self._archive.catalogue_lock():
            target = release or self._archive.live()[1]
            if target is None:
                raise ReleaseError(f"the recommender {self.name!r} has no earlier release to go back to")
            live = load_live(self._archive, target, type(self.encoder))
            report = self._catalogue.compare(live)
            self._catalogue.mend(live, report.ids)
            self._archive.switch(target)
            self._catalogue.unmark(report.pending)
        self._watch.adopt(live)
        return live.release

    # -- recommendations

    def recommend(
        self,
        user_id: Id,
        k: int = 10,
        *,
        where: Filter | None = None,
        exclude_seen: bool = True,
        exclude: Iterable[Id] = (),
        rerank: Reranker | None = None,
    ) -> Recommendations:
        """The best items for a user, from their record, their history and nothing else.

        Args:
            user_id: Whom to recommend to. A user of whom nothing is stored gets popular items.
            k: How many; fewer come only with a ``shortfall`` that says why.
            where: A condition on the items, such as ``field("year") >= 1990``.
            exclude_seen: Leave out the items of their stored events.
            exclude: More items to leave out.
            rerank: A second stage that orders the best candidates anew.

        Raises:
            NotFittedError: when there is no live release.
        """
        return self.recommend_many(
            [user_id], k, where=where, exclude_seen=exclude_seen, exclude=exclude, rerank=rerank
        )[0]

    def recommend_many(
        self,
        user_ids: Sequence[Id],
        k: int = 10,
        *,
        where: Filter | None = None,
        exclude_seen: bool = True,
        exclude: Iterable[Id] = (),
        rerank: Reranker | None = None,
    ) -> list[Recommendations]:
        """What `recommend` gives for each of many users, in their order, in batched calls to the stores."""
        ids, left_out = check_ids(user_ids, "user id"), frozenset(check_ids(exclude, "item id"))
        live = self._watch.live()
        checked = _check_request(live, k, where)
        found: list[Recommendations] = []
        for part in batches(ids, _USERS_AT_A_TIME):
            records, events = self.metadata_store.read_users(USER, part, self._max_history)
            users = [User(key, records.get(key), events[key]) for key in part]
            queries = _queries(live, [_fitting(live, user) for user in users], left_out, exclude_seen)
            found += self._server.serve(live, queries, int(k), checked, rerank)
        return found

    def recommend_for(
        self,
        user: User,
        k: int = 10,
        *,
        where: Filter | None = None,
        exclude_seen: bool = True,
        exclude: Iterable[Id] = (),
        rerank: Reranker | None = None,
    ) -> Recommendations:
        """What `recommend` gives, for somebody who is not stored: by a profile, a history, or both.

        Raises:
            InvalidDataError: also for a feature value that the schema does not allow.
        """
        if not isinstance(user, User):
            raise InvalidDataError(f"recommend_for takes a User, got {user!r}: recommend takes an id")
        left_out = frozenset(check_ids(exclude, "item id"))
        live = self._watch.live()
        checked = _check_request(live, k, where)
        return self._server.serve(live, _queries(live, [user], left_out, exclude_seen), int(k), checked, rerank)[0]

    def similar_items(self, item_id: Id, k: int = 10, *, where: Filter | None = None) -> Recommendations:
        """The items whose vectors have the largest inner product with the item's, itself left out.

        Raises:
            ItemNotFoundError: when the item is not in the catalogue.
        """
        key, live = check_id(item_id, "item id"), self._watch.live()
        checked = _check_request(live, k, where)
        entry = self.vector_store.fetch(live.collection, [key]).get(key)
        if entry is None:
            raise ItemNotFoundError(f"no item {key!r} in the catalogue: upsert_items adds one")
        query = Query(User(), entry.vector, frozenset([key]), ("item",))
        return self._server.serve(live, [query], int(k), checked)[0]

    # -- the live catalogue

    def upsert_items(self, items: Iterable[Item]) -> None:
        """Add items or replace them, record and vector; they can be found at once.

        Args:
            items: Each with an id. Of an id given twice the last counts.

        Raises:
            InvalidDataError: for an item without an id, or a feature value that the schema does not allow.
            NotFittedError: when there is no live release.
        """
        checked = _check_all(items, Item)
        live = self._watch.live()
        for item in checked:
            live.schema.check_item(item)
        records = {_required(item.id, "an item to be stored"): dict(item.features) for item in checked}
        for part in batches(list(records), _ITEMS_AT_A_TIME):
            with self._archive.catalogue_lock():
                self._watch.look_again()  # the release may have been switched while this call waited for the lock
                self._catalogue.upsert(self._watch.live(), {key: records[key] for key in part})

    def delete_items(self, ids: Iterable[Id]) -> None:
        """Remove items, vector and record; ids that are not there are no error.

        Raises:
            NotFittedError: when there is no live release.
        """
        unique = list(dict.fromkeys(check_ids(ids, "item id")))
        self._watch.live()
        for part in batches(unique, _ITEMS_AT_A_TIME):
            with self._archive.catalogue_lock():
                self._watch.look_again()
                self._catalogue.delete(self._watch.live(), part)

    def get_items(self, ids: Sequence[Id]) -> dict[Id, Item]:
        """The items of those ids that are in the catalogue, in the order of ``ids``."""
        return {key: Item(key, record) for key, record in self.metadata_store.get(ITEM, ids).items()}

    # -- the live users

    def upsert_users(self, users: Iterable[User]) -> None:
        """Add users' profiles or replace them; the next recommendation reads them.

        Raises:
            InvalidDataError: for a user without an id or with a history, which `record` stores, or for a feature value
                that the schema does not allow.
            NotFittedError: when there is no live release.
        """
        checked = _check_all(users, User)
        live = self._watch.live()
        for user in checked:
            live.schema.check_user(user)
            if user.history:
                raise InvalidDataError(f"user {user.id!r} has a history: store it by record(events)")
        self.metadata_store.put(USER, {_required(user.id, "a user to be stored"): user.features for user in checked})

    def record(self, events: Event | Iterable[Event]) -> None:
        """Add events to the histories of their users; the next recommendation reads them, without retraining.

        Args:
            events: Each with a user. An event without a time happened now. User, item and time name an event: recorded
                again, it is replaced.
        """
        checked = _check_all([events] if isinstance(events, Event) else events, Event)
        now = time.time()
        self.metadata_store.append_events(
            [event if event.time is not None else replace(event, time=now) for event in checked]
        )

    # -- consistency

    def verify(self) -> Report:
        """What differs between the two stores, by ids and digests, streamed.

        Raises:
            NotFittedError: when there is no live release.
        """
        return self._catalogue.compare(self._watch.live())

    def repair(self, *, full: bool = False) -> list[Id]:
        """Mend the items that a crash or a missing record has marked, or all that `verify` finds; gives their ids.

        Args:
            full: Compare the whole catalogue, instead of reading the marks, which is quick.

        Raises:
            NotFittedError: when there is no live release.
        """
        with self._archive.catalogue_lock():
            self._watch.look_again()
            live = self._watch.live()
            ids = self._catalogue.compare(live).ids if full else self._catalogue.marked(PENDING)
            self._catalogue.mend(live, ids)
            self._catalogue.unmark(ids)
        return ids

    # -- the connection

    def close(self) -> None:
        """Close both stores."""
        try:
            self.vector_store.close()
        finally:
            self.metadata_store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _claim(self) -> None:
        if self._check_owner() is None:
            self.metadata_store.put(_OWNER_KIND, {_OWNER_KEY: {"name": self.name}})

    def _check_owner(self) -> str | None:
        """Two recommenders in one metadata store would mix up their items, users and events without a word."""
        owner = self.metadata_store.get(_OWNER_KIND, [_OWNER_KEY]).get(_OWNER_KEY, {}).get("name")
        if owner not in (None, self.name):
            raise InvalidDataError(
                f"this metadata store holds the recommender {owner!r}, not {self.name!r}: "
                "give each one a store of its own, such as one with another prefix"
            )
        return None if owner is None else str(owner)


def _queries(live: Live, users: Sequence[User], exclude: frozenset[Id], exclude_seen: bool) -> list[Query]:
    known = [user for user in users if user.features or user.history]
    vectors = iter(live.encoder.encode_users(known))
    queries = []
    for user in users:
        based_on = tuple(name for name in ("features", "history") if getattr(user, name))
        seen = {event.item_id for event in user.history} if exclude_seen else ()
        queries.append(Query(user, next(vectors) if based_on else None, exclude.union(seen), based_on))
    return queries


def _fitting(live: Live, user: User) -> User:
    """The user without the stored features that the live schema no longer allows."""
    try:
        live.schema.check_user(user)
    except InvalidDataError:
        allowed = {name: value for name, value in user.features.items() if _allows(live, name, value)}
        return User(user.id, allowed, user.history)
    return user


def _allows(live: Live, name: str, value: Any) -> bool:
    try:
        live.schema.check_user(User(None, {name: value}))
    except InvalidDataError:
        return False
    return True


def _check_request(live: Live, k: Any, where: Any) -> Filter | None:
    check_count(k, "k")
    fields = {name: kind for name, kind in live.fields().items() if name != DIGEST}
    return check_filter(where, fields)


def _check_all(values: Any, kind: type[_T]) -> list[_T]:
    if isinstance(values, (str, bytes, kind)) or not isinstance(values, Iterable):
        raise InvalidDataError(f"expected {kind.__name__}s, got {values!r}: put them into a list")
    checked = list(values)
    for value in checked:
        if not isinstance(value, kind):
            raise InvalidDataError(f"expected {kind.__name__}s, got {value!r} of type {type(value).__name__}")
    return checked


def _required(key: Id | None, what: str) -> Id:
    if key is None:
        raise InvalidDataError(f"{what} needs an id")
    return key


def _check_part(part: Any, kind: type) -> None:
    if not isinstance(part, kind):
        raise InvalidDataError(f"expected an instance of {kind.__name__}, got {part!r}")
