"""Making releases: trained, stored, built beside the live one, checked, switched to; or rolled back to."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from vecrec._internal.dependencies import installed_versions
from vecrec.encoders.base import Encoder
from vecrec.encoders.successors import Successors, hold_out
from vecrec.errors import InvalidDataError, ReleaseError, VecrecError
from vecrec.feedback import FeedbackPolicy
from vecrec.ids import Id, are_texts
from vecrec.progress import Progress, Step
from vecrec.recommender.catalogue import (
    ITEM,
    JOURNAL,
    PENDING,
    Catalogue,
    Generation,
)  # fmt: skip
from vecrec.recommender.edits import DeletedEvents, Forgotten
from vecrec.recommender.live import LiveRelease, LoadedRelease
from vecrec.recommender.loading import load_dataset
from vecrec.recommender.neighbours import Neighbours
from vecrec.recommender.release_checks import (
    RecallProbe,
    ReleaseChecks,
    ReleaseSample,
    check_recall,
    compare_with_popularity,
)  # fmt: skip
from vecrec.records import Record
from vecrec.releases import Archive, Golden, Release
from vecrec.rerankers.base import Reranker
from vecrec.types import Item

if TYPE_CHECKING:
    from vecrec.data import Dataset

__all__ = ["Lifecycle"]

_log = logging.getLogger("vecrec")
_data_log = logging.getLogger("vecrec.data")


@dataclass(frozen=True, slots=True)
class Trained:
    """What was learnt for a release."""

    encoder: Encoder
    reranker: Reranker | None
    successors: Successors


class Lifecycle:
    """Makes releases of one recommender, and goes back to them."""

    def __init__(
        self,
        archive: Archive,
        catalogue: Catalogue,
        live: LiveRelease,
        checks: ReleaseChecks,
        feedback: FeedbackPolicy | None,
        *,
        successors: bool,
    ) -> None:
        self._archive, self._catalogue, self._live = archive, catalogue, live
        self._builder = _Builder(archive, catalogue, checks)
        self._sample, self._feedback = checks.sampled_users, feedback
        self._with_successors = successors

    def fit(
        self,
        encoder: Encoder,
        reranker: Reranker | None,
        data: Dataset,
        progress: Progress,
        drop_fields: Collection[str] = (),
    ) -> Release:
        """Train, store the data, build a release and make it live."""
        # Held from the beginning, so that a second fit is refused before hours of training and not after them.
        with self._archive.build_lock():
            self._catalogue.ownership.owner()
            self._refuse_to_lose_fields(data, drop_fields)
            policy = self._policy(data.feedback)
            # Some warnings are about a policy that is not declared, so they are read before the default is set.
            _show_notices(data if policy == FeedbackPolicy() else data.with_feedback(policy), progress)
            data = self._known_of(data.with_feedback(policy))
            successors = self._trained(encoder, data, progress)
            if reranker is not None:
                reranker.fit(data, encoder, progress=progress)
            self._claim()
            data = self._known_of(data)  # since then, some may have been forgotten
            serving = self._archive.live()[0] is not None
            load_dataset(data, self._catalogue, self._archive, self.forgotten(), live=serving, progress=progress)
            self._refuse_to_empty()
            sample = ReleaseSample.from_dataset(data, self._catalogue.metadata, policy, self._sample)
            return self._build(Trained(encoder, reranker, successors), sample, progress)

    def publish(
        self, encoder: Encoder, reranker: Reranker | None, progress: Progress, *, allow_empty: bool = False
    ) -> Release:
        """Build a release from what the stores hold, and make it live."""
        with self._archive.build_lock():
            self._claim()
            if not allow_empty:
                self._refuse_to_empty()
            sample = ReleaseSample.from_store(self._catalogue.metadata, self._policy(), self._sample)
            return self._build(Trained(encoder, reranker, self._live_successors(encoder)), sample, progress)

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

    def _trained(self, encoder: Encoder, data: Dataset, progress: Progress) -> Successors:
        """Train the encoder, and learn on events that it has not learnt from what the successors count beside it."""
        parts = hold_out(data) if self._with_successors else None
        if parts is None:
            encoder.fit(data, progress=progress)
            return Successors.none()
        before, held_out = parts
        encoder.fit(before, progress=progress)
        progress(Step("successors", 0, 1, "counting what follows what"))
        successors = Successors.of(before).weighed(encoder, before, held_out)
        progress(Step("successors", 1, 1, f"weight {successors.weight:.3g}"))
        return replace(successors, lists=Successors.of(data).lists) if successors.weight else Successors.none()

    def _live_successors(self, encoder: Encoder) -> Successors:
        """The live release's, as far as the encoder is the same."""
        if self._archive.live()[0] is None:
            return Successors.none()
        live = self._live.current()
        return live.successors if live.release.fingerprint == encoder.fingerprint else Successors.none()

    def _build(self, trained: Trained, sample: ReleaseSample, progress: Progress) -> Release:
        try:
            live = self._builder.build(trained, sample, progress)
        except Exception:
            self._settle()
            raise
        self._live.adopt(live)
        return live.release

    def _settle(self) -> None:
        """Let the vectors of the release that goes on serving follow the records that a failed fit has stored."""
        try:
            with self._archive.catalogue_lock():
                if self._archive.live()[0] is not None:
                    self._catalogue.repair(self._live.current(), self._catalogue.marked(PENDING))
        except VecrecError as error:
            _log.warning("the live release does not follow the stored records yet, repair() mends it: %s", error)


