"""Making releases: trained, stored, built beside the live one, checked, switched to; or rolled back to."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from vecrec.encoders.base import Encoder
from vecrec.encoders.fold_in import FoldedItems
from vecrec.encoders.item_lists import ItemLists
from vecrec.encoders.successors import Successors
from vecrec.encoders.successors import hold_out as successors_hold_out
from vecrec.errors import InvalidDataError, ReleaseError, VecrecError
from vecrec.feedback import FeedbackPolicy
from vecrec.progress import Progress, Step
from vecrec.recommender.builder import Builder, Plan
from vecrec.recommender.candidate import Check
from vecrec.recommender.catalogue import (
    PENDING,
    Catalogue,
    collection_spec,
)  # fmt: skip
from vecrec.recommender.edits import DeletedEvents, Forgotten
from vecrec.recommender.held_out import LEAST, hold_out
from vecrec.recommender.live import Given, LiveRelease, LoadedRelease
from vecrec.recommender.loading import load_dataset, read_dataset
from vecrec.recommender.pipeline import Pipeline
from vecrec.recommender.release_checks import (
    Held,
    ReleaseChecks,
    ReleaseSample,
)  # fmt: skip
from vecrec.recommender.trained import Origin, Parts, Trained
from vecrec.releases import Archive, Release
from vecrec.rerankers.base import Reranker

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["Lifecycle"]

_log = logging.getLogger("vecrec")
_data_log = logging.getLogger("vecrec.data")


class Lifecycle:
    """Makes releases of one recommender, and goes back to them."""

    def __init__(
        self,
        archive: Archive,
        catalogue: Catalogue,
        live: LiveRelease,
        checks: ReleaseChecks,
        *,
        given: Given,
        pipeline: Pipeline,
        successors: bool,
    ) -> None:
        self._archive, self._catalogue, self._live = archive, catalogue, live
        self._builder = Builder(archive, catalogue, checks, pipeline)
        self._checks, self._feedback = checks, given.feedback
        self._trained = Trained(archive, given)
        self._with_successors = successors

    def fit(
        self,
        encoder: Encoder,
        reranker: Reranker | None,
        data: Dataset,
        progress: Progress,
        *,
        drop_fields: Collection[str] = (),
        checks: Sequence[Check] = (),
    ) -> Release:
        """Train, store the data, build a release and make it live."""
        # Held from the beginning, so that a second fit is refused before hours of training and not after them.
        with self._archive.build_lock():
            self._catalogue.ownership.owner()
            self._refuse_to_lose_fields(data, drop_fields)
            self._catalogue.vectors.check_spec(collection_spec(1, data.schema))
            policy = self._policy(data.feedback)
            # Some warnings are about a policy that is not declared, so they are read before the default is set.
            _show_notices(data if policy == FeedbackPolicy() else data.with_feedback(policy), progress)
            data = self._known_of(data.with_feedback(policy))
            held, learnt = self._hold_out(data, policy)
            successors = self._train(encoder, learnt, progress)
            if reranker is not None:
                reranker.fit(learnt, encoder, progress=progress)
            self._claim()
            data = self._known_of(data)  # since then, some may have been forgotten
            held = self._keep(Parts(encoder, reranker, successors), data, policy, held)
            with self._kept():
                serving = self._archive.live()[0] is not None
                load_dataset(data, self._catalogue, self._archive, self.forgotten(), live=serving, progress=progress)
                self._refuse_to_empty()
                size = self._checks.sampled_users
                sample = ReleaseSample.from_dataset(data, self._catalogue.metadata, policy, size, held)
                parts = Parts(encoder, reranker, successors)
                return self._build(Plan(parts, sample, self._rival(sample), checks, progress))

    def _train(self, encoder: Encoder, data: Dataset, progress: Progress) -> Successors:
        """Train the encoder, and learn on events that it has not learnt from what the successors count beside it."""
        parts = successors_hold_out(data) if self._with_successors else None
        if parts is None:
            encoder.fit(data, progress=progress)
            return Successors.none()
        before, held_out = parts
        encoder.fit(before, progress=progress)
        progress(Step("successors", 0, 1, "counting what follows what"))
        successors = Successors.of(before).weighed(encoder, before, held_out)
        progress(Step("successors", 1, 1, f"weight {successors.weight:.3g}"))
        successors = replace(successors, lists=ItemLists.none())  # those of all events take as much memory
        return replace(successors, lists=Successors.of(data).lists) if successors.weight else Successors.none()

    def _hold_out(self, data: Dataset, policy: FeedbackPolicy) -> tuple[Held | None, Dataset]:
        """Events that the live release has not learnt, and the data without them to train on."""
        live = self._archive.live()[0]
        if live is None or not self._checks.beat_live:
            return None, data
        since = self._archive.manifest(live).learned_until()
        splits, learnt = hold_out(data, policy, since, self._checks.sampled_users)
        return (Held(splits, since) if splits else None), learnt

    def _keep(self, parts: Parts, data: Dataset, policy: FeedbackPolicy, held: Held | None) -> Held | None:
        """Write what was trained; returns the held-out events without those of users who were forgotten meanwhile."""
        forgotten = self.forgotten()
        if held is not None:
            gone = forgotten.times([split.owner for split in held.splits if split.owner is not None])
            held = Held([split for split in held.splits if split.owner not in gone], held.since)
        origin = Origin(
            data_digest=data.digest,
            learnt_until=data.as_of,
            undated="" if data.order == "time" else data.order,
            policy=policy,
            since=None if held is None else held.since,
            held_out=frozenset(
                forgotten.hash_of(split.owner) for split in (held.splits if held else ()) if split.owner is not None
            ),
        )
        self._trained.keep(parts, origin)
        return held if held is not None and len(held.splits) >= LEAST else None

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Say of an error after the training that the work is not lost."""
        try:
            yield
        except VecrecError as error:
            error.add_cure("what was trained is kept: publish(trained=True), or vecrec publish --trained, goes on")
            raise

    def publish(
        self,
        encoder: Encoder,
        reranker: Reranker | None,
        progress: Progress,
        *,
        allow_empty: bool = False,
        checks: Sequence[Check] = (),
    ) -> Release:
        """Build a release from what the stores hold, and make it live."""
        with self._archive.build_lock():
            self._claim()
            if not allow_empty:
                self._refuse_to_empty()
            sample = ReleaseSample.from_store(self._catalogue.metadata, self._policy(), self._checks.sampled_users)
            parts = Parts(encoder, reranker, Successors.none())
            live = None if self._archive.live()[0] is None else self._live.current()
            if live is not None and encoder.fingerprint in (live.release.fingerprint, live.release.refreshed_from):
                known = live.release
                parts = Parts(live.encoder, reranker, live.successors, live.folded, known.refreshed_from)
                sample = replace(sample, learnt_until=known.learnt_until, counted_until=known.counted_until)
            return self._build(Plan(parts, sample, self._rival(sample), checks, progress))

    def refresh(self, since: float | None, progress: Progress, *, checks: Sequence[Check] = ()) -> Release:
        """Build a release of the live encoder with what the stored events say now, and make it live."""
        with self._archive.build_lock():
            live = self._live.current()
            self._claim()
            self._refuse_to_empty()
            policy, release = self._policy(), live.release
            data = self._stored(release, policy, release.learned_until() if since is None else since, progress)
            if data is None:
                return release
            held, counted = self._hold_out(data, policy)
            learnt = release.learned_until() if release.learnt_until is None else release.learnt_until
            parts = _renewed(live, counted, progress)
            sample = replace(
                ReleaseSample.from_dataset(data, self._catalogue.metadata, policy, self._checks.sampled_users, held),
                data_digest=release.data_digest, learnt_until=learnt, counted_until=data.as_of,
            )  # fmt: skip
            return self._build(Plan(parts, sample, self._rival(sample), checks, progress), of_trained=False)

    def _stored(self, live: Release, policy: FeedbackPolicy, since: float, progress: Progress) -> Dataset | None:
        """What the store holds; ``None`` where none of its events is later than a moment."""
        from vecrec.data.notices import show_time  # what serves does without the modules of data sets

        progress(Step("events", 0, None, "reading what is stored"))
        data = read_dataset(self._catalogue, live).with_feedback(policy)
        fresh = 0 if data.times is None else int(((data.times > since) & (data.times <= data.as_of)).sum())
        told = f"{f'{fresh:,}' if fresh else 'nothing'} new since {show_time(since)}"
        progress(Step("events", data.n_events, data.n_events, told))
        if not fresh:
            _log.info("%s, so the release %s goes on", told, live.id)
        return data if fresh else None

    def publish_trained(
        self, progress: Progress, *, allow_empty: bool = False, checks: Sequence[Check] = ()
    ) -> Release:
        """Build a release of what the last `fit` has trained, which did not go live."""
        with self._archive.build_lock(), self._kept():
            parts, origin = self._trained.find()
            self._claim()
            if not allow_empty:
                self._refuse_to_empty()
            hash_of, size = self.forgotten().hash_of, self._checks.sampled_users
            metadata, fresh = self._catalogue.metadata, self._is_fresh(origin)
            sample = ReleaseSample.from_store(
                metadata, origin.policy, size,
                chosen=(lambda key: hash_of(key) in origin.held_out) if fresh else (lambda key: True),
                until=origin.learnt_until,
            )  # fmt: skip
            sample = replace(
                sample, data_digest=origin.data_digest, undated=origin.undated, learnt_until=origin.learnt_until,
                since=origin.since if fresh and len(sample.users) >= LEAST else None,
            )  # fmt: skip
            return self._build(Plan(parts, sample, self._rival(sample), checks, progress))

    def _is_fresh(self, origin: Origin) -> bool:
        """Whether the live release is the one for which events were held out."""
        live = self._archive.live()[0]
        return live is not None and origin.since == self._archive.manifest(live).learned_until()

    def _refuse_to_lose_fields(self, data: Dataset, drop_fields: Collection[str]) -> None:
        """Refuse data without a filterable field that the live release has: requests that filter by it would fail."""
        live = self._archive.live()[0]
        if live is None:
            return
        from vecrec.data import Schema  # only training needs it

        held = Schema.from_json(self._archive.read(live).schema).filter_fields()
        lost = sorted(held.keys() - data.schema.filter_fields().keys() - set(drop_fields))
        if lost:
            raise InvalidDataError(
                f"the live release {live!r} can be filtered by {lost}, and {data.name!r} has no such field",
                "add it to the items and mark it filterable, or name it in drop_fields",
            )

    def _refuse_to_empty(self) -> None:
        live = self._archive.live()[0]
        if live is None or self._catalogue.count():
            return
        held = self._archive.manifest(live).counts.get("items", 0)
        if held:
            raise ReleaseError(
                f"the metadata store holds no items, and the live release {live!r} has {held:,}",
                "check that it is the right store and has not lost them, or call publish(allow_empty=True)",
            )

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
            live = self._live.load(target)
            report = self._catalogue.inspect(live, self._catalogue.suspects(live))
            self._catalogue.mend(live, report.ids)
            self._catalogue.switch(target, report.pending)
        self._live.adopt(live)
        return live.release

    def forgotten(self) -> Forgotten:
        """The users that this recommender was told to forget."""
        return Forgotten(self._catalogue.metadata, self._catalogue.ownership.identity().key)

    def _known_of(self, data: Dataset) -> Dataset:
        """A data set without forgotten users and deleted events; before the first release there are none."""
        if self._archive.identity() is None:
            return data
        return DeletedEvents(self._catalogue.metadata).without(self.forgotten().without(data))

    def _claim(self) -> None:
        owner = self._catalogue.ownership.owner()
        if owner is None or owner.catalogue is None:
            with self._archive.catalogue_lock():
                self._catalogue.ownership.claim(self._archive.live()[0])

    def _policy(self, given: FeedbackPolicy | None = None) -> FeedbackPolicy:
        """What events mean to the next release.

        The first of these that says so: the recommender, the data set, the live release, the default.
        """
        said = given if self._feedback is None else self._feedback
        if said is not None:
            return said
        live = self._archive.live()[0]
        try:
            return FeedbackPolicy() if live is None else FeedbackPolicy.from_json(self._archive.manifest(live).feedback)
        except VecrecError as error:
            _log.warning("the live release's feedback policy cannot be read, the default one serves: %s", error)
            return FeedbackPolicy()

    def _build(self, plan: Plan, *, of_trained: bool = True) -> Release:
        """Build a release; ``of_trained`` says whether it takes the place of what the last `fit` has kept."""
        try:
            live = self._builder.build(plan)
        except Exception:
            self._settle()
            raise
        self._live.adopt(live)
        if of_trained:
            self._trained.discard()
        return live.release

    def _rival(self, sample: ReleaseSample) -> LoadedRelease | None:
        """The live release, where there are events to compare with it on."""
        if sample.since is None:
            return None
        try:
            return self._live.load(self._live.current().release.id)
        except VecrecError as error:
            _log.warning("the live release cannot be compared with: %s", error)
            return None

    def _settle(self) -> None:
        """Let the vectors of the release that goes on serving follow the records that a failed fit has stored."""
        try:
            with self._archive.catalogue_lock():
                if self._archive.live()[0] is not None:
                    self._catalogue.repair(self._live.current(), self._catalogue.marked(PENDING))
        except VecrecError as error:
            _log.warning("the live release does not follow the stored records yet, repair() mends it: %s", error)


