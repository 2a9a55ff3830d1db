"""The facade that applications import: four parts behind one class. ``readers`` holds its half that only reads."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from vecrec._internal.validation import integer
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError, NotFittedError, ReleaseError
from vecrec.ids import Id, check_id, check_ids
from vecrec.metadata_stores.base import MetadataStore
from vecrec.progress import ProgressLike, showing
from vecrec.recommender.catalogue import BATCH, PENDING, USER, Catalogue, batches
from vecrec.recommender.checks import (
    check_all,
    check_encoder,
    check_flag,
    check_number,
    check_part,
    check_reranker,
    check_seconds,
    required_id,
)  # fmt: skip
from vecrec.recommender.generation import Classes
from vecrec.recommender.lifecycle import Lifecycle
from vecrec.recommender.live import Watch
from vecrec.recommender.pipeline import Server
from vecrec.recommender.publish import ReleaseChecks
from vecrec.recommender.readers import Readers
from vecrec.recommender.report import Receipt, Report
from vecrec.releases import Archive, Release
from vecrec.rerankers.base import Reranker
from vecrec.types import Event, Item, User
from vecrec.vector_stores.base import VectorStore

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.recommender.migrate import Migration

__all__ = ["Recommender"]


class Recommender(Readers):
    """An encoder, a vector store and a metadata store that together recommend.

    It owns the order of all writes to both stores, and closes them when it is closed. Calls may come from several
    threads, and several processes may share the stores and the artifacts. Each call is answered by one release from
    beginning to end. Every method raises `InvalidDataError` for bad arguments before anything is written, and
    `StoreUnavailableError` when a store that it cannot do without does not answer.
    """

    def __init__(
        self,
        encoder: Encoder | type[Encoder] | None,
        vector_store: VectorStore,
        metadata_store: MetadataStore,
        *,
        name: str = "vecrec",
        artifacts: str | Path = "artifacts",
        checks: ReleaseChecks | None = None,
        max_history: int = 10_000,
        refresh_seconds: float = 1.0,
        reranker: Reranker | type[Reranker] | None = None,
        dislike_rating: float | None = 0.0,
    ) -> None:
        """Compose the parts; nothing is read or written yet.

        Args:
            encoder: What `fit` trains. What serves is the live release's own copy. A class of encoders, or ``None`` for
                a registered one, where only releases are to be served: see `open`.
            vector_store: Where the item vectors live.
            metadata_store: Where records and events live; all of it belongs to this recommender.
            name: Lower-case letters, digits and single underscores; begins the names of its collections.
            artifacts: The directory for the releases, shared by all processes of this recommender.
            checks: What a release must show before it goes live.
            max_history: The most events read for one user, to encode and to leave out what they have seen.
            refresh_seconds: How often to look for a release that another process has made live.
            reranker: A second stage that `fit` trains after the encoder and that is kept in the release: every call of
                `recommend` and its kin then has its order. A class, or ``None``, as for the encoder.
            dislike_rating: An event rated so or lower is a dislike: its item is never recommended, and what is like it
                comes later. Set it to 2 for stars from 1 to 5; ``None`` where no rating means that.

        Raises:
            InvalidDataError: for a part that is none, or a name that is none.
        """
        self._encoder, encoder_class = check_encoder(encoder)
        self._reranker, reranker_class = check_reranker(reranker)
        self._goes_on = self._encoder is None  # with what the live release is made of
        low = None if dislike_rating is None else check_number(dislike_rating, "dislike_rating")
        check_part(vector_store, VectorStore)
        check_part(metadata_store, MetadataStore)
        if checks is not None:
            check_part(checks, ReleaseChecks)
        history = integer(max_history, "max_history", low=1)
        seconds = check_seconds(refresh_seconds, "refresh_seconds")
        stores = (vector_store, metadata_store)
        self.name, self.vector_store, self.metadata_store = name, vector_store, metadata_store
        self._archive = Archive(artifacts, name)
        self._catalogue = Catalogue(*stores, self._archive)
        self._server = Server(*stores, self._catalogue, history, low)
        self._watch = Watch(self._archive, vector_store, seconds, Classes(encoder_class, reranker_class))
        self._lifecycle = Lifecycle(self._archive, self._catalogue, self._watch, checks or ReleaseChecks())

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
        reranker: type[Reranker] | None = None,
        dislike_rating: float | None = 0.0,
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
            reranker: The reranker's class, where no installed package registers it.
            dislike_rating: As for `Recommender`.

        Raises:
            NotFittedError: when there is no live release.
            ReleaseError: when the live release is damaged or its collection is gone.
        """
        opened = cls(
            encoder,
            vector_store,
            metadata_store,
            name=name,
            artifacts=artifacts,
            max_history=max_history,
            refresh_seconds=refresh_seconds,
            reranker=reranker,
            dislike_rating=dislike_rating,
        )
        opened._check_live()
        return opened

    def _check_live(self) -> None:
        self._watch.live()
        if self._lifecycle.owner() is None:
            raise ReleaseError(
                f"this metadata store holds nothing of the recommender {self.name!r}",
                "open the one that it was published with",
            )

    @property
    def encoder(self) -> Encoder:
        """What `fit` trains. What serves is the live release's own copy."""
        if self._encoder is None:
            live = self._watch.live()
            self._encoder = type(live.encoder).load(self._archive.directory(live.release.id) / "encoder")
        return self._encoder

    @property
    def reranker(self) -> Reranker | None:
        """What `fit` trains as the second stage. What serves is the live release's own copy.

        Where neither an encoder nor a reranker was given it is the live release's; where only an encoder was, there is
        none.
        """
        if self._reranker is None and self._goes_on:
            live = self._watch.live()
            if live.reranker is not None:
                self._reranker = type(live.reranker).load(self._archive.directory(live.release.id) / "reranker")
        return self._reranker

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
        from vecrec.data import Dataset

        if not isinstance(data, Dataset):
            raise InvalidDataError(
                f"fit takes a Dataset, got {data!r}", "Dataset(interactions, items, users) makes one"
            )
        with showing(progress) as show:
            return self._lifecycle.fit(self.encoder, self.reranker, data, show)

    def publish(self, *, progress: ProgressLike = None) -> Release:
        """Make a release of the encoder as it is and of the catalogue and events in the metadata store.

        For an encoder that was trained elsewhere, or after the stores were filled by other means.

        Raises:
            NotFittedError: when the encoder has learnt nothing.
            ReleaseError: as for `fit`.
        """
        if not self.encoder.is_fitted:
            raise NotFittedError("the encoder has learnt nothing yet", "call fit(data), or load an encoder")
        if self.reranker is not None and not self.reranker.is_fitted:
            raise NotFittedError("the reranker has learnt nothing yet", "call fit(data), or load a reranker")
        with showing(progress) as show:
            return self._lifecycle.publish(self.encoder, self.reranker, show)

    def releases(self) -> list[Release]:
        """The live release first, then the one that `rollback` goes back to, if any."""
        return self._archive.releases()

    def rollback(self, release: str | None = None) -> Release:
        """Make the previous release the live one again, its vectors first brought up to the catalogue of now.

        Other changes of the catalogue wait meanwhile. Rolling back twice leads back.

        Args:
            release: The id of the release to go to, one of `releases`; the previous one by default.

        Raises:
            ReleaseError: when there is no such release, or it is damaged or its collection gone.
        """
        if release is not None and not isinstance(release, str):
            raise InvalidDataError(f"release is {release!r}", "give the id of one of releases(), or None")
        return self._lifecycle.rollback(release)

    # -- the live catalogue

    def upsert_items(self, items: Iterable[Item]) -> None:
        """Add items or replace them, record and vector; they can be found at once.

        Args:
            items: Each with an id. Of an id given twice the last counts.

        Raises:
            InvalidDataError: for an item without an id, or a feature value that the schema does not allow.
            NotFittedError: when there is no live release.
        """
        checked = check_all(items, Item)
        schema = self._watch.live().schema
        for item in checked:
            schema.check_item(item)
        records = {required_id(item.id, "an item to be stored"): dict(item.features) for item in checked}
        for part in batches(records, BATCH):
            batch = {key: records[key] for key in part}
            with self._archive.catalogue_lock():
                self._watch.tell(partial(self._catalogue.upsert, records=batch))

    def delete_items(self, ids: Iterable[Id]) -> None:
        """Remove items, vector and record; ids that are not there are no error.

        Raises:
            NotFittedError: when there is no live release.
        """
        unique = list(dict.fromkeys(check_ids(ids, "item id")))
        self._watch.live()
        for part in batches(unique, BATCH):
            with self._archive.catalogue_lock():
                self._watch.tell(partial(self._catalogue.delete, ids=part))

    # -- the live users

    def upsert_users(self, users: Iterable[User]) -> None:
        """Add users' profiles or replace them; the next recommendation reads them.

        Raises:
            InvalidDataError: for a user without an id or with a history, which `record` stores, or for a feature value
                that the schema does not allow.
            NotFittedError: when there is no live release.
        """
        checked = check_all(users, User)
        schema = self._watch.live().schema
        for user in checked:
            schema.check_user(user)
            if user.history:
                raise InvalidDataError(f"user {user.id!r} has a history", "store it by record(events)")
        self.metadata_store.put(USER, {required_id(user.id, "a user to be stored"): user.features for user in checked})

    def record(self, events: Event | Iterable[Event]) -> None:
        """Add events to the histories of their users; the next recommendation reads them, without retraining.

        Args:
            events: Each with a user. An event without a time happened now. User, item and time name an event: recorded
                again, it is replaced.
        """
        checked = check_all([events] if isinstance(events, Event) else events, Event)
        now = time.time()
        self.metadata_store.append_events(
            [event if event.time is not None else replace(event, time=now) for event in checked]
        )

    def forget_user(self, user_id: Id) -> Receipt:
        """Remove a user's profile and events. What an encoder has learnt from them goes with the next `fit`.

        Gives:
            What was removed, for whoever asked for it.
        """
        key = check_id(user_id, "user id")
        profiles, events = self.metadata_store.read_users(USER, [key])
        self.metadata_store.delete_events([key])
        self.metadata_store.delete(USER, [key])
        return Receipt(key, key in profiles, len(events[key]))

    # -- consistency

    def verify(self) -> Report:
        """What differs between the two stores, by ids and digests, streamed.

        Changes that are under way meanwhile are no differences.

        Raises:
            NotFittedError: when there is no live release.
        """
        suspects = self._watch.ask(self._catalogue.suspects)
        with self._archive.catalogue_lock():
            return self._watch.tell(partial(self._catalogue.inspect, suspects=suspects))

    def repair(self, *, full: bool = False) -> list[Id]:
        """Mend the items that a crash or a missing record has marked, or all that `verify` finds; gives their ids.

        Args:
            full: Compare the whole catalogue, instead of reading the marks, which is quick.

        Raises:
            NotFittedError: when there is no live release.
        """
        found = self.verify().ids if check_flag(full, "full") else None
        with self._archive.catalogue_lock():
            ids = self._catalogue.marked(PENDING) if found is None else found
            self._watch.tell(partial(self._catalogue.repair, ids=ids))
        return ids

    # -- other stores

    def migrate(
        self, vector_store: VectorStore, metadata_store: MetadataStore, *, progress: ProgressLike = None
    ) -> Migration:
        """Copy everything into other stores, such as from embedded ones to servers.

        This recommender stays on its own stores, which are only read. To serve from the new ones, open them under the
        same name with the same artifacts. Called again, it goes on after a break, or copies what has changed since.

        Args:
            vector_store: The new one. It stays yours to close, as does the other.
            metadata_store: The new one, empty or holding an earlier attempt.
            progress: As for `fit`.

        Raises:
            InvalidDataError: when the target holds another recommender.
            NotFittedError: when there is no live release.
            StoreError: when somebody has gone on writing to the old stores.
        """
        from vecrec.recommender.migrate import migrate

        check_part(vector_store, VectorStore)
        check_part(metadata_store, MetadataStore)
        return migrate(self, vector_store, metadata_store, progress=progress)

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
