"""The facade that applications import: an encoder, two stores and a feedback policy behind one class."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from typing_extensions import Self, Unpack

from vecrec._internal.batching import batched
from vecrec._internal.budget import budget
from vecrec._internal.tables import html_facts
from vecrec._internal.times import moment
from vecrec._internal.validation import choice, flag, instance, integer, number, sequence_of
from vecrec.encoders.base import Encoder
from vecrec.errors import InvalidDataError, NotFittedError, ReleaseError, shown
from vecrec.feedback import FeedbackPolicy, Taste
from vecrec.filters import Filter, check_filter
from vecrec.ids import Id, check_id, check_ids, written_integer
from vecrec.metadata_stores.base import MetadataStore
from vecrec.progress import ProgressLike, showing
from vecrec.recommendations import Recommendations
from vecrec.recommender.candidate import Check, checked
from vecrec.recommender.catalogue import BATCH, ITEM, PENDING, USER, Catalogue, changed_fields
from vecrec.recommender.edits import USER_EDIT, DeletedEvents, edit_record
from vecrec.recommender.explain import Explainer, Explanation
from vecrec.recommender.group_commit import GroupCommit
from vecrec.recommender.live import Given, LiveRelease, LoadedRelease
from vecrec.recommender.loading import read_dataset
from vecrec.recommender.pipeline import Pipeline
from vecrec.recommender.popularity import StoredPopularity
from vecrec.recommender.publish import Lifecycle
from vecrec.recommender.recall import Recall, measure
from vecrec.recommender.release_checks import ReleaseChecks
from vecrec.recommender.report import Receipt, Report
from vecrec.recommender.request import RankOptions, RecommendOptions, Request, check_timeout
from vecrec.recommender.users import as_encoded, delete_events, record_events, stored_ids, stored_users, user_vectors
from vecrec.records import JSON, Record
from vecrec.releases import Archive, Release
from vecrec.rerankers.base import Reranker, Reranks
from vecrec.types import Event, Item, User
from vecrec.vector_stores.base import VectorStore

if TYPE_CHECKING:
    from vecrec.data import Dataset
    from vecrec.evaluation.live import LiveEvaluation
    from vecrec.recommender.migrate import Migration

__all__ = ["Recommender"]

_Store = TypeVar("_Store", VectorStore, MetadataStore)

_PATIENCE = 10.0
"""Seconds that a change of single items waits for other changes."""


class Recommender:
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
        feedback: FeedbackPolicy | None = None,
        successors: bool = True,
        timeout: float | None = None,
        coalesce: bool = True,
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
            feedback: What events mean: which are positive and how much they weigh, which are negative, which items
                count as seen. `fit` and `publish` keep it in the release; by default the live release's own policy, or
                ``FeedbackPolicy()`` for the first one.
            successors: Whether `fit` also learns which items follow which, as a second source of candidates that adds
                to the scores of the vectors; see `vecrec.encoders.Successors`. It keeps the last event of at most a
                tenth of the users, and of at most 4,000, from the encoder's training, to learn what that counts. With
                less than 1,000 users, or where it gains nothing, there are none.
            timeout: Seconds that one recommendation may take in all, from which every call to a store takes its part;
                by default the sum of the timeouts of both stores.
            coalesce: Whether calls of `recommend` and `recommend_for` by several threads at a time, with equal options,
                are answered together: in one read of the users, one forward pass, one search and one read of the
                records. A call that is alone never waits, one of many at most 2 milliseconds for others.

        Raises:
            InvalidDataError: for a part or a name that is not valid.
        """
        self._encoder: Encoder | None
        self._reranker: Reranker | None
        self._encoder, encoder_class = _part(encoder, Encoder, "encoder", "TwoTowerEncoder()")
        self._reranker, reranker_class = _part(reranker, Reranker, "reranker", "MMRReranker()")
        self._goes_on = self._encoder is None  # with the parts of the live release
        if feedback is not None:
            instance(feedback, "feedback", FeedbackPolicy, "FeedbackPolicy(negative_rating=2)")
        checks = ReleaseChecks() if checks is None else instance(checks, "checks", ReleaseChecks)
        history, refresh = integer(max_history, "max_history", low=1), number(refresh_seconds, "refresh_seconds", low=0)
        self.name = name
        self.vector_store = _store(vector_store, "vector_store", VectorStore)
        """Where the item vectors live."""
        self.metadata_store = _store(metadata_store, "metadata_store", MetadataStore)
        """Where records and events live."""
        self._max_history = history
        self._archive = Archive(artifacts, name)
        self._catalogue = Catalogue(vector_store, metadata_store, self._archive)
        given = Given(encoder_class, reranker_class, feedback)
        self._live = LiveRelease(self._archive, vector_store, refresh, given)
        seconds = check_timeout(timeout) or self._store_seconds()
        self._pipeline = Pipeline(self._live, self._catalogue, history, seconds, coalesce=flag(coalesce, "coalesce"))
        lock = self._archive.catalogue_lock
        self._upserts: GroupCommit[Record] = GroupCommit(
            lambda records: self._live.tell(partial(self._catalogue.upsert, records=records)), lock
        )
        self._updates: GroupCommit[Record] = GroupCommit(
            lambda changes: self._live.tell(partial(self._catalogue.update, changes=changes)),
            lock,
            merge=lambda earlier, later: {**earlier, **later},
        )
        self._deletions: GroupCommit[None] = GroupCommit(
            lambda ids: self._live.tell(partial(self._catalogue.delete, ids=list(ids))), lock
        )
        self._popularity = StoredPopularity(metadata_store)
        self._explainer = Explainer(self._live, self._catalogue, self._pipeline, history)
        self._feedback = feedback
        self._lifecycle = Lifecycle(
            self._archive,
            self._catalogue,
            self._live,
            checks,
            given=given,
            pipeline=self._pipeline,
            successors=flag(successors, "successors"),
        )

    def __repr__(self) -> str:
        stores = f"{self.vector_store!r}, {self.metadata_store!r}"
        return f"<Recommender {self.name!r}: {self._live_id() or 'nothing published'}, {stores}>"

    def _repr_html_(self) -> str:
        facts: dict[str, object] = {
            "recommender": self.name,
            "live release": self._live_id() or "none: fit publishes the first",
            "vector store": repr(self.vector_store),
            "metadata store": repr(self.metadata_store),
            "artifacts": self._archive.path,
        }
        return html_facts(facts)

    def _live_id(self) -> str | None:
        """The live release as the artifacts say; neither engine is asked, since a debugger may show this."""
        try:
            return self._archive.live()[0]
        except ReleaseError as error:
            return error.problem

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
        feedback: FeedbackPolicy | None = None,
        timeout: float | None = None,
        coalesce: bool = True,
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
            feedback: A policy to serve with, instead of the release's own.
            timeout: As for `Recommender`.
            coalesce: As for `Recommender`.

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
            feedback=feedback,
            timeout=timeout,
            coalesce=coalesce,
        )
        opened._check_live()
        return opened

    def _store_seconds(self) -> float | None:
        """The sum of the timeouts of the stores, as far as they have any."""
        return sum(store.timeout or 0 for store in (self.vector_store, self.metadata_store)) or None

    def _check_live(self) -> None:
        self._live.get()
        self._catalogue.ownership.check()

    @property
    def encoder(self) -> Encoder:
        """What `fit` trains. What serves is the live release's own copy."""
        if self._encoder is None:
            live = self._live.get()
            self._encoder = type(live.encoder).load(self._archive.directory(live.release.id) / "encoder")
        return self._encoder

    @property
    def reranker(self) -> Reranker | None:
        """What `fit` trains as the second stage. What serves is the live release's own copy.

        Where neither an encoder nor a reranker was given it is the live release's; where only an encoder was, there is
        none.
        """
        if self._reranker is None and self._goes_on:
            live = self._live.get()
            if live.reranker is not None:
                self._reranker = type(live.reranker).load(self._archive.directory(live.release.id) / "reranker")
        return self._reranker

    # -- releases

    def fit(
        self,
        data: Dataset,
        *,
        drop_fields: Collection[str] = (),
        checks: Sequence[Check] = (),
        progress: ProgressLike = None,
    ) -> Release:
        """Train the encoder, store the data's items, users and events, and make a release of it that goes live.

        The catalogue is what the metadata store holds afterwards: items that are not in ``data`` stay, and get vectors
        from their features. Where ``data`` has items, those that only occur in its events are learnt from and not
        served. Fitting the same data again changes no record and adds no event.

        Newest wins: what was deleted, edited or forgotten since the moment ``data.as_of`` stays so.

        What was trained is kept where a later step fails; ``publish(trained=True)`` goes on from it.

        Args:
            data: Interactions, items and users. Where it has events that the live release has not learnt, the latest
                ones of up to `ReleaseChecks.sampled_users` users are not learnt, to compare both releases on them.
            drop_fields: Filterable fields of the live release that the new one may lack. Any other one that ``data``
                lacks is an error before the training, since requests that filter by it would fail.
            checks: Checks of your own, each a function of the `vecrec.recommender.Candidate` that is about to go live.
                One that returns ``False`` or raises refuses it; a number that one returns is kept in the manifest.
            progress: ``True`` for bars on stderr, a callable for every step, ``None`` for silence.

        Raises:
            InvalidDataError: when a filterable field would be lost.
            ReleaseError: when the new release does not pass its checks, or another process is building; the live
                release goes on serving.
        """
        from vecrec.data import Dataset

        if not isinstance(data, Dataset):
            raise InvalidDataError(
                f"fit takes a Dataset, got {shown(data)}", "Dataset(interactions, items, users) makes one"
            )
        with showing(progress) as show:
            return self._lifecycle.fit(
                self.encoder, self.reranker, data, show, drop_fields=drop_fields, checks=checked(checks)
            )

    def publish(
        self,
        *,
        allow_empty: bool = False,
        trained: bool = False,
        checks: Sequence[Check] = (),
        progress: ProgressLike = None,
    ) -> Release:
        """Make a release of the encoder as it is and of the catalogue and events in the metadata store.

        For an encoder that was trained elsewhere, or after the stores were filled by other means.

        Args:
            allow_empty: Let a release without items replace one with items. Without it that is refused, since it is
                more often a store that was lost than a catalogue that was emptied.
            trained: Go on from what the last `fit` has trained and could not bring live, in any process, instead of
                the encoder as it is. It is compared on the events that were held out then.
            checks: As for `fit`.
            progress: As for `fit`.

        Raises:
            NotFittedError: when the encoder has learnt nothing.
            ReleaseError: as for `fit`, for an empty catalogue, and where nothing that was trained is kept.
        """
        own, empty = checked(checks), flag(allow_empty, "allow_empty")
        if flag(trained, "trained"):
            with showing(progress) as show:
                return self._lifecycle.publish_trained(show, allow_empty=empty, checks=own)
        if not self.encoder.is_fitted:
            raise NotFittedError("the encoder has learnt nothing yet", "call fit(data), or load an encoder")
        if self.reranker is not None and not self.reranker.is_fitted:
            raise NotFittedError("the reranker has learnt nothing yet", "call fit(data), or load a reranker")
        with showing(progress) as show:
            return self._lifecycle.publish(self.encoder, self.reranker, show, allow_empty=empty, checks=own)

    def refresh(self, *, since: Any = None, checks: Sequence[Check] = (), progress: ProgressLike = None) -> Release:
        """Make a release of the live encoder and of what the stores hold now, without training; it goes live.

        What follows each item, similar items and popularity are counted again from all stored events, and every item
        gets its vector. An encoder that can learn from later events cheaply does so: see `Encoder.refreshed`. None does
        where a reranker has learnt from its vectors; the reranker stays. Users need no refresh: their vectors are made
        from their events when they ask. It takes seconds where `fit` takes minutes.

        Where nothing is new it makes no release, and says so in a step of the stage ``"events"``.

        Args:
            since: Events after this time, as any time that `Event` takes, may be new; by default those after the moment
                up to which the live release has learnt or counted. Give an earlier one where events arrive late.
            checks: As for `fit`. Where enough users have new events, the latest of some are left out of the counts, and
                the release is compared with the live one on them.
            progress: As for `fit`.

        Returns:
            The live release: the new one, or the same as before where nothing is new.

        Raises:
            InvalidDataError: for a time that is not valid.
            NotFittedError: when there is no live release.
            ReleaseError: as for `fit`.
        """
        told, own = None if since is None else moment(since, "since"), checked(checks)
        with showing(progress) as show:
            return self._lifecycle.refresh(told, show, checks=own)

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

    # -- recommendations

    def recommend(self, user_id: Id, k: int = 10, **options: Unpack[RecommendOptions]) -> Recommendations:
        """The best items for a user, from their record, their history and nothing else.

        ::

            recommender.recommend(42, k=10, where=field("year") >= 1990, exclude=[7])

        Args:
            user_id: Whom to recommend to. A user about whom nothing is stored gets popular items.
            k: How many items; fewer come only with a ``shortfall`` that says why.
            options: ``where``, a condition on the items; ``exclude_seen``, whether (or by which kinds of events) items
                are left out that the user has consumed, true by default; ``exclude``, more items to leave out;
                ``disliked``, items that they dislike beside those of their negative events; ``rerank``, a second stage
                for this call, ``False`` for none; ``timeout``, the seconds that the call may take in all. See
                `vecrec.recommender.RecommendOptions`.

        Raises:
            InvalidDataError: for an unknown option or an argument that is not valid.
            NotFittedError: when there is no live release.
        """
        return self._pipeline.recommend([check_id(user_id, "user id")], Request.of(k, options))[0]

    def recommend_many(
        self, user_ids: Sequence[Id], k: int = 10, **options: Unpack[RecommendOptions]
    ) -> list[Recommendations]:
        """What `recommend` returns for each of many users, in their order, in batched calls to the stores.

        ``exclude`` may be a mapping from user ids to the items to leave out for each. The recommender's timeout counts
        for each 256 users, a ``timeout`` of the call for all of them.
        """
        return self._pipeline.recommend(check_ids(user_ids, "user id"), Request.of(k, options))

    def recommend_for(self, user: User, k: int = 10, **options: Unpack[RecommendOptions]) -> Recommendations:
        """What `recommend` returns, for a user who is not stored: by a profile, a history, or both.

        Raises:
            InvalidDataError: also for a feature value that the schema does not allow.
        """
        if not isinstance(user, User):
            raise InvalidDataError(f"recommend_for takes a User, got {shown(user)}", "recommend takes an id")
        return self._pipeline.recommend_for(user, Request.of(k, options))

    def similar_items(
        self,
        item_id: Id,
        k: int = 10,
        *,
        where: Filter | None = None,
        exclude: Iterable[Id] = (),
        user: User | Id | None = None,
        rerank: Reranks | Literal[False] | None = False,
        timeout: float | None = None,
    ) -> Recommendations:
        """The items most similar to an item: those that the same users choose, then those with the nearest vectors.

        The score is the weight of `vecrec.recommender.neighbours` and a small share of the cosine of the vectors; for
        an item that no user has chosen together with another one, the cosine alone.

        Args:
            item_id: The item, which is left out.
            k: How many items.
            where: A condition on the items.
            exclude: More items to leave out.
            user: The id of a stored user, or a user who is not stored, who looks at the item: what they have seen or
                dislike is left out, and the most similar items are put in order by similarity and by their taste.
            rerank: A second stage for this call, such as `vecrec.rerankers.MMRReranker`; ``None`` for the release's
                own, which may have learnt from users alone.
            timeout: Seconds that the call may take in all; by default the recommender's own.

        Raises:
            ItemNotFoundError: when the item is not in the catalogue.
        """
        options = {"where": where, "exclude": exclude, "rerank": rerank, "timeout": timeout}
        whom = user if user is None or isinstance(user, User) else check_id(user, "user id")
        return self._pipeline.similar(check_id(item_id, "item id"), Request.of(k, options), whom)

    def search(
        self,
        text: str,
        k: int = 10,
        *,
        user: User | Id | None = None,
        where: Filter | None = None,
        exclude: Iterable[Id] = (),
        exclude_seen: bool | Collection[str] = False,
        rerank: Reranks | Literal[False] | None = False,
        timeout: float | None = None,
    ) -> Recommendations:
        """The items whose records have the words of a text, in the order of a user's taste.

        Items with all the words come first, then, where they are few, those with some of them. Among them the order is
        that of the relevance of the words (BM25) and the taste of the user together; where nothing is known of the
        user, popularity is the taste. Words stand for what they are the beginning of, and a word that
        no record has for the nearest one; case and accents do not count. Texts and whole numbers of the records are
        searched, also those in lists, by an index in the memory of this process: see `vecrec.recommender.words`.

        Args:
            text: One word or more, such as ``"space opera"``.
            k: How many items.
            user: The id of a stored user, or a user who is not stored.
            where: A condition on the items.
            exclude: Items to leave out.
            exclude_seen: As for `recommend`; by default what the user has seen is found too.
            rerank: A second stage for this call; ``None`` for the release's own.
            timeout: Seconds that the call may take in all; by default the recommender's own.

        Raises:
            InvalidDataError: for a text without a word or of more than 32.
            StoreUnavailableError: when the records cannot be read.
        """
        options = {
            "where": where, "exclude": exclude, "exclude_seen": exclude_seen, "rerank": rerank, "timeout": timeout,
        }  # fmt: skip
        whom = user if user is None or isinstance(user, User) else check_id(user, "user id")
        return self._pipeline.search(text, Request.of(k, options), whom)

    def matching(self, text: str) -> list[Id]:
        """The ids of all items whose records have all the words of a text, in any order; words are those of `search`.

        Raises:
            InvalidDataError: for a text without a word or of more than 32.
            StoreUnavailableError: when the records cannot be read.
        """
        return self._pipeline.matching(text)

    def popular(
        self,
        k: int = 10,
        *,
        where: Filter | None = None,
        exclude: Iterable[Id] = (),
        half_life: float | timedelta | None = None,
        segment: Mapping[str, JSON] | None = None,
        timeout: float | None = None,
    ) -> Recommendations:
        """The items that most people chose: each user counts once for an item, by the heaviest positive event.

        Without ``half_life`` and ``segment`` the live release's own list answers. With one of them the events in the
        metadata store are counted, of at most 100,000 users; the count serves again for a minute.

        Args:
            k: How many items.
            where: A condition on the items.
            exclude: Items to leave out.
            half_life: In seconds, or a ``timedelta``: an event so much older than the latest one counts half. Events
                without a time do not count then.
            segment: Only users whose stored profile has these values, such as ``{"gender": "F"}``.
            timeout: Seconds that the call may take in all; by default the recommender's own, which does not count for
                the counting.

        Returns:
            Items with their count as a share of the first one's as score; ``notes`` says how many users were counted.

        Raises:
            InvalidDataError: for an argument that is not valid, or a segment of features that the schema does not name.
            NotFittedError: when there is no live release.
        """
        request = Request.of(k, {"where": where, "exclude": exclude, "rerank": False, "timeout": timeout})
        if half_life is None and segment is None:
            return self._pipeline.popular(None, request, ())
        with budget(request.timeout):
            counted = self._live.ask(partial(self._popularity.counted, half_life=half_life, segment=segment))
            return self._pipeline.popular(counted.popularity, request, counted.notes)

    def rank(self, user: User | Id, item_ids: Sequence[Id], **options: Unpack[RankOptions]) -> Recommendations:
        """Given items in order for a user: the second stage alone, for candidates that come from elsewhere.

        Args:
            user: The id of a stored user, or a user who is not stored.
            item_ids: What to put in order, seen and disliked items as well; those that are not in the catalogue are
                left out, and ``shortfall`` says so. Of an id given twice the first counts.
            options: ``where``, ``exclude``, ``disliked``, ``rerank`` and ``timeout``, as for `recommend`. The second
                stage gets all of the items, whatever its depth.

        Raises:
            NotFittedError: when there is no live release.
        """
        ids = list(dict.fromkeys(check_ids(item_ids, "item id")))
        unknown = options.keys() - RankOptions.__annotations__.keys()
        if unknown:
            raise InvalidDataError(
                f"unknown options {sorted(unknown)}", f"use {', '.join(RankOptions.__annotations__)}"
            )
        request = Request.of(max(len(ids), 1), {**options, "exclude_seen": False})
        return self._pipeline.rank(user if isinstance(user, User) else check_id(user, "user id"), ids, request)

    def explain(self, user: User | Id, item_id: Id, k: int = 10, **options: Unpack[RecommendOptions]) -> Explanation:
        """Why an item is recommended to a user, or is not.

        ::

            explanation = recommender.explain(42, 7)
            print(explanation.sentence)  # Because you liked Aladdin
            print(explanation.parts[0].value, explanation.score)

        Args:
            user: The id of a stored user, or a user who is not stored.
            item_id: The item, in the user's list or not.
            k: How long the list is in which the places of ``changes`` count.
            options: As for `recommend`.

        Returns:
            Parts by event, by feature of the profile and by encoder that add up to the score; the rules that keep the
            item out; what dislikes and the second stage changed.

        Raises:
            ItemNotFoundError: when the item is not in the catalogue.
            NotFittedError: when there is no live release.
        """
        whom = user if isinstance(user, User) else check_id(user, "user id")
        request = Request.of(k, options)
        with budget(request.timeout):
            return self._explainer.explain(whom, check_id(item_id, "item id"), request)

    def explain_many(self, user: User | Id, item_ids: Sequence[Id], *, at: Any = "now") -> list[Explanation | None]:
        """What `explain` returns for several items of one list, at the price of one, without rules and changes.

        Args:
            user: As for `explain`.
            item_ids: The items.
            at: As for `recommend`.

        Returns:
            In their order, ``None`` for an item that is not in the catalogue.
        """
        whom = user if isinstance(user, User) else check_id(user, "user id")
        return self._explainer.explain_many(whom, check_ids(item_ids, "item id"), Request.of(1, {"at": at}))

    # -- reading

    def live(self) -> AbstractContextManager[LoadedRelease]:
        """One release for a block of code: its encoder, schema, policy, collection and popular items.

        ::

            with recommender.live() as live:
                vectors = live.encoder.encode_items(items)

        For what no other method answers, such as the score of a given pair. The release stays the same to the end of
        the block. Where other releases go live meanwhile, its collection may be dropped: a store then raises a
        `StoreError` in the block, `CollectionNotFoundError` as a rule. Repeat the block then; it gets the release that
        is live by then.

        Raises:
            NotFittedError: when there is no live release.
            ReleaseError: when the release is live and its collection is gone.
        """
        return self._live.reading()

    def get_items(self, ids: Sequence[Id], *, timeout: float | None = None) -> dict[Id, Item]:
        """The items of those ids that are in the catalogue, in the order of ``ids``.

        Args:
            ids: Which items.
            timeout: Seconds that the call may take in all; by default each request to the store has the store's own.
        """
        with budget(check_timeout(timeout)):
            return {key: Item(key, record) for key, record in self._catalogue.metadata.get(ITEM, ids).items()}

    def get_users(self, ids: Sequence[Id], *, timeout: float | None = None) -> dict[Id, User]:
        """Those users about whom a profile or an event is stored, with their latest events, in the order of ``ids``.

        Args:
            ids: Which users.
            timeout: As for `get_items`.
        """
        with budget(check_timeout(timeout)):
            users = stored_users(self._catalogue.metadata, check_ids(ids, "user id"), self._max_history)
        return {user.id: user for user in users if user.id is not None and (user.features or user.history)}

    def history(self, user_id: Id, limit: int | None = None, *, timeout: float | None = None) -> list[Event]:
        """The stored events of a user, oldest first; empty for an unknown user.

        Args:
            user_id: Whose events.
            limit: At most so many, the latest ones; ``None`` for all that are kept.
            timeout: As for `get_items`.
        """
        key = check_id(user_id, "user id")
        with budget(check_timeout(timeout)):
            return self._catalogue.metadata.recent_events([key], limit)[key]

    def user_ids(self) -> Iterator[Id]:
        """Each user about whom a profile or an event is stored, once, in any order, read in batches."""
        return stored_ids(self._catalogue.metadata)

    def dataset(self, *, since: Any = None, until: Any = None, as_of: Any = None) -> Dataset:
        """Everything in the metadata store as a data set, for the next training.

        ::

            data = recommender.dataset()
            recommender.fit(data)

        Items and users are those that are stored now, users with events only included. The schema and the feedback
        policy are the live release's. Records and events are read one batch after the other. Fitting the data in this
        recommender writes nothing back to the store that it came from.

        Args:
            since: Only events from this time on, as any time that `Event` takes.
            until: Only events before this time.
            as_of: The moment that the data set is of, not in the future; by default now, before the reading begins.

        Raises:
            InvalidDataError: for a time that is not valid.
            NotFittedError: when there is no live release.
        """
        low, high, of = (
            None if value is None else moment(value, name)
            for value, name in ((since, "since"), (until, "until"), (as_of, "as_of"))
        )
        if of is not None and of > time.time():
            raise InvalidDataError(f"as_of is {as_of!r}, which lies in the future", "leave it out for now")
        live = self._archive.live()[0]
        if live is None:
            raise NotFittedError(f"{self._archive.path} holds no live release", "call fit(data) or publish() first")
        return read_dataset(self._catalogue, self._archive.manifest(live), since=low, until=high, as_of=of)

    def taste(self, user: User, disliked: Iterable[Id] = ()) -> Taste:
        """A user as the live release's encoder reads them, and what else their events say by the feedback policy.

        Args:
            user: As `get_users` returns them or as posted, with the whole history.
            disliked: More items that they dislike, whatever the events say.
        """
        return as_encoded(
            self._live.get(), instance(user, "the user", User, "User(42)"), check_ids(disliked, "item id")
        )

    def written_id(self, text: str, side: Literal["items", "users"]) -> Id:
        """The id that a text without a type stands for, as in a path, a CSV file or on the command line.

        It is an integer where it is written as one (see `vecrec.ids.written_integer`), but not where every id of the
        live release's items, or users, is a text: there ``12345`` is as much a text as ``00023``.

        Args:
            text: What is written.
            side: Whose id it is.

        Raises:
            InvalidDataError: for a text that is not a valid id.
        """
        instance(text, "text", str)
        choice(side, "side", ("items", "users"))
        try:
            texts = self._live.get().release.text_ids
        except NotFittedError:
            texts = ()
        number = None if side in texts else written_integer(text)
        return check_id(text if number is None else number, f"{side[:-1]} id")

    def evaluate(
        self,
        test: Dataset,
        k: int | Sequence[int] = (10, 50),
        *,
        where: Filter | None = None,
        exclude_seen: bool | Collection[str] = True,
    ) -> LiveEvaluation:
        """Recommend to every user with an event in ``test`` as they would be served, and measure the result.

        Args:
            test: The events that are to be predicted, which the metadata store must not hold yet.
            k: How deep to look.
            where: A condition under which to recommend.
            exclude_seen: As for `recommend`: ``False`` for repeats, or kinds of events whose items are left out.

        Returns:
            The metrics of what was served beside those of an exact search with the same vectors, and for each k what
            became of the held-out items: found, or lost to the model, the index, the second stage, the filter or a
            missing record.

        Raises:
            InvalidDataError: for an invalid k or filter, or a test without events.
            NotFittedError: when there is no live release.
        """
        from vecrec.data import Dataset
        from vecrec.evaluation.live import LivePath, evaluate_live

        instance(test, "test", Dataset)
        # The test's events have moments of their own, so the lists are of none.
        request = partial(Request.of, options={"where": where, "exclude_seen": exclude_seen, "at": None})
        seen = request(1).exclude_seen
        kinds = None if isinstance(seen, bool) else seen

        def measure(live: LoadedRelease) -> LiveEvaluation:
            path = LivePath(
                encode_users=lambda users: user_vectors(live, users),
                dim=live.encoder.dim,
                collection=live.collection,
                vectors=self.vector_store,
                serve=lambda ids, depth: self._pipeline.for_ids(live, ids, request(depth)),
                retrieve=lambda ids, depth: self._pipeline.for_ids(live, ids, request(depth).plain),
                reranked=live.reranker is not None,
                read_users=lambda ids: [
                    as_encoded(live, user, consumed=kinds)
                    for user in stored_users(self._catalogue.metadata, ids, self._max_history)
                ],
                with_record=lambda ids: self._catalogue.metadata.get(ITEM, ids),
                where=check_filter(where, live.filter_fields),
                exclude_seen=seen is not False,
                encoder=live.encoder,
            )
            return evaluate_live(path, test.with_feedback(live.feedback), k)

        return self._live.ask(measure)

    # -- the live catalogue

    def upsert_items(self, items: Item | Iterable[Item], *, timeout: float | None = None) -> None:
        """Add items or replace them, record and vector; they can be found at once.

        Calls of other threads that wait meanwhile are committed together, so that many of one item each cost as much as
        one of many.

        Args:
            items: One or many, each with an id. Of an id given twice the last counts.
            timeout: Seconds to wait until other changes of the catalogue are done, of all processes; 10 by default.

        Raises:
            InvalidDataError: for an item without an id, or a feature value that the schema does not allow.
            NotFittedError: when there is no live release.
            StoreTimeoutError: when another change takes longer than ``timeout``. It names the process.
        """
        patience = check_timeout(timeout) or _PATIENCE
        checked = sequence_of(items, Item, one=True)
        schema = self._live.get().schema
        for item in checked:
            schema.check_item(item)
        records = {check_id(item.id, "item id"): dict(item.features) for item in checked}
        for part in batched(records, BATCH):
            batch = {key: records[key] for key in part}
            self._upserts.add(batch, patience)

    def update_items(self, changes: Mapping[Id, Mapping[str, Any]], *, timeout: float | None = None) -> None:
        """Change single fields of stored items; the other fields stay. They count for the next call.

        ::

            recommender.update_items({7: {"price": 9.9, "stock": 3}, 8: {"sale": None}})

        The vector stays where no feature of the schema changes, so that scores do not move. Each batch of
        2,000 items takes one round trip a step, and is safe from crashes as `upsert_items` is.

        Args:
            changes: New values of fields by item. ``None`` removes a field, if the item has it.
            timeout: As for `upsert_items`.

        Raises:
            ItemNotFoundError: for an item that is not in the catalogue. As for the other errors, nothing is written.
            InvalidDataError: for a field that neither the schema nor the item's record has, or a value that the schema
                does not allow.
            NotFittedError: when there is no live release.
            StoreTimeoutError: as for `upsert_items`.
        """
        patience = check_timeout(timeout) or _PATIENCE
        if not isinstance(changes, Mapping):
            raise InvalidDataError(f"update_items takes a mapping, got {shown(changes)}", 'give {id: {"price": 9.9}}')
        items = [Item(check_id(key, "item id"), change) for key, change in changes.items()]
        plain = {item.id: dict(item.features) for item in items if item.id is not None}
        self._live.get()
        parts = [{key: plain[key] for key in part} for part in batched(plain, BATCH)]
        for part in parts if len(parts) > 1 else ():
            self._live.tell(partial(self._catalogue.check_changes, changes=part))
        for part in parts:
            self._updates.add(part, patience)

    def delete_items(self, ids: Iterable[Id], *, timeout: float | None = None) -> None:
        """Remove items, vector and record; ids that are not there are no error.

        Args:
            ids: Which items.
            timeout: As for `upsert_items`.

        Raises:
            NotFittedError: when there is no live release.
            StoreTimeoutError: as for `upsert_items`.
        """
        patience = check_timeout(timeout) or _PATIENCE
        unique = list(dict.fromkeys(check_ids(ids, "item id")))
        self._live.get()
        for part in batched(unique, BATCH):
            self._deletions.add(dict.fromkeys(part), patience)

    # -- the live users

    def upsert_users(self, users: User | Iterable[User]) -> None:
        """Add the profiles of one or many users or replace them; the next recommendation reads them.

        Raises:
            InvalidDataError: for a user without an id or with a history, which `record` stores, or for a feature value
                that the schema does not allow.
            NotFittedError: when there is no live release.
        """
        checked = sequence_of(users, User, one=True)
        schema = self._live.get().schema
        for user in checked:
            schema.check_user(user)
            if user.history:
                raise InvalidDataError(f"user {user.id!r} has a history", "store it by record(events)")
        profiles = {check_id(user.id, "user id"): user.features for user in checked}
        edit = edit_record("upsert", time.time())
        # First, with the profile, so that a fit that writes older profiles meanwhile finds it.
        edits = {key: {**edit, "profile": profile} for key, profile in profiles.items()}
        self._catalogue.metadata.put(USER_EDIT, edits)
        self._catalogue.metadata.put(USER, profiles)

    def update_users(self, changes: Mapping[Id, Mapping[str, Any]]) -> None:
        """Change single fields of profiles; the other fields stay. The next recommendation reads them.

        ::

            recommender.update_users({42: {"age": 35, "newsletter": None}})

        Changes of one user at the same time, by several processes too, are made one after the other.

        Args:
            changes: New values of fields by user. ``None`` removes a field, if the profile has it. A user without a
                profile gets one.

        Raises:
            InvalidDataError: for a field that neither the schema nor the profile has, or a value that the schema does
                not allow. As for the other errors, nothing is written.
            NotFittedError: when there is no live release.
            StoreTimeoutError: when another process has held the catalogue for too long.
        """
        if not isinstance(changes, Mapping):
            raise InvalidDataError(f"update_users takes a mapping, got {shown(changes)}", 'give {id: {"age": 35}}')
        plain = {key: dict(User(check_id(key, "user id"), change).features) for key, change in changes.items()}
        known = [feature.name for feature in self._live.get().schema.users]
        with self._archive.catalogue_lock():
            profiles = self._catalogue.metadata.get(USER, list(plain))
            self.upsert_users(
                User(key, changed_fields(f"user {key!r}", profiles.get(key, {}), change, known))
                for key, change in plain.items()
            )

    def record(self, events: Event | Iterable[Event]) -> None:
        """Add events to the histories of their users; the next recommendation reads them, without retraining.

        User, item, time and kind name an event: recorded again, it is replaced, so a request that is repeated with its
        own time needs no further key. A kind of the feedback policy's ``states``, such as ``"like"``, is what holds
        from then on: it replaces the user's earlier states of the item, so the same like twice is one like, with or
        without a time.

        Args:
            events: Each with a user. An event without a time happened now.

        Raises:
            InvalidDataError: for an event without a user, or with a time more than a day ahead of the clock.
        """
        checked = sequence_of(events, Event, one=True)
        record_events(self._catalogue.metadata, self._policy(checked), checked)

    def _policy(self, events: Sequence[Event]) -> FeedbackPolicy:
        """What the events mean; events without a kind are recorded without a look at the release."""
        if all(event.kind is None for event in events):
            return FeedbackPolicy()
        try:
            return self._live.get().feedback
        except NotFittedError:
            return self._feedback or FeedbackPolicy()

    def delete_events(
        self,
        user_id: Id,
        item_ids: Id | Sequence[Id] | None = None,
        *,
        kinds: str | Sequence[str | None] | None = None,
        time: float | str | datetime | None = None,
    ) -> int:
        """Take back events of a user: all of them, or those that agree with every condition given.

        They stay so through a `fit` of data of an earlier moment; a later event counts again.

        ::

            recommender.delete_events(42, 7, kinds="like")  # user 42 takes back the like of item 7

        Args:
            user_id: Whose events.
            item_ids: Only events with these items.
            kinds: Only events of these kinds; ``None`` among them stands for events without a kind.
            time: Only events of this time, as `Event` takes it.

        Returns:
            How many events were removed; 0 where there was none.
        """
        items = [item_ids] if isinstance(item_ids, (int, str)) else item_ids
        return delete_events(self._catalogue.metadata, check_id(user_id, "user id"), items, kinds, time)

    def forget_user(self, user_id: Id) -> Receipt:
        """Remove a user's profile and events. What an encoder has learnt from them goes with the next `fit`.

        A keyed hash of the id stays, whose key lies with the artifacts. By it `fit` leaves out what a data set says
        about the user, except for events after this moment.

        Returns:
            What was removed.
        """
        key = check_id(user_id, "user id")
        metadata = self._catalogue.metadata
        profiles, events = metadata.read_users(USER, [key])
        self._lifecycle.forgotten().remember(key, time.time())
        metadata.delete_events([key])
        for kind in (USER, USER_EDIT):
            metadata.delete(kind, [key])
        DeletedEvents(metadata).forget(key)
        return Receipt(key, key in profiles, len(events[key]))

    # -- consistency

    def verify(self) -> Report:
        """What differs between the two stores, by ids and digests, streamed.

        Changes that are under way meanwhile do not count as differences.

        Raises:
            NotFittedError: when there is no live release.
        """
        suspects = self._live.ask(self._catalogue.suspects)
        with self._archive.catalogue_lock():
            found = self._live.tell(partial(self._catalogue.inspect, suspects=suspects))
        return replace(found, unfinished=tuple(self.unfinished_builds()))

    def unfinished_builds(self) -> list[str]:
        """The ids of releases that a build which did not end has left. The next `fit` or `publish` removes them."""
        return self._archive.unfinished()

    def measure_recall(
        self, k: int = 10, *, where: Filter | None = None, users: int = 64, max_items: int = 1_000_000
    ) -> Recall:
        """How much of the exact result the live release's searches find: they are repeated by reading all vectors.

        It costs one pass over the collection; requests go on meanwhile.

        Args:
            k: How deep the lists are compared.
            where: A condition on the items: an index may find less where few items pass.
            users: How many stored users, the first that are read, to search for.
            max_items: How many items to read at most.

        Returns:
            The recall with its interval, and the share of the items that pass the filter. Without a stored user that
            the encoder can read it is of a visitor's search.

        Raises:
            NotFittedError: when there is no live release.
        """
        request = Request.of(k, {"where": where})
        some, most = integer(users, "users", low=1, high=10_000), integer(max_items, "max_items", low=1, high=10**9)
        ids = list(islice(stored_ids(self._catalogue.metadata), some))

        def measured(live: LoadedRelease) -> Recall:
            found = stored_users(self._catalogue.metadata, ids, self._max_history) or [User()]
            condition = None if request.where is None else check_filter(request.where, live.filter_fields)
            queries = user_vectors(live, found)
            return measure(self.vector_store, live.collection, queries, request.k, where=condition, most=most)

        return self._live.ask(measured)

    def repair(self, *, full: bool = False, allow_deletions: bool = False) -> list[Id]:
        """Mend the items that a crash or a missing record has marked, or all that `verify` finds; returns their ids.

        Args:
            full: Compare the whole catalogue, instead of reading the marks, which is quick.
            allow_deletions: Delete vectors without a record also where these are more than half of all. Without it that
                is refused, since it is more often a store that has lost its records.

        Raises:
            NotFittedError: when there is no live release.
            ReleaseError: for so many deletions.
        """
        allowed = flag(allow_deletions, "allow_deletions")
        found = self.verify().ids if flag(full, "full") else None
        with self._archive.catalogue_lock():
            ids = self._catalogue.marked(PENDING) if found is None else found
            self._live.tell(partial(self._catalogue.repair, ids=ids, allow_deletions=allowed))
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
            StoreError: when the old stores were written to meanwhile.
        """
        from vecrec.recommender.migrate import Stores, migrate

        target = Stores(
            _store(vector_store, "vector_store", VectorStore),
            _store(metadata_store, "metadata_store", MetadataStore),
        )
        self._live.get()
        return migrate(Stores(self.vector_store, self.metadata_store), target, self._archive, progress=progress)

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


def _part(part: Any, kind: type, name: str, example: str) -> tuple[Any, Any]:
    """A part of the recommender and its class, as far as they are given."""
    if isinstance(part, type) and issubclass(part, kind):
        return None, part
    return (None, None) if part is None else (instance(part, name, kind, example), type(part))


def _store(store: _Store, name: str, kind: type) -> _Store:
    """A store, if it implements the interface."""
    instance(store, name, kind)
    return store