def _renewed(live: LoadedRelease, data: Dataset, progress: Progress) -> Parts:
    """The parts of a release with what events say now, without a training."""
    encoder, found, learnt_with = live.encoder, live.successors, live.release.refreshed_from
    # A second stage that reads vectors has learnt from those of this very encoder.
    if live.reranker is None or live.reranker.encoder_fingerprint is None:
        encoder = encoder.refreshed(data, progress=progress)
        learnt_with = learnt_with or (live.encoder.fingerprint if encoder is not live.encoder else "")
    progress(Step("successors", 0, 2, "counting what follows what"))
    if found.weight:
        found = replace(found, lists=Successors.of(data).lists)
    progress(Step("successors", 1, 2, "items that are new to the encoder"))
    folded = FoldedItems.of(encoder, data)
    progress(Step("successors", 2, 2, f"{len(folded.ids):,} new items"))
    return Parts(encoder, live.reranker, found, folded, learnt_with)


def _show_notices(data: Dataset, progress: Progress) -> None:
    """Log what a data set assumes, and what looks like a mistake in it."""
    for level, found in ((logging.INFO, data.notices), (logging.WARNING, data.warnings)):
        for notice in found:
            _data_log.log(level, "%s: %s", data.name, notice)
    progress(Step("data", 1, 1, f"{len(data.warnings)} warnings"))
