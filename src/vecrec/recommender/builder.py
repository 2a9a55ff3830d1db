"""One release, built beside the live one: its collection filled, checked, and switched to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

import numpy as np

from vecrec._internal.dependencies import installed_versions
from vecrec.encoders.successors import Successors
from vecrec.errors import ReleaseError, VecrecError
from vecrec.ids import Id, are_texts
from vecrec.progress import Progress, Step
from vecrec.recommender.candidate import Candidate, Check, run_checks
from vecrec.recommender.catalogue import (
    ITEM,
    JOURNAL,
    PENDING,
    USER,
    Catalogue,
    Generation,
)  # fmt: skip
from vecrec.recommender.held_out import compare_with_live, figures, gains
from vecrec.recommender.live import LoadedRelease
from vecrec.recommender.neighbours import Chosen, Neighbours
from vecrec.recommender.pipeline import Pipeline
from vecrec.recommender.release_checks import (
    TOP,
    RecallProbe,
    ReleaseChecks,
    ReleaseSample,
    check_recall,
    compare_with_popularity,
    served_lists,
)  # fmt: skip
from vecrec.recommender.trained import Parts
from vecrec.records import Record
from vecrec.releases import Archive, Golden, Release, SeenValues, ValueCollector
from vecrec.rerankers.base import Reranker
from vecrec.types import Item

__all__ = ["Builder", "Plan"]

_log = logging.getLogger("vecrec")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a release is to be made of."""

    parts: Parts
    """Trained."""
    sample: ReleaseSample
    """What it is checked with."""
    rival: LoadedRelease | None
    """The live release, where the sample can compare with it."""
    checks: Sequence[Check]
    """The caller's own checks."""
    progress: Progress
    """Receives each step."""


_PROFILES = 100_000
"""Profiles at most whose values are noted."""


@dataclass(frozen=True, slots=True)
class _Indexed:
    """What was seen of the items while they were indexed."""

    golden: dict[Id, Record]
    """Some of them."""
    unknown: int
    """How many the encoder has not learnt."""
    texts: bool
    """Whether each id is a text."""
    seen: SeenValues
    """The values of features, those of users too."""