def _show_notices(data: Dataset, progress: Progress) -> None:
    """Log what a data set assumes, and what looks like a mistake in it."""
    for level, found in ((logging.INFO, data.notices), (logging.WARNING, data.warnings)):
        for notice in found:
            _data_log.log(level, "%s: %s", data.name, notice)
    progress(Step("data", 1, 1, f"{len(data.warnings)} warnings"))


class _Builder:
    """Builds releases of one recommender."""

    def __init__(self, archive: Archive, catalogue: Catalogue, checks: ReleaseChecks) -> None:
        self._archive, self._catalogue, self._checks = archive, catalogue, checks
        self._vectors = catalogue.vectors

    def build(self, trained: Trained, sample: ReleaseSample, progress: Progress) -> LoadedRelease:
        """Build a release, check it and make it the live one. The caller holds the build lock.

        Raises:
            ReleaseError: when the release does not pass its checks; the live one is untouched.
        """
        encoder, reranker = trained.encoder, trained.reranker
        if reranker is not None and reranker.encoder_fingerprint not in (None, encoder.fingerprint):
            raise ReleaseError(
                f"the {type(reranker).__name__} has learnt from the vectors of another encoder", "fit it with this one"
            )
        with self._archive.catalogue_lock():
            self._sweep()
        release_id = self._archive.new_id()
        generation = self._begin(release_id, encoder)
        try:
            served = Trained(generation.encoder, self._second(release_id, reranker), trained.successors)
            live = self._build(release_id, generation, served, sample, progress)
        except BaseException:
            self._abandon(release_id)
            raise
        with self._later(release_id):  # it is live already, so what cannot be removed now is left
            self._sweep()
        progress(Step("check", 1, 1, f"release {release_id} is live"))
        return live

    def _begin(self, release_id: str, encoder: Encoder) -> Generation:
        directory = self._archive.directory(release_id)
        encoder.save(directory / "encoder")
        # What serves is what was saved, and not the object that the next fit will change.
        loaded = type(encoder).load(directory / "encoder")
        return Generation(self._archive.collection(release_id), loaded)

    def _second(self, release_id: str, reranker: Reranker | None) -> Reranker | None:
        if reranker is None:
            return None
        directory = self._archive.directory(release_id) / "reranker"
        reranker.save(directory)
        return type(reranker).load(directory)

    def _build(
        self,
        release_id: str,
        generation: Generation,
        trained: Trained,
        sample: ReleaseSample,
        progress: Progress,
    ) -> LoadedRelease:
        with self._archive.catalogue_lock():
            self._catalogue.unmark(self._catalogue.marked(JOURNAL), JOURNAL)
            self._archive.set_building(release_id)
        self._vectors.create(generation.collection, generation.spec())
        users = [generation.schema.drop_invalid_features(user) for user in sample.users]
        sample, probe = replace(sample, users=users), RecallProbe(generation.encoder.encode_users(users))
        with self._vectors.bulk(generation.collection):
            golden_records, text_items = self._index(generation, probe, progress)
        progress(Step("check", 0, None))
        checks = self._check(generation, sample, probe)
        directory = self._archive.directory(release_id)
        self._golden(generation, golden_records).save(directory)
        sample.popularity.save(directory / "popularity.json")
        neighbours = Neighbours.of_store(self._catalogue.metadata, sample.policy, generation.schema, ITEM)
        neighbours.save(directory, "neighbour")
        if trained.successors.weight:
            trained.successors.save(directory)
        reranker = trained.reranker
        with self._archive.catalogue_lock():
            pending = self._catch_up(generation)
            texts = [side for side, all_texts in (("items", text_items), ("users", sample.text_users)) if all_texts]
            manifest = replace(self._manifest(release_id, generation, sample, checks), text_ids=texts)
            if reranker is not None:
                manifest = replace(manifest, reranker=reranker.name, reranker_fingerprint=reranker.fingerprint)
            release = self._archive.seal(manifest)
            self._catalogue.switch(release_id, pending)
        return LoadedRelease(
            generation.collection,
            generation.encoder,
            release,
            sample.popularity,
            reranker,
            sample.policy,
            neighbours,
            trained.successors,
        )

    def _index(self, generation: Generation, probe: RecallProbe, progress: Progress) -> tuple[dict[Id, Record], bool]:
        """Put every item into the collection; returns some of them, to be golden, and whether each id is a text."""
        total, done, texts = self._catalogue.count(), 0, True
        golden: dict[Id, Record] = {}
        for records in self._catalogue.records():
            rows = generation.encode(records)
            generation.write(self._vectors, rows)
            probe.see(rows.vectors)
            golden = golden or dict(islice(records.items(), 32))
            done += len(records)
            texts = texts and are_texts(records)
            progress(Step("index", done, max(total, done)))
        self._vectors.flush(generation.collection)
        return golden, texts and done > 0

    def _check(
        self, generation: Generation, sample: ReleaseSample, probe: RecallProbe
    ) -> dict[str, float | int | None]:
        held, indexed = self._catalogue.count(), self._vectors.count(generation.collection)
        if indexed < probe.count:
            raise ReleaseError(
                f"the collection {generation.collection!r} holds {indexed} of {probe.count} items",
                "check the vector store",
            )
        checks: dict[str, float | int | None] = {
            "records": held,
            "vectors": indexed,
            "index_recall": None,
            "hits": None,
            "popularity_hits": None,
        }
        if not sample.users or not indexed:
            return checks
        recall = probe.recall(self._vectors, generation.collection)
        check_recall(self._checks, recall)
        compared = compare_with_popularity(self._checks, sample, probe, self._vectors, generation.collection)
        return {**checks, "index_recall": round(recall, 4), **compared}

    def _golden(self, generation: Generation, records: Mapping[Id, Record]) -> Golden:
        items = [generation.schema.drop_invalid_features(Item(key, record)) for key, record in records.items()]
        golden = Golden.of(generation.encoder, items)
        held = self._vectors.fetch(generation.collection, list(records))
        for item, vector in zip(golden.items, golden.item_vectors):
            entry = held.get(item.id) if item.id is not None else None
            if (
                entry is not None
                and entry.vector is not None
                and not np.allclose(entry.vector, vector, rtol=1e-3, atol=1e-3)
            ):
                raise ReleaseError(f"the vector store holds another vector of item {item.id!r} than was written")
        return golden

    def _catch_up(self, generation: Generation) -> list[Id]:
        """Bring what was changed during the build into the new generation; returns the marks that this settles."""
        pending, changed = self._catalogue.marked(PENDING), self._catalogue.marked(JOURNAL)
        self._archive.set_building(None)  # nothing changes while the lock is held, so the journal ends here
        self._catalogue.mend(generation, list(dict.fromkeys(changed + pending)))
        self._catalogue.unmark(changed, JOURNAL)
        return pending

    def _manifest(
        self, release_id: str, generation: Generation, sample: ReleaseSample, checks: Mapping[str, float | int | None]
    ) -> Release:
        encoder = generation.encoder
        return Release(
            id=release_id,
            name=self._archive.name,
            created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            collection=generation.collection,
            encoder=encoder.name,
            fingerprint=encoder.fingerprint,
            dim=encoder.dim,
            metric=encoder.metric,
            schema=encoder.schema.to_json(),
            data_digest=sample.data_digest,
            counts={"items": self._catalogue.count(), "users": sample.n_users, "events": sample.n_events},
            checks=dict(checks),
            versions=installed_versions(),
            feedback=sample.policy.to_json(),
        )

    def _abandon(self, release_id: str) -> None:
        """Take back a build that failed. Errors here must not hide the one that is on its way."""
        with self._later(release_id):
            if self._archive.live()[0] != release_id:
                self._sweep()

    @contextmanager
    def _later(self, release_id: str) -> Iterator[None]:
        try:
            with self._archive.catalogue_lock():
                yield
        except (OSError, VecrecError) as error:
            _log.warning("not all was removed after the build of %s, the next build does it: %s", release_id, error)

    def _sweep(self) -> None:
        """Remove the releases that are no longer kept, and what unfinished builds have left."""
        self._archive.set_building(None)
        self._catalogue.unmark(self._catalogue.marked(JOURNAL), JOURNAL)
        for release_id in self._archive.strays():
            self._vectors.drop(self._archive.collection(release_id))
            self._archive.remove(release_id)