class Builder:
    """Builds releases of one recommender."""

    def __init__(self, archive: Archive, catalogue: Catalogue, checks: ReleaseChecks, pipeline: Pipeline) -> None:
        self._archive, self._catalogue, self._checks, self._pipeline = archive, catalogue, checks, pipeline
        self._vectors = catalogue.vectors

    def build(self, plan: Plan) -> LoadedRelease:
        """Build a release, check it and make it the live one. The caller holds the build lock.

        Raises:
            ReleaseError: when the release does not pass its checks; the live one is untouched.
        """
        encoder, reranker = plan.parts.encoder, plan.parts.reranker
        learnt_with = None, encoder.fingerprint, plan.parts.refreshed_from
        if reranker is not None and reranker.encoder_fingerprint not in learnt_with:
            raise ReleaseError(
                f"the {type(reranker).__name__} has learnt from the vectors of another encoder", "fit it with this one"
            )
        with self._archive.catalogue_lock():
            self._sweep()
        release_id = self._archive.new_id()
        generation = self._begin(release_id, plan.parts)
        try:
            second = self._second(release_id, reranker)
            live = self._build(release_id, generation, second, plan)
        except BaseException:
            self._abandon(release_id)
            raise
        with self._later(release_id):  # it is live already, so what cannot be removed now is left
            self._sweep()
        plan.progress(Step("check", 1, 1, f"release {release_id} is live"))
        return live

    def _begin(self, release_id: str, parts: Parts) -> Generation:
        directory, encoder = self._archive.directory(release_id), parts.encoder
        encoder.save(directory / "encoder")
        parts.folded.save(directory)
        # What serves is what was saved, and not the object that the next fit will change.
        loaded = type(encoder).load(directory / "encoder")
        return Generation(self._archive.collection(release_id), loaded, folded=parts.folded)

    def _second(self, release_id: str, reranker: Reranker | None) -> Reranker | None:
        if reranker is None:
            return None
        directory = self._archive.directory(release_id) / "reranker"
        reranker.save(directory)
        return type(reranker).load(directory)

    def _build(self, release_id: str, generation: Generation, reranker: Reranker | None, plan: Plan) -> LoadedRelease:
        with self._archive.catalogue_lock():
            self._catalogue.unmark(self._catalogue.marked(JOURNAL), JOURNAL)
            self._archive.set_building(release_id)
        self._vectors.create(generation.collection, generation.spec())
        users = [generation.schema.drop_invalid_features(user) for user in plan.sample.users]
        sample, probe = replace(plan.sample, users=users), RecallProbe(generation.encoder.encode_users(users))
        with self._vectors.bulk(generation.collection):
            indexed = self._index(generation, probe, plan.progress)
        plan.progress(Step("check", 0, None))
        measured = self._check(generation, sample, probe, indexed.unknown, plan)
        directory = self._archive.directory(release_id)
        self._golden(generation, indexed.golden).save(directory)
        indexed.seen.save(directory / "values.json")
        sample.popularity.save(directory / "popularity.json")
        neighbours, successors = self._lists(directory, generation, sample, plan.parts.successors)
        texts = [side for side, all_texts in (("items", indexed.texts), ("users", sample.text_users)) if all_texts]
        draft = replace(
            self._manifest(release_id, generation, sample, measured),
            text_ids=texts, refreshed_from=plan.parts.refreshed_from,
        )  # fmt: skip
        if reranker is not None:
            draft = replace(draft, reranker=reranker.name, reranker_fingerprint=reranker.fingerprint)
        built = LoadedRelease(
            generation.collection,
            generation.encoder,
            draft,
            sample.popularity,
            reranker,
            sample.policy,
            neighbours,
            successors,
            folded=generation.folded,
            seen=indexed.seen,
        )
        own = run_checks(plan.checks, Candidate(built, self._pipeline))
        with self._archive.catalogue_lock():
            pending = self._catch_up(generation)
            counts = {**draft.counts, "items": self._catalogue.count()}
            release = self._archive.seal(replace(draft, counts=counts, checks={**measured, **own}))
            self._catalogue.switch(release_id, pending)
        return replace(built, release=release)

    def _lists(
        self, directory: Path, generation: Generation, sample: ReleaseSample, successors: Successors
    ) -> tuple[Neighbours, Successors]:
        """Save the neighbours and successors, and map both into memory as any process does."""
        from vecrec.data.room import Room  # what serves does without the modules of data sets

        metadata = self._catalogue.metadata
        chosen = Chosen.of_store(metadata, sample.policy) if sample.chosen is None else sample.chosen
        Neighbours.of(chosen, metadata.scan(ITEM), generation.schema, Room.at(directory)).save(directory, "neighbour")
        if successors.weight:
            successors.save(directory)
            successors = Successors.load(directory)
        return Neighbours.load(directory, "neighbour"), successors

    def _index(self, generation: Generation, probe: RecallProbe, progress: Progress) -> _Indexed:
        """Put every item into the collection, and say what was seen of them and of some users."""
        total, done, unknown, texts = self._catalogue.count(), 0, 0, True
        golden: dict[Id, Record] = {}
        values = ValueCollector(generation.schema)
        for records in self._catalogue.records():
            rows = generation.encode(records)
            generation.write(self._vectors, rows)
            probe.see(rows.vectors)
            golden = golden or dict(islice(records.items(), 32))
            values.see("items", records.values())
            done += len(records)
            unknown += sum(not generation.encoder.knows(key) for key in records)
            texts = texts and are_texts(records)
            progress(Step("index", done, max(total, done)))
        self._vectors.flush(generation.collection, progress)
        values.see("users", (profile for _, profile in islice(self._catalogue.metadata.scan(USER), _PROFILES)))
        return _Indexed(golden, unknown, texts and done > 0, values.seen())

    def _check(
        self,
        generation: Generation,
        sample: ReleaseSample,
        probe: RecallProbe,
        unknown: int,
        plan: Plan,
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
        rows = served_lists(sample, probe.queries, self._vectors, generation.collection, plan.parts.successors)
        compared = compare_with_popularity(self._checks, sample, rows)
        shares = dict(zip(sample.popularity.ids, sample.popularity.shares))
        told = figures([row[:TOP] for row in rows], shares, indexed, unknown)
        return {
            **checks,
            "index_recall": round(recall, 4),
            **compared,
            **told,
            **self._against(plan.rival, sample, rows),
        }

    def _against(self, rival: LoadedRelease | None, sample: ReleaseSample, rows: list[list[Id]]) -> dict[str, float]:
        if rival is None:
            return {}
        users = [rival.schema.drop_invalid_features(user) for user in sample.users]
        theirs = served_lists(
            sample, rival.encoder.encode_users(users), self._vectors, rival.collection, rival.successors
        )
        return compare_with_live(
            gains(rows, sample.nexts), gains(theirs, sample.nexts), 2 * TOP, required=self._checks.beat_live
        )

    def _golden(self, generation: Generation, records: Mapping[Id, Record]) -> Golden:
        items = [generation.schema.drop_invalid_features(Item(key, record)) for key, record in records.items()]
        golden = Golden.of(generation.encoder, items)
        held, rows = self._vectors.fetch(generation.collection, list(records)), generation.encode(records)
        for key, vector in zip(rows.ids, rows.vectors):
            entry = held.get(key)
            if (
                entry is not None
                and entry.vector is not None
                and not np.allclose(entry.vector, vector, rtol=1e-3, atol=1e-3)
            ):
                raise ReleaseError(f"the vector store holds another vector of item {key!r} than was written")
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
            undated=sample.undated or self._undated(),
            learnt_until=sample.learnt_until,
            counted_until=sample.counted_until,
        )

    def _undated(self) -> str:
        """What the live release says of the order of events without times, which stay in the store."""
        live = self._archive.live()[0]
        return "" if live is None else self._archive.manifest(live).undated

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
        self._archive.sweep_files()
        for release_id in self._archive.strays():
            self._vectors.drop(self._archive.collection(release_id))
            self._archive.remove(release_id)
